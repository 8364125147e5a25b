#include "writer/archive/verify.h"

#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/archive/archive_keeper.h"
#include "writer/archive/test_archive.h"
#include "writer/catalog/catalog.h"
#include "writer/segment/segment_codec.h"

namespace sluice {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr StreamId kA{11};
constexpr StreamId kB{12};
const std::string kBytes(6000, 'x');

// Stream A over segments 1 (sealed, slot 0), 2 (sealed, slot 1) and 3 (open, slot 2).
class VerifyTest : public testing::Test {
 protected:
  VerifyTest()
      : first_(archive_.Segment(1, 0), &ledger_),
        second_(archive_.Segment(2, 1), &ledger_),
        third_(archive_.Segment(3, 2), &ledger_) {
    catalog_ = *Catalog::Open(archive_.CatalogPath(), Catalog::Mode::kReadWrite);
    RecordingRow row;
    row.uid = 7;
    row.id = "test";
    EXPECT_TRUE(catalog_->PutRecording(row).ok());
    first_.Add({{kA, 0, kBytes}, {kB, 0, kBytes}}, {TestSegment::Open(kA), TestSegment::Open(kB)});
    first_.Add({{kA, 6000, kBytes}}, {TestSegment::Close(kB, 6000)});
    first_.Seal();
    second_.Add({{kA, 12000, kBytes}}, {TestSegment::Continued(kA, 12000)});
    second_.Seal();
    third_.Add({{kA, 18000, kBytes}}, {TestSegment::Continued(kA, 18000)});
    third_.Add({{kA, 24000, kBytes}});
    Put(first_, 1, 0, true);
    Put(second_, 2, 1, true);
    Put(third_, 3, 2, false);
  }

  void Put(const TestSegment& segment, uint64_t id, uint32_t slot, bool sealed) {
    segment.WriteTo(archive_.SegmentPath(slot));
    SegmentRow row;
    row.id = SegmentId{id};
    row.slot = slot;
    row.recording_uid = 7;
    row.epoch = 1;
    row.durable = {kBlockBytes};
    EXPECT_TRUE(catalog_->BeginSegment(row).ok());
    const SegmentUpdate update = segment.Update(sealed);
    EXPECT_TRUE(catalog_->Publish({&update, 1}).ok());
  }
  VerifyReport Verify() {
    auto report = VerifyArchive(archive_.directory(), nullptr);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *report : VerifyReport{};
  }
  // Rewrites an extent's header with a change and a correct checksum.
  template <class Change>
  void Lie(TestSegment& segment, FileOffset at, Change change) {
    ExtentHeader header;
    std::memcpy(&header, &segment.at(at), sizeof(header));
    change(header);
    std::memcpy(&segment.at(at), &header, sizeof(header));
    segment.Reseal(at);
  }

  TestArchive archive_;
  Ledger ledger_;
  TestSegment first_;
  TestSegment second_;
  TestSegment third_;
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(VerifyTest, AGoodArchiveHolds) {
  const VerifyReport report = Verify();
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.segments, 3u);
  EXPECT_EQ(report.extents, 5u);
  EXPECT_EQ(report.fragments, 6u);
  EXPECT_EQ(report.streams, 2u);
  EXPECT_EQ(report.payload.value, 6 * kBytes.size());
  EXPECT_EQ(report.segments_skipped, 0u);
  EXPECT_THAT(report.notes, IsEmpty());  // the archive is open: somebody may be recording
}

TEST_F(VerifyTest, NobodyNeedsToHaveItOpen) {
  catalog_.reset();
  archive_.Close();
  const VerifyReport report = Verify();
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_THAT(report.notes, ElementsAre(HasSubstr("segment 3 was never closed")));
}

TEST_F(VerifyTest, TellsHowFarItIs) {
  std::vector<uint64_t> done;
  uint64_t total = 0;
  ASSERT_TRUE(VerifyArchive(archive_.directory(), [&](ByteCount now, ByteCount of) {
                done.push_back(now.value);
                total = of.value;
              }).ok());
  EXPECT_GT(done.size(), 3u);
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), total);
  EXPECT_GT(total, 6 * kBytes.size());
}

