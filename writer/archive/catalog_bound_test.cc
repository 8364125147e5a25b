// The catalog stays within what was set aside for it, however many streams come.
#include <sys/stat.h>

#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/archive/archive_keeper.h"
#include "writer/archive/test_archive.h"
#include "writer/archive/verify.h"
#include "writer/segment/file_io.h"
#include "writer/segment/test_segment.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint32_t kSlots = 8;
constexpr ByteCount kBound = MiB(1);
constexpr uint64_t kStreamsAnExtent = 14;

class CatalogBoundTest : public testing::Test {
 protected:
  CatalogBoundTest() : directory_(FreshDirectory() + "/archive") {
    Open();
    RecordingRow row;
    row.uid = 7;
    row.id = "test";
    EXPECT_TRUE(keeper_->PutRecording(row).ok());
  }

  void Open() {
    keeper_.reset();
    archive_.reset();
    ArchiveOptions options;
    options.directory = directory_;
    options.segment = MiB(1);
    options.capacity = MiB(kSlots);
    options.catalog = kBound;
    auto archive = Archive::Open(options);
    ASSERT_TRUE(archive.ok()) << archive.status();
    archive_ = *std::move(archive);
    auto keeper = ArchiveKeeper::Start(*archive_, {.tidy = true});
    ASSERT_TRUE(keeper.ok()) << keeper.status();
    keeper_ = *std::move(keeper);
    catalog_ = *Catalog::Open(Archive::CatalogPath(directory_), Catalog::Mode::kReadOnly);
  }

  // A sealed segment of connections that sent nothing, and its publication.
  SegmentId Record(uint64_t extents) {
    const TrackIdentity track = {"test", 7, LaneId{0}, ExtentKind::kStream};
    std::promise<absl::StatusOr<SegmentLoan>> promise;
    keeper_->RequestSegment(
        track, [&](absl::StatusOr<SegmentLoan> loan) { promise.set_value(std::move(loan)); });
    const absl::StatusOr<SegmentLoan> loan = promise.get_future().get();
    EXPECT_TRUE(loan.ok()) << loan.status();
    if (!loan.ok()) return {};
    TestSegmentOptions options;
    options.uuid = archive_->meta().uuid;
    options.id = loan->id;
    options.epoch = archive_->meta().epoch;
    TestSegment segment(options, &ledger_);
    for (uint64_t i = 0; i < extents; ++i) {
      std::vector<StreamEvent> events;
      for (uint64_t j = 0; j < kStreamsAnExtent; ++j) {
        const StreamId stream = MakeStreamId({options.epoch, 0, ++streams_});
        events.push_back(TestSegment::Open(stream));
        events.push_back(TestSegment::Close(stream, 0));
      }
      segment.Add({}, events);
    }
    previous_ = segment.Seal(0, previous_);
    // The header is the keeper's.
    EXPECT_TRUE(
        WriteFully(loan->fd, "segment", {kBlockBytes}, segment.image().subspan(kBlockBytes)).ok());
    keeper_->Publish(segment.Update(true));
    keeper_->Flush();
    return loan->id;
  }

  ByteCount Used() { return *catalog_->Used(); }
  // Until the keeper has let go of what had to go.
  void Settle() {
    const absl::Time limit = absl::Now() + absl::Minutes(1);
    for (uint64_t seen = 0; absl::Now() < limit;) {
      keeper_->Flush();
      if (Used().value <= kBound.value / 4 * 3) return;
      seen = keeper_->WaitForChange(seen, absl::Milliseconds(100));
    }
    ADD_FAILURE() << "the catalog has " << Used().value << " bytes";
  }
  bool IsThere(SegmentId id) {
    const auto rows = catalog_->Segments();
    return std::any_of(rows->begin(), rows->end(),
                       [&](const SegmentRow& row) { return row.id == id; });
  }

  const std::string directory_;
  std::unique_ptr<Archive> archive_;
  std::unique_ptr<ArchiveKeeper> keeper_;
  std::unique_ptr<Catalog> catalog_;
  uint32_t streams_ = 0;
  Ledger ledger_;
  SegmentLink previous_;
};

TEST_F(CatalogBoundTest, OldSegmentsGoBeforeItIsFull) {
  for (uint32_t i = 0; i < 4 * kSlots; ++i) {
    const SegmentId newest = Record(70);
    EXPECT_LE(Used(), kBound);
    EXPECT_TRUE(IsThere(newest));
    Settle();
    EXPECT_TRUE(IsThere(newest));
  }
  EXPECT_THAT(keeper_->catalog_alarm(), IsEmpty());
  EXPECT_GT(keeper_->removals().catalog, 2 * kSlots);
  // The oldest went, one after another, and fewer than there are slots are left.
  const auto rows = catalog_->Segments();
  ASSERT_GE(rows->size(), 2u);
  EXPECT_LT(rows->size(), kSlots);
  EXPECT_EQ(static_cast<uint64_t>(rows->front().id) + rows->size() - 1, 4 * kSlots);
  const auto removals = catalog_->Removals();
  ASSERT_EQ(removals->size(), 1u);
  EXPECT_EQ(removals->front().reason, RemovalReason::kCatalogFull);
  EXPECT_EQ(removals->front().segments, 4 * kSlots - rows->size());

  keeper_.reset();
  const auto report = VerifyArchive(directory_, nullptr);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->findings, IsEmpty());
}

TEST_F(CatalogBoundTest, ItsRoomIsTakenBeforehandAndKept) {
  struct stat info = {};
  const auto look = [&] { stat(Archive::CatalogPath(directory_).c_str(), &info); };
  for (int i = 0; i < 3; ++i) {
    Record(70);
    look();
    EXPECT_EQ(static_cast<uint64_t>(info.st_size), kBound.value);
    EXPECT_GE(static_cast<uint64_t>(info.st_blocks) * 512, kBound.value);
    Open();  // which writes all of the log into it
    previous_ = {};
    ledger_ = {};
  }
  const auto size = catalog_->Size();
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(size->streams, 3 * 70 * kStreamsAnExtent);
  EXPECT_GT(size->used.value / size->streams, 100u);
  EXPECT_LT(size->used.value / size->streams, 400u);
}

// Nothing of what was published is lost, only found later.
TEST_F(CatalogBoundTest, WhenAllIsHeldItSaysSoAndGoesOnAfterwards) {
  Record(90);
  Record(90);
  Hold hold;
  hold.id = "h";
  hold.owner = "alice";
  hold.reason = "why not";
  hold.selector.recording = "test";
  hold.budget = MiB(4);
  const auto held = keeper_->CreateHold(hold, "test");
  ASSERT_TRUE(held.ok()) << held.status();
  Record(90);
  Record(90);
  keeper_->Flush();
  EXPECT_THAT(keeper_->catalog_alarm(), HasSubstr("hold \"h\" of alice"));
  EXPECT_LE(Used(), kBound);
  EXPECT_EQ(keeper_->removals().catalog, 0u);

  ASSERT_TRUE(keeper_->ReleaseHold("h", "test").ok());
  Settle();
  const SegmentId newest = Record(10);
  Settle();
  EXPECT_TRUE(keeper_->health().ok()) << keeper_->health();
  EXPECT_THAT(keeper_->catalog_alarm(), IsEmpty());
  EXPECT_TRUE(IsThere(newest));
  EXPECT_TRUE(catalog_->Stream(MakeStreamId({1, 0, streams_})).ok());
}

}  // namespace
}  // namespace sluice
