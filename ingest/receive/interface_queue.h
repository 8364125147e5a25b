// A lane's NIC queue, which places payload into the lane's region: zctap's ifq, upstream's zcrx.
#ifndef INGEST_RECEIVE_INTERFACE_QUEUE_H_
#define INGEST_RECEIVE_INTERFACE_QUEUE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ingest/check.h"
#include "ingest/region/refill_queue.h"
#include "ingest/region/region.h"
#include "ingest/region/region_lease.h"
#include "ingest/ring/ring.h"
#include "ingest/units.h"

namespace sluice {

struct InterfaceQueueCounters {
  uint64_t completions = 0;          // with data: each is one reference on a page
  uint64_t returned = 0;             // references given back
  uint64_t kernel_copied_bytes = 0;  // as the kernel counts: less than the truth, see below
  uint64_t kernel_copies = 0;
  uint64_t allocation_failures = 0;  // events: the device found no free page
  uint64_t flushes = 0;
  uint64_t pages = 0;   // of the area
  uint64_t leased = 0;  // references now in our hands
};

// Bound to one receive queue of a NIC, or to none (device-less: the kernel copies what any socket
// has received into the area). One page holds bytes of one or several fragments; each data
// completion takes a reference on its page, and exactly one entry in the refill ring gives it
// back. Owned by a lane, on its thread; outlives every lease. The kernel keeps the area until the
// ring is closed.
class InterfaceQueue final : public LeaseHome {
 public:
  static constexpr ByteCount kPage{4096};

  struct Options {
    std::string interface;  // empty: device-less
    uint32_t queue = 0;
    uint32_t napi = 0;  // of the queue; 0: not known
    RegionOffset area_begin;
    ByteCount area;  // whole pages
  };
  static absl::StatusOr<std::unique_ptr<InterfaceQueue>> Open(Ring& ring, Region& region,
                                                              const Options& options);
  ~InterfaceQueue() override { SLUICE_CHECK(leased_ == 0); }

  // -- What a data completion brought. Lease() once for each.
  RegionLease Lease(uint64_t area_offset) {
    ++completions_;
    ++leased_;
    const uint64_t page = (area_offset & zcrx::kOffsetMask) / kPage.value;
    SLUICE_CHECK(page < options_.area.value / kPage.value);
    return {*this, static_cast<uint32_t>(page)};
  }
  RegionOffset At(uint64_t area_offset) const {
    return options_.area_begin + ByteCount{area_offset & zcrx::kOffsetMask};
  }
  void Return(uint32_t page, uint32_t references) override {
    SLUICE_CHECK(leased_ >= references);
    leased_ -= references;
    for (uint32_t i = 0; i < references; ++i) refill_.Push(uint64_t{page} * kPage.value);
  }

  // Whether the device placed a fragment of `length` bytes there; else the kernel copied it. The
  // kernel does not tell which, only how many bytes it has copied in all, and a copy begins a
  // page: so copies are charged to the fragments that begin one, until none is left to charge.
  // Bytes that came in a packet's linear part are copied too, and nobody counts those.
  bool WasPlaced(uint64_t area_offset, uint64_t length) {
    if (device_less()) return false;
    if (uncharged_copies_ < length || area_offset % kPage.value != 0) return true;
    uncharged_copies_ -= length;
    return false;
  }

  // Once a turn: after the harvest, before completions are handled.
  void OnHarvest();
  void OnEvent(const Completion& event, absl::Duration now);
  // Once a turn, when writes have completed: gives pages back to the kernel.
  void OnTurn(absl::Duration now);

  // A receive ended for want of a page.
  void OnExhausted() { exhausted_ = true; }
  // So little is free that what is held should be written at once.
  bool pressed() const { return leased_ * 2 >= options_.area.value / kPage.value; }
  uint64_t returned() const { return refill_.pushed(); }

  bool device_less() const { return options_.interface.empty(); }
  // False for a connection whose packets come through another queue.
  bool Carries(int socket) const;
  const Options& options() const { return options_; }
  InterfaceQueueCounters counters() const;

 private:
  InterfaceQueue(Ring& ring, const Options& options, const RefillRing& refill)
      : ring_(&ring), options_(options), ring_facts_(refill), refill_(refill) {}

  Ring* ring_;
  const Options options_;
  const RefillRing ring_facts_;
  RefillQueue refill_;
  uint64_t completions_ = 0;
  uint64_t leased_ = 0;
  uint64_t copied_bytes_ = 0;      // the kernel's figure, as last seen
  uint64_t uncharged_copies_ = 0;  // of them: not charged to a fragment yet
  uint64_t allocation_failures_ = 0;
  uint64_t flushes_ = 0;
  bool exhausted_ = false;
  uint32_t fired_ = 0;  // events to arm again: a bit for each type
  absl::Duration arm_at_ = absl::InfiniteDuration();
};

}  // namespace sluice

#endif  // INGEST_RECEIVE_INTERFACE_QUEUE_H_