TEST_F(VerifyTest, WhereThereIsNoArchiveThereIsAnError) {
  EXPECT_TRUE(absl::IsNotFound(VerifyArchive("/nonexistent", nullptr).status()));
}

// One flipped bit anywhere in what counts is found, and said with file and offset.
TEST_F(VerifyTest, FlippedBitsAreFound) {
  const uint64_t footer = MiB(1).value - kBlockBytes;
  for (const uint64_t at : {uint64_t{50}, kBlockBytes + 20, kBlockBytes + 300, 2 * kBlockBytes + 10,
                            2 * kBlockBytes + 5999, footer + 8, MiB(1).value - 100}) {
    first_.at({at}) ^= std::byte{16};
    first_.WriteTo(archive_.SegmentPath(0));
    const VerifyReport report = Verify();
    EXPECT_FALSE(report.ok()) << at;
    EXPECT_THAT(report.findings, Contains(HasSubstr("000000.seg at "))) << at;
    first_.at({at}) ^= std::byte{16};
  }
  first_.WriteTo(archive_.SegmentPath(0));
  EXPECT_TRUE(Verify().ok());
}

TEST_F(VerifyTest, OpenSegmentsAreCheckedUpToTheMark) {
  const FileOffset end = third_.footer().data_end();
  third_.at(end) = std::byte{1};  // behind the mark: not durable, not looked at
  third_.WriteTo(archive_.SegmentPath(2));
  EXPECT_TRUE(Verify().ok());
  third_.at({2 * kBlockBytes}) ^= std::byte{1};
  third_.WriteTo(archive_.SegmentPath(2));
  EXPECT_THAT(Verify().findings, Contains(HasSubstr("000002.seg at 4096")));
}

TEST_F(VerifyTest, AMissingFileIsDamage) {
  std::filesystem::remove(archive_.SegmentPath(1));
  const VerifyReport report = Verify();
  EXPECT_THAT(report.findings, Contains(HasSubstr("segment 2")));
  // And what that does to the stream is said too.
  EXPECT_THAT(report.findings,
              Contains(HasSubstr("stream 0-0-11: bytes 12000 to 18000 are missing")));
}

TEST_F(VerifyTest, AnotherSegmentInItsPlaceIsDamage) {
  TestSegment(archive_.Segment(9, 1)).WriteTo(archive_.SegmentPath(1));
  EXPECT_THAT(Verify().findings, Contains(HasSubstr("holds segment 9 where the catalog says 2")));
}

TEST_F(VerifyTest, WhatReuseTookIsNotMissed) {
  ASSERT_TRUE(catalog_->ForgetSegment(SegmentId{1}).ok());
  const VerifyReport report = Verify();
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_EQ(report.segments, 2u);
}

TEST_F(VerifyTest, AHoleInAStreamIsFound) {
  TestSegment broken(archive_.Segment(2, 1), &ledger_);
  broken.Add({{kA, 13000, kBytes}}, {TestSegment::Continued(kA, 13000)});
  broken.Seal();
  Put(broken, 2, 1, true);
  const VerifyReport report = Verify();
  EXPECT_THAT(report.findings,
              Contains(HasSubstr("stream 0-0-11: bytes 12000 to 13000 are missing")));
  EXPECT_THAT(report.findings,
              Contains(HasSubstr("stream 0-0-11: bytes 18000 to 19000 are there twice")));
}

TEST_F(VerifyTest, AGapIsNoHole) {
  Ledger ledger;
  TestSegment first(archive_.Segment(1, 0), &ledger);
  first.Add({{kA, 0, kBytes}}, {TestSegment::Open(kA), TestSegment::Open(kB)});
  first.Add({{kA, 6100, kBytes}}, {TestSegment::Gap(kA, 6000, 100), TestSegment::Gap(kB, 0, 7)});
  first.Seal();
  TestSegment second(archive_.Segment(2, 1), &ledger);
  second.Add({{kA, 12150, kBytes}}, {TestSegment::Gap(kA, 12100, 50)});
  second.Add({}, {TestSegment::Gap(kA, 18150, 1)});
  second.Seal();
  TestSegment third(archive_.Segment(3, 2), &ledger);
  third.Add({{kA, 18151, kBytes}}, {TestSegment::Continued(kA, 18151)});
  Put(first, 1, 0, true);
  Put(second, 2, 1, true);
  Put(third, 3, 2, false);
  EXPECT_THAT(Verify().findings, IsEmpty());
}

