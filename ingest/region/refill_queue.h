// Buffers of a zero-copy area on their way home to the kernel.
#ifndef INGEST_REGION_REFILL_QUEUE_H_
#define INGEST_REGION_REFILL_QUEUE_H_

#include <atomic>
#include <cstdint>
#include <deque>

#include "ingest/check.h"
#include "ingest/ring/ring.h"

namespace sluice {

// The producer's side of a refill ring. The kernel says nothing when its ring is overrun, it only
// loses the entries; so what does not fit waits here, in order. On one lane's thread.
class RefillQueue {
 public:
  explicit RefillQueue(const RefillRing& ring)
      : ring_(ring), tail_(ring.tail->load(std::memory_order_relaxed)), head_(tail_) {
    SLUICE_CHECK(ring.size != 0 && (ring.size & (ring.size - 1)) == 0);
  }
  RefillQueue(const RefillQueue&) = delete;
  RefillQueue& operator=(const RefillQueue&) = delete;

  // One reference on the page at `offset`. The kernel sees it after Publish().
  void Push(uint64_t offset) {
    ++pushed_;
    if (!waiting_.empty() || tail_ - head_ == ring_.size) {
      waiting_.push_back(offset);
    } else {
      Put(offset);
    }
  }

  // Shows the kernel what was pushed, as far as there is room.
  void Publish() {
    // Acquire: the kernel has read an entry before it says so, and we may overwrite it after.
    head_ = ring_.head->load(std::memory_order_acquire);
    while (!waiting_.empty() && tail_ - head_ < ring_.size) {
      Put(waiting_.front());
      waiting_.pop_front();
    }
    // Release: whoever sees the tail sees the entries below it.
    ring_.tail->store(tail_, std::memory_order_release);
  }

  // What the kernel has not taken yet, as of the last Publish().
  uint32_t in_ring() const { return tail_ - head_; }
  // What does not fit into the ring.
  size_t waiting() const { return waiting_.size(); }
  uint32_t size() const { return ring_.size; }
  uint64_t pushed() const { return pushed_; }

 private:
  void Put(uint64_t offset) { ring_.entries[tail_++ & (ring_.size - 1)] = {offset, 0, 0}; }

  const RefillRing ring_;
  uint32_t tail_;  // ours; the ring's own lags behind until Publish()
  uint32_t head_;  // the kernel's, as last seen
  std::deque<uint64_t> waiting_;
  uint64_t pushed_ = 0;
};

}  // namespace sluice

#endif  // INGEST_REGION_REFILL_QUEUE_H_
