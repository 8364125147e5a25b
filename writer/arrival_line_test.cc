#include "writer/arrival_line.h"

#include <vector>

#include "gtest/gtest.h"
#include "ingest/region/chunk_pool.h"

namespace sluice {
namespace {

constexpr StreamId kA{1}, kB{2};
constexpr absl::Duration At(int64_t ms) { return absl::Milliseconds(ms); }

class ArrivalLineTest : public testing::Test {
 protected:
  ArrivalLineTest() : chunks_({0}, KiB(4), 4) {}
  ~ArrivalLineTest() override { Clear(); }

  void Clear() {
    while (!line_.empty()) line_.Pop();
  }
  // Each fragment has a chunk of its own.
  void Receive(StreamId stream, uint64_t offset, uint64_t length, int64_t ms,
               bool zero_copy = false) {
    const uint32_t chunk = *chunks_.Take();
    line_.Push(Received{{stream, {offset}, {0}, {length}, zero_copy}, chunks_.Lease(chunk)},
               At(ms));
    chunks_.Return(chunk);
  }
  // What stands at the front, which then goes.
  DroppedBytes TakeGap() {
    const auto* gap = std::get_if<DroppedBytes>(&line_.front());
    EXPECT_NE(gap, nullptr);
    const DroppedBytes copy = gap == nullptr ? DroppedBytes{} : *gap;
    line_.Pop();
    return copy;
  }
  uint64_t TakeFragment() {
    const auto* received = std::get_if<Received>(&line_.front());
    EXPECT_NE(received, nullptr);
    const uint64_t offset = received == nullptr ? 0 : received->fragment.stream_offset.value;
    line_.Pop();
    return offset;
  }

  ChunkPool chunks_;
  ArrivalLine line_;
};

TEST_F(ArrivalLineTest, KeepsTheOrder) {
  line_.Push(StreamOpened{kA, {}, {}}, At(1));
  Receive(kA, 0, 10, 2);
  EXPECT_EQ(line_.since(), At(1));
  EXPECT_TRUE(std::holds_alternative<StreamOpened>(line_.front()));
  line_.Pop();
  EXPECT_EQ(line_.since(), At(2));
  EXPECT_EQ(TakeFragment(), 0u);
  EXPECT_EQ(line_.since(), std::nullopt);
  EXPECT_EQ(chunks_.free_count(), 4u);
}

TEST_F(ArrivalLineTest, DroppingTheOldestGivesItsMemoryBackAndLeavesOneGapForEachStream) {
  line_.Push(StreamOpened{kA, {}, {}}, At(1));
  Receive(kA, 0, 10, 1);
  Receive(kB, 5, 7, 2, /*zero_copy=*/true);
  Receive(kA, 10, 20, 3);
  Receive(kA, 30, 40, 4);
  EXPECT_EQ(chunks_.free_count(), 0u);
  EXPECT_EQ(line_.DropOldest().value, 10u);
  EXPECT_EQ(chunks_.free_count(), 1u);
  EXPECT_EQ(line_.DropBefore(At(4)).value, 27u);
  EXPECT_EQ(chunks_.free_count(), 3u);
  EXPECT_EQ(line_.since(), At(4));
  EXPECT_EQ(line_.size(), 4u);

  EXPECT_TRUE(std::holds_alternative<StreamOpened>(line_.front()));
  line_.Pop();
  const DroppedBytes a = TakeGap();
  EXPECT_EQ(a.stream, kA);
  EXPECT_EQ(a.begin.value, 0u);
  EXPECT_EQ(a.length.value, 30u);
  EXPECT_EQ(a.zero_copy.value, 0u);
  const DroppedBytes b = TakeGap();
  EXPECT_EQ(b.stream, kB);
  EXPECT_EQ(b.begin.value, 5u);
  EXPECT_EQ(b.zero_copy.value, 7u);
  EXPECT_EQ(TakeFragment(), 30u);
}

TEST_F(ArrivalLineTest, AGapThatWasTakenDoesNotGrow) {
  Receive(kA, 0, 10, 1);
  line_.DropOldest();
  EXPECT_EQ(TakeGap().length.value, 10u);
  Receive(kA, 10, 10, 2);
  line_.DropOldest();
  const DroppedBytes gap = TakeGap();
  EXPECT_EQ(gap.begin.value, 10u);
  EXPECT_EQ(gap.length.value, 10u);
}

TEST_F(ArrivalLineTest, DroppingTheNewestLeavesAGapBehindWhatWaits) {
  Receive(kA, 0, 10, 1);
  for (uint64_t i = 0; i < 1000; ++i) line_.PushDropped({kA, {10 + i}, {1}, {}}, At(2));
  Receive(kA, 1010, 10, 3);
  line_.PushDropped({kA, {1020}, {5}, {}}, At(4));
  EXPECT_EQ(line_.size(), 4u);
  EXPECT_EQ(TakeFragment(), 0u);
  EXPECT_EQ(TakeGap().length.value, 1000u);
  EXPECT_EQ(TakeFragment(), 1010u);
  const DroppedBytes last = TakeGap();
  EXPECT_EQ(last.begin.value, 1020u);
  EXPECT_EQ(last.length.value, 5u);
}

// A gap that stood in the line joins the one that is made before it.
TEST_F(ArrivalLineTest, BothEndsAtOnce) {
  Receive(kA, 0, 10, 1);
  line_.PushDropped({kA, {10}, {10}, {}}, At(2));
  Receive(kB, 0, 3, 2);
  line_.Push(StreamClosed{kB, {3}, CloseReason::kReset}, At(3));
  EXPECT_EQ(line_.DropOldest().value, 10u);
  EXPECT_EQ(line_.DropOldest().value, 3u);
  EXPECT_EQ(line_.DropOldest().value, 0u);
  EXPECT_EQ(line_.since(), std::nullopt);
  line_.PushDropped({kA, {20}, {10}, {}}, At(5));
  uint64_t end = 0;
  uint64_t gaps = 0;
  for (; !line_.empty(); line_.Pop()) {
    const auto* gap = std::get_if<DroppedBytes>(&line_.front());
    if (gap == nullptr || gap->stream != kA) continue;
    EXPECT_EQ(gap->begin.value, end);
    end = gap->end().value;
    ++gaps;
  }
  EXPECT_EQ(end, 30u);
  EXPECT_EQ(gaps, 1u);
}

}  // namespace
}  // namespace sluice
