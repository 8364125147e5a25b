// The kernel's and the device's side of a zero-copy receive area. For SimRing.
#ifndef INGEST_RING_SIM_AREA_H_
#define INGEST_RING_SIM_AREA_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "ingest/ring/ring.h"

namespace sluice {

// What the modelled kernel has to offer.
struct SimQueue {
  bool has_events = true;  // and statistics (Linux 7.2)
  bool can_flush = true;   // likewise; there is no device-less queue without
  // Data completions of zero-copy receives that wait for a harvest at most.
  uint32_t completions_max = UINT32_MAX;
  absl::Status refusal = {};  // not OK: no queue can be opened
  // For measurements: every packet has so many bytes, a divisor of a page's, and packets follow
  // each other without a gap. 0: any sizes at any places.
  uint32_t packet_bytes = 0;
};

// Pages, the references on them, and the refill ring, whose memory is here too.
//
// A page is free; or posted to the device; or open, while the device goes on placing fragments
// into it, each somewhere behind the last, of whichever stream; or closed. Every fragment that
// waits in a socket holds a page, then every data completion does, until an entry of the refill
// ring takes that back. A page that nobody holds goes home, to the device or to the free list. A
// copy takes a whole page from the free list, last in first out. The device posts from the refill
// ring, then from the free list, of which it leaves the last eighth to copies. (A real device
// leaves nothing, which is why a real area must be larger than what sockets can hold.)
//
// What is wrong becomes a violation: an entry that names no page of this area, or a page without
// a reference, or has padding; a tail more than the ring's size ahead; and a last reference that
// comes back while a write names the page. Bytes that nobody may read any more are overwritten.
class SimArea {
 public:
  static constexpr uint32_t kPage = 4096;

  // A fragment, in one page.
  struct Place {
    uint32_t page;
    uint32_t offset;
    uint32_t length;
  };
  struct Hooks {
    std::function<uint64_t(uint64_t below)> roll;
    std::function<void(std::string what)> violation;
    std::function<bool(std::span<const std::byte>)> is_being_written;
  };

  SimArea(const InterfaceQueueOptions& options, const SimQueue& queue, Hooks hooks);
  SimArea(const SimArea&) = delete;
  SimArea& operator=(const SimArea&) = delete;

  RefillRing refill_ring();
  bool has_device() const { return has_device_; }

  // -- Fragments that wait in a socket. Places as much of `bytes` as one page takes: nullopt when
  // there is no page.
  std::optional<Place> PlaceByDevice(std::string_view bytes);
  std::optional<Place> PlaceInOrder(std::string_view bytes);
  std::optional<Place> Copy(std::string_view bytes);
  void Drop(const Place& place);
  // The user gets it: what the completion says of where it lies.
  uint64_t Deliver(const Place& place);

  // Takes back at most so many entries; returns how many.
  uint32_t TakeRefill(uint32_t most);

  // Counts a copy, for the user to see.
  void CountCopy(uint64_t bytes);
  // Whether an event of the type is to be sent.
  bool Fire(zcrx::Event type);
  void Arm(zcrx::Event type);

  // For each byte of `memory` '1' if it may not change while the user holds what it has: a byte of
  // a delivered fragment, or of no page of this area. Empty when all are. A page without any
  // reference is a violation.
  std::string Fixed(std::span<const std::byte> memory);

  // -- For the test.
  uint64_t completions() const { return completions_; }
  uint64_t returned() const { return returned_; }
  uint32_t pages() const { return static_cast<uint32_t>(pages_.size()); }
  uint32_t free_pages() const;  // neither with the user nor in a socket
  uint32_t users(uint32_t page) const { return pages_.at(page).users; }
  uint64_t placed_bytes() const { return placed_bytes_; }
  uint64_t copied_bytes() const { return copied_bytes_; }
  const zcrx::Statistics& statistics() const { return statistics_; }

 private:
  static constexpr uint32_t kOpenMax = 4;
  static constexpr uint32_t kTakenAtOnce = 64;  // entries, by a device in need

  struct Page {
    uint32_t users = 0;            // data completions not yet taken back
    uint32_t in_sockets = 0;       // fragments
    bool open = false;             // the device goes on
    std::vector<Place> delivered;  // since there was no user
  };
  struct Open {
    uint32_t page;
    uint32_t filled = 0;
  };

  std::span<std::byte> Bytes(uint32_t page) { return area_.subspan(size_t{page} * kPage, kPage); }
  void Put(const Place& place, std::string_view bytes);
  void Post();
  void Close(size_t open);
  void Take(const zcrx::RefillEntry& entry);
  void GoHome(uint32_t page);

  const std::span<std::byte> area_;
  const bool has_device_;
  const bool has_events_;
  const bool can_flush_;
  const Hooks hooks_;
  std::vector<Page> pages_;
  std::vector<uint32_t> free_;    // the last is next
  std::vector<uint32_t> posted_;  // to the device
  std::vector<Open> open_;
  std::atomic<uint32_t> head_;
  std::atomic<uint32_t> tail_;
  std::vector<zcrx::RefillEntry> entries_;
  zcrx::Statistics statistics_ = {};
  bool armed_[zcrx::kEventCount] = {true, true};
  uint64_t completions_ = 0;
  uint64_t returned_ = 0;
  uint64_t placed_bytes_ = 0;
  uint64_t copied_bytes_ = 0;
};

}  // namespace sluice

#endif  // INGEST_RING_SIM_AREA_H_
