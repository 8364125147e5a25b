#include "ingest/receive/zero_copy_receiver.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ingest/receive/stream_receiver.h"
#include "ingest/ring/sim_ring.h"

namespace sluice {
namespace {

using Verdict = ZeroCopyReceiver::Verdict;

OpTag Connection(uint32_t slot) { return {OpKind::kReceive, 3, 5, slot}; }

// ---- by itself

class ZeroCopyReceiverTest : public ::testing::Test {
 protected:
  ZeroCopyReceiverTest()
      : ring_(1),
        region_(*Region::Map(KiB(4), InterfaceQueue::kPage * 16)),
        queue_(*InterfaceQueue::Open(ring_, *region_,
                                     {.interface = "eth0",
                                      .area_begin = region_->area_begin(),
                                      .area = InterfaceQueue::kPage * 16})),
        receiver_(ring_, *queue_) {}

  // The connections that may try again now.
  std::vector<uint32_t> Tries(absl::Duration now) {
    std::vector<uint32_t> slots;
    next_ = receiver_.OnTurn(now, [&](OpTag tag) {
      EXPECT_EQ(tag, Connection(tag.slot));
      slots.push_back(tag.slot);
    });
    return slots;
  }
  void End(uint32_t slot, int32_t result) {
    ASSERT_EQ(receiver_.Judge(result), Verdict::kWaits);
    receiver_.Wait(Connection(slot));
  }
  // As if so many leases had come back.
  void GetBack(uint32_t leases) {
    for (uint32_t i = 0; i < leases; ++i) const RegionLease lease = queue_->Lease(0);
  }

  SimRing ring_;
  std::unique_ptr<Region> region_;
  std::unique_ptr<InterfaceQueue> queue_;
  ZeroCopyReceiver receiver_;
  absl::Duration next_;
};

TEST_F(ZeroCopyReceiverTest, ATagLeadsBackToItsConnection) {
  const OpTag tag = ZeroCopyReceiver::TagFor(Connection(9));
  EXPECT_EQ(tag.kind, OpKind::kReceiveZeroCopy);
  EXPECT_EQ(ZeroCopyReceiver::ConnectionOf(tag), Connection(9));
  EXPECT_EQ(ZeroCopyReceiver::ConnectionOf(OpTag::Unpack(tag.Pack())), Connection(9));
}

TEST_F(ZeroCopyReceiverTest, WhatAnEndMeans) {
  for (const int32_t result : {-ENOSPC, -ENOMEM, -EINTR, -EAGAIN, 1, 4096}) {
    EXPECT_EQ(receiver_.Judge(result), Verdict::kWaits) << result;
  }
  for (const int32_t result : {-EFAULT, -EPROTONOSUPPORT, -EOPNOTSUPP}) {
    EXPECT_EQ(receiver_.Judge(result), Verdict::kCopyInstead) << result;
  }
  for (const int32_t result : {0, -ECONNRESET, -ECANCELED, -EPIPE, -EINVAL, -ETIMEDOUT}) {
    EXPECT_EQ(receiver_.Judge(result), Verdict::kEnded) << result;
  }
  const ZeroCopyCounters expected{.completions = 0,
                                  .queue_full = 1,
                                  .area_exhausted = 1,
                                  .handed_to_copy = 3,
                                  .steered_away = 1};
  EXPECT_EQ(receiver_.counters(), expected);
}

TEST_F(ZeroCopyReceiverTest, NobodyWaitsAtFirst) {
  EXPECT_TRUE(Tries(absl::Seconds(1)).empty());
  EXPECT_EQ(next_, absl::InfiniteDuration());
  EXPECT_FALSE(receiver_.starved());
}

TEST_F(ZeroCopyReceiverTest, AfterAFullQueueTheyTryAgainAtOnceInOrder) {
  for (const uint32_t slot : {4u, 2u, 9u}) End(slot, -ENOSPC);
  EXPECT_FALSE(receiver_.starved());
  EXPECT_EQ(Tries(absl::Seconds(1)), (std::vector<uint32_t>{4, 2, 9}));
  EXPECT_EQ(next_, absl::InfiniteDuration());
}

TEST_F(ZeroCopyReceiverTest, AHerdIsLetGoInParts) {
  for (uint32_t slot = 0; slot < 1000; ++slot) End(slot, -ENOSPC);
  std::vector<uint32_t> all;
  for (int turn = 0; turn < 1000 && all.size() < 1000; ++turn) {
    const std::vector<uint32_t> some = Tries(absl::Seconds(1) + absl::Milliseconds(turn));
    EXPECT_LT(some.size(), 500u);
    all.insert(all.end(), some.begin(), some.end());
    EXPECT_EQ(next_ < absl::Seconds(1), all.size() < 1000);
  }
  ASSERT_EQ(all.size(), 1000u);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
}

TEST_F(ZeroCopyReceiverTest, WithoutAPageOneTriesWhenOneHasComeBack) {
  const absl::Duration now = absl::Seconds(1);
  End(0, -ENOMEM);
  EXPECT_EQ(Tries(now), (std::vector<uint32_t>{0}));  // whoever comes first may try
  End(1, -ENOMEM);
  End(2, -ENOMEM);
  EXPECT_TRUE(receiver_.starved());
  EXPECT_TRUE(Tries(now).empty());
  EXPECT_GT(next_, absl::ZeroDuration());  // else a lane would spin
  EXPECT_LT(next_, absl::Seconds(1));
  GetBack(1);
  EXPECT_EQ(Tries(now), (std::vector<uint32_t>{1}));
}

TEST_F(ZeroCopyReceiverTest, WithoutAPageOneTriesAfterAWhileAllTheSame) {
  absl::Duration now = absl::Seconds(1);
  End(0, -ENOMEM);
  EXPECT_EQ(Tries(now).size(), 1u);
  for (int i = 0; i < 20; ++i) {
    End(0, -ENOMEM);
    EXPECT_TRUE(Tries(now).empty());
    now += next_;
    EXPECT_EQ(Tries(now), (std::vector<uint32_t>{0}));
  }
}

TEST_F(ZeroCopyReceiverTest, ManyTryWhenMuchHasComeBack) {
  for (uint32_t slot = 0; slot < 1000; ++slot) End(slot, -ENOMEM);
  GetBack(200);
  const size_t tries = Tries(absl::Seconds(1)).size();
  EXPECT_GT(tries, 10u);
  EXPECT_LT(tries, 200u);
}

TEST_F(ZeroCopyReceiverTest, WhoeverIsForgottenDoesNotTry) {
  End(0, -ENOMEM);
  receiver_.StopWaiting();
  EXPECT_FALSE(receiver_.starved());
  EXPECT_TRUE(Tries(absl::Seconds(1)).empty());
}

// ---- as StreamReceiver uses it

// Keeps leases, and sees to it that the bytes do not change meanwhile.
class KeepingSink final : public LeaseSink {
 public:
  explicit KeepingSink(const Region& region) : region_(&region) {}
  ~KeepingSink() override { Release(held_.size()); }

