// The simulator's zero-copy receive, seen through the seam.
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ingest/ring/sim_ring.h"

namespace sluice {
namespace {

constexpr uint32_t kPage = SimArea::kPage;
constexpr uint32_t kPages = 64;
constexpr OpTag kAccept{OpKind::kAccept, 0, 0, 0};
constexpr OpTag kEvent{OpKind::kQueueEvent, 0, 0, 0};
constexpr OpTag kWrite{OpKind::kWrite, 0, 0, 0};

OpTag ReceiveOn(int socket) {
  return {OpKind::kReceiveZeroCopy, 0, 0, static_cast<uint32_t>(socket)};
}

std::string Letters(uint64_t length, char first) {
  std::string bytes(length, '\0');
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<char>(first + i % 23 * i % 7);
  return bytes;
}

// The simplest user there can be: it copies what comes, and gives pages back some turns later.
class SimZeroCopyTest : public ::testing::Test {
 protected:
  void Open(uint64_t seed, const std::string& interface, SimFaults faults = {},
            SimQueue queue = {}) {
    memory_ = std::make_unique<Memory>();
    ring_ = std::make_unique<SimRing>(seed, faults);
    ring_->queue() = queue;
    InterfaceQueueOptions options;
    options.interface = interface;
    options.area = memory_->bytes;
    options.refill_entries = 128;
    options.event_tag = kEvent;
    const auto opened = ring_->OpenInterfaceQueue(options);
    ASSERT_TRUE(opened.ok());
    refill_ = *opened;
    listener_ = ring_->AddListener();
    ring_->AcceptMultishot(kAccept, listener_);
  }

  void Reset() {
    ring_ = nullptr;
    sent_.clear();
    sockets_.clear();
    got_.clear();
    ends_.clear();
    events_.clear();
    held_.clear();
    later_.clear();
    trace_.clear();
    starts_a_page_ = true;
  }

  int AddPeer(std::string bytes, SimRing::PeerEnd end = SimRing::PeerEnd::kClose) {
    sent_.push_back(bytes);
    return ring_->AddPeer(listener_, std::move(bytes), end);
  }
  uint64_t SentBytes() const {
    uint64_t sum = 0;
    for (const std::string& bytes : sent_) sum += bytes.size();
    return sum;
  }

  void Turn() {
    ring_->SubmitAndWait(absl::Milliseconds(1));
    const auto done = ring_->Harvest();
    const std::vector<Completion> completions(done.begin(), done.end());
    for (const Completion& completion : completions) {
      trace_.push_back(absl::StrCat(completion.tag.Pack(), " ", completion.result, " ",
                                    completion.flags, " ", completion.area_offset));
      On(completion);
    }
    while (!held_.empty() && (held_.size() > 40 || ring_->Roll(3) == 0)) GiveBackOne();
    if (refill_.needs_flush) ring_->FlushRefill();
  }
  void On(const Completion& done) {
    const int socket = static_cast<int>(done.tag.slot);
    switch (done.tag.kind) {
      case OpKind::kAccept:
        sockets_[done.result] = ring_->PeerAddress(done.result).port;
        ring_->ReceiveZeroCopy(ReceiveOn(done.result), done.result);
        return;
      case OpKind::kQueueEvent:
        ++events_[done.result];
        ring_->ArmEvent(static_cast<zcrx::Event>(done.result));
        return;
      case OpKind::kReceiveZeroCopy:
        if (done.more()) return Take(done);
        ++ends_[done.result];
        if (done.result == -ENOSPC || done.result == -ENOMEM) {
          ring_->ReceiveZeroCopy(done.tag, socket);
        } else {
          ring_->CloseSocket(socket);
        }
        return;
      default:
        ADD_FAILURE() << "kind " << static_cast<int>(done.tag.kind);
    }
  }
  void Take(const Completion& done) {
    ASSERT_GT(done.result, 0);
    const auto length = static_cast<uint32_t>(done.result);
    ASSERT_LE(done.area_offset % kPage + length, kPage);
    ASSERT_LT(done.area_offset, kPages * uint64_t{kPage});
    got_[sockets_.at(static_cast<int>(done.tag.slot))].append(
        reinterpret_cast<const char*>(memory_->bytes) + done.area_offset, length);
    starts_a_page_ &= done.area_offset % kPage == 0;
    held_.push_back(done.area_offset);
  }
  void GiveBackOne() {
    const size_t pick = ring_->Roll(held_.size());
    std::swap(held_[pick], held_.back());
    GiveBack(held_.back());
    held_.pop_back();
  }
  void GiveBack(uint64_t offset) {
    const uint32_t tail = refill_.tail->load();
    ASSERT_LT(tail - refill_.head->load(), refill_.size);
    refill_.entries[tail & (refill_.size - 1)] = {offset, 0, 0};
    refill_.tail->store(tail + 1, std::memory_order_release);
  }

