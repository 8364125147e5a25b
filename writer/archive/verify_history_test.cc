// What is missing, altered or exchanged, and what was removed in good order.
#include "writer/archive/verify_history.h"

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/archive/archive_keeper.h"
#include "writer/archive/recovery.h"
#include "writer/archive/test_archive.h"
#include "writer/archive/verify.h"
#include "writer/archive/verify_segment.h"
#include "writer/catalog/catalog.h"
#include "writer/extent/extent_codec.h"
#include "writer/segment/segment_codec.h"
#include "writer/segment/test_segment.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint64_t kBytes = 6000;

// One stream a segment: segments 1 to 5 in slots 0 to 4, all sealed; 4 and 5 in a second epoch.
class VerifyHistoryTest : public testing::Test {
 protected:
  VerifyHistoryTest() {
    catalog_ = *Catalog::Open(archive_.CatalogPath(), Catalog::Mode::kReadWrite);
    RecordingRow row;
    row.uid = 7;
    row.id = "test";
    EXPECT_TRUE(catalog_->PutRecording(row).ok());
    SegmentLink previous;
    for (uint64_t id = 1; id <= 5; ++id) {
      segments_.push_back(Make(id, id < 4 ? &first_ : &second_));
      previous = segments_.back().Seal(0, previous);
      Put(id);
    }
  }

  TestSegment Make(uint64_t id, Ledger* ledger, uint64_t bytes = kBytes) {
    TestSegmentOptions options = archive_.Segment(id, static_cast<uint32_t>(id - 1));
    options.epoch = id < 4 ? 1 : 2;
    TestSegment segment(options, ledger);
    const StreamId stream{id};
    segment.Add({{stream, 0, std::string(bytes, 'x')}},
                {TestSegment::Open(stream), TestSegment::Close(stream, bytes)});
    return segment;
  }
  void Write(uint64_t id) {
    segments_[id - 1].WriteTo(archive_.SegmentPath(static_cast<uint32_t>(id - 1)));
  }
  void Put(uint64_t id) {
    Write(id);
    SegmentRow row;
    row.id = SegmentId{id};
    row.slot = static_cast<uint32_t>(id - 1);
    row.recording_uid = 7;
    row.epoch = segments_[id - 1].header().epoch;
    row.durable = {kBlockBytes};
    EXPECT_TRUE(catalog_->BeginSegment(row).ok());
    const SegmentUpdate update = segments_[id - 1].Update(true);
    EXPECT_TRUE(catalog_->Publish({&update, 1}).ok());
  }
  // A catalog that does not speak of it any more.
  void Remove(uint64_t id, RemovalReason reason) {
    ASSERT_TRUE(catalog_->ForgetSegment(SegmentId{id}, {reason, "", {5}}).ok());
  }
  VerifyReport Verify() {
    auto report = VerifyArchive(archive_.directory(), nullptr);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *report : VerifyReport{};
  }

  TestArchive archive_;
  std::unique_ptr<Catalog> catalog_;
  Ledger first_;
  Ledger second_;
  std::vector<TestSegment> segments_;
};

TEST_F(VerifyHistoryTest, AWholeChainHolds) {
  const VerifyReport report = Verify();
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_THAT(report.notes, IsEmpty());
}

// What a segment refused stands in the one after it. Either may go first, when a hold has the
// other.
TEST(WhyMissingTest, ANeighbourThatWasRemovedMayHaveHadIt) {
  VerifyHistory history;
  for (const uint64_t id : {2, 5, 8}) {
    SegmentRow row;
    row.id = SegmentId{id};
    row.recording_uid = 7;
    history.Add(row, "test", SegmentResult());
  }
  RemovalRow gone;
  gone.recording_uid = 7;
  gone.first = gone.last = SegmentId{6};
  gone.reason = RemovalReason::kRetention;
  history.SetRemovals({gone});
  using Missing = VerifyHistory::Missing;
  EXPECT_EQ(history.WhyMissing(7, 0, 5, 5), Missing::kRemoved);
  EXPECT_EQ(history.WhyMissing(7, 0, 2, 5), Missing::kRemoved);
  EXPECT_EQ(history.WhyMissing(7, 0, 8, 8), Missing::kRemoved);
  EXPECT_EQ(history.WhyMissing(7, 0, 2, 2), Missing::kUnexplained);
  EXPECT_EQ(history.WhyMissing(7, 1, 5, 5), Missing::kUnexplained);
}

TEST_F(VerifyHistoryTest, AMissingSegmentIsNamedByTheOneAfterIt) {
  Remove(2, RemovalReason::kNone);  // no trace of it is left
  EXPECT_THAT(
      Verify().findings,
      Contains("segment 2 of recording \"test\" on lane 0 is missing: segment 3 proves that "
               "it was there, and no removal is recorded"));
}

