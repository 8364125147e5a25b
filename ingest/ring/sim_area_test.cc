// Does the modelled area notice what it says it notices, and hand out what a kernel would?
#include "ingest/ring/sim_area.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr uint32_t kPage = SimArea::kPage;
constexpr uint32_t kPages = 16;
constexpr uint32_t kEntries = 8;

class SimAreaTest : public ::testing::Test {
 protected:
  void Open(const std::string& interface, SimQueue queue = {}) {
    InterfaceQueueOptions options;
    options.interface = interface;
    options.area = memory_.bytes;
    options.refill_entries = kEntries;
    area_.emplace(options, queue,
                  SimArea::Hooks{
                      [this](uint64_t below) { return below == 0 ? 0 : dice_() % below; },
                      [this](std::string what) { violations_.push_back(std::move(what)); },
                      [this](std::span<const std::byte> page) {
                        return being_written_ >= page.data() &&
                               being_written_ < page.data() + page.size();
                      },
                  });
    ring_ = area_->refill_ring();
  }

  void Return(uint64_t offset, uint32_t pad = 0) {
    const uint32_t tail = ring_.tail->load();
    ring_.entries[tail & (ring_.size - 1)] = {offset, 0, pad};
    ring_.tail->store(tail + 1, std::memory_order_release);
  }
  void ReturnNow(uint64_t offset) {
    Return(offset);
    area_->TakeRefill(UINT32_MAX);
  }
  uint64_t CopyAndDeliver(std::string_view bytes) { return area_->Deliver(*area_->Copy(bytes)); }
  std::string At(uint64_t offset, size_t length) const {
    return {reinterpret_cast<const char*>(memory_.bytes) + offset, length};
  }
  std::string Last() const { return violations_.empty() ? "" : violations_.back(); }

  struct alignas(kPage) Memory {
    std::byte bytes[kPages * kPage] = {};
  };
  Memory memory_;
  std::mt19937_64 dice_{1};
  std::optional<SimArea> area_;
  RefillRing ring_;
  std::vector<std::string> violations_;
  const std::byte* being_written_ = nullptr;
};

// ---- without a device

TEST_F(SimAreaTest, CopiesTakeWholePagesLastInFirstOut) {
  Open("");
  EXPECT_TRUE(ring_.needs_flush);
  EXPECT_EQ(CopyAndDeliver("abc"), (kPages - 1) * kPage);
  EXPECT_EQ(CopyAndDeliver(std::string(5000, 'x')), (kPages - 2) * kPage);
  EXPECT_EQ(At((kPages - 1) * kPage, 3), "abc");
  EXPECT_EQ(At((kPages - 2) * kPage, kPage), std::string(kPage, 'x'));
  ReturnNow((kPages - 1) * kPage + 17);  // anywhere in the page
  EXPECT_EQ(CopyAndDeliver("d"), (kPages - 1) * kPage);
  EXPECT_TRUE(violations_.empty());
}

TEST_F(SimAreaTest, WhenEveryPageIsTakenThereIsNoneUntilOneIsBack) {
  Open("");
  for (uint32_t i = 0; i < kPages; ++i) CopyAndDeliver("x");
  EXPECT_FALSE(area_->Copy("x"));
  EXPECT_EQ(area_->free_pages(), 0u);
  Return(0);
  EXPECT_FALSE(area_->Copy("x"));  // the entry has not been taken
  EXPECT_EQ(area_->TakeRefill(UINT32_MAX), 1u);
  EXPECT_EQ(area_->free_pages(), 1u);
  EXPECT_TRUE(area_->Copy("x"));
}

TEST_F(SimAreaTest, WhatIsReturnedIsCountedAndOverwritten) {
  Open("");
  const uint64_t at = CopyAndDeliver("abc");
  EXPECT_EQ(area_->completions(), 1u);
  EXPECT_EQ(area_->free_pages(), kPages - 1);
  const uint32_t head = ring_.head->load();
  Return(at);
  EXPECT_EQ(ring_.head->load(), head);
  area_->TakeRefill(UINT32_MAX);
  EXPECT_EQ(ring_.head->load(), head + 1);
  EXPECT_EQ(area_->returned(), 1u);
  EXPECT_EQ(area_->free_pages(), kPages);
  EXPECT_EQ(At(at, 3), "\xDD\xDD\xDD");
}

