#include "writer/archive/repair.h"

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/archive/test_archive.h"
#include "writer/catalog/catalog.h"
#include "writer/segment/segment_reader.h"
#include "writer/segment/test_segment.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

namespace fs = std::filesystem;

constexpr StreamId kA{11};
constexpr size_t kPiece = 6000;
// An extent: a block of header, two of payload.
constexpr uint64_t kExtent = 3 * kBlockBytes;

// Two sealed segments of one stream, in slots 2 and 3, which the catalog knows; nobody has the
// archive open.
class RepairTest : public testing::Test {
 protected:
  RepairTest() {
    auto catalog = Catalog::Open(archive_.CatalogPath(), Catalog::Mode::kReadWrite);
    RecordingRow row;
    row.uid = 7;
    row.id = "test";
    row.state = RecordingState::kStopped;
    EXPECT_TRUE((*catalog)->PutRecording(row).ok());
    Write(5, 2, 0, false);
    Write(6, 3, 3 * kPiece, true);
    EXPECT_TRUE(Recover(*archive_, **catalog, false).ok());
    RecordingRow learned = *(*catalog)->Recording("test");
    learned.state = RecordingState::kStopped;
    EXPECT_TRUE((*catalog)->PutRecording(learned).ok());
    archive_.Close();
  }

  void Write(uint64_t id, uint32_t slot, uint64_t begin, bool last) {
    TestSegment segment(archive_.Segment(id, slot), &ledger_);
    for (uint64_t i = 0; i < 3; ++i) {
      const uint64_t at = begin + i * kPiece;
      std::vector<StreamEvent> events;
      if (i == 0) {
        events = {begin == 0 ? TestSegment::Open(kA) : TestSegment::Continued(kA, begin)};
      } else if (i == 2 && last) {
        events = {TestSegment::Close(kA, at + kPiece)};
      }
      segment.Add({{kA, at, std::string(kPiece, static_cast<char>('a' + i))}}, events);
    }
    link_ = segment.Seal(0, link_);
    segment.WriteTo(archive_.SegmentPath(slot));
  }

  RepairReport Run(bool dry_run) {
    RepairOptions options;
    options.dry_run = dry_run;
    options.actor = "tester";
    const auto report = RepairArchive(archive_.directory(), options);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *report : RepairReport{};
  }
  // Tries, does the same, and finds nothing more to do. Returns what was done.
  RepairReport Repaired() {
    const std::string before = Image();
    const RepairReport tried = Run(true);
    EXPECT_FALSE(tried.done);
    EXPECT_EQ(Image(), before);  // only tried
    RepairReport done = Run(false);
    EXPECT_TRUE(done.done);
    EXPECT_EQ(done.mendable(), tried.mendable());
    const RepairReport again = Run(false);
    EXPECT_EQ(again.mendable(), 0u);
    EXPECT_FALSE(again.done);
    return done;
  }
  // Of all segment files.
  std::string Image() {
    std::string all;
    for (uint32_t slot = 0; slot < 8; ++slot) {
      std::ifstream file(archive_.SegmentPath(slot), std::ios::binary);
      std::string bytes(MiB(2).value, ' ');
      file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
      bytes.resize(static_cast<size_t>(file.gcount()));
      all += bytes + "|";
    }
    return all;
  }
  void Flip(uint32_t slot, uint64_t at, size_t bytes = 1) {
    std::fstream file(archive_.SegmentPath(slot), std::ios::in | std::ios::out | std::ios::binary);
    for (size_t i = 0; i < bytes; ++i) {
      file.seekg(static_cast<std::streamoff>(at + i));
      const char c = static_cast<char>(~file.get());
      file.seekp(static_cast<std::streamoff>(at + i));
      file.put(c);
    }
  }
  std::unique_ptr<Catalog> OpenCatalog() {
    return *Catalog::Open(archive_.CatalogPath(), Catalog::Mode::kReadWrite);
  }
  // The stream's parts, as [begin, end).
  std::vector<std::pair<uint64_t, uint64_t>> Parts() {
    std::vector<std::pair<uint64_t, uint64_t>> parts;
    const absl::StatusOr<std::vector<StreamPart>> found = OpenCatalog()->StreamParts(kA);
    for (const StreamPart& part : *found) {
      parts.emplace_back(part.begin.value, part.end.value);
    }
    return parts;
  }
  size_t ExtentsIn(uint32_t slot) {
    const auto reader = SegmentReader::Open(archive_.SegmentPath(slot));
    EXPECT_TRUE(reader.ok()) << reader.status();
    const auto footer = (*reader)->ReadFooter();
    EXPECT_TRUE(footer.ok()) << footer.status();
    return footer->extents.size();
  }

