#include "writer/archive/update_queue.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

StreamUpdate Stream(uint64_t id, uint64_t begin, uint64_t end,
                    CloseReason reason = CloseReason::kNone) {
  StreamUpdate stream;
  stream.stream = StreamId{id};
  stream.begin = {begin};
  stream.end = {end};
  stream.last_time = {static_cast<int64_t>(end)};
  stream.reason = reason;
  return stream;
}

SegmentUpdate Update(uint64_t segment, uint64_t durable, std::vector<StreamUpdate> streams,
                     bool sealed = false) {
  SegmentUpdate update;
  update.segment = SegmentId{segment};
  update.durable = {durable};
  update.sealed = sealed;
  update.streams = std::move(streams);
  return update;
}

TEST(UpdateQueueTest, KeepsTheOrderOfSegments) {
  UpdateQueue queue;
  EXPECT_TRUE(queue.empty());
  queue.Add(Update(2, 1, {}));
  queue.Add(Update(1, 1, {}));
  queue.Add(Update(2, 9, {}));
  const auto updates = queue.Take();
  ASSERT_EQ(updates.size(), 2u);
  EXPECT_EQ(updates[0].segment, SegmentId{2});
  EXPECT_EQ(updates[0].durable.value, 9u);
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(queue.Take().empty());
}

TEST(UpdateQueueTest, FoldsStreams) {
  UpdateQueue queue;
  queue.Add(Update(1, 1, {Stream(7, 5, 10), Stream(8, 0, 1)}));
  queue.Add(Update(1, 2, {Stream(9, 0, 1), Stream(7, 5, 20, CloseReason::kReset)}));
  queue.Add(Update(1, 3, {Stream(8, 0, 4), Stream(9, 0, 6)}, true));
  const auto updates = queue.Take();
  ASSERT_EQ(updates.size(), 1u);
  EXPECT_TRUE(updates[0].sealed);
  ASSERT_EQ(updates[0].streams.size(), 3u);
  EXPECT_EQ(updates[0].streams[0].stream, StreamId{7});
  EXPECT_EQ(updates[0].streams[0].begin.value, 5u);
  EXPECT_EQ(updates[0].streams[0].end.value, 20u);
  EXPECT_EQ(updates[0].streams[0].reason, CloseReason::kReset);
  EXPECT_EQ(updates[0].streams[1].end.value, 4u);
  EXPECT_EQ(updates[0].streams[2].end.value, 6u);
}

TEST(UpdateQueueTest, AnUpdateWithoutStreamsKeepsTheEarlierOnes) {
  UpdateQueue queue;
  queue.Add(Update(1, 1, {}));
  queue.Add(Update(1, 2, {Stream(7, 0, 1)}));
  queue.Add(Update(1, 3, {}));
  const auto updates = queue.Take();
  ASSERT_EQ(updates[0].streams.size(), 1u);
  EXPECT_EQ(updates[0].durable.value, 3u);
}

TEST(UpdateQueueTest, SomeAreTakenAndPutBack) {
  UpdateQueue queue;
  queue.Add(Update(1, 1, {Stream(7, 0, 1), Stream(8, 0, 1), Stream(9, 0, 1)}));
  queue.Add(Update(2, 1, {Stream(7, 1, 2)}));
  queue.Add(Update(3, 1, {Stream(7, 2, 3)}));
  queue.Add(Update(4, 1, {Stream(7, 3, 4)}));
  auto some = queue.TakeSome(2);
  ASSERT_EQ(some.size(), 1u) << "one at least, whatever it has";
  EXPECT_EQ(some[0].segment, SegmentId{1});
  EXPECT_FALSE(queue.Contains(SegmentId{1}));
  EXPECT_TRUE(queue.Contains(SegmentId{2}));
  queue.Add(Update(1, 2, {Stream(9, 0, 5)}));
  queue.PutBack(std::move(some));
  EXPECT_EQ(queue.streams(), 6u) << "what came later was folded in";
  some = queue.TakeSome(4);
  ASSERT_EQ(some.size(), 2u);
  EXPECT_EQ(some[0].segment, SegmentId{1});
  EXPECT_EQ(some[0].durable.value, 2u);
  EXPECT_EQ(some[0].streams.at(2).end.value, 5u);
  EXPECT_EQ(some[1].segment, SegmentId{2});
  EXPECT_EQ(queue.TakeSome(100).size(), 2u);
  EXPECT_TRUE(queue.empty());
}

// The bound: however many updates there are, what waits is one per segment and stream.
TEST(UpdateQueueTest, IsBounded) {
  UpdateQueue queue;
  for (uint64_t i = 1; i <= 10000; ++i) {
    queue.Add(Update(1 + i % 3, i, {Stream(i % 5 + 1, 0, i)}, i == 5));
  }
  const auto updates = queue.Take();
  ASSERT_EQ(updates.size(), 3u);
  for (const SegmentUpdate& update : updates) EXPECT_LE(update.streams.size(), 5u);
}

}  // namespace
}  // namespace sluice
