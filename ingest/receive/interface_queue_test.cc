#include "ingest/receive/interface_queue.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "ingest/ring/sim_ring.h"

namespace sluice {
namespace {

constexpr uint32_t kPages = 16;
constexpr OpTag kAccept{OpKind::kAccept, 0, 0, 0};
constexpr OpTag kReceive{OpKind::kReceiveZeroCopy, 0, 0, 0};

// A queue, and one peer that sends through it.
class InterfaceQueueTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (ring_ == nullptr) return;
    for (const std::string& what : ring_->violations()) ADD_FAILURE() << what;
    if (queue_ == nullptr) return;
    leases_.clear();
    for (int turn = 0; turn < 1000 && area().returned() < area().completions(); ++turn) {
      queue_->OnTurn(ring_->Monotonic());
      ring_->TakeRefill();
    }
    EXPECT_EQ(area().returned(), area().completions());
    EXPECT_EQ(queue_->counters().returned, area().returned());
    EXPECT_EQ(queue_->counters().completions, area().completions());
    EXPECT_EQ(queue_->counters().leased, 0u);
    for (const std::string& what : ring_->violations()) ADD_FAILURE() << what;
  }

  void Open(const std::string& interface, SimFaults faults = {}, SimQueue kernel = {},
            uint32_t napi = 0) {
    ring_ = std::make_unique<SimRing>(1, faults);
    ring_->queue() = kernel;
    region_ = *Region::Map(KiB(4), InterfaceQueue::kPage * kPages);
    auto opened = InterfaceQueue::Open(*ring_, *region_,
                                       {.interface = interface,
                                        .queue = 3,
                                        .napi = napi,
                                        .area_begin = region_->area_begin(),
                                        .area = InterfaceQueue::kPage * kPages});
    ASSERT_TRUE(opened.ok()) << opened.status();
    queue_ = *std::move(opened);
  }
  void AcceptPeer(std::string bytes) {
    const int listener = ring_->AddListener();
    peer_ = ring_->AddPeer(listener, std::move(bytes), SimRing::PeerEnd::kStay);
    ring_->AcceptMultishot(kAccept, listener);
    while (socket_ < 0) {
      ring_->SubmitAndWait(absl::Milliseconds(1));
      for (const Completion& done : ring_->Harvest()) {
        if (done.tag == kAccept) {
          socket_ = done.result;
        } else {
          Take(done);
        }
      }
    }
  }
  // Receives, and keeps every lease, until nothing more comes or `stop`.
  template <class Stop>
  void ReceiveUntil(Stop stop) {
    if (!armed_) ring_->ReceiveZeroCopy(kReceive, socket_);
    armed_ = true;
    for (int quiet = 0; quiet < 100 && armed_ && !stop();) {
      ring_->SubmitAndWait(absl::Milliseconds(10));
      const auto completions = ring_->Harvest();
      quiet = completions.empty() ? quiet + 1 : 0;
      queue_->OnHarvest();
      for (const Completion& done : completions) Take(done);
    }
  }
  void Receive() {
    ReceiveUntil([] { return false; });
  }
  void Take(const Completion& done) {
    if (done.tag.kind == OpKind::kQueueEvent) return queue_->OnEvent(done, ring_->Monotonic());
    armed_ = done.more();
    last_ = done;
    if (!done.more()) return;
    const auto length = static_cast<uint64_t>(done.result);
    leases_.push_back(queue_->Lease(done.area_offset));
    const auto span = region_->Span(queue_->At(done.area_offset), {length});
    received_.append(reinterpret_cast<const char*>(span.data()), span.size());
    (queue_->WasPlaced(done.area_offset, length) ? placed_ : copied_) += length;
  }
  const SimArea& area() const { return *ring_->area(); }

  std::unique_ptr<Region> region_;
  std::unique_ptr<SimRing> ring_;
  std::unique_ptr<InterfaceQueue> queue_;
  std::vector<RegionLease> leases_;
  int peer_ = 0;
  int socket_ = -1;
  bool armed_ = false;
  Completion last_;
  std::string received_;
  uint64_t placed_ = 0, copied_ = 0;
};

TEST_F(InterfaceQueueTest, WhatTheRingRefusesIsSaid) {
  ring_ = std::make_unique<SimRing>(1);
  ring_->queue().refusal = absl::PermissionDeniedError("needs CAP_NET_ADMIN");
  region_ = *Region::Map(KiB(4), InterfaceQueue::kPage);
  const auto opened = InterfaceQueue::Open(
      *ring_, *region_,
      {.interface = {}, .area_begin = region_->area_begin(), .area = InterfaceQueue::kPage});
  EXPECT_EQ(opened.status(), ring_->queue().refusal);
}