  void TurnUntilAllAreGone() {
    for (int turn = 0; turn < 100'000; ++turn) {
      Turn();
      bool gone = true;
      for (size_t peer = 1; peer <= sent_.size(); ++peer) {
        gone &= ring_->Gone(static_cast<int>(peer));
      }
      if (gone) break;
    }
    while (!held_.empty()) GiveBackOne();
    ring_->TakeRefill();
  }
  void ExpectAllIsWell() {
    for (size_t i = 0; i < sent_.size(); ++i) {
      EXPECT_TRUE(got_[static_cast<int>(i + 1)] == sent_[i]) << "peer " << i + 1;
    }
    EXPECT_EQ(ring_->area()->returned(), ring_->area()->completions());
    EXPECT_EQ(ring_->area()->free_pages(), kPages);
    for (const std::string& what : ring_->violations()) ADD_FAILURE() << what;
  }
  // The next completion of this kind; others wait for their turn.
  Completion Next(OpKind kind) {
    for (int turn = 0; turn < 1000; ++turn) {
      for (auto done = later_.begin(); done != later_.end(); ++done) {
        if (done->tag.kind != kind) continue;
        const Completion found = *done;
        later_.erase(done);
        return found;
      }
      ring_->SubmitAndWait(absl::Milliseconds(1));
      for (const Completion& done : ring_->Harvest()) later_.push_back(done);
    }
    ADD_FAILURE() << "nothing came";
    return {};
  }

