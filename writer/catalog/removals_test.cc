#include "writer/catalog/removals.h"

#include <cstdio>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/catalog/schema.h"
#include "writer/catalog/sqlite.h"

namespace sluice {
namespace {

using testing::SizeIs;

class RemovalsTest : public testing::Test {
 protected:
  RemovalsTest() {
    for (const char* suffix : {"", "-wal", "-shm"}) std::remove((path_ + suffix).c_str());
    db_ = *SqliteDatabase::Open(path_, SqliteDatabase::Mode::kReadWrite);
    EXPECT_TRUE(db_->Execute("PRAGMA synchronous = OFF").ok());
    for (const char* step : kCatalogSteps) EXPECT_TRUE(db_->Execute(step).ok());
  }

  static RemovalRow Row(uint64_t id, uint64_t before, RemovalReason reason, uint32_t epoch = 1) {
    RemovalRow row;
    row.recording_uid = 7;
    row.first = row.last = SegmentId{id};
    row.before = SegmentId{before};
    row.segments = 1;
    row.payload = {10};
    row.reason = reason;
    row.begun = row.ended = {static_cast<int64_t>(id)};
    row.first_epoch = row.last_epoch = epoch;
    row.ledger.written = 10 * id;
    row.footer_sha256[0] = static_cast<uint8_t>(id);
    return row;
  }
  void Add(const RemovalRow& row) {
    const absl::Status status = db_->Transaction([&] { return AddRemoval(*db_, row); });
    EXPECT_TRUE(status.ok()) << status;
  }
  std::vector<RemovalRow> Rows() { return *ReadRemovals(*db_); }

  const std::string path_ = testing::TempDir() + "/removals_test.db";
  std::unique_ptr<SqliteDatabase> db_;
};

TEST_F(RemovalsTest, GoesOnOnlyFromTheOneBefore) {
  Add(Row(1, 0, RemovalReason::kReused));
  Add(Row(3, 2, RemovalReason::kReused));  // 2 is still there, or is gone in another way
  ASSERT_THAT(Rows(), SizeIs(2));
  Add(Row(4, 3, RemovalReason::kReused));
  ASSERT_THAT(Rows(), SizeIs(2));
  EXPECT_EQ(Rows()[1].first, SegmentId{3});
  EXPECT_EQ(Rows()[1].last, SegmentId{4});
  EXPECT_EQ(Rows()[1].before, SegmentId{2});
  EXPECT_EQ(Rows()[1].footer_sha256[0], 4);
}

TEST_F(RemovalsTest, SayingItTwiceIsTheSameAsOnce) {
  Add(Row(1, 0, RemovalReason::kReused));
  Add(Row(2, 1, RemovalReason::kReused));
  Add(Row(2, 1, RemovalReason::kReused));
  Add(Row(1, 0, RemovalReason::kMissing));
  ASSERT_THAT(Rows(), SizeIs(1));
  EXPECT_EQ(Rows()[0].segments, 2);
}

TEST_F(RemovalsTest, OtherTracksAreOtherRows) {
  Add(Row(1, 0, RemovalReason::kReused));
  RemovalRow other = Row(2, 1, RemovalReason::kReused);
  other.lane = LaneId{1};
  Add(other);
  EXPECT_THAT(Rows(), SizeIs(2));
}

// Each epoch's ledger begins at zero; what an epoch had in the end counts once.
TEST_F(RemovalsTest, SumsUpEpochs) {
  Add(Row(1, 0, RemovalReason::kReused, 1));
  Add(Row(2, 1, RemovalReason::kReused, 1));
  Add(Row(3, 2, RemovalReason::kReused, 2));
  Add(Row(4, 3, RemovalReason::kReused, 2));
  Add(Row(5, 4, RemovalReason::kReused, 4));
  ASSERT_THAT(Rows(), SizeIs(1));
  EXPECT_EQ(Rows()[0].total().written, 20 + 40 + 50);
  EXPECT_EQ(Rows()[0].first_epoch, 1);
  EXPECT_EQ(Rows()[0].last_epoch, 4);
}

TEST_F(RemovalsTest, ATrackHasABoundedNumberOfRows) {
  for (uint64_t id = 1; id <= 3 * kRemovalRowsMax; ++id) {
    Add(Row(id, id - 1, id % 2 == 0 ? RemovalReason::kReused : RemovalReason::kRetention));
  }
  const std::vector<RemovalRow> rows = Rows();
  EXPECT_THAT(rows, SizeIs(kRemovalRowsMax));
  EXPECT_EQ(rows.front().reason, RemovalReason::kSeveral);
  EXPECT_EQ(rows.front().first, SegmentId{1});
  uint64_t segments = 0;
  for (const RemovalRow& row : rows) segments += row.segments;
  EXPECT_EQ(segments, 3 * kRemovalRowsMax);
}

TEST_F(RemovalsTest, OfDeletedRecordingsTheNewestAreKept) {
  const absl::Status added = db_->Transaction([&] {
    absl::Status status;
    for (uint64_t id = 1; status.ok() && id <= kRemovalRowsOfTheGoneMax + 5; ++id) {
      RemovalRow row = Row(id, 0, RemovalReason::kReused);
      row.recording_uid = id;
      status = AddRemoval(*db_, row);
    }
    return status;
  });
  ASSERT_TRUE(added.ok()) << added;
  ASSERT_TRUE(
      db_->Execute("INSERT INTO recordings VALUES (2, 'lives', '', 1, 0, 0, '', 0, '')").ok());
  RemovalRow row = Row(20'000, 0, RemovalReason::kRecordingDeleted);
  row.recording_uid = 20'000;
  Add(row);
  const std::vector<RemovalRow> rows = Rows();
  ASSERT_EQ(rows.size(), kRemovalRowsOfTheGoneMax + 1);
  EXPECT_EQ(rows.front().recording_uid, 2);
  EXPECT_EQ(rows.back().recording_uid, 20'000);
}

}  // namespace
}  // namespace sluice