  struct Stream {
    uint16_t peer = 0;
    std::string bytes;
    bool closed = false;
    StreamEnd how{};
  };

  void OnOpened(const StreamOpened& stream) override {
    streams[stream.stream].peer = stream.peer.port;
  }
  void OnFragment(const Fragment& fragment, RegionLease lease) override {
    Stream& stream = streams.at(fragment.stream);
    EXPECT_FALSE(stream.closed);
    EXPECT_EQ(fragment.stream_offset.value, stream.bytes.size());
    EXPECT_GT(fragment.length.value, 0u);
    held_.push_back({fragment, TextOf(fragment), std::move(lease)});
    stream.bytes += held_.back().bytes;
  }
  void OnClosed(StreamId id, StreamOffset length, StreamEnd how) override {
    Stream& stream = streams.at(id);
    EXPECT_FALSE(stream.closed);
    EXPECT_EQ(length.value, stream.bytes.size());
    stream.closed = true;
    stream.how = how;
  }
  bool Accepts() const override { return accepts; }

  // Any `count` leases go home, their bytes as they came.
  void Release(size_t count) {
    for (; count > 0 && !held_.empty(); --count) {
      std::swap(held_[count % held_.size()], held_.front());
      EXPECT_TRUE(TextOf(held_.front().fragment) == held_.front().bytes)
          << "bytes changed under a lease";
      held_.pop_front();
    }
  }
  size_t held() const { return held_.size(); }
  uint64_t closed() const {
    return static_cast<uint64_t>(std::count_if(streams.begin(), streams.end(),
                                               [](const auto& it) { return it.second.closed; }));
  }
  uint64_t received() const {
    uint64_t sum = 0;
    for (const auto& [id, stream] : streams) sum += stream.bytes.size();
    return sum;
  }