// However much is dropped elsewhere: what no gap tells of is damage.
TEST_F(VerifyTest, AHoleBesideAGapIsFound) {
  Ledger ledger;
  TestSegment first(archive_.Segment(1, 0), &ledger);
  first.Add({{kA, 0, kBytes}}, {TestSegment::Open(kA)});
  first.Add({{kA, 6101, kBytes}}, {TestSegment::Gap(kA, 6000, 100)});
  first.Add({{kA, 12101, kBytes}}, {TestSegment::Gap(kA, 12100, 50)});
  first.Seal();
  TestSegment second(archive_.Segment(2, 1), &ledger);
  second.Add({{kA, 18101, kBytes}}, {TestSegment::Continued(kA, 18101)});
  second.Seal();
  TestSegment third(archive_.Segment(3, 2), &ledger);
  third.Add({{kA, 24101, kBytes}}, {TestSegment::Continued(kA, 24101)});
  Put(first, 1, 0, true);
  Put(second, 2, 1, true);
  Put(third, 3, 2, false);
  const VerifyReport report = Verify();
  EXPECT_THAT(report.findings, Contains(HasSubstr("bytes 6100 to 6101 are missing")));
  // A gap over bytes that are there.
  EXPECT_THAT(report.findings, Contains(HasSubstr("are there twice")));
}

TEST_F(VerifyTest, WhatTheLedgerDroppedIsInGaps) {
  Ledger ledger;
  TestSegment first(archive_.Segment(1, 0), &ledger);
  first.Add({{kA, 0, kBytes}}, {TestSegment::Open(kA)});
  ledger.received += 100;
  ledger.copied += 100;
  ledger.dropped_policy += 100;  // of which no gap tells
  first.Add({{kA, 6000, kBytes}}, {TestSegment::Gap(kB, 0, 5)});
  first.Seal();
  Put(first, 1, 0, true);
  VerifyReport report = Verify();
  EXPECT_THAT(report.findings, Contains(HasSubstr("bytes 0 to 100 that its ledger dropped by "
                                                  "policy are in no gap")));
  // And the other way round.
  const FileOffset at = first.Add({}, {TestSegment::Gap(kB, 5, 1000)});
  Lie(first, at, [](ExtentHeader& header) {
    header.ledger.received -= 1000;
    header.ledger.copied -= 1000;
    header.ledger.dropped_policy = 100;
    header.ledger.received = header.ledger.written + 100;
    header.ledger.copied = header.ledger.received;
  });
  Put(first, 1, 0, false);
  report = Verify();
  EXPECT_THAT(report.findings, Contains(HasSubstr("gaps of 1000 bytes where the ledger dropped "
                                                  "only 100")));
}

