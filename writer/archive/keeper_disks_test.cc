// The keeper, recovery and verification on an archive of several disks.
#include <fcntl.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/archive/archive_keeper.h"
#include "writer/archive/test_archive.h"
#include "writer/archive/verify.h"
#include "writer/catalog/catalog.h"

namespace sluice {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint32_t kSlots = 4;  // of each disk
const std::string kBytes(6000, 'x');
const absl::Status kWhy = absl::UnavailableError("write to segment 1: Input/output error");

class KeeperDisksTest : public testing::Test {
 protected:
  explicit KeeperDisksTest(uint32_t disks = 2) : archive_(kSlots, disks) { Start(); }

  void Start() {
    auto keeper = ArchiveKeeper::Start(*archive_);
    ASSERT_TRUE(keeper.ok()) << keeper.status();
    keeper_ = *std::move(keeper);
    RecordingRow row;
    row.uid = 7;
    row.id = "test";
    ASSERT_TRUE(keeper_->PutRecording(row).ok());
  }
  void Restart() {
    keeper_.reset();
    archive_.Reopen();
    ledger_ = Ledger();  // the account begins anew with each start
    Start();
  }
  absl::StatusOr<SegmentLoan> Request(uint16_t lane = 0) {
    std::mutex mutex;
    std::condition_variable told;
    std::optional<absl::StatusOr<SegmentLoan>> answer;
    keeper_->RequestSegment({"test", 7, LaneId{lane}, ExtentKind::kStream},
                            [&](absl::StatusOr<SegmentLoan> loan) {
                              const std::lock_guard lock(mutex);
                              answer = std::move(loan);
                              told.notify_one();
                            });
    std::unique_lock lock(mutex);
    told.wait(lock, [&] { return answer.has_value(); });
    return *answer;
  }
  uint32_t SlotOf(const SegmentLoan& loan) {
    uint32_t slot = 0;
    while (archive_->segment_fd(slot) != loan.fd) ++slot;
    return slot;
  }
  // A sealed segment, or one that a crash left open, with a stream of the same number as it.
  SegmentLoan Record(bool seal = true) {
    const auto loan = Request();
    EXPECT_TRUE(loan.ok()) << loan.status();
    const auto id = static_cast<uint64_t>(loan->id);
    const StreamId stream{id};
    TestSegmentOptions options = archive_.Segment(id, SlotOf(*loan));
    options.epoch = archive_->meta().epoch;
    TestSegment segment(options, &ledger_);
    segment.Add({{stream, 0, kBytes}},
                {TestSegment::Open(stream), TestSegment::Close(stream, kBytes.size())});
    if (seal) segment.Seal();
    EXPECT_TRUE(
        WriteFully(loan->fd, "segment", {kBlockBytes}, segment.image().subspan(kBlockBytes)).ok());
    keeper_->Publish(segment.Update(seal));
    keeper_->Flush();
    return *loan;
  }
  std::set<uint64_t> Segments() {
    std::set<uint64_t> ids;
    const auto catalog = *Catalog::Open(archive_.CatalogPath(), Catalog::Mode::kReadOnly);
    const auto rows = *catalog->Segments();
    for (const SegmentRow& row : rows) ids.insert(static_cast<uint64_t>(row.id));
    return ids;
  }
  VerifyReport Verify() {
    auto report = VerifyArchive(archive_.directory(), nullptr);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *report : VerifyReport{};
  }

  TestArchive archive_;
  std::unique_ptr<ArchiveKeeper> keeper_;
  Ledger ledger_;
};

TEST_F(KeeperDisksTest, SegmentsGoToTheDisksInTurn) {
  std::map<uint32_t, int> lent;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Record().disk, 0u);
    const SegmentLoan second = Record();
    EXPECT_EQ(second.disk, 1u);
    EXPECT_TRUE(second.replaceable);
    EXPECT_GE(SlotOf(second), kSlots);
  }
  // Another lane begins with another disk.
  EXPECT_EQ(Request(1)->disk, 1u);
  EXPECT_EQ(Request(1)->disk, 0u);
}

TEST_F(KeeperDisksTest, TheOldestGoesWhereverItLies) {
  for (int i = 0; i < 8; ++i) Record();
  for (uint32_t i = 0; i < 8; ++i) EXPECT_EQ(Record().disk, i % 2);
  EXPECT_EQ(*Segments().begin(), 9u);
  EXPECT_THAT(Verify().findings, IsEmpty());
}

TEST_F(KeeperDisksTest, ADiskThatRefusesIsTakenOut) {
  const SegmentLoan loan = Record();
  Record();
  ASSERT_EQ(loan.disk, 0u);
  keeper_->ReportRefusal(loan.id, kWhy);
  for (int i = 0; i < 2; ++i) {
    const SegmentLoan next = Record();
    EXPECT_EQ(next.disk, 1u);
    EXPECT_FALSE(next.replaceable) << "it is the last one";
  }
  EXPECT_EQ(archive_->disks()[0].problem, kWhy.message());
  EXPECT_EQ(archive_->disks()[0].state, DiskState::kFailed);
  EXPECT_TRUE(archive_->disks()[1].in_use());
  EXPECT_TRUE(Segments().contains(1)) << "what it holds stays";
  EXPECT_THAT(Verify().findings, IsEmpty());
  // Also after a restart, until somebody says that it is well again.
  Restart();
  EXPECT_EQ(Record().disk, 1u);
  ASSERT_TRUE(archive_->AddDisk({archive_.directory(), {}}).ok());
  Restart();
  EXPECT_EQ(Record().disk, 0u);
  EXPECT_TRUE(Segments().contains(1));
}