TEST_F(InterfaceQueueTest, BytesLieWhereItSays) {
  for (const char* interface : {"", "eth0"}) {
    leases_.clear();
    queue_ = nullptr;
    received_.clear();
    socket_ = -1;
    armed_ = false;
    Open(interface);
    AcceptPeer("what the peer sent");
    Receive();
    EXPECT_EQ(received_, "what the peer sent");
    EXPECT_EQ(queue_->counters().pages, kPages);
    EXPECT_EQ(queue_->counters().completions, leases_.size());
    EXPECT_EQ(queue_->counters().leased, leases_.size());
  }
}

TEST_F(InterfaceQueueTest, APageGoesBackInTheTurnAfterItsLease) {
  Open("eth0");
  AcceptPeer(std::string(5000, 'x'));
  Receive();
  const size_t leases = leases_.size();
  ASSERT_GE(leases, 2u);
  ring_->TakeRefill();
  EXPECT_EQ(area().returned(), 0u);
  leases_.clear();
  EXPECT_EQ(queue_->counters().leased, 0u);
  ring_->TakeRefill();
  EXPECT_EQ(area().returned(), 0u);  // not shown to the kernel yet
  queue_->OnTurn(ring_->Monotonic());
  ring_->TakeRefill();
  EXPECT_EQ(area().returned(), leases);
  EXPECT_EQ(area().free_pages(), kPages);
}