  std::map<StreamId, Stream> streams;
  bool accepts = true;

 private:
  struct Held {
    Fragment fragment;
    std::string bytes;
    RegionLease lease;
  };
  std::string TextOf(const Fragment& fragment) const {
    const auto span = region_->Span(fragment.at, fragment.length);
    return std::string(reinterpret_cast<const char*>(span.data()), span.size());
  }
  const Region* region_;
  std::deque<Held> held_;
};

struct WorldOptions {
  std::string interface = "eth0";
  SimFaults faults = {};
  SimQueue kernel = {};
  uint32_t napi = 0;
  uint32_t pages = 64;
};

// A StreamReceiver with a queue, and the parts of a track and a lane that it needs.
class World {
 public:
  static constexpr ByteCount kChunk = KiB(4);
  static constexpr uint32_t kChunks = 8;

  explicit World(uint64_t seed, const WorldOptions& options = {})
      : ring(seed, options.faults),
        region(*Region::Map(KiB(4), kChunk * kChunks + InterfaceQueue::kPage * options.pages)),
        chunks(region->area_begin(), kChunk, kChunks),
        sink(*region) {
    ring.queue() = options.kernel;
    queue = *InterfaceQueue::Open(ring, *region,
                                  {.interface = options.interface,
                                   .napi = options.napi,
                                   .area_begin = region->area_begin() + kChunk * kChunks,
                                   .area = InterfaceQueue::kPage * options.pages});
    receiver = std::make_unique<StreamReceiver>(ring, *region, chunks, sink,
                                                StreamReceiverOptions{.queue = queue.get()});
    listener_ = ring.AddListener();
    EXPECT_TRUE(receiver->Open().ok());
    ring.AcceptMultishot(kAccept, listener_);
  }
  ~World() {
    EXPECT_TRUE(receiver->idle());
    if (!receiver->idle()) std::abort();  // it cannot be destroyed
    receiver.reset();
    sink.Release(sink.held());
    for (int turn = 0; turn < 1000 && area().returned() < area().completions(); ++turn) {
      queue->OnTurn(ring.Monotonic());
      ring.TakeRefill();
    }
    EXPECT_EQ(area().returned(), area().completions());
    EXPECT_EQ(area().free_pages(), area().pages());
    EXPECT_EQ(chunks.free_count(), chunks.count());
    for (const std::string& what : ring.violations()) ADD_FAILURE() << what;
  }

  int AddPeer(std::string bytes, SimRing::PeerEnd end = SimRing::PeerEnd::kClose) {
    sent.push_back(bytes);
    return ring.AddPeer(listener_, std::move(bytes), end);
  }
  std::string RandomBytes(uint64_t length) {
    std::string bytes(length, '\0');
    for (char& c : bytes) c = static_cast<char>(ring.Roll(256));
    return bytes;
  }

  void Turn() {
    ring.SubmitAndWait(std::min(next_turn, absl::Milliseconds(1)));
    const auto harvest = ring.Harvest();
    const absl::Duration now = ring.Monotonic();
    queue->OnHarvest();
    for (const Completion& done : std::vector<Completion>(harvest.begin(), harvest.end())) {
      if (done.tag.kind == OpKind::kQueueEvent) {
        queue->OnEvent(done, now);
      } else if (done.tag.kind == OpKind::kAccept) {
        if (done.result >= 0) receiver->Add(done.result, StreamId{++streams_});
        if (!done.more()) ring.AcceptMultishot(kAccept, listener_);
      } else {
        receiver->OnReceive(done);
      }
    }
    queue->OnTurn(now);
    next_turn = receiver->OnTurn(now);
  }
  template <class Condition>
  bool RunUntil(Condition condition) {
    for (int turn = 0; turn < 100'000; ++turn) {
      if (condition()) return true;
      Turn();
      // As a disk that writes what it gets.
      if (releases) sink.Release(ring.Roll(sink.held() + 1));
    }
    return false;
  }
  bool RunUntilAllAreClosed() {
    return RunUntil([this] { return sink.closed() == sent.size(); });
  }
  const KeepingSink::Stream& StreamOf(int peer) const {
    for (const auto& [id, stream] : sink.streams) {
      if (stream.peer == peer) return stream;
    }
    std::abort();
  }
  const SimArea& area() const { return *ring.area(); }