TEST_F(KeeperDisksTest, TheLastDiskIsNotTakenOut) {
  keeper_->ReportRefusal(Record().id, kWhy);  // disk 0
  const SegmentLoan last = Record();
  keeper_->ReportRefusal(last.id, kWhy);
  EXPECT_EQ(Record().disk, 1u);
  EXPECT_TRUE(archive_->disks()[1].in_use());
}

TEST_F(KeeperDisksTest, ASlotThatCannotBeBegunTakesItsDiskOut) {
  const int fd = Request()->fd;  // disk 0, slot 0
  keeper_.reset();
  // Slot 1 gets a descriptor that refuses to be written.
  const int bad = open("/dev/full", O_RDWR);
  ASSERT_GE(dup2(bad, archive_->segment_fd(1)), 0);
  close(bad);
  EXPECT_GE(fd, 0);
  Start();
  EXPECT_EQ(Record().disk, 0u);
  EXPECT_EQ(Record().disk, 1u);
  EXPECT_EQ(Record().disk, 1u);
  EXPECT_EQ(archive_->disks()[0].state, DiskState::kFailed);
}

// Data goes in the order of its age, and no stream gets a hole in the middle.
TEST_F(KeeperDisksTest, WhatIsOlderThanWhatGoesGoesToo) {
  const SegmentLoan first = Record();
  for (int i = 1; i < 8; ++i) Record();
  keeper_->ReportRefusal(first.id, kWhy);  // disk 0 has 1, 3, 5, 7
  Record();                                // 9 takes the place of 2
  EXPECT_THAT(Segments(), ElementsAre(3, 4, 5, 6, 7, 8, 9));
  Record();  // 10 that of 4
  EXPECT_THAT(Segments(), ElementsAre(5, 6, 7, 8, 9, 10));
  EXPECT_THAT(Verify().findings, IsEmpty());
}

// What was forgotten of a disk out of use comes back with it, and the hole is one that is known.
TEST_F(KeeperDisksTest, WhatComesBackOlderThanWhatWentIsNoDamage) {
  const SegmentLoan first = Record();
  for (int i = 1; i < 8; ++i) Record();
  keeper_->ReportRefusal(first.id, kWhy);
  for (int i = 0; i < 3; ++i) Record();  // 9, 10, 11 in the places of 2, 4, 6
  EXPECT_THAT(Segments(), ElementsAre(7, 8, 9, 10, 11));
  ASSERT_TRUE(archive_->AddDisk({archive_.directory(), {}}).ok());
  Restart();
  EXPECT_THAT(Segments(), ElementsAre(1, 3, 5, 7, 8, 9, 10, 11));
  EXPECT_THAT(Verify().findings, IsEmpty());
}

TEST_F(KeeperDisksTest, AMissingDiskIsRememberedAndComesBack) {
  for (int i = 0; i < 3; ++i) Record();
  Record(/*seal=*/false);  // 4, on disk 1
  archive_.Unmount(1);
  Restart();
  EXPECT_EQ(keeper_->recovery().segments_unavailable, 2u);
  EXPECT_EQ(keeper_->recovery().segments_forgotten, 0u);
  EXPECT_THAT(Segments(), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(Record().disk, 0u);
  const VerifyReport report = Verify();
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_EQ(report.segments, 3u);
  EXPECT_EQ(report.segments_unavailable, 2u);
  EXPECT_THAT(report.notes, Contains(HasSubstr("not verified: 2 segments, because disk 1")));

  archive_.Mount(1);
  Restart();
  EXPECT_EQ(keeper_->recovery().segments_unavailable, 0u);
  EXPECT_EQ(keeper_->recovery().segments_sealed, 1u);
  EXPECT_THAT(Segments(), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(Verify().findings, IsEmpty());
  EXPECT_EQ(Verify().segments, 5u);
}

TEST_F(KeeperDisksTest, ARebuiltCatalogSaysWhatItCouldNotIndex) {
  for (int i = 0; i < 4; ++i) Record();
  keeper_.reset();
  archive_.Unmount(1);
  std::filesystem::remove(archive_.CatalogPath());
  Restart();
  EXPECT_THAT(Segments(), ElementsAre(1, 3));
  EXPECT_THAT(keeper_->recovery().notes, Contains(HasSubstr("disk 1")));
  EXPECT_GT(static_cast<uint64_t>(Record().id), 4u) << "no id is given twice";
  archive_.Mount(1);
  Restart();
  EXPECT_THAT(Segments(), SizeIs(5));
  EXPECT_THAT(Verify().findings, IsEmpty());
}

// What was deleted while the disk was away does not come back with it.
TEST_F(KeeperDisksTest, ADeletedRecordingStaysDeleted) {
  for (int i = 0; i < 4; ++i) Record();
  archive_.Unmount(1);
  Restart();
  RecordingRow row;
  row.uid = 7;
  row.id = "test";
  row.state = RecordingState::kStopped;
  ASSERT_TRUE(keeper_->PutRecording(row).ok());
  ASSERT_TRUE(keeper_->DeleteRecording("test").ok());
  EXPECT_THAT(Segments(), IsEmpty());
  archive_.Mount(1);
  Restart();
  EXPECT_THAT(Segments(), IsEmpty());
}

}  // namespace
}  // namespace sluice