  TestArchive archive_;
  Ledger ledger_;
  SegmentLink link_;
};

TEST_F(RepairTest, ASoundArchiveIsLeftAlone) {
  const std::string before = Image();
  const uint32_t epoch = Archive::ReadMeta(archive_.directory())->epoch;
  const RepairReport report = Run(false);
  EXPECT_THAT(report.steps, IsEmpty());
  EXPECT_FALSE(report.done);
  EXPECT_EQ(Image(), before);
  EXPECT_EQ(Archive::ReadMeta(archive_.directory())->epoch, epoch);
}

TEST_F(RepairTest, ALostHeaderComesBackFromTheCatalog) {
  Flip(2, 0, 200);
  const RepairReport report = Repaired();
  ASSERT_THAT(report.steps, SizeIs(1));
  EXPECT_THAT(report.steps[0].place, HasSubstr("000002.seg"));
  EXPECT_THAT(Parts(), ElementsAre(std::pair(0, 3 * kPiece), std::pair(3 * kPiece, 6 * kPiece)));
  EXPECT_EQ(RecordingName((*SegmentReader::Open(archive_.SegmentPath(2)))->header()), "test");
}

TEST_F(RepairTest, AHeaderOfNobodyKnowsWhatFreesTheSlot) {
  std::fstream(archive_.SegmentPath(5), std::ios::in | std::ios::out) << std::string(5000, 'x');
  const RepairReport report = Repaired();
  ASSERT_THAT(report.steps, SizeIs(1));
  EXPECT_EQ(report.steps[0].action, "the slot is free");
  EXPECT_TRUE(absl::IsNotFound(SegmentReader::Open(archive_.SegmentPath(5)).status()));
}

TEST_F(RepairTest, ALostFooterIsWrittenAgain) {
  Flip(2, MiB(1).value - 100, 90);
  const std::string before = Image();
  const RepairReport report = Repaired();
  EXPECT_THAT(report.steps, SizeIs(1));
  EXPECT_EQ(ExtentsIn(2), 3u);
  EXPECT_THAT(Parts(), ElementsAre(std::pair(0, 3 * kPiece), std::pair(3 * kPiece, 6 * kPiece)));
}

// Records are damaged, the trailer is not: a start does not see that.
TEST_F(RepairTest, ADamagedFooterIsWrittenAgain) {
  Flip(2, MiB(1).value - kBlockBytes);
  EXPECT_THAT(Repaired().steps, SizeIs(1));
  EXPECT_EQ(ExtentsIn(2), 3u);
}

// Nothing that can be read is given up for what cannot.
TEST_F(RepairTest, ExtentsBehindALostOneAreFoundWithoutAFooter) {
  Flip(2, MiB(1).value - 1);
  Flip(2, kBlockBytes + kExtent + 40, 8);
  const RepairReport report = Repaired();
  EXPECT_EQ(report.mendable(), 1u);
  EXPECT_THAT(report.steps,
              testing::Contains(AllOf(Field(&RecoveryStep::finding, HasSubstr("no extent can be")),
                                      Field(&RecoveryStep::action, ""))));
  EXPECT_EQ(ExtentsIn(2), 2u);
  EXPECT_THAT(Parts(), ElementsAre(std::pair(0, 3 * kPiece), std::pair(3 * kPiece, 6 * kPiece)));
}

TEST_F(RepairTest, DamagedPayloadIsNamedAndStays) {
  Flip(3, kBlockBytes + kExtent + kBlockBytes + 10);
  const std::string before = Image();
  const RepairReport report = Run(false);
  EXPECT_FALSE(report.done);
  ASSERT_THAT(report.steps, SizeIs(1));
  EXPECT_THAT(report.steps[0].finding, HasSubstr("000003.seg"));
  EXPECT_EQ(report.left(), 1u);
  EXPECT_EQ(Image(), before);
}