  static constexpr OpTag kAccept{OpKind::kAccept, 0, 0, 0};
  SimRing ring;
  std::unique_ptr<Region> region;
  ChunkPool chunks;
  KeepingSink sink;
  std::unique_ptr<InterfaceQueue> queue;
  std::unique_ptr<StreamReceiver> receiver;
  absl::Duration next_turn = absl::ZeroDuration();
  std::vector<std::string> sent;  // by peer number - 1
  bool releases = true;

 private:
  int listener_ = -1;
  uint64_t streams_ = 0;
};

constexpr SimFaults kFaults{.end_of_multishot = 5,
                            .accept_error = 3,
                            .queue_full = 20,
                            .no_page = 20,
                            .linear = 10,
                            .not_placed = 10};

TEST(ZeroCopyStreamTest, EveryStreamArrivesWhole) {
  ZeroCopyCounters counters;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    WorldOptions options;
    options.interface = seed % 3 == 0 ? "" : "eth0";
    options.faults = kFaults;
    options.pages = seed % 2 == 0 ? 16 : 200;
    options.kernel.can_flush = options.kernel.has_events = seed % 3 != 1;
    if (seed % 5 == 0) options.kernel.completions_max = 4;
    World world(seed, options);
    for (int i = 0; i < 6; ++i) world.AddPeer(world.RandomBytes(world.ring.Roll(60'000)));
    ASSERT_TRUE(world.RunUntilAllAreClosed()) << "hangs";
    for (int peer = 1; peer <= 6; ++peer) {
      EXPECT_TRUE(world.StreamOf(peer).bytes == world.sent[static_cast<size_t>(peer - 1)]);
      EXPECT_EQ(world.StreamOf(peer).how, StreamEnd::kEndOfStream);
    }
    EXPECT_EQ(world.receiver->zero_copy().completions, world.area().completions());
    EXPECT_EQ(world.receiver->zero_copy().handed_to_copy, 0u);
    counters += world.receiver->zero_copy();
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(counters.queue_full, 0u);
  EXPECT_GT(counters.area_exhausted, 0u);
}

TEST(ZeroCopyStreamTest, StreamsEndAsThePeerSays) {
  World world(1);
  world.AddPeer("closes");
  world.AddPeer("resets", SimRing::PeerEnd::kReset);
  ASSERT_TRUE(world.RunUntilAllAreClosed());
  EXPECT_EQ(world.StreamOf(1).how, StreamEnd::kEndOfStream);
  EXPECT_EQ(world.StreamOf(2).how, StreamEnd::kReset);
  EXPECT_EQ(world.StreamOf(2).bytes, "resets");
}

TEST(ZeroCopyStreamTest, WhatTheQueueDoesNotCarryIsCopiedFromTheStart) {
  World world(1, {.interface = "eth0", .napi = 7});
  const int peer = world.AddPeer(world.RandomBytes(20'000));
  world.ring.route(peer).napi = 8;
  world.ring.route(peer).steered = false;
  ASSERT_TRUE(world.RunUntilAllAreClosed());
  EXPECT_TRUE(world.StreamOf(peer).bytes == world.sent[0]);
  EXPECT_EQ(world.area().completions(), 0u);
  EXPECT_EQ(world.receiver->zero_copy(), ZeroCopyCounters{});
}

TEST(ZeroCopyStreamTest, WhatIsNoPlainTcpIsCopied) {
  World world(1);
  const int peer = world.AddPeer(world.RandomBytes(20'000));
  world.ring.route(peer).plain_tcp = false;
  ASSERT_TRUE(world.RunUntilAllAreClosed());
  EXPECT_TRUE(world.StreamOf(peer).bytes == world.sent[0]);
  EXPECT_EQ(world.receiver->zero_copy().handed_to_copy, 1u);
  EXPECT_EQ(world.receiver->zero_copy().steered_away, 0u);
}

TEST(ZeroCopyStreamTest, AStreamInAnotherQueuesMemoryEndsOrIsCopied) {
  for (const bool readable : {false, true}) {
    World world(1);
    const int peer = world.AddPeer(world.RandomBytes(20'000));
    world.ring.route(peer).foreign_from = 12'345;
    world.ring.route(peer).foreign_is_readable = readable;
    ASSERT_TRUE(world.RunUntilAllAreClosed());
    EXPECT_TRUE(world.StreamOf(peer).bytes == world.sent[0].substr(0, readable ? 20'000 : 12'345));
    EXPECT_EQ(world.StreamOf(peer).how, readable ? StreamEnd::kEndOfStream : StreamEnd::kError);
    EXPECT_EQ(world.receiver->zero_copy().steered_away, 1u);
    EXPECT_EQ(world.receiver->zero_copy().handed_to_copy, 1u);
  }
}

TEST(ZeroCopyStreamTest, WithoutAFreePageItWaitsAndDoesNotSpin) {
  for (const char* interface : {"", "eth0"}) {
    World world(1, {.interface = interface, .faults = {.linear = 4}, .pages = 16});
    world.releases = false;
    world.AddPeer(world.RandomBytes(1'000'000), SimRing::PeerEnd::kStay);
    for (int turn = 0; turn < 1000; ++turn) world.Turn();
    const uint64_t received = world.sink.received();
    EXPECT_LT(received, 100'000u);
    const uint64_t ended = world.receiver->zero_copy().area_exhausted;
    for (int turn = 0; turn < 1000; ++turn) world.Turn();
    EXPECT_EQ(world.sink.received(), received);
    // A try each ten milliseconds; a turn here takes one at most.
    EXPECT_LT(world.receiver->zero_copy().area_exhausted - ended, 200u);
    world.releases = true;
    EXPECT_TRUE(world.RunUntil([&] { return world.sink.received() == 1'000'000u; }));
    world.receiver->Abort();
    EXPECT_TRUE(world.RunUntilAllAreClosed());
  }
}

TEST(ZeroCopyStreamTest, PausesWhileTheSinkHasEnough) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    World world(seed, {.interface = seed % 2 == 0 ? "" : "eth0", .faults = kFaults});
    world.AddPeer(world.RandomBytes(500'000));
    ASSERT_TRUE(world.RunUntil([&] { return world.sink.received() > 50'000; }));
    world.sink.accepts = false;
    for (int turn = 0; turn < 100; ++turn) world.Turn();
    const uint64_t paused_at = world.sink.received();
    EXPECT_LT(paused_at, 500'000u);
    for (int turn = 0; turn < 100; ++turn) {
      world.sink.Release(1);
      world.Turn();
    }
    EXPECT_EQ(world.sink.received(), paused_at);
    world.sink.accepts = true;
    ASSERT_TRUE(world.RunUntilAllAreClosed());
    EXPECT_TRUE(world.StreamOf(1).bytes == world.sent[0]);
  }
}

TEST(ZeroCopyStreamTest, DrainTakesWhatTheKernelHas) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    World world(seed, {.interface = seed % 2 == 0 ? "" : "eth0", .faults = kFaults});
    world.AddPeer(world.RandomBytes(300'000), SimRing::PeerEnd::kStay);
    ASSERT_TRUE(world.RunUntil([&] { return world.sink.received() > 20'000; }));
    world.receiver->Drain();
    ASSERT_TRUE(world.RunUntilAllAreClosed());
    EXPECT_EQ(world.StreamOf(1).how, StreamEnd::kStopped);
    EXPECT_EQ(world.sink.received(), world.ring.Delivered(1));
    EXPECT_TRUE(world.StreamOf(1).bytes == world.sent[0].substr(0, world.ring.Delivered(1)));
  }
}

TEST(ZeroCopyStreamTest, AbortEndsThemWhateverTheyDo) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    World world(seed, {.interface = seed % 2 == 0 ? "" : "eth0", .faults = kFaults, .pages = 16});
    for (int i = 0; i < 8; ++i) {
      world.AddPeer(world.RandomBytes(100'000), SimRing::PeerEnd::kStay);
    }
    ASSERT_TRUE(world.RunUntil([&] { return world.sink.received() > seed * 5'000; }));
    world.sink.accepts = seed % 3 != 0;  // some are paused
    for (uint64_t turn = 0; turn < seed % 5; ++turn) world.Turn();
    world.receiver->Abort();
    ASSERT_TRUE(world.RunUntil([&] { return world.receiver->idle(); }));
    uint64_t delivered = 0;
    for (int peer = 1; peer <= 8; ++peer) delivered += world.ring.Delivered(peer);
    EXPECT_EQ(world.sink.received(), delivered);
  }
}

}  // namespace
}  // namespace sluice
