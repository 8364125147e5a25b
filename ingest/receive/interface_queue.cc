#include "ingest/receive/interface_queue.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/memory/memory.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

// An event comes once, until it is armed again: a flood of them costs nothing.
constexpr absl::Duration kArmInterval = absl::Milliseconds(100);

}  // namespace

absl::StatusOr<std::unique_ptr<InterfaceQueue>> InterfaceQueue::Open(Ring& ring, Region& region,
                                                                     const Options& options) {
  const uint64_t pages = options.area.value / kPage.value;
  SLUICE_CHECK(pages > 0 && options.area.value % kPage.value == 0);
  InterfaceQueueOptions ring_options;
  ring_options.interface = options.interface;
  ring_options.queue = options.queue;
  ring_options.area = region.Span(options.area_begin, options.area);
  // Entries are counted by completion, and several can share a page; what does not fit waits.
  ring_options.refill_entries =
      static_cast<uint32_t>(std::min<uint64_t>(std::bit_ceil(pages), kRefillEntriesMax));
  ring_options.event_tag = {OpKind::kQueueEvent, 0, 0, 0};
  SLUICE_ASSIGN_OR_RETURN(const RefillRing refill, ring.OpenInterfaceQueue(ring_options));
  return absl::WrapUnique(new InterfaceQueue(ring, options, refill));
}

void InterfaceQueue::OnHarvest() {
  if (ring_facts_.statistics == nullptr) return;
  // The kernel counts on our thread, while it hands over completions.
  const uint64_t now = std::atomic_ref(const_cast<uint64_t&>(ring_facts_.statistics->bytes))
                           .load(std::memory_order_relaxed);
  uncharged_copies_ += now - std::exchange(copied_bytes_, now);
}

void InterfaceQueue::OnEvent(const Completion& event, absl::Duration now) {
  const auto type = static_cast<uint32_t>(event.result);
  if (type >= zcrx::kEventCount) return;
  if (static_cast<zcrx::Event>(type) == zcrx::Event::kAllocationFailed) ++allocation_failures_;
  fired_ |= 1u << type;
  arm_at_ = std::min(arm_at_, now + kArmInterval);
}

void InterfaceQueue::OnTurn(absl::Duration now) {
  refill_.Publish();
  // A device takes pages by itself, but those that the kernel needs for copies come only from a
  // flush, as do all of them without a device.
  const bool many = ring_facts_.needs_flush &&
                    uint64_t{refill_.in_ring()} * 8 >= options_.area.value / kPage.value;
  const bool flush = ring_facts_.can_flush && (many || exhausted_ || refill_.waiting() > 0);
  uint64_t left = UINT64_MAX;
  while (flush && refill_.in_ring() > 0 && refill_.in_ring() + refill_.waiting() < left) {
    left = refill_.in_ring() + refill_.waiting();
    ++flushes_;
    ring_->FlushRefill();
    refill_.Publish();
  }
  exhausted_ = false;
  if (now >= arm_at_) {
    arm_at_ = absl::InfiniteDuration();
    for (uint32_t type = 0; type < zcrx::kEventCount; ++type) {
      if ((fired_ >> type & 1) != 0) ring_->ArmEvent(static_cast<zcrx::Event>(type));
    }
    fired_ = 0;
  }
}

bool InterfaceQueue::Carries(int socket) const {
  if (device_less() || options_.napi == 0) return true;
  const uint32_t napi = ring_->IncomingNapi(socket);
  return napi == 0 || napi == options_.napi;
}

InterfaceQueueCounters InterfaceQueue::counters() const {
  InterfaceQueueCounters counters;
  counters.completions = completions_;
  counters.returned = refill_.pushed() - refill_.waiting();
  counters.kernel_copied_bytes = copied_bytes_;
  if (ring_facts_.statistics != nullptr) counters.kernel_copies = ring_facts_.statistics->copies;
  counters.allocation_failures = allocation_failures_;
  counters.flushes = flushes_;
  counters.pages = options_.area.value / kPage.value;
  counters.leased = leased_;
  return counters;
}

}  // namespace sluice