TEST_F(RepairTest, AMissingFileIsAllocatedAgain) {
  fs::remove(archive_.SegmentPath(2));
  const RepairReport report = Repaired();
  EXPECT_THAT(report.steps, SizeIs(2));  // the file, and what the catalog says of it
  EXPECT_EQ(fs::file_size(archive_.SegmentPath(2)), MiB(1).value);
  EXPECT_THAT(Parts(), ElementsAre(std::pair(3 * kPiece, 6 * kPiece)));
  EXPECT_THAT(*OpenCatalog()->Removals(),
              ElementsAre(Field(&RemovalRow::reason, RemovalReason::kMissing)));
}

TEST_F(RepairTest, AFileThatWasCutOffKeepsWhatItHas) {
  fs::resize_file(archive_.SegmentPath(2), kBlockBytes + 2 * kExtent);
  Repaired();
  EXPECT_EQ(fs::file_size(archive_.SegmentPath(2)), MiB(1).value);
  EXPECT_EQ(ExtentsIn(2), 2u);
  EXPECT_THAT(Parts(), ElementsAre(std::pair(0, 2 * kPiece), std::pair(3 * kPiece, 6 * kPiece)));
}

TEST_F(RepairTest, ARowThatContradictsItsSegmentIsTakenInAgain) {
  {
    const std::unique_ptr<Catalog> catalog = OpenCatalog();
    SegmentUpdate update;
    update.segment = SegmentId{5};
    update.track = {.recording = "test", .recording_uid = 7, .lane = LaneId{0}};
    update.durable = {3 * kBlockBytes};
    update.payload = {17};
    update.sealed = true;
    ASSERT_TRUE(catalog->Publish({&update, 1}).ok());
  }
  const RepairReport report = Repaired();
  ASSERT_THAT(report.steps, SizeIs(1));
  EXPECT_THAT(report.steps[0].finding, HasSubstr("of segment 5 the catalog says 17 bytes"));
  EXPECT_EQ(OpenCatalog()->Segments()->front().payload.value, 3 * kPiece);
}

TEST_F(RepairTest, ADamagedCatalogIsKeptAndMadeAnew) {
  for (const char* suffix : {"-wal", "-shm"}) fs::remove(archive_.CatalogPath() + suffix);
  const auto size = fs::file_size(archive_.CatalogPath());
  std::fstream file(archive_.CatalogPath(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096 + 512);
  file << std::string(size - 4096 - 512, 'x');
  file.close();
  const RepairReport report = Repaired();
  ASSERT_THAT(report.steps, SizeIs(1));
  EXPECT_TRUE(fs::exists(archive_.CatalogPath() + ".damaged"));
  EXPECT_THAT(Parts(), ElementsAre(std::pair(0, 3 * kPiece), std::pair(3 * kPiece, 6 * kPiece)));
}

TEST_F(RepairTest, AMissingCatalogIsMadeAnew) {
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(archive_.CatalogPath() + suffix);
  EXPECT_THAT(Repaired().steps, SizeIs(1));
  EXPECT_THAT(Parts(), SizeIs(2));
}

TEST_F(RepairTest, AMissingArchiveFileIsWrittenAnew) {
  fs::remove(archive_.directory() + "/ARCHIVE");
  EXPECT_THAT(Repaired().steps, SizeIs(1));
  EXPECT_TRUE(Archive::ReadMeta(archive_.directory()).ok());
}

TEST_F(RepairTest, LeftoversAreRemoved) {
  std::ofstream(archive_.directory() + "/ARCHIVE.tmp") << "half";
  EXPECT_THAT(Repaired().steps, SizeIs(1));
  EXPECT_FALSE(fs::exists(archive_.directory() + "/ARCHIVE.tmp"));
}

TEST_F(RepairTest, WhatWasDoneIsInTheAudit) {
  Flip(2, MiB(1).value - 1);
  Repaired();
  const auto audit = *OpenCatalog()->Audit(0, 10);
  ASSERT_THAT(audit, SizeIs(1));
  EXPECT_EQ(audit[0].actor, "tester");
  EXPECT_EQ(audit[0].action, "repaired");
  EXPECT_THAT(audit[0].detail, HasSubstr("its footer is lost"));
}

TEST_F(RepairTest, NotWhileSomebodyWrites) {
  archive_.Reopen();
  const auto report = RepairArchive(archive_.directory(), {});
  EXPECT_TRUE(absl::IsFailedPrecondition(report.status())) << report.status();
}

TEST_F(RepairTest, WhereThereIsNothingItSaysSo) {
  EXPECT_TRUE(absl::IsNotFound(RepairArchive(FreshDirectory(), {}).status()));
}

}  // namespace
}  // namespace sluice
