// What recovery does to the chain of a track's segments.
#include <cstring>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/archive/recovery.h"
#include "writer/archive/test_archive.h"
#include "writer/segment/segment_reader.h"
#include "writer/segment/test_segment.h"

namespace sluice {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr StreamId kA{11};
const std::string kBytes(6000, 'x');

class RecoveryChainTest : public testing::Test {
 protected:
  RecoveryChainTest() {
    catalog_ = *Catalog::Open(archive_.CatalogPath(), Catalog::Mode::kReadWrite);
    RecordingRow row;
    row.uid = 7;
    row.id = "test";
    EXPECT_TRUE(catalog_->PutRecording(row).ok());
  }

  // With the stream's bytes from (id - 1) * 6000 on.
  TestSegment Segment(uint64_t id) {
    TestSegment segment(archive_.Segment(id, static_cast<uint32_t>(id)), &ledger_);
    const uint64_t at = (id - 1) * kBytes.size();
    segment.Add({{kA, at, kBytes}},
                {id == 1 ? TestSegment::Open(kA) : TestSegment::Continued(kA, at)});
    return segment;
  }
  void Begin(uint64_t id) {
    SegmentRow row;
    row.id = SegmentId{id};
    row.slot = static_cast<uint32_t>(id);
    row.recording_uid = 7;
    row.epoch = 1;
    row.durable = {kBlockBytes};
    ASSERT_TRUE(catalog_->BeginSegment(row).ok());
  }
  // Its file, all of it or the first bytes, and its begin in the catalog.
  void Put(const TestSegment& segment, uint64_t id, ByteCount first = MiB(1)) {
    segment.WriteTo(archive_.SegmentPath(static_cast<uint32_t>(id)), first);
    Begin(id);
  }
  void Run() {
    const auto report = Recover(*archive_, *catalog_, /*rebuild=*/false);
    ASSERT_TRUE(report.ok()) << report.status();
  }
  SegmentOrigin OriginIn(uint64_t id, SegmentLink* own) {
    const auto reader = SegmentReader::Open(archive_.SegmentPath(static_cast<uint32_t>(id)));
    Sha256 hash;
    const auto footer = (*reader)->ReadFooter(&hash);
    EXPECT_TRUE(footer.ok()) << footer.status();
    *own = {SegmentId{id}, hash};
    return footer.ok() ? OriginOf(footer->trailer) : SegmentOrigin{};
  }

  TestArchive archive_;
  Ledger ledger_;
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(RecoveryChainTest, WhatItSealsFollowsWhatWasSealedBefore) {
  TestSegment first = Segment(1);
  const SegmentLink link = first.Seal();
  Put(first, 1);
  const SegmentUpdate update = first.Update(true);
  ASSERT_TRUE(catalog_->Publish({&update, 1}).ok());
  Put(Segment(2), 2);
  Put(Segment(3), 3);
  Run();
  SegmentLink second;
  SegmentLink third;
  EXPECT_EQ(OriginIn(2, &second).previous, link);
  EXPECT_EQ(OriginIn(3, &third).previous, second);
  EXPECT_EQ(catalog_->Segments()->at(2).previous, SegmentId{2});
  EXPECT_EQ(catalog_->Segments()->at(2).footer_sha256, third.footer);
}

// The footer was torn, the one after it whole: written again, it is called the same.
TEST_F(RecoveryChainTest, ATornFooterIsWrittenAgainWithTheSameHash) {
  TestSegment first = Segment(1);
  const SegmentLink link = first.Seal(0, {});
  TestSegment second = Segment(2);
  second.Seal(0, link);
  std::memset(&first.image()[MiB(1).value - 100], 0, 100);
  Put(first, 1);
  Put(second, 2);
  Run();
  SegmentLink again;
  EXPECT_EQ(OriginIn(1, &again).previous, SegmentLink{});
  EXPECT_EQ(again, link);
  EXPECT_THAT(*catalog_->Removals(), IsEmpty());
}

// Nothing of a segment reached the disk, but the one after it did.
TEST_F(RecoveryChainTest, ASegmentOfWhichNothingHeldIsRememberedWhenItIsNamed) {
  TestSegment first = Segment(1);
  const SegmentLink link = first.Seal(0, {});
  TestSegment second = Segment(2);
  second.Seal(0, link);
  Put(first, 1, ByteCount{kBlockBytes});
  Put(second, 2);
  Put(Segment(3), 3, ByteCount{kBlockBytes});  // nobody names this one
  Run();
  ASSERT_THAT(*catalog_->Removals(), SizeIs(1));
  const RemovalRow row = catalog_->Removals()->front();
  EXPECT_EQ(row.reason, RemovalReason::kLostInCrash);
  EXPECT_EQ(row.first, SegmentId{1});
  EXPECT_EQ(row.recording, "test");
}

}  // namespace
}  // namespace sluice