TEST_F(SimAreaTest, TheCountersOfTheRefillRingWrap) {
  Open("");
  const uint32_t start = ring_.tail->load();
  EXPECT_GT(start, UINT32_MAX - 2 * kEntries);
  for (uint32_t i = 0; i < 4 * kEntries; ++i) ReturnNow(CopyAndDeliver("x"));
  EXPECT_EQ(ring_.head->load(), start + 4 * kEntries);
  EXPECT_LT(ring_.head->load(), start);
  EXPECT_EQ(area_->free_pages(), kPages);
  EXPECT_TRUE(violations_.empty());
}

// ---- with a device

TEST_F(SimAreaTest, ADeviceSharesPagesAndNeverCrossesOne) {
  Open("eth0");
  EXPECT_FALSE(ring_.needs_flush);
  std::set<uint32_t> pages;
  bool odd = false;
  bool shared = false;
  std::string memory(sizeof(memory_.bytes), '\0');
  std::vector<std::pair<uint64_t, std::string>> placed;
  for (char what = 'a'; const auto place = area_->PlaceByDevice(std::string(300, what)); ++what) {
    ASSERT_GE(place->length, 1u);
    ASSERT_LE(place->offset + place->length, kPage);
    odd |= place->offset % 2 != 0;
    shared |= !pages.insert(place->page).second;
    placed.emplace_back(uint64_t{place->page} * kPage + place->offset,
                        std::string(place->length, what));
    EXPECT_EQ(area_->Deliver(*place), placed.back().first);
  }
  EXPECT_TRUE(odd);
  EXPECT_TRUE(shared);
  EXPECT_GT(pages.size(), kPages / 2);
  for (const auto& [at, bytes] : placed) EXPECT_EQ(At(at, bytes.size()), bytes);
  // What is left is for copies.
  EXPECT_TRUE(area_->Copy("x"));
}

TEST_F(SimAreaTest, APageGoesHomeWithItsLastReference) {
  Open("eth0");
  const auto first = *area_->PlaceByDevice("first");
  auto second = *area_->PlaceByDevice("second");
  while (second.page != first.page) second = *area_->PlaceByDevice("second");
  area_->Deliver(first);
  EXPECT_EQ(area_->users(first.page), 1u);
  ReturnNow(uint64_t{first.page} * kPage);
  EXPECT_EQ(area_->users(first.page), 0u);
  EXPECT_LT(area_->free_pages(), kPages);  // another fragment waits in a socket
  EXPECT_EQ(At(uint64_t{first.page} * kPage + first.offset, 5), "\xDD\xDD\xDD\xDD\xDD");
  EXPECT_EQ(At(area_->Deliver(second), 6), "second");
  ReturnNow(uint64_t{first.page} * kPage);
  EXPECT_TRUE(violations_.empty());
}

TEST_F(SimAreaTest, ADeviceInNeedTakesEntriesByItself) {
  Open("eth0");
  std::vector<uint64_t> held;
  while (const auto place = area_->PlaceByDevice(std::string(kPage, 'x'))) {
    held.push_back(area_->Deliver(*place));
  }
  for (size_t i = 0; i < kEntries && i < held.size(); ++i) Return(held[i]);
  EXPECT_TRUE(area_->PlaceByDevice(std::string(kPage, 'x')));
  EXPECT_EQ(area_->returned(), kEntries);
  EXPECT_TRUE(violations_.empty());
}

TEST_F(SimAreaTest, WhatAClosedSocketLeavesGoesHome) {
  Open("eth0");
  std::vector<SimArea::Place> waiting;
  while (const auto place = area_->PlaceByDevice(std::string(kPage, 'x'))) {
    waiting.push_back(*place);
  }
  EXPECT_LT(area_->free_pages(), kPages / 2);
  for (const SimArea::Place& place : waiting) area_->Drop(place);
  EXPECT_EQ(area_->free_pages(), kPages);
  EXPECT_TRUE(area_->PlaceByDevice("x"));
}

// ---- mistakes

TEST_F(SimAreaTest, ReturningTwiceIsNoticed) {
  Open("");
  const uint64_t at = CopyAndDeliver("x");
  Return(at);
  Return(at);
  area_->TakeRefill(UINT32_MAX);
  ASSERT_EQ(violations_.size(), 1u);
  EXPECT_EQ(Last(), "page 15 returned twice");
}

