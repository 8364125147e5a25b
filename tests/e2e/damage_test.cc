// Archives that were damaged: what is said about it, and what can still be had.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"
#include "tests/e2e/three_streams.h"
#include "writer/archive/format.h"
#include "writer/extent/crc32c.h"
#include "writer/segment/format.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

namespace fs = std::filesystem;

constexpr uint64_t kMiB = uint64_t{1} << 20;
class DamageTest : public ThreeStreamsTest {
 protected:
  template <class Block>
  static void Rewrite(const std::string& path, uint32_t Block::* crc,
                      const std::function<void(Block&)>& change) {
    Block block;
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    ASSERT_TRUE(file.read(reinterpret_cast<char*>(&block), sizeof(block)));
    change(block);
    block.*crc = 0;
    block.*crc =
        Crc32c(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(&block), sizeof(block)));
    file.seekp(0);
    ASSERT_TRUE(file.write(reinterpret_cast<const char*>(&block), sizeof(block)));
  }

  void ExpectDamageIn(const std::string& place) {
    const Outcome outcome = RunSluice({"verify", "--archive", archive()});
    EXPECT_EQ(outcome.code, 1);
    EXPECT_THAT(outcome.out, AllOf(HasSubstr("damage: "), HasSubstr(place)));
    const Outcome json = RunSluice({"verify", "--archive", archive(), "-o", "json"});
    EXPECT_EQ(json.code, 1);
    EXPECT_FALSE(Json::Parse(json.out)["ok"].truth());
    EXPECT_GT(Json::Parse(json.out)["damaged"].int64(), 0);
  }
  // Whatever happened to the rest.
  void ExpectRecordingGoesOn() {
    Recorder recorder(archive(), {});
    Record(recorder, 9);
    const Json summary = recorder.Stop();
    EXPECT_EQ(summary["bytesDurable"].int64(), static_cast<int64_t>(kBytes));
    const Json last = AskSluice({"streams", "--archive", archive()}).elements().back();
    EXPECT_EQ(CompareExport(StreamId(last), target(), content(), {.number = 9, .end = kBytes}), "");
  }
};

TEST_F(DamageTest, APayloadByte) {
  Flip(Segment(0), 500'000, 1);
  ExpectDamageIn("000000.seg");
  EXPECT_EQ(CountWhole(), 2);  // all but the first
  EXPECT_EQ(Export(2), "");
  EXPECT_EQ(Export(3), "");
  const Outcome outcome = RunSluice({"export", Id(1), "--archive", archive()});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("000000.seg"));
  ExpectRecordingGoesOn();
}

TEST_F(DamageTest, AnExtentHeader) {
  Flip(Segment(0), kBlockBytes + 40, 16);
  ExpectDamageIn("000000.seg");
  EXPECT_EQ(CountWhole(), 2);
  ExpectRecordingGoesOn();
}

TEST_F(DamageTest, ASegmentHeader) {
  Flip(Segment(0), 0, 100);
  ExpectDamageIn("000000.seg");
  EXPECT_EQ(Export(2), "");
  EXPECT_EQ(Export(3), "");
  ExpectRecordingGoesOn();
}

TEST_F(DamageTest, AFooter) {
  Flip(Segment(0), kMiB - 100, 90);
  ExpectDamageIn("000000.seg");
  EXPECT_EQ(Export(2), "");
  EXPECT_EQ(Export(3), "");
  ExpectRecordingGoesOn();
}