TEST_F(InterfaceQueueTest, LeasesOnOnePageGoBackOneForOne) {
  Open("eth0");
  AcceptPeer(std::string(30'000, 'x'));
  Receive();
  const size_t leases = leases_.size();
  size_t absorbed = 0;
  for (size_t i = 1; i < leases_.size();) {
    if (!leases_[i - 1].Absorb(leases_[i])) {
      ++i;
      continue;
    }
    leases_.erase(leases_.begin() + static_cast<int64_t>(i));
    ++absorbed;
  }
  EXPECT_GT(absorbed, 0u);
  leases_.clear();
  queue_->OnTurn(ring_->Monotonic());
  ring_->TakeRefill();
  EXPECT_EQ(area().returned(), leases);
}

TEST_F(InterfaceQueueTest, MoreReferencesThanTheRefillRingHoldsWaitTheirTurn) {
  // Many small fragments to a page: the ring has an entry for each page only.
  Open("eth0", {}, {.can_flush = false});
  AcceptPeer(std::string(60'000, 'x'));
  Receive();
  const size_t leases = leases_.size();
  ASSERT_GT(leases, kPages);
  leases_.clear();
  queue_->OnTurn(ring_->Monotonic());
  ring_->TakeRefill();
  EXPECT_EQ(area().returned(), kPages);
  for (int turn = 0; turn < 100 && area().returned() < leases; ++turn) {
    queue_->OnTurn(ring_->Monotonic());
    ring_->TakeRefill();
  }
  EXPECT_EQ(area().returned(), leases);
  EXPECT_EQ(queue_->counters().flushes, 0u);
}

TEST_F(InterfaceQueueTest, WithoutADeviceItFlushesOnceThereIsEnough) {
  Open("");
  AcceptPeer(std::string(kPages * 4096, 'x'));
  Receive();
  EXPECT_EQ(last_.result, -ENOMEM);
  EXPECT_TRUE(queue_->pressed());
  leases_.pop_back();
  queue_->OnTurn(ring_->Monotonic());
  EXPECT_EQ(area().returned(), 0u);  // one page of sixteen is not worth a system call
  leases_.pop_back();
  queue_->OnTurn(ring_->Monotonic());
  EXPECT_EQ(area().returned(), 2u);
  EXPECT_EQ(queue_->counters().flushes, 1u);
  queue_->OnTurn(ring_->Monotonic());
  EXPECT_EQ(queue_->counters().flushes, 1u);  // there is nothing more
}

TEST_F(InterfaceQueueTest, WhenAReceiveWantsAPageItFlushesWhatThereIs) {
  for (const char* interface : {"", "eth0"}) {
    leases_.clear();
    queue_ = nullptr;
    socket_ = -1;
    armed_ = false;
    Open(interface, {.linear = 2});
    AcceptPeer(std::string(kPages * 8192, 'x'));
    Receive();
    ASSERT_FALSE(leases_.empty());
    leases_.pop_back();
    queue_->OnExhausted();
    const uint64_t before = area().returned();
    queue_->OnTurn(ring_->Monotonic());
    EXPECT_EQ(area().returned(), before + 1);
    leases_.pop_back();
    queue_->OnTurn(ring_->Monotonic());
    EXPECT_EQ(area().returned(), before + 1);  // asked for once
  }
}

TEST_F(InterfaceQueueTest, AKernelWithoutAFlushIsNotAskedForOne) {
  Open("eth0", {}, {.has_events = false, .can_flush = false});
  AcceptPeer(std::string(30'000, 'x'));
  Receive();
  leases_.clear();
  queue_->OnExhausted();
  queue_->OnTurn(ring_->Monotonic());
  EXPECT_EQ(queue_->counters().flushes, 0u);
}

TEST_F(InterfaceQueueTest, ItIsPressedWhenHalfOfThePagesAreLeased) {
  Open("");
  AcceptPeer(std::string(kPages * 4096, 'x'));
  EXPECT_FALSE(queue_->pressed());
  ReceiveUntil([this] { return leases_.size() >= kPages / 2; });
  EXPECT_TRUE(queue_->pressed());
  while (leases_.size() >= kPages / 2) leases_.pop_back();
  EXPECT_FALSE(queue_->pressed());
}

// ---- who copied

TEST_F(InterfaceQueueTest, WithoutADeviceAllIsCopied) {
  Open("");
  AcceptPeer(std::string(20'000, 'x'));
  Receive();
  EXPECT_EQ(placed_, 0u);
  EXPECT_EQ(copied_, 20'000u);
  EXPECT_EQ(queue_->counters().kernel_copied_bytes, 20'000u);
}

TEST_F(InterfaceQueueTest, WhatTheKernelCountsAsCopiedWasNotPlaced) {
  Open("eth0", {.not_placed = 1});
  AcceptPeer(std::string(20'000, 'x'));
  Receive();
  EXPECT_EQ(placed_, 0u);
  EXPECT_EQ(copied_, 20'000u);
  EXPECT_EQ(queue_->counters().kernel_copied_bytes, 20'000u);
  EXPECT_EQ(queue_->counters().kernel_copies, leases_.size());
}

TEST_F(InterfaceQueueTest, TheRestWasPlaced) {
  Open("eth0");
  AcceptPeer(std::string(20'000, 'x'));
  Receive();
  EXPECT_EQ(placed_, 20'000u);
  EXPECT_EQ(copied_, 0u);
}

TEST_F(InterfaceQueueTest, AMixtureIsChargedWithoutInventingCopies) {
  Open("eth0", {.not_placed = 3});
  AcceptPeer(std::string(20'000, 'x'));
  Receive();
  EXPECT_EQ(placed_ + copied_, 20'000u);
  EXPECT_GT(copied_, 0u);
  EXPECT_LE(copied_, queue_->counters().kernel_copied_bytes);
}

TEST_F(InterfaceQueueTest, AnOlderKernelCountsNothing) {
  Open("eth0", {.not_placed = 1}, {.has_events = false, .can_flush = false});
  AcceptPeer("bytes");
  Receive();
  EXPECT_EQ(queue_->counters().kernel_copied_bytes, 0u);
  EXPECT_EQ(queue_->counters().kernel_copies, 0u);
}

// ---- events

TEST_F(InterfaceQueueTest, AnEventIsArmedAgainAfterAWhile) {
  Open("eth0");
  AcceptPeer(std::string(kPages * 8192, 'x'));
  Receive();  // and return nothing: the device drops
  EXPECT_EQ(queue_->counters().allocation_failures, 1u);
  const absl::Duration now = ring_->Monotonic();
  queue_->OnTurn(now + absl::Milliseconds(200));
  Receive();
  EXPECT_EQ(queue_->counters().allocation_failures, 2u);
  // Not before its time, and not what has not come again: that would be a violation.
  queue_->OnTurn(ring_->Monotonic() - absl::Seconds(100));
  Receive();
  EXPECT_EQ(queue_->counters().allocation_failures, 2u);
}

TEST_F(InterfaceQueueTest, UnknownEventsAreIgnored) {
  Open("eth0");
  queue_->OnEvent({{OpKind::kQueueEvent, 0, 0, 0}, 17}, {});
  queue_->OnTurn(ring_->Monotonic() + absl::Seconds(1));
  EXPECT_EQ(queue_->counters().allocation_failures, 0u);
}

// ---- which connections it carries

TEST_F(InterfaceQueueTest, ItCarriesWhatComesThroughItsNapiInstance) {
  Open("eth0", {}, {}, 7);
  AcceptPeer("");
  EXPECT_TRUE(queue_->Carries(socket_));  // nothing has come: who knows
  ring_->route(peer_).napi = 7;
  EXPECT_TRUE(queue_->Carries(socket_));
  ring_->route(peer_).napi = 8;
  EXPECT_FALSE(queue_->Carries(socket_));
}

TEST_F(InterfaceQueueTest, WithoutANapiInstanceItCarriesAll) {
  for (const char* interface : {"", "eth0"}) {
    leases_.clear();
    queue_ = nullptr;
    socket_ = -1;
    Open(interface, {}, {}, interface[0] == '\0' ? 7 : 0);
    AcceptPeer("");
    ring_->route(peer_).napi = 8;
    EXPECT_TRUE(queue_->Carries(socket_));
  }
}

}  // namespace
}  // namespace sluice