TEST_F(VerifyTest, ARepeatedWriteIsNoHole) {
  // The second of three extents was refused, and repeated in the next segment.
  Ledger ledger;
  TestArchive archive(4);
  TestSegment one(archive.Segment(1, 0), &ledger);
  one.Add({{kA, 0, kBytes}}, {TestSegment::Open(kA)});
  Ledger refused = ledger;
  ledger.received += 6000, ledger.written += 6000, ledger.copied += 6000;
  one.Add({{kA, 12000, kBytes}});
  one.Seal();
  TestSegment two(archive.Segment(2, 1), &refused);
  two.Add({{kA, 6000, kBytes}}, {TestSegment::Continued(kA, 6000)});
  refused = ledger;
  two.Add({{kA, 18000, kBytes}});
  two.Seal();
  one.WriteTo(archive.SegmentPath(0));
  two.WriteTo(archive.SegmentPath(1));
  archive.Reopen();
  auto keeper = ArchiveKeeper::Start(*archive);
  ASSERT_TRUE(keeper.ok()) << keeper.status();
  auto report = VerifyArchive(archive.directory(), nullptr);
  EXPECT_THAT(report->findings, IsEmpty());
  EXPECT_EQ(report->segments, 2u);
  // Also when the first of them has been reused: the hole is where it was.
  keeper->reset();
  ASSERT_TRUE((*Catalog::Open(archive.CatalogPath(), Catalog::Mode::kReadWrite))
                  ->ForgetSegment(SegmentId{1}, {RemovalReason::kReused, "", {1}})
                  .ok());
  std::filesystem::remove(archive.SegmentPath(0));
  archive.Reopen();
  keeper = ArchiveKeeper::Start(*archive);
  report = VerifyArchive(archive.directory(), nullptr);
  EXPECT_THAT(report->findings, IsEmpty());
  EXPECT_EQ(report->segments, 1u);
}

TEST_F(VerifyTest, TheLedgerMustAddUp) {
  const std::vector<void (*)(Ledger&)> lies = {
      [](Ledger& l) { l.received += 1; },
      [](Ledger& l) { l.dropped_policy += 1; },
      [](Ledger& l) { l.zero_copy += 1; },
      [](Ledger& l) { l.packed = l.written + 1; },
      [](Ledger& l) { l.written += 5, l.received += 5, l.copied += 5; },
      [](Ledger& l) { l.written -= 5, l.received -= 5, l.copied -= 5; },
  };
  for (size_t i = 0; i < lies.size(); ++i) {
    TestSegment third(archive_.Segment(3, 2));
    std::memcpy(third.image().data(), third_.image().data(), third.image().size());
    Lie(third, {kBlockBytes}, [&](ExtentHeader& header) { lies[i](header.ledger); });
    third.WriteTo(archive_.SegmentPath(2));
    const VerifyReport report = Verify();
    EXPECT_FALSE(report.ok()) << "lie " << i;
    EXPECT_THAT(report.findings, Contains(HasSubstr("ledger"))) << "lie " << i;
  }
}

TEST_F(VerifyTest, AnExtentOutOfOrderIsFound) {
  Lie(third_, {kBlockBytes}, [](ExtentHeader& header) { header.sequence = 1; });
  third_.WriteTo(archive_.SegmentPath(2));
  EXPECT_THAT(Verify().findings, Contains(HasSubstr("extent 1 where 0 belongs")));
}

TEST_F(VerifyTest, AFooterThatLiesIsFound) {
  FooterBuilder footer;
  ExtentHeader header;
  std::memcpy(&header, &second_.at({kBlockBytes}), sizeof(header));
  FragmentEntry fragment;
  fragment.stream_id = static_cast<uint64_t>(kB);
  footer.Add({kBlockBytes}, header, {&fragment, 1}, {});
  const AlignedBuffer bytes = footer.Build(SegmentId{2}, MiB(1), 0);
  std::memcpy(&second_.at({MiB(1).value - bytes.size()}), bytes.span().data(), bytes.size());
  second_.WriteTo(archive_.SegmentPath(1));
  EXPECT_THAT(Verify().findings, Contains(HasSubstr("footer does not say what the extents say")));
}

TEST_F(VerifyTest, ACatalogThatSaysOtherwiseIsFound) {
  SegmentUpdate update = second_.Update(true);
  update.streams[0].end = {18001};
  ASSERT_TRUE(catalog_->Publish({&update, 1}).ok());
  EXPECT_THAT(Verify().findings,
              Contains(HasSubstr("the catalog places bytes 12000 to 18001 of stream 0-0-11 here")));

  update = third_.Update(false);
  update.streams[0].stream = StreamId{99};
  ASSERT_TRUE(catalog_->Publish({&update, 1}).ok());
  EXPECT_THAT(Verify().findings,
              Contains(HasSubstr("of stream 0-0-99 here, the segment has none")));
}