  struct alignas(kPage) Memory {
    std::byte bytes[kPages * kPage] = {};
  };
  std::unique_ptr<Memory> memory_;
  std::unique_ptr<SimRing> ring_;
  RefillRing refill_;
  int listener_ = 0;
  std::vector<std::string> sent_;
  std::map<int, int> sockets_;      // to peers
  std::map<int, std::string> got_;  // by peer
  std::map<int32_t, int> ends_, events_;
  std::vector<uint64_t> held_;
  std::vector<Completion> later_;
  std::vector<std::string> trace_;
  bool starts_a_page_ = true;
};

constexpr SimFaults kFaults{.queue_full = 20, .no_page = 20, .linear = 10, .not_placed = 10};

TEST_F(SimZeroCopyTest, EveryByteComesThroughADevice) {
  std::map<int32_t, int> ends, events;
  uint64_t placed = 0, copied = 0;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Reset();
    Open(seed, "eth0", kFaults);
    for (char i = 0; i < 8; ++i) AddPeer(Letters(ring_->Roll(100'000), static_cast<char>('a' + i)));
    TurnUntilAllAreGone();
    ExpectAllIsWell();
    const SimArea& area = *ring_->area();
    EXPECT_EQ(area.placed_bytes() + area.copied_bytes(), SentBytes());
    EXPECT_LE(area.statistics().bytes, area.copied_bytes());
    placed += area.placed_bytes();
    copied += area.copied_bytes();
    for (const auto& [result, count] : ends_) ends[result] += count;
    for (const auto& [type, count] : events_) events[type] += count;
    if (HasFailure()) return;
  }
  for (const int32_t result : {0, -ENOSPC, -ENOMEM}) EXPECT_GT(ends[result], 0) << result;
  EXPECT_EQ(ends.size(), 3u);
  EXPECT_GT(events[static_cast<int>(zcrx::Event::kAllocationFailed)], 0);
  EXPECT_GT(events[static_cast<int>(zcrx::Event::kCopied)], 0);
  EXPECT_GT(placed, copied);
  EXPECT_GT(copied, 0u);
}

TEST_F(SimZeroCopyTest, EveryByteIsCopiedWithoutADevice) {
  std::map<int32_t, int> ends;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Reset();
    Open(seed, "", kFaults);
    for (char i = 0; i < 8; ++i) AddPeer(Letters(ring_->Roll(100'000), static_cast<char>('a' + i)));
    TurnUntilAllAreGone();
    ExpectAllIsWell();
    EXPECT_TRUE(starts_a_page_);
    EXPECT_EQ(ring_->area()->copied_bytes(), SentBytes());
    EXPECT_EQ(ring_->area()->statistics().bytes, SentBytes());
    EXPECT_EQ(events_[static_cast<int>(zcrx::Event::kAllocationFailed)], 0);
    for (const auto& [result, count] : ends_) ends[result] += count;
    if (HasFailure()) return;
  }
  for (const int32_t result : {0, -ENOSPC}) EXPECT_GT(ends[result], 0) << result;
}

TEST_F(SimZeroCopyTest, TheSameSeedIsTheSameStory) {
  const auto tell = [this](uint64_t seed, const std::string& interface) {
    Reset();
    Open(seed, interface, kFaults);
    for (char i = 0; i < 4; ++i) AddPeer(Letters(50'000, static_cast<char>('a' + i)));
    TurnUntilAllAreGone();
    return trace_;
  };
  for (const char* interface : {"", "eth0"}) {
    EXPECT_EQ(tell(7, interface), tell(7, interface));
    EXPECT_NE(tell(7, interface), tell(8, interface));
  }
}

TEST_F(SimZeroCopyTest, WithoutAFreePageACopyingReceiveEnds) {
  Open(1, "");
  AddPeer(std::string(kPages * kPage * 2, 'x'));
  sockets_[Next(OpKind::kAccept).result] = 1;
  const int socket = sockets_.begin()->first;
  ring_->ReceiveZeroCopy(ReceiveOn(socket), socket);
  Completion done;
  do {
    done = Next(OpKind::kReceiveZeroCopy);
  } while (done.more());
  EXPECT_EQ(done.result, -ENOMEM);
  EXPECT_EQ(ring_->area()->free_pages(), 0u);
  const uint64_t delivered = ring_->Delivered(1);
  GiveBack(5 * kPage);
  ring_->ReceiveZeroCopy(ReceiveOn(socket), socket);
  EXPECT_EQ(Next(OpKind::kReceiveZeroCopy).result, -ENOMEM);  // nobody has flushed
  ring_->FlushRefill();
  ring_->ReceiveZeroCopy(ReceiveOn(socket), socket);
  done = Next(OpKind::kReceiveZeroCopy);
  EXPECT_GT(done.result, 0);
  EXPECT_EQ(done.area_offset, 5u * kPage);
  EXPECT_EQ(ring_->Delivered(1), delivered + static_cast<uint64_t>(done.result));
}

TEST_F(SimZeroCopyTest, WithoutAFreePageADeviceDropsUntilThereIsOne) {
  Open(1, "eth0");
  const int peer = AddPeer(std::string(10 * kPages * kPage, 'x'));
  const int socket = Next(OpKind::kAccept).result;
  ring_->ReceiveZeroCopy(ReceiveOn(socket), socket);
  EXPECT_EQ(Next(OpKind::kQueueEvent).result, static_cast<int>(zcrx::Event::kAllocationFailed));
  for (int turn = 0; turn < 1000; ++turn) {
    ring_->SubmitAndWait(absl::Milliseconds(1));
    for (const Completion& done : ring_->Harvest()) EXPECT_TRUE(done.more());
  }
  const uint64_t delivered = ring_->Delivered(peer);
  for (uint32_t page = 0; page < kPages; ++page) {
    for (uint32_t users = ring_->area()->users(page); users > 0; --users) GiveBack(page * kPage);
    ring_->TakeRefill();
  }
  later_.clear();
  EXPECT_TRUE(Next(OpKind::kReceiveZeroCopy).more());
  EXPECT_GT(ring_->Delivered(peer), delivered);
  EXPECT_TRUE(ring_->violations().empty());
}

TEST_F(SimZeroCopyTest, AFullCompletionQueueEndsTheReceive) {
  Open(1, "");
  ring_->queue().completions_max = 3;
  AddPeer(std::string(20 * kPage, 'x'));
  TurnUntilAllAreGone();
  ExpectAllIsWell();
  EXPECT_GT(ends_[-ENOSPC], 0);
}

TEST_F(SimZeroCopyTest, StreamsEndAsThePeerSays) {
  for (const char* interface : {"", "eth0"}) {
    Reset();
    Open(1, interface);
    AddPeer("closes");
    AddPeer("resets", SimRing::PeerEnd::kReset);
    TurnUntilAllAreGone();
    ExpectAllIsWell();
    EXPECT_EQ(ends_, (std::map<int32_t, int>{{0, 1}, {-ECONNRESET, 1}}));
  }
}

TEST_F(SimZeroCopyTest, AReceiveCanBeCancelled) {
  Open(1, "eth0");
  AddPeer("", SimRing::PeerEnd::kStay);
  const int socket = Next(OpKind::kAccept).result;
  ring_->ReceiveZeroCopy(ReceiveOn(socket), socket);
  ring_->Cancel(ReceiveOn(socket));
  const Completion done = Next(OpKind::kReceiveZeroCopy);
  EXPECT_EQ(done.result, -ECANCELED);
  EXPECT_FALSE(done.more());
}

// The kernel hears of it with the next submission, and may have completions on the way.
TEST_F(SimZeroCopyTest, ACancelledReceiveMayBringSomethingFirst) {
  int brought = 0;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Reset();
    Open(seed, "eth0");
    AddPeer(std::string(100'000, 'x'), SimRing::PeerEnd::kStay);
    const int socket = Next(OpKind::kAccept).result;
    ring_->SubmitAndWait(absl::Milliseconds(1));
    ring_->Harvest();
    ring_->ReceiveZeroCopy(ReceiveOn(socket), socket);
    ring_->Cancel(ReceiveOn(socket));
    const Completion first = Next(OpKind::kReceiveZeroCopy);
    brought += first.more() ? 1 : 0;
    for (Completion done = first; done.result != -ECANCELED;) {
      ASSERT_TRUE(done.more());
      done = Next(OpKind::kReceiveZeroCopy);
    }
    EXPECT_TRUE(later_.empty());
  }
  EXPECT_GT(brought, 10);
  EXPECT_LT(brought, 40);
}

TEST_F(SimZeroCopyTest, WhatIsNoPlainTcpIsRefused) {
  Open(1, "eth0");
  ring_->route(AddPeer("bytes", SimRing::PeerEnd::kStay)).plain_tcp = false;
  const int socket = Next(OpKind::kAccept).result;
  ring_->ReceiveZeroCopy(ReceiveOn(socket), socket);
  EXPECT_EQ(Next(OpKind::kReceiveZeroCopy).result, -EPROTONOSUPPORT);
  EXPECT_EQ(ring_->Delivered(1), 0u);
}

// Receives by copying into one buffer, what comes first.
Completion ReceivePlainly(SimRing& ring, int socket) {
  static std::byte buffer[1 << 20];
  EXPECT_TRUE(ring.OpenBufferGroup(0, 1).ok());
  ring.ProvideBuffer(0, 0, buffer);
  const OpTag tag{OpKind::kReceive, 0, 0, 0};
  ring.ReceiveMultishot(tag, socket, 0);
  Completion first;
  for (int turn = 0; turn < 1000 && first.tag.kind == OpKind::kNone; ++turn) {
    ring.SubmitAndWait(absl::Milliseconds(1));
    for (const Completion& done : ring.Harvest()) {
      if (done.tag == tag && first.tag != tag) first = done;
    }
  }
  ring.Cancel(tag);
  ring.CloseBufferGroup(0);
  return first;
}

TEST_F(SimZeroCopyTest, APlainReceiveCannotReadWhatTheDevicePlaced) {
  Open(1, "eth0");
  const int peer = AddPeer("bytes");
  const int socket = Next(OpKind::kAccept).result;
  EXPECT_EQ(ReceivePlainly(*ring_, socket).result, -EFAULT);
  EXPECT_EQ(ring_->Delivered(peer), 0u);
  EXPECT_LT(ring_->area()->free_pages(), kPages);
  ring_->CloseSocket(socket);
  EXPECT_EQ(ring_->area()->free_pages(), kPages);
}

TEST_F(SimZeroCopyTest, APlainReceiveReadsWhatComesThroughAnotherQueue) {
  Open(1, "eth0");
  const int peer = AddPeer("bytes");
  ring_->route(peer).steered = false;
  ring_->route(peer).napi = 17;
  const int socket = Next(OpKind::kAccept).result;
  EXPECT_EQ(ring_->IncomingNapi(socket), 17u);
  EXPECT_GT(ReceivePlainly(*ring_, socket).result, 0);
}

TEST_F(SimZeroCopyTest, AnotherQueuesMemoryCannotBeReceived) {
  for (const char* interface : {"", "eth0"}) {
    for (const bool readable : {false, true}) {
      Reset();
      Open(1, interface);
      const int peer = AddPeer(std::string(10'000, 'x'), SimRing::PeerEnd::kStay);
      ring_->route(peer).foreign_from = 7000;
      ring_->route(peer).foreign_is_readable = readable;
      const int socket = Next(OpKind::kAccept).result;
      ring_->ReceiveZeroCopy(ReceiveOn(socket), socket);
      Completion done;
      do {
        done = Next(OpKind::kReceiveZeroCopy);
      } while (done.more());
      EXPECT_EQ(done.result, -EFAULT);
      EXPECT_EQ(ring_->Delivered(peer), 7000u);
      ring_->ReceiveZeroCopy(ReceiveOn(socket), socket);
      EXPECT_EQ(Next(OpKind::kReceiveZeroCopy).result, -EFAULT);
      const Completion plain = ReceivePlainly(*ring_, socket);
      EXPECT_EQ(plain.result > 0, readable);
      EXPECT_EQ(plain.result == -EFAULT, !readable);
    }
  }
}

TEST_F(SimZeroCopyTest, AQueueMayBeRefused) {
  SimRing ring(1);
  ring.queue().refusal = absl::PermissionDeniedError("no CAP_NET_ADMIN");
  EXPECT_EQ(ring.OpenInterfaceQueue({}).status().message(), "no CAP_NET_ADMIN");
  ring.queue() = {.can_flush = false};
  EXPECT_FALSE(ring.OpenInterfaceQueue({}).ok());  // without a device
}

TEST_F(SimZeroCopyTest, AFlushThatTheKernelDoesNotKnowIsNoticed) {
  Open(1, "eth0", {}, {.has_events = false, .can_flush = false});
  EXPECT_FALSE(refill_.can_flush);
  ring_->FlushRefill();
  EXPECT_EQ(ring_->violations().size(), 1u);
}

// ---- writes from the area

class SimZeroCopyWriteTest : public SimZeroCopyTest {
 protected:
  // Receives "aaa..." of one page without a device, and starts to write the page.
  void StartWrite(size_t length) {
    Open(1, "");
    file_ = ring_->AddFile(kPage);
    AddPeer(std::string(length, 'a'), SimRing::PeerEnd::kStay);
    const int socket = Next(OpKind::kAccept).result;
    ring_->ReceiveZeroCopy(ReceiveOn(socket), socket);
    for (uint64_t got = 0; got < length;) {
      at_ = Next(OpKind::kReceiveZeroCopy).area_offset;
      got = ring_->Delivered(1);
    }
    page_ = {memory_->bytes + at_, kPage};
    ring_->Write(kWrite, file_, {0}, {&page_, 1});
  }
  int file_ = 0;
  uint64_t at_ = 0;
  iovec page_ = {};
};

TEST_F(SimZeroCopyWriteTest, BytesAroundAFragmentMayChange) {
  StartWrite(1);
  memory_->bytes[at_ + 1] = std::byte{'z'};
  EXPECT_EQ(Next(OpKind::kWrite).result, static_cast<int>(kPage));
  EXPECT_TRUE(ring_->violations().empty());
  // What memory held when the write completed.
  EXPECT_EQ(ring_->FileBytes(file_).substr(0, 2), "az");
}

TEST_F(SimZeroCopyWriteTest, AFragmentMayNot) {
  StartWrite(1);
  memory_->bytes[at_] = std::byte{'z'};
  Next(OpKind::kWrite);
  ASSERT_EQ(ring_->violations().size(), 1u);
  EXPECT_EQ(ring_->violations()[0], "memory changed while it was being written");
}

TEST_F(SimZeroCopyWriteTest, OtherMemoryInTheSameWriteMayNotEither) {
  StartWrite(1);
  Next(OpKind::kWrite);
  alignas(kPage) std::byte other[512] = {};
  const iovec ranges[] = {{other, 512}, {memory_->bytes + at_, 512}, {other, 512}};
  ring_->Write(kWrite, file_, {0}, ranges);
  memory_->bytes[at_ + 511] = std::byte{'z'};
  Next(OpKind::kWrite);
  EXPECT_TRUE(ring_->violations().empty());
  ring_->Write(kWrite, file_, {0}, ranges);
  other[511] = std::byte{'z'};
  Next(OpKind::kWrite);
  EXPECT_EQ(ring_->violations().size(), 1u);
}

TEST_F(SimZeroCopyWriteTest, APageThatGoesHomeTooEarlyIsNoticed) {
  StartWrite(1);
  GiveBack(at_);
  ring_->FlushRefill();
  ASSERT_EQ(ring_->violations().size(), 1u);
  EXPECT_TRUE(ring_->violations()[0].starts_with("memory was given back while it was being"));
  Next(OpKind::kWrite);
  EXPECT_EQ(ring_->violations().back(), "memory changed while it was being written");
  EXPECT_EQ(ring_->FileBytes(file_)[0], '\xDD');
}

TEST_F(SimZeroCopyWriteTest, APageMayGoHomeAfterTheWrite) {
  StartWrite(1);
  Next(OpKind::kWrite);
  GiveBack(at_);
  ring_->FlushRefill();
  EXPECT_TRUE(ring_->violations().empty());
  ring_->Write(kWrite, file_, {0}, {&page_, 1});  // but not be written again
  EXPECT_EQ(ring_->violations().size(), 1u);
  Next(OpKind::kWrite);
}

}  // namespace
}  // namespace sluice