TEST_F(SimAreaTest, EntriesThatMeanNothingAreNoticed) {
  Open("");
  const uint64_t at = CopyAndDeliver("x");
  ReturnNow(at | uint64_t{1} << zcrx::kAreaShift);
  EXPECT_TRUE(Last().starts_with("a refill entry for offset ")) << Last();
  ReturnNow(kPages * kPage);
  EXPECT_EQ(Last(), "a refill entry for offset 65536");
  Return(at, 1);
  area_->TakeRefill(UINT32_MAX);
  EXPECT_EQ(Last(), "a refill entry with padding");
  ReturnNow(0);
  EXPECT_EQ(Last(), "page 0 returned twice");
  EXPECT_EQ(violations_.size(), 4u);
}

TEST_F(SimAreaTest, OverrunningTheRefillRingIsNoticed) {
  Open("");
  for (uint32_t i = 0; i < kEntries + 1; ++i) CopyAndDeliver("x");
  for (uint32_t i = 0; i < kEntries + 1; ++i) Return((kPages - 1 - i) * kPage);
  EXPECT_EQ(area_->TakeRefill(UINT32_MAX), kEntries);
  EXPECT_EQ(Last(), "the refill ring was overrun: 9 entries");
  EXPECT_LT(area_->free_pages(), kPages);  // one is lost
}

TEST_F(SimAreaTest, GivingBackWhatIsBeingWrittenIsNoticed) {
  Open("");
  const uint64_t at = CopyAndDeliver("x");
  being_written_ = memory_.bytes + at + 100;
  ReturnNow(at);
  EXPECT_EQ(Last(), "memory was given back while it was being written: page 15");
}

TEST_F(SimAreaTest, OneOfTwoReferencesMayGoWhileAPageIsBeingWritten) {
  Open("eth0");
  const auto first = *area_->PlaceByDevice("first");
  auto second = *area_->PlaceByDevice("second");
  while (second.page != first.page) second = *area_->PlaceByDevice("second");
  area_->Deliver(first);
  area_->Deliver(second);
  being_written_ = memory_.bytes + uint64_t{first.page} * kPage;
  ReturnNow(uint64_t{first.page} * kPage);
  EXPECT_TRUE(violations_.empty());
  ReturnNow(uint64_t{first.page} * kPage);
  EXPECT_EQ(violations_.size(), 1u);
}

TEST_F(SimAreaTest, EventsComeOnceUntilTheyAreArmed) {
  Open("eth0");
  EXPECT_TRUE(area_->Fire(zcrx::Event::kCopied));
  EXPECT_FALSE(area_->Fire(zcrx::Event::kCopied));
  EXPECT_TRUE(area_->Fire(zcrx::Event::kAllocationFailed));
  area_->Arm(zcrx::Event::kCopied);
  EXPECT_TRUE(area_->Fire(zcrx::Event::kCopied));
  EXPECT_TRUE(violations_.empty());
  area_->Arm(zcrx::Event::kCopied);
  area_->Arm(zcrx::Event::kCopied);
  EXPECT_EQ(Last(), "an event was armed that had not come");
}

TEST_F(SimAreaTest, AnOlderKernelHasNeitherEventsNorStatistics) {
  Open("eth0", {.has_events = false, .can_flush = false});
  EXPECT_EQ(ring_.statistics, nullptr);
  EXPECT_FALSE(ring_.can_flush);
  EXPECT_FALSE(area_->Fire(zcrx::Event::kCopied));
}

// ---- what a write may rely on

TEST_F(SimAreaTest, OnlyFragmentsThatTheUserHoldsAreFixed) {
  Open("");
  const uint64_t at = CopyAndDeliver("abc");
  const auto fixed = [this](uint64_t begin, size_t length) {
    return area_->Fixed({memory_.bytes + begin, length});
  };
  EXPECT_EQ(fixed(at, 5), "11100");
  EXPECT_EQ(fixed(at + 1, 2), "11");
  EXPECT_TRUE(violations_.empty());
  EXPECT_EQ(fixed(0, 4), "0000");
  EXPECT_EQ(Last(), "a write names page 0, which has no user");
}

TEST_F(SimAreaTest, MemoryOutsideOfTheAreaIsNotItsBusiness) {
  Open("");
  std::byte other[8];
  EXPECT_EQ(area_->Fixed(other), "");
  EXPECT_TRUE(violations_.empty());
}

}  // namespace
}  // namespace sluice