TEST_F(VerifyTest, ALostCatalogIsSaid) {
  catalog_.reset();
  archive_.Reopen();
  std::filesystem::remove(archive_.CatalogPath());
  const VerifyReport report = Verify();
  EXPECT_FALSE(report.ok());
  EXPECT_THAT(report.findings, ElementsAre(HasSubstr("catalog.db")));
}

// Killed right after its creation: nothing was recorded, nothing is missing.
TEST(VerifyNewArchiveTest, AnEmptyCatalogIsNoDamage) {
  TestArchive archive;
  std::ofstream(archive.CatalogPath()).flush();
  const auto report = VerifyArchive(archive.directory(), nullptr);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->findings, IsEmpty());
}

TEST_F(VerifyTest, ASegmentThatTheCatalogDoesNotKnowIsNoted) {
  archive_.Close();
  TestSegment unknown(archive_.Segment(4, 3), &ledger_);
  unknown.Add({{kB, 6000, kBytes}});
  unknown.WriteTo(archive_.SegmentPath(3));
  const VerifyReport report = Verify();
  EXPECT_TRUE(report.ok());
  EXPECT_THAT(report.notes, Contains(HasSubstr("does not know segment 4")));
}

TEST_F(VerifyTest, FindingsAreCountedBeyondThoseKept) {
  TestSegment many(archive_.Segment(4, 3), &ledger_);
  constexpr uint64_t kExtents = 110;
  for (uint64_t i = 0; i < kExtents; ++i) {
    const FileOffset at = many.Add({{StreamId{13}, i, "x"}});
    many.at(at + ByteCount{kBlockBytes}) = std::byte{'y'};
  }
  many.Seal();
  Put(many, 4, 3, true);
  const VerifyReport report = Verify();
  EXPECT_GE(report.damaged, kExtents);
  EXPECT_THAT(report.findings, SizeIs(kVerifyFindingsMax));
}

// A keeper that reuses segments all the time, and verification beside it: no false alarm.
TEST_F(VerifyTest, ReuseMeanwhileIsNoDamage) {
  catalog_.reset();
  archive_.Reopen();
  auto keeper = ArchiveKeeper::Start(*archive_);
  ASSERT_TRUE(keeper.ok()) << keeper.status();
  std::atomic<bool> stop = false;
  std::thread recorder([&] {
    Ledger ledger;
    uint64_t offset = 0;
    for (uint64_t i = 0; !stop; ++i) {
      std::atomic<bool> answered = false;
      SegmentLoan loan;
      (*keeper)->RequestSegment({"test", 7, LaneId{1}, ExtentKind::kStream},
                                [&](absl::StatusOr<SegmentLoan> answer) {
                                  if (answer.ok()) loan = *answer;
                                  answered = true;
                                });
      while (!answered) std::this_thread::yield();
      ASSERT_GE(loan.fd, 0);
      uint32_t slot = 0;
      while (archive_->segment_fd(slot) != loan.fd) ++slot;
      TestSegmentOptions options = archive_.Segment(static_cast<uint64_t>(loan.id), slot);
      options.lane = 1;
      options.epoch = archive_->meta().epoch;
      TestSegment segment(options, &ledger);
      for (int extent = 0; extent < 5; ++extent) {
        segment.Add({{StreamId{500}, offset, kBytes}},
                    {i == 0 && extent == 0 ? TestSegment::Open(StreamId{500})
                                           : TestSegment::Continued(StreamId{500}, offset)});
        offset += kBytes.size();
        const bool last = extent == 4;
        if (last) segment.Seal();
        ASSERT_TRUE(
            WriteFully(loan.fd, "segment", {kBlockBytes}, segment.image().subspan(kBlockBytes))
                .ok());
        (*keeper)->Publish(segment.Update(last));
      }
    }
  });
  for (int i = 0; i < 30; ++i) {
    const VerifyReport report = Verify();
    EXPECT_THAT(report.findings, IsEmpty());
  }
  stop = true;
  recorder.join();
}

}  // namespace
}  // namespace sluice