TEST_F(DamageTest, ATruncatedSegment) {
  fs::resize_file(Segment(0), 300'000);
  ExpectDamageIn("000000.seg");
  EXPECT_EQ(Export(2), "");
  EXPECT_EQ(Export(3), "");
  ExpectRecordingGoesOn();
}

TEST_F(DamageTest, AnEmptySegment) {
  fs::resize_file(Segment(0), 0);
  ExpectDamageIn("000000.seg");
  EXPECT_EQ(Export(2), "");
  EXPECT_EQ(Export(3), "");
  ExpectRecordingGoesOn();
}

TEST_F(DamageTest, AMissingSegment) {
  fs::remove(Segment(0));
  ExpectDamageIn("000000.seg");
  EXPECT_EQ(Export(2), "");
  EXPECT_EQ(Export(3), "");
  ExpectRecordingGoesOn();
}

TEST_F(DamageTest, EverySegmentFullOfZeros) {
  for (int slot = 0; slot < 16; ++slot) {
    fs::resize_file(Segment(slot), 0);
    fs::resize_file(Segment(slot), kMiB);
  }
  ExpectDamageIn(".seg");
  EXPECT_EQ(CountWhole(), 0);
  ExpectRecordingGoesOn();
}

TEST_F(DamageTest, SegmentsThatWereSwapped) {
  fs::rename(Segment(0), Segment(100));
  fs::rename(Segment(3), Segment(0));
  fs::rename(Segment(100), Segment(3));
  ExpectDamageIn(".seg");
  for (uint64_t number = 1; number <= kStreams; ++number) {
    // Never wrong bytes: the right ones, or an error.
    EXPECT_THAT(Export(number), testing::Not(HasSubstr("differs")));
  }
}

TEST_F(DamageTest, TheCatalogDeleted) {
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(Catalog() + suffix);
  EXPECT_EQ(ListStreams(), before());
  EXPECT_EQ(Verify(archive()), "");
  EXPECT_EQ(CountWhole(), 3);
  ExpectRecordingGoesOn();
}

TEST_F(DamageTest, TheCatalogDeletedBeforeVerify) {
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(Catalog() + suffix);
  const Outcome outcome = RunSluice({"verify", "--archive", archive()});
  EXPECT_LE(outcome.code, 2);
  EXPECT_THAT(outcome.out + outcome.err, HasSubstr("catalog"));
}

TEST_F(DamageTest, TheCatalogFullOfGarbage) {
  for (const char* suffix : {"-wal", "-shm"}) fs::remove(Catalog() + suffix);
  std::ofstream(Catalog()) << std::string(100'000, 'x');
  EXPECT_EQ(ListStreams(), before());
  EXPECT_EQ(Verify(archive()), "");
  EXPECT_EQ(CountWhole(), 3);
  ExpectRecordingGoesOn();
}

TEST_F(DamageTest, TheCatalogWithHolesInIt) {
  const uint64_t size = fs::file_size(Catalog());
  ASSERT_GT(size, 8192);
  Flip(Catalog(), 4096 + 512, size - 4096 - 512);
  const Outcome outcome = RunSluice({"archive", "rebuild", "--archive", archive()});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(ListStreams(), before());
  EXPECT_EQ(CountWhole(), 3);
}

TEST_F(DamageTest, ANewerArchive) {
  Rewrite<ArchiveBlock>(archive() + "/ARCHIVE", &ArchiveBlock::crc32c,
                        [](ArchiveBlock& block) { block.version = 2; });
  for (const Words& words : {Words{"record", "--tcp", "127.0.0.1:0"}, Words{"streams"},
                             Words{"status"}, Words{"archive", "info"}, Words{"archive", "rebuild"},
                             Words{"export", Id(1)}, Words{"verify"}}) {
    Words all = words;
    all.insert(all.end(), {"--archive", archive()});
    const Outcome outcome = RunSluice(all);
    EXPECT_EQ(outcome.code, words[0] == "verify" ? 2 : 1) << outcome.out;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_THAT(outcome.err, AllOf(HasSubstr(archive()), HasSubstr("format version 2"),
                                   HasSubstr("use a newer one")));
  }
}

TEST_F(DamageTest, ANewerSegment) {
  Rewrite<SegmentHeader>(Segment(0), &SegmentHeader::header_crc32c,
                         [](SegmentHeader& header) { header.version = 2; });
  const Outcome outcome =
      RunSluice({"record", "--tcp", "127.0.0.1:0", "--archive", archive(), "--duration", "50ms"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("000000.seg"), HasSubstr("version 2")));
}

TEST_F(DamageTest, TheArchiveFileDeleted) {
  fs::remove(archive() + "/ARCHIVE");
  const Outcome outcome = RunSluice({"streams", "--archive", archive()});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr(archive()));
  ExpectRecordingGoesOn();  // it is made anew from the segments
  EXPECT_EQ(Export(2), "");
  EXPECT_EQ(Export(3), "");
}

TEST_F(DamageTest, TheArchiveFileFullOfGarbage) {
  std::ofstream(archive() + "/ARCHIVE") << std::string(4096, 'x');
  const Outcome outcome = RunSluice({"streams", "--archive", archive()});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr(archive()));
  ExpectRecordingGoesOn();
  EXPECT_EQ(Export(2), "");
}

TEST_F(DamageTest, RebuildGivesTheSameList) {
  const Outcome outcome = RunSluice({"archive", "rebuild", "--archive", archive()});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(ListStreams(), before());
  EXPECT_EQ(Verify(archive()), "");
  EXPECT_EQ(CountWhole(), 3);
}

TEST_F(DamageTest, RebuildWithoutACatalogGivesTheSameList) {
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(Catalog() + suffix);
  const Json report = AskSluice({"archive", "rebuild", "--archive", archive()});
  EXPECT_EQ(report["segmentsDamaged"].number(), 0);
  EXPECT_EQ(ListStreams(), before());
  EXPECT_EQ(Verify(archive()), "");
}

// Recordings of different ends and kinds, some of which have begun to disappear.
class RebuildTest : public E2eTest {};

TEST_F(RebuildTest, GivesTheSameLists) {
  uint64_t number = 0;
  for (const char* name : {"first", "second"}) {
    Recorder recorder(archive(), {"--capacity", "16MiB", "--segment-size", "1MiB", "--name", name});
    for (const uint64_t bytes : {uint64_t{0}, 9 * kMiB, uint64_t{77}}) {
      Peer peer(content(), ++number, recorder.port());
      ASSERT_TRUE(peer.Send(bytes));
      peer.FinishSending();
      EXPECT_TRUE(peer.AwaitClose());
    }
    Peer stays(content(), ++number, recorder.port());
    ASSERT_TRUE(stays.Send(5));
    AwaitDurable(target(), stays.address(), 5);
    recorder.Stop();
  }
  const std::string streams = ListAsJson("streams", archive());
  const std::string recordings = ListAsJson("recordings", archive());
  EXPECT_EQ(RunSluice({"archive", "rebuild", "--archive", archive()}).code, 0);
  EXPECT_EQ(ListAsJson("streams", archive()), streams);
  EXPECT_EQ(ListAsJson("recordings", archive()), recordings);
  EXPECT_EQ(Verify(archive()), "");
}

}  // namespace
}  // namespace sluice
