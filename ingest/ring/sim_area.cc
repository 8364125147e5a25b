#include "ingest/ring/sim_area.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ingest/check.h"

namespace sluice {
namespace {

// What nobody may read any more.
constexpr std::byte kScribble{0xDD};

}  // namespace

SimArea::SimArea(const InterfaceQueueOptions& options, const SimQueue& queue, Hooks hooks)
    : area_(options.area),
      has_device_(!options.interface.empty()),
      has_events_(queue.has_events),
      can_flush_(queue.can_flush),
      hooks_(std::move(hooks)),
      pages_(options.area.size() / kPage),
      // They count without end: here from anywhere, so that they wrap.
      head_(UINT32_MAX - static_cast<uint32_t>(hooks_.roll(2 * options.refill_entries))),
      tail_(head_.load()),
      entries_(options.refill_entries) {
  SLUICE_CHECK(reinterpret_cast<uintptr_t>(area_.data()) % kPage == 0 && !area_.empty());
  SLUICE_CHECK(area_.size() % kPage == 0);
  const uint32_t entries = options.refill_entries;
  SLUICE_CHECK(entries != 0 && (entries & (entries - 1)) == 0 && entries <= kRefillEntriesMax);
  for (uint32_t page = 0; page < pages_.size(); ++page) free_.push_back(page);
  if (has_device_) Post();
}

RefillRing SimArea::refill_ring() {
  RefillRing ring;
  ring.head = &head_;
  ring.tail = &tail_;
  ring.entries = entries_.data();
  ring.size = static_cast<uint32_t>(entries_.size());
  if (has_events_) ring.statistics = &statistics_;
  ring.needs_flush = !has_device_;
  ring.can_flush = can_flush_;
  return ring;
}

uint32_t SimArea::free_pages() const {
  return static_cast<uint32_t>(std::count_if(pages_.begin(), pages_.end(), [](const Page& page) {
    return page.users == 0 && page.in_sockets == 0;
  }));
}

// ---- bytes come in

void SimArea::Put(const Place& place, std::string_view bytes) {
  std::memcpy(Bytes(place.page).data() + place.offset, bytes.data(), place.length);
  ++pages_[place.page].in_sockets;
}

// The device gets pages, as far as there are some for it.
void SimArea::Post() {
  const size_t most = std::max<size_t>(1, pages_.size() / 4);
  const size_t left_to_copies = std::max<size_t>(1, pages_.size() / 8);
  TakeRefill(kTakenAtOnce);
  while (posted_.size() < most && free_.size() > left_to_copies) {
    posted_.push_back(free_.back());
    free_.pop_back();
  }
}

std::optional<SimArea::Place> SimArea::PlaceByDevice(std::string_view bytes) {
  SLUICE_CHECK(has_device_ && !bytes.empty());
  if (open_.empty() || (open_.size() < kOpenMax && hooks_.roll(4) == 0)) {
    if (posted_.empty()) Post();
    if (!posted_.empty()) {
      const size_t pick = hooks_.roll(posted_.size());
      std::swap(posted_[pick], posted_.back());
      open_.push_back({posted_.back()});
      pages_[posted_.back()].open = true;
      posted_.pop_back();
    }
  }
  if (open_.empty()) return std::nullopt;
  const size_t pick = hooks_.roll(open_.size());
  Open& open = open_[pick];
  const uint32_t gaps[] = {0, -open.filled % 64, -open.filled % 512,
                           1 + static_cast<uint32_t>(hooks_.roll(200))};
  const uint32_t offset = std::min(open.filled + gaps[hooks_.roll(4)], kPage - 1);
  const Place place{open.page, offset,
                    static_cast<uint32_t>(std::min<size_t>(bytes.size(), kPage - offset))};
  Put(place, bytes);
  placed_bytes_ += place.length;
  open.filled = offset + place.length;
  if (open.filled == kPage || hooks_.roll(8) == 0) Close(pick);
  return place;
}

std::optional<SimArea::Place> SimArea::PlaceInOrder(std::string_view bytes) {
  if (open_.empty()) {
    if (posted_.empty()) Post();
    if (posted_.empty()) return std::nullopt;
    open_.push_back({posted_.back()});
    pages_[posted_.back()].open = true;
    posted_.pop_back();
  }
  Open& open = open_.front();
  const Place place{open.page, open.filled, static_cast<uint32_t>(bytes.size())};
  Put(place, bytes);
  placed_bytes_ += place.length;
  open.filled += place.length;
  if (open.filled + place.length > kPage) Close(0);
  return place;
}

void SimArea::Close(size_t open) {
  const uint32_t page = open_[open].page;
  open_.erase(open_.begin() + static_cast<int64_t>(open));
  pages_[page].open = false;
  if (pages_[page].users == 0 && pages_[page].in_sockets == 0) GoHome(page);
}

std::optional<SimArea::Place> SimArea::Copy(std::string_view bytes) {
  if (free_.empty()) return std::nullopt;
  const Place place{free_.back(), 0, static_cast<uint32_t>(std::min<size_t>(bytes.size(), kPage))};
  free_.pop_back();
  Put(place, bytes);
  copied_bytes_ += place.length;
  return place;
}

void SimArea::Drop(const Place& place) {
  Page& page = pages_[place.page];
  if (--page.in_sockets == 0 && page.users == 0 && !page.open) GoHome(place.page);
}

uint64_t SimArea::Deliver(const Place& place) {
  Page& page = pages_[place.page];
  --page.in_sockets;
  ++page.users;
  page.delivered.push_back(place);
  ++completions_;
  return uint64_t{place.page} * kPage + place.offset;
}

// ---- and go home

uint32_t SimArea::TakeRefill(uint32_t most) {
  // Acquire: the entries below the tail have been written before it moved.
  const uint32_t tail = tail_.load(std::memory_order_acquire);
  uint32_t head = head_.load(std::memory_order_relaxed);
  const auto size = static_cast<uint32_t>(entries_.size());
  if (tail - head > size) {
    hooks_.violation(absl::StrCat("the refill ring was overrun: ", tail - head, " entries"));
    head = tail - size;
  }
  const uint32_t count = std::min(tail - head, most);
  for (uint32_t i = 0; i < count; ++i) {
    const zcrx::RefillEntry entry = entries_[head++ & (size - 1)];
    Take(entry);
  }
  // Release: what was read may be overwritten from here on.
  head_.store(head, std::memory_order_release);
  return count;
}

void SimArea::Take(const zcrx::RefillEntry& entry) {
  ++returned_;
  const uint64_t number = entry.offset / kPage;
  if (entry.pad != 0) return hooks_.violation("a refill entry with padding");
  if (number >= pages_.size()) {
    return hooks_.violation(absl::StrCat("a refill entry for offset ", entry.offset));
  }
  Page& page = pages_[number];
  if (page.users == 0) return hooks_.violation(absl::StrCat("page ", number, " returned twice"));
  if (--page.users > 0) return;

  const auto at = static_cast<uint32_t>(number);
  if (hooks_.is_being_written(Bytes(at))) {
    hooks_.violation(
        absl::StrCat("memory was given back while it was being written: page ", number));
  }
  if (page.in_sockets == 0 && !page.open) return GoHome(at);
  for (const Place& place : std::exchange(page.delivered, {})) {
    const auto bytes = Bytes(at).subspan(place.offset, place.length);
    std::fill(bytes.begin(), bytes.end(), kScribble);
  }
}

void SimArea::GoHome(uint32_t page) {
  pages_[page].delivered.clear();
  std::fill(Bytes(page).begin(), Bytes(page).end(), kScribble);
  const bool posts = has_device_ && posted_.size() < std::max<size_t>(1, pages_.size() / 4) &&
                     free_.size() > pages_.size() / 8 && hooks_.roll(2) == 0;
  (posts ? posted_ : free_).push_back(page);
}

// ---- what the user is told

void SimArea::CountCopy(uint64_t bytes) {
  ++statistics_.copies;
  statistics_.bytes += bytes;
}

bool SimArea::Fire(zcrx::Event type) {
  return has_events_ && std::exchange(armed_[static_cast<uint32_t>(type)], false);
}

void SimArea::Arm(zcrx::Event type) {
  if (std::exchange(armed_[static_cast<uint32_t>(type)], true)) {
    hooks_.violation("an event was armed that had not come");
  }
}

// ---- what a write may rely on

std::string SimArea::Fixed(std::span<const std::byte> memory) {
  const auto base = reinterpret_cast<uintptr_t>(area_.data());
  const auto at = reinterpret_cast<uintptr_t>(memory.data());
  const uintptr_t begin = std::max(at, base);
  const uintptr_t end = std::min(at + memory.size(), base + area_.size());
  if (begin >= end) return "";
  std::string fixed(memory.size(), '1');
  const auto mark = [&](uintptr_t from, uintptr_t to, char as) {
    for (from = std::max(from, begin), to = std::min(to, end); from < to; ++from) {
      fixed[from - at] = as;
    }
  };
  mark(begin, end, '0');
  for (uintptr_t number = (begin - base) / kPage; number <= (end - 1 - base) / kPage; ++number) {
    const Page& page = pages_[number];
    if (page.users == 0) {
      hooks_.violation(absl::StrCat("a write names page ", number, ", which has no user"));
    }
    for (const Place& place : page.delivered) {
      const uintptr_t from = base + number * kPage + place.offset;
      mark(from, from + place.length, '1');
    }
  }
  return fixed;
}

}  // namespace sluice
