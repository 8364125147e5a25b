#include "tests/crash/published.h"

#include <sstream>

#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr StreamId kStream{7};
constexpr Ring kFull{.slots = 2, .begun_max = 0};

Published::Segment Segment(uint32_t slot, uint64_t begin, uint64_t end) {
  return {slot, 1, LaneId{0}, {{kStream, {begin, end}}}};
}

Published With(std::initializer_list<std::pair<uint64_t, Published::Segment>> segments) {
  Published published;
  for (const auto& [id, segment] : segments) published.Add(SegmentId{id}, segment);
  return published;
}

TEST(Published, AddsUpWhatWasSaid) {
  Published published = With({{1, Segment(0, 10, 20)}, {1, Segment(0, 10, 30)}});
  published.Add(SegmentId{1}, Segment(0, 10, 15));
  EXPECT_EQ(published.bytes(), 20u);
  published.Forget(SegmentId{1});
  EXPECT_EQ(published.bytes(), 0u);
}

TEST(Published, IsReadAsItWasWrittenUpToAMark) {
  std::ostringstream out;
  Write(out, SegmentId{1}, Segment(0, 10, 20));
  out << "mark 5\n";
  Write(out, SegmentId{1}, Segment(0, 10, 30));
  Write(out, SegmentId{2}, Segment(1, 30, 31));
  out << "mark 6\n";
  for (const auto& [mark, bytes] : {std::pair{5, 10u}, {6, 21u}, {7, 21u}}) {
    std::istringstream in(out.str());
    EXPECT_EQ(ReadPublished(in, mark).bytes(), bytes);
  }
  std::istringstream in(out.str());
  EXPECT_EQ(ReadPublished(in, 6).segments().at(SegmentId{2}), Segment(1, 30, 31));
}

TEST(CompareAfterCrash, NothingLost) {
  const Published before = With({{1, Segment(0, 0, 20)}, {2, Segment(1, 20, 30)}});
  const Published now = With({{1, Segment(0, 0, 20)}, {2, Segment(1, 20, 34)}});
  const Aftermath aftermath = CompareAfterCrash(before, now, kFull);
  EXPECT_TRUE(aftermath.faults.empty());
  EXPECT_EQ(aftermath.lost + aftermath.reused, 0u);
  EXPECT_EQ(aftermath.beyond, 4u);
}

TEST(CompareAfterCrash, PartOfASegmentLost) {
  for (const auto& left : {Segment(0, 0, 19), Segment(0, 1, 20)}) {
    const Aftermath aftermath =
        CompareAfterCrash(With({{1, Segment(0, 0, 20)}}), With({{1, left}}), kFull);
    EXPECT_EQ(aftermath.faults.size(), 1u);
    EXPECT_EQ(aftermath.lost, 1u);
    EXPECT_EQ(aftermath.beyond, 0u);
  }
}

TEST(CompareAfterCrash, TheOldestIsReused) {
  const Published before = With({{1, Segment(0, 0, 20)}, {2, Segment(1, 20, 30)}});
  const Published now = With({{2, Segment(1, 20, 30)}, {3, Segment(0, 30, 33)}});
  const Aftermath aftermath = CompareAfterCrash(before, now, kFull);
  EXPECT_TRUE(aftermath.faults.empty());
  EXPECT_EQ(aftermath.reused, 20u);
  EXPECT_EQ(aftermath.reused_segments, std::vector{SegmentId{1}});
  EXPECT_EQ(aftermath.beyond, 3u);
}

TEST(CompareAfterCrash, GoneThoughAnOlderOneIsLeft) {
  const Published before = With({{1, Segment(0, 0, 20)}, {2, Segment(1, 20, 30)}});
  const Published now = With({{1, Segment(0, 0, 20)}, {3, Segment(1, 30, 33)}});
  EXPECT_EQ(CompareAfterCrash(before, now, kFull).lost, 10u);
}

TEST(CompareAfterCrash, GoneThoughThereIsRoom) {
  const Published before = With({{1, Segment(0, 0, 20)}, {2, Segment(1, 20, 30)}});
  const Published now = With({{2, Segment(1, 20, 30)}});
  EXPECT_EQ(CompareAfterCrash(before, now, kFull).lost, 20u);
  EXPECT_EQ(CompareAfterCrash(before, now, {.slots = 2, .begun_max = 1}).reused, 20u);
}

}  // namespace
}  // namespace sluice
