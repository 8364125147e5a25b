#include "ingest/region/refill_queue.h"

#include <atomic>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

// The kernel's side of a ring of four.
class Kernel {
 public:
  explicit Kernel(uint32_t start) : head_(start), tail_(start) {}

  RefillRing ring() {
    RefillRing ring;
    ring.head = &head_;
    ring.tail = &tail_;
    ring.entries = entries_;
    ring.size = 4;
    return ring;
  }
  std::vector<uint64_t> Take(uint32_t most) {
    std::vector<uint64_t> taken;
    const uint32_t tail = tail_.load();
    EXPECT_LE(tail - head_.load(), 4u) << "overrun";
    for (uint32_t head = head_.load(); head != tail && taken.size() < most;) {
      EXPECT_EQ(entries_[head & 3].pad, 0u);
      taken.push_back(entries_[head & 3].offset);
      head_.store(++head);
    }
    return taken;
  }

 private:
  std::atomic<uint32_t> head_, tail_;
  zcrx::RefillEntry entries_[4] = {};
};

using Offsets = std::vector<uint64_t>;

TEST(RefillQueueTest, NothingIsSeenBeforePublish) {
  Kernel kernel(0);
  RefillQueue queue(kernel.ring());
  queue.Push(4096);
  EXPECT_EQ(kernel.Take(9), Offsets{});
  queue.Publish();
  EXPECT_EQ(queue.in_ring(), 1u);
  EXPECT_EQ(kernel.Take(9), Offsets{4096});
}

TEST(RefillQueueTest, WhatDoesNotFitWaitsInOrder) {
  // The counters wrap around on the way.
  Kernel kernel(UINT32_MAX - 2);
  RefillQueue queue(kernel.ring());
  for (uint64_t i = 1; i <= 7; ++i) queue.Push(i);
  queue.Publish();
  EXPECT_EQ(queue.in_ring(), 4u);
  EXPECT_EQ(queue.waiting(), 3u);
  EXPECT_EQ(kernel.Take(1), (Offsets{1}));
  queue.Push(8);  // does not overtake
  queue.Publish();
  EXPECT_EQ(queue.waiting(), 3u);
  EXPECT_EQ(kernel.Take(9), (Offsets{2, 3, 4, 5}));
  queue.Publish();
  EXPECT_EQ(kernel.Take(9), (Offsets{6, 7, 8}));
  EXPECT_EQ(queue.pushed(), 8u);
  EXPECT_EQ(queue.waiting(), 0u);
}

TEST(RefillQueueTest, AKernelThatTakesNothingLosesNothing) {
  Kernel kernel(7);
  RefillQueue queue(kernel.ring());
  for (uint64_t i = 0; i < 100; ++i) {
    queue.Push(i);
    queue.Publish();
  }
  uint64_t next = 0;
  while (next < 100) {
    for (const uint64_t offset : kernel.Take(3)) EXPECT_EQ(offset, next++);
    queue.Publish();
  }
  EXPECT_EQ(queue.in_ring(), 0u);
}

}  // namespace
}  // namespace sluice