TEST_F(VerifyHistoryTest, AlsoWhenItWasTheLastOfAnEpoch) {
  Remove(3, RemovalReason::kNone);
  EXPECT_THAT(Verify().findings, Contains(HasSubstr("segment 4 proves that it was there")));
}

// What a lost catalog knew of removals nobody knows; what it cannot have known is still found.
TEST_F(VerifyHistoryTest, BeforeTheCatalogWasLostTheOldestMayHaveGone) {
  Remove(1, RemovalReason::kNone);
  ASSERT_TRUE(catalog_->PutLoss({{1'000'000'000}, SegmentId{2}}).ok());
  VerifyReport report = Verify();
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_THAT(report.notes,
              ElementsAre(AllOf(HasSubstr("segment 1 of recording \"test\" on lane 0"),
                                HasSubstr("unknown since the catalog was lost"),
                                HasSubstr("1970-01-01T00:00:01"))));
  Remove(4, RemovalReason::kNone);  // in the middle
  EXPECT_THAT(Verify().findings, Contains(HasSubstr("segment 4 of recording")));
  Put(4);
  Remove(2, RemovalReason::kNone);
  Remove(3, RemovalReason::kNone);  // it came later
  EXPECT_THAT(Verify().findings, Contains(HasSubstr("segment 3 of recording")));
}

TEST_F(VerifyHistoryTest, ACatalogThatIsMadeAnewSaysSinceWhen) {
  EXPECT_EQ(catalog_->Loss()->time.value, 0);
  std::memset(&segments_[0].at({0}), 0, kBlockBytes);
  Write(1);
  catalog_.reset();
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::remove((archive_.CatalogPath() + suffix).c_str());
  }
  catalog_ = *Catalog::Open(archive_.CatalogPath(), Catalog::Mode::kReadWrite);
  ASSERT_TRUE(Recover(*archive_, *catalog_, /*rebuild=*/true).ok());
  const CatalogLoss loss = *catalog_->Loss();
  EXPECT_NE(loss.time.value, 0);
  EXPECT_EQ(loss.last, SegmentId{5});
  EXPECT_THAT(Verify().findings, IsEmpty());
  // It knows from here on.
  ASSERT_TRUE(Recover(*archive_, *catalog_, /*rebuild=*/true).ok());
  EXPECT_EQ(catalog_->Loss()->time, loss.time);
  std::memset(&segments_[1].at({0}), 0, kBlockBytes);
  Write(2);
  ASSERT_TRUE(Recover(*archive_, *catalog_, /*rebuild=*/false).ok());
  EXPECT_THAT(Verify().findings, Contains(HasSubstr("segment 2 of recording")));
}

TEST_F(VerifyHistoryTest, WhatWasRemovedInGoodOrderIsNotMissed) {
  for (const RemovalReason reason : {RemovalReason::kReused, RemovalReason::kRetention}) {
    Remove(1, reason);
    Remove(2, reason);
    Remove(4, reason);  // from the middle
    EXPECT_THAT(Verify().findings, IsEmpty());
    for (const uint64_t id : {1, 2, 4}) Put(id);
  }
}

TEST_F(VerifyHistoryTest, WhatAStartFoundMissingIsAFinding) {
  Remove(5, RemovalReason::kMissing);
  EXPECT_THAT(Verify().findings,
              ElementsAre(AllOf(HasSubstr("segment 5 of recording \"test\" on lane 0 (6000 bytes)"),
                                HasSubstr("nothing here removed it"))));
  Put(5);  // it has come back
  EXPECT_THAT(Verify().findings, IsEmpty());
}

// Every checksum is right again.
TEST_F(VerifyHistoryTest, AnAlteredExtentHeaderIsFound) {
  TestSegment& segment = segments_[1];
  ExtentHeader header;
  std::memcpy(&header, &segment.at({kBlockBytes}), sizeof(header));
  header.payload_crc32c ^= 1;
  std::memcpy(&segment.at({kBlockBytes}), &header, sizeof(header));
  segment.Reseal({kBlockBytes});
  Write(2);
  EXPECT_THAT(Verify().findings, Contains(HasSubstr("it is not the one that the footer names")));
}

// The extent, and the footer with it, and every checksum in them.
TEST_F(VerifyHistoryTest, AnExchangedSegmentIsFound) {
  const SegmentLink before = {SegmentId{1}, segments_[0].Update(true).footer_sha256};
  Ledger ledger;
  ledger.received = ledger.written = ledger.copied = kBytes;
  segments_[1] = Make(2, &ledger);
  segments_[1].at({2 * kBlockBytes}) = std::byte{'y'};
  ExtentHeader header;
  std::memcpy(&header, &segments_[1].at({kBlockBytes}), sizeof(header));
  header.flags = 0;
  header.payload_crc32c = 0;
  std::memcpy(&segments_[1].at({kBlockBytes}), &header, sizeof(header));
  segments_[1].Reseal({kBlockBytes});
  FooterBuilder footer;
  std::memcpy(&header, &segments_[1].at({kBlockBytes}), sizeof(header));
  const absl::StatusOr<ExtentIndex> index =
      ParseExtentIndex({kBlockBytes}, segments_[1].image().subspan(kBlockBytes, kBlockBytes));
  ASSERT_TRUE(index.ok()) << index.status();
  footer.Add({kBlockBytes}, index->header, index->fragments, index->events);
  const AlignedBuffer bytes =
      footer.Build(SegmentId{2}, MiB(1), 0, OriginOf(segments_[1].header(), before));
  std::memcpy(&segments_[1].at({MiB(1).value - bytes.size()}), bytes.span().data(), bytes.size());
  Write(2);
  const VerifyReport report = Verify();
  EXPECT_THAT(
      report.findings,
      Contains(HasSubstr("segment 2 of recording \"test\" on lane 0 was altered or exchanged: "
                         "its footer is not the one that segment 3 names")));
  EXPECT_THAT(report.findings, Contains(HasSubstr("not the one that the catalog remembers")));
}

TEST_F(VerifyHistoryTest, TheLastSegmentIsKnownFromTheCatalog) {
  const SegmentLink before = {SegmentId{4}, {1}};
  Ledger ledger;
  ledger.received = ledger.written = ledger.copied = kBytes;
  segments_[4] = Make(5, &ledger);
  segments_[4].Seal(0, before);
  Write(5);
  EXPECT_THAT(Verify().findings, Contains(HasSubstr("not the one that the catalog remembers")));
}

TEST_F(VerifyHistoryTest, WhatACrashCutShortIsNoted) {
  const SegmentLink before = {SegmentId{1}, segments_[0].Update(true).footer_sha256};
  Ledger ledger;
  ledger.received = ledger.written = ledger.copied = kBytes;
  segments_[1] = Make(2, &ledger, kBytes - 1000);
  segments_[1].Seal(kSealedByRecovery, before);
  Remove(2, RemovalReason::kNone);
  Put(2);
  const VerifyReport report = Verify();
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_THAT(report.notes, Contains(HasSubstr("segment 2 of recording \"test\" on lane 0 was cut "
                                               "short by a crash: segment 3")));
  EXPECT_THAT(report.notes,
              Contains(HasSubstr("1000 bytes before segment 3 were lost in a crash")));
  ASSERT_EQ(report.accounts.size(), 1u);
  EXPECT_EQ(report.accounts[0].lost_in_crashes.value, 1000u);
  EXPECT_EQ(report.accounts[0].unexplained().value, 0u);
}

TEST_F(VerifyHistoryTest, AFooterOfAnotherTrackIsFound) {
  SegmentOrigin origin = OriginOf(segments_[4].header(), {SegmentId{4}, {}});
  origin.lane = LaneId{1};
  const AlignedBuffer bytes = segments_[4].footer().Build(SegmentId{5}, MiB(1), 0, origin);
  std::memcpy(&segments_[4].at({MiB(1).value - bytes.size()}), bytes.span().data(), bytes.size());
  Write(5);
  EXPECT_THAT(Verify().findings, Contains(HasSubstr("the footer is another archive's")));
}

// The account of a recording goes over epochs, and over what has left the archive.
TEST_F(VerifyHistoryTest, TheAccountAddsUp) {
  Remove(1, RemovalReason::kReused);
  Remove(2, RemovalReason::kRetention);
  const VerifyReport report = Verify();
  EXPECT_THAT(report.findings, IsEmpty());
  ASSERT_EQ(report.accounts.size(), 1u);
  const VerifyAccount& account = report.accounts[0];
  EXPECT_EQ(account.recording, "test");
  EXPECT_EQ(account.segments, 3u);
  EXPECT_EQ(account.ledger.received, 5 * kBytes);
  EXPECT_EQ(account.ledger.written, 5 * kBytes);
  EXPECT_EQ(account.stored.value, 3 * kBytes);
  EXPECT_EQ(account.removed.at(RemovalReason::kReused).payload.value, kBytes);
  EXPECT_EQ(account.removed.at(RemovalReason::kRetention).segments, 1u);
  EXPECT_EQ(account.unexplained().value, 0u);
  // The rest of the first epoch, and the second one.
  Remove(3, RemovalReason::kReused);
  Remove(4, RemovalReason::kReused);
  EXPECT_EQ(Verify().accounts[0].ledger.received, 5 * kBytes);
  EXPECT_EQ(Verify().accounts[0].unexplained().value, 0u);
  Remove(5, RemovalReason::kNone);
  EXPECT_EQ(Verify().accounts[0].ledger.received, 4 * kBytes);
}

}  // namespace
}  // namespace sluice
