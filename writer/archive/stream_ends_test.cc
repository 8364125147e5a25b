#include "writer/archive/stream_ends.h"

#include <cstdint>
#include <optional>

#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr uint64_t kStream = 7;

ExtentIndex Data(uint64_t begin, uint64_t end) {
  ExtentIndex extent;
  FragmentEntry& fragment = extent.fragments.emplace_back();
  fragment.stream_id = kStream;
  fragment.stream_offset = begin;
  fragment.length = static_cast<uint32_t>(end - begin);
  return extent;
}

ExtentIndex& With(ExtentIndex& extent, StreamEventType type, uint64_t at, uint64_t gap = 0) {
  StreamEvent& event = extent.events.emplace_back();
  event.type = type;
  event.stream_id = kStream;
  event.stream_offset = at;
  event.gap_bytes = gap;
  return extent;
}

ExtentIndex Event(StreamEventType type, uint64_t at) {
  ExtentIndex extent;
  return With(extent, type, at);
}

class StreamEndsTest : public testing::Test {
 protected:
  StreamEnds::Fit Add(const ExtentIndex& extent) { return ends_.Add(extent, /*over_holes=*/false); }

  std::optional<uint64_t> before_;
  StreamEnds ends_{[this](StreamId) { return before_; }};
};

TEST_F(StreamEndsTest, BytesFollowBytes) {
  EXPECT_EQ(Add(Data(0, 10)), StreamEnds::Fit::kGoesOn);
  EXPECT_EQ(Add(Data(20, 30)), StreamEnds::Fit::kLeavesHole);
  EXPECT_EQ(Add(Data(10, 20)), StreamEnds::Fit::kGoesOn);
  EXPECT_EQ(Add(Data(0, 10)), StreamEnds::Fit::kRepeated);
  ExtentIndex gap = Data(25, 30);
  EXPECT_EQ(Add(With(gap, StreamEventType::kGap, 20, 5)), StreamEnds::Fit::kGoesOn);
}

TEST_F(StreamEndsTest, WhatTheCatalogKnowsPrecedes) {
  before_ = 10;
  EXPECT_EQ(Add(Data(11, 20)), StreamEnds::Fit::kLeavesHole);
  EXPECT_EQ(Add(Data(10, 20)), StreamEnds::Fit::kGoesOn);
}

// The bytes between were in an extent that the disk had refused, and that was not written again
// when the recorder died.
TEST_F(StreamEndsTest, AnEndWithoutTheBytesBeforeItLeavesAHole) {
  EXPECT_EQ(Add(Event(StreamEventType::kOpen, 0)), StreamEnds::Fit::kGoesOn);
  EXPECT_EQ(Add(Event(StreamEventType::kClose, 10)), StreamEnds::Fit::kLeavesHole);
  EXPECT_EQ(Add(Data(5, 10)), StreamEnds::Fit::kLeavesHole);
  EXPECT_EQ(Add(Data(0, 10)), StreamEnds::Fit::kGoesOn);
  EXPECT_EQ(Add(Event(StreamEventType::kClose, 10)), StreamEnds::Fit::kGoesOn);
}

TEST_F(StreamEndsTest, AStreamThatNobodyKnowsBeginsAnywhere) {
  ExtentIndex extent = Data(100, 110);
  With(extent, StreamEventType::kContinued, 100);
  EXPECT_EQ(Add(With(extent, StreamEventType::kClose, 110)), StreamEnds::Fit::kGoesOn);
}

}  // namespace
}  // namespace sluice
