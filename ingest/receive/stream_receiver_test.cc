#include "ingest/receive/stream_receiver.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ingest/ring/sim_ring.h"

namespace sluice {
namespace {

using PeerEnd = SimRing::PeerEnd;

std::string RandomBytes(SimRing& ring, uint64_t length) {
  std::string bytes(length, '\0');
  for (size_t at = 0; at < length; at += 8) {
    const uint64_t word = ring.Roll(UINT64_MAX);
    std::memcpy(&bytes[at], &word, std::min<size_t>(8, length - at));
  }
  return bytes;
}

// Writes down what it is told. Keeps leases as long as it is asked to, and sees to it that the
// bytes do not change meanwhile.
class RecordingSink final : public LeaseSink {
 public:
  explicit RecordingSink(const Region& region) : region_(&region) {}
  ~RecordingSink() override { Release(held_.size()); }

  struct Stream {
    SocketAddress peer;
    std::string bytes;
    bool closed = false;
    StreamEnd how{};
    std::vector<std::pair<uint64_t, uint64_t>> discarded = {};  // offset and length
  };

  void OnOpened(const StreamOpened& stream) override {
    EXPECT_TRUE(streams.try_emplace(stream.stream, Stream{stream.peer, "", false, {}}).second);
  }
  void OnFragment(const Fragment& fragment, RegionLease lease) override {
    Stream& stream = streams.at(fragment.stream);
    EXPECT_FALSE(stream.closed);
    EXPECT_EQ(fragment.stream_offset.value, stream.bytes.size());
    EXPECT_GT(fragment.length.value, 0u);
    EXPECT_FALSE(fragment.zero_copy);
    ++fragments;
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
  bool MakeRoom() override {
    if (!gives_up || held_.empty()) return false;
    Release(1);
    return true;
  }
  void OnDiscarded(const Fragment& fragment) override {
    Stream& stream = streams.at(fragment.stream);
    EXPECT_FALSE(stream.closed);
    EXPECT_EQ(fragment.stream_offset.value, stream.bytes.size());
    EXPECT_GT(fragment.length.value, 0u);
    stream.discarded.emplace_back(fragment.stream_offset.value, fragment.length.value);
    stream.bytes.append(fragment.length.value, '\0');
    discarded += fragment.length.value;
  }

  // The oldest `count` leases go home, their bytes as they came.
  void Release(size_t count) {
    for (; count > 0 && !held_.empty(); --count) {
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
  uint64_t fragments = 0;
  uint64_t discarded = 0;  // bytes
  bool accepts = true;
  bool gives_up = false;  // leases, for room

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
  SimFaults faults = {};
  ByteCount chunk = KiB(4);
  uint32_t chunks = 8;
  StreamReceiverOptions receiver = {};
};

// A receiver with all that it needs, and the part of a track that accepts.
class World {
 public:
  explicit World(uint64_t seed, const WorldOptions& options = {})
      : ring(seed, options.faults),
        region(*Region::Map(KiB(4), options.chunk * options.chunks)),
        chunks(region->area_begin(), options.chunk, options.chunks),
        sink(*region),
        receiver(std::make_unique<StreamReceiver>(ring, *region, chunks, sink, options.receiver)),
        listener_(ring.AddListener()) {
    EXPECT_TRUE(receiver->Open().ok());
    ring.AcceptMultishot(kAccept, listener_);
  }
  ~World() {
    for (const std::string& what : ring.violations()) ADD_FAILURE() << what;
    EXPECT_TRUE(receiver->idle());
    if (!receiver->idle()) std::abort();  // it cannot be destroyed
    receiver.reset();
    sink.Release(sink.held());
    EXPECT_EQ(chunks.free_count(), chunks.count());  // every chunk came back
  }

  void AddPeer(std::string bytes, PeerEnd end = PeerEnd::kClose) {
    sent.push_back(bytes);
    ring.AddPeer(listener_, std::move(bytes), end);
  }

  void Turn(absl::Duration wait = absl::Milliseconds(1)) {
    ring.SubmitAndWait(std::min(next_turn, wait));
    const auto completions = ring.Harvest();
    for (const Completion& done : std::vector<Completion>(completions.begin(), completions.end())) {
      Handle(done);
    }
    if (before_turn_ends) before_turn_ends();
    next_turn = receiver->OnTurn(ring.Monotonic());
  }
  void Handle(const Completion& done) {
    if (done.tag.kind == OpKind::kReceive) return receiver->OnReceive(done);
    if (done.result >= 0) {
      if (receiver->full()) {
        ring.CloseSocket(done.result);
        ++refused;
      } else {
        receiver->Add(done.result, StreamId{++named_});
      }
    }
    if (!done.more() && !stop_accepting) ring.AcceptMultishot(kAccept, listener_);
  }
  void StopAccepting() {
    stop_accepting = true;
    ring.Cancel(kAccept);
  }

  // Turns until `done()`, or so often that it never will be.
  template <class Done>
  bool RunUntil(Done done) {
    for (int turn = 0; turn < 200'000; ++turn) {
      if (done()) return true;
      Turn();
    }
    return done();
  }
  bool RunUntilClosed(uint64_t streams) {
    return RunUntil([&] { return sink.closed() >= streams; });
  }

  // What was received of each stream is what its peer sent, from the start, and no byte that the
  // kernel handed over is missing.
  void ExpectPrefixes() {
    for (const auto& [id, stream] : sink.streams) {
      const std::string& all = sent.at(stream.peer.port - 1u);
      EXPECT_TRUE(all.compare(0, stream.bytes.size(), stream.bytes) == 0);
      EXPECT_EQ(stream.bytes.size(), ring.Delivered(stream.peer.port));
      EXPECT_EQ(stream.closed, ring.Gone(stream.peer.port));
    }
  }
  // What was thrown away must have been told, not be wrong: it is put back for the comparison.
  void PutBackDiscarded() {
    for (auto& [id, stream] : sink.streams) {
      const std::string& all = sent.at(stream.peer.port - 1u);
      for (const auto& [offset, length] : stream.discarded) {
        stream.bytes.replace(offset, length, all, offset, length);
      }
    }
  }
  void ExpectEverything() {
    EXPECT_EQ(sink.streams.size(), sent.size());
    ExpectPrefixes();
    for (const auto& [id, stream] : sink.streams) {
      EXPECT_EQ(stream.bytes.size(), sent.at(stream.peer.port - 1u).size());
      EXPECT_TRUE(stream.closed);
    }
  }

  static constexpr OpTag kAccept{OpKind::kAccept, 0, 0, 0};
  SimRing ring;
  std::unique_ptr<Region> region;
  ChunkPool chunks;
  RecordingSink sink;
  std::unique_ptr<StreamReceiver> receiver;
  absl::Duration next_turn = absl::ZeroDuration();  // when the receiver wants to come again
  std::vector<std::string> sent;                    // by peer number - 1
  uint64_t refused = 0;
  bool stop_accepting = false;
  std::function<void()> before_turn_ends;

 private:
  const int listener_;
  uint64_t named_ = 0;
};

// ---- every byte, in order, once

TEST(StreamReceiverTest, EveryByteOnceInOrderWhateverHappens) {
  uint64_t waits = 0, fragments = 0, resets = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    std::mt19937_64 dice(seed);
    WorldOptions options;
    options.faults.end_of_multishot = dice() % 2 == 0 ? 0 : 2 + dice() % 8;
    options.faults.accept_error = dice() % 2 == 0 ? 0 : 2 + dice() % 8;
    options.chunk = KiB(uint64_t{1} << (dice() % 7));
    options.chunks = 1 + static_cast<uint32_t>(dice() % 12);
    options.receiver.track = static_cast<uint8_t>(dice());
    options.receiver.chunks_provided = 1u << (dice() % 4);
    options.receiver.chunks_provided_max = options.receiver.chunks_provided << (dice() % 3);
    World world(seed, options);
    const uint64_t peers = 1 + dice() % (seed % 10 == 0 ? 100 : 10);
    const uint64_t bytes_max = 1 + (uint64_t{1} << (dice() % 18)) / (peers > 10 ? 8 : 1);
    for (uint64_t i = 0; i < peers; ++i) {
      world.AddPeer(RandomBytes(world.ring, dice() % bytes_max),
                    dice() % 4 == 0 ? PeerEnd::kReset : PeerEnd::kClose);
    }
    const uint64_t hold_max = dice() % 40;
    const bool pauses = dice() % 3 == 0;
    const bool ended = world.RunUntil([&] {
      if (world.sink.held() > hold_max) world.sink.Release(1 + dice() % world.sink.held());
      if (dice() % 16 == 0) world.sink.Release(world.sink.held());
      if (pauses && dice() % 8 == 0) world.sink.accepts = !world.sink.accepts;
      return world.sink.closed() == peers;
    });
    ASSERT_TRUE(ended) << "hangs";
    world.ExpectEverything();
    for (const auto& [id, stream] : world.sink.streams) {
      resets += stream.how == StreamEnd::kReset ? 1 : 0;
      EXPECT_TRUE(stream.how == StreamEnd::kReset || stream.how == StreamEnd::kEndOfStream);
    }
    waits += world.receiver->buffer_waits();
    fragments += world.sink.fragments;
    if (::testing::Test::HasFailure()) return;
  }
  // The seeds must have been where it hurts.
  EXPECT_GT(waits, 100u);
  EXPECT_GT(resets, 100u);
  EXPECT_GT(fragments, 1000u);
}

TEST(StreamReceiverTest, TellsHowAStreamEnded) {
  World world(1);
  world.AddPeer("one", PeerEnd::kClose);
  world.AddPeer("two", PeerEnd::kReset);
  world.AddPeer("", PeerEnd::kClose);
  ASSERT_TRUE(world.RunUntilClosed(3));
  for (const auto& [id, stream] : world.sink.streams) {
    EXPECT_EQ(stream.how, stream.peer.port == 2 ? StreamEnd::kReset : StreamEnd::kEndOfStream);
  }
  world.ExpectEverything();
}

// ---- chunks

TEST(StreamReceiverTest, AnIdleReceiverKeepsOneChunk) {
  World world(1, {.chunks = 8});
  EXPECT_EQ(world.chunks.free_count(), 7u);
  for (int i = 0; i < 10; ++i) world.Turn();
  EXPECT_EQ(world.chunks.free_count(), 7u);
  world.AddPeer("x", PeerEnd::kStay);
  ASSERT_TRUE(world.RunUntil([&] { return world.sink.fragments == 1; }));
  world.Turn();
  EXPECT_EQ(world.chunks.free_count(), 4u);  // it has chunks_provided
  world.receiver->Abort();
  ASSERT_TRUE(world.RunUntilClosed(1));
}

TEST(StreamReceiverTest, WithoutAFreeChunkItWaitsAndThenGoesOn) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    World world(seed, {.chunks = 2});
    for (int i = 0; i < 5; ++i) world.AddPeer(RandomBytes(world.ring, 6000));
    // Nobody returns a lease: both chunks fill up, and that is all that is received.
    for (int turn = 0; turn < 300; ++turn) world.Turn();
    EXPECT_EQ(world.sink.received(), 8192u);
    EXPECT_GE(world.receiver->buffer_waits(), 1u);
    EXPECT_GT(world.next_turn, absl::ZeroDuration());  // else a lane would spin
    EXPECT_EQ(world.chunks.free_count(), 0u);
    const uint64_t waits = world.receiver->buffer_waits();
    for (int turn = 0; turn < 50; ++turn) world.Turn();
    EXPECT_EQ(world.receiver->buffer_waits(), waits);  // it does not ask again in vain

    ASSERT_TRUE(world.RunUntil([&] {
      world.sink.Release(world.sink.held());
      return world.sink.closed() == 5;
    }));
    world.ExpectEverything();
  }
}

// Nobody returns a lease, and others take every chunk that is free: receiving goes on to the end,
// and what did not fit is told.
TEST(StreamReceiverTest, WhereItMayDiscardItNeverStops) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    World world(seed,
                {.faults = {.end_of_multishot = static_cast<uint32_t>(seed % 9)},
                 .chunks = 8,
                 .receiver = {.chunks_provided = 4, .chunks_provided_max = 4, .chunks_kept = 2}});
    for (int i = 0; i < 5; ++i) world.AddPeer(RandomBytes(world.ring, 60'000));
    std::vector<uint32_t> taken;
    bool others_take = false;
    world.before_turn_ends = [&] {
      while (others_take && world.chunks.free_count() > 0) taken.push_back(*world.chunks.Take());
    };
    ASSERT_TRUE(world.RunUntil([&] { return world.sink.discarded > 0; }));
    // Two chunks are kept; all others are full of what is held.
    EXPECT_GE(world.sink.received() - world.sink.discarded, 5 * KiB(4).value);
    EXPECT_LE(world.sink.received() - world.sink.discarded, 6 * KiB(4).value);
    others_take = true;
    world.sink.Release(world.sink.held());
    ASSERT_TRUE(world.RunUntilClosed(5)) << "it stopped";
    EXPECT_LE(world.sink.received() - world.sink.discarded, 10 * KiB(4).value);
    world.PutBackDiscarded();
    world.ExpectEverything();
    for (const uint32_t chunk : taken) world.chunks.Return(chunk);
  }
}

// What is given up makes room for what has just arrived.
TEST(StreamReceiverTest, AsksForRoomBeforeItDiscards) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    World world(seed,
                {.chunks = 8,
                 .receiver = {.chunks_provided = 4, .chunks_provided_max = 4, .chunks_kept = 2}});
    world.sink.gives_up = true;
    for (int i = 0; i < 5; ++i) world.AddPeer(RandomBytes(world.ring, 60'000));
    ASSERT_TRUE(world.RunUntilClosed(5));
    EXPECT_EQ(world.sink.discarded, 0u);
    world.ExpectEverything();
  }
}

// Two receivers share a pool, as two tracks of a lane do.
TEST(StreamReceiverTest, ReceiversShareChunks) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    SimRing ring(seed, {.end_of_multishot = 7});
    const auto region = *Region::Map(KiB(4), KiB(12));
    ChunkPool chunks(region->area_begin(), KiB(4), 3);
    RecordingSink sinks[] = {RecordingSink(*region), RecordingSink(*region)};
    std::vector<std::unique_ptr<StreamReceiver>> receivers;
    std::vector<std::string> sent;
    uint64_t streams = 0;
    for (uint8_t track = 0; track < 2; ++track) {
      receivers.push_back(std::make_unique<StreamReceiver>(
          ring, *region, chunks, sinks[track],
          StreamReceiverOptions{.track = track, .chunks_provided = 2, .chunks_provided_max = 2}));
      ASSERT_TRUE(receivers[track]->Open().ok());
      for (int i = 0; i < 3; ++i) {
        sent.push_back(RandomBytes(ring, ring.Roll(20'000)));
        ring.AddDialledPeer(sent.back());
        const int socket = *ring.OpenSocket({});
        ring.Connect({OpKind::kConnect, track, 0, static_cast<uint32_t>(socket)}, socket, {});
      }
    }
    bool done = false;
    for (int turn = 0; turn < 100'000 && !done; ++turn) {
      ring.SubmitAndWait(absl::Milliseconds(1));
      const auto completions = ring.Harvest();
      for (const Completion& it : std::vector<Completion>(completions.begin(), completions.end())) {
        if (it.tag.kind == OpKind::kConnect) {
          receivers[it.tag.track]->Add(static_cast<int>(it.tag.slot), StreamId{++streams});
        } else {
          receivers[it.tag.track]->OnReceive(it);
        }
      }
      for (auto& sink : sinks) sink.Release(ring.Roll(sink.held() + 1));
      for (const auto& receiver : receivers) receiver->OnTurn(ring.Monotonic());
      done = sinks[0].closed() == 3 && sinks[1].closed() == 3;
    }
    ASSERT_TRUE(done) << "hangs";
    for (const auto& sink : sinks) {
      for (const auto& [id, stream] : sink.streams) {
        EXPECT_TRUE(stream.bytes == sent.at(stream.peer.port - 1u));
      }
    }
    EXPECT_TRUE(ring.violations().empty());
    receivers.clear();
    for (auto& sink : sinks) sink.Release(sink.held());
    EXPECT_EQ(chunks.free_count(), 3u);
    if (::testing::Test::HasFailure()) return;
  }
}

// ---- the sink has enough

TEST(StreamReceiverTest, PausesWhileTheSinkHasEnough) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    World world(seed,
                {.faults = {.end_of_multishot = static_cast<uint32_t>(seed % 5)}, .chunks = 64});
    for (int i = 0; i < 4; ++i) world.AddPeer(RandomBytes(world.ring, 100'000));
    ASSERT_TRUE(world.RunUntil([&] {
      world.sink.Release(world.sink.held());
      return world.sink.streams.size() == 4 && world.sink.received() > 20'000;
    }));
    world.sink.accepts = false;
    for (int turn = 0; turn < 100; ++turn) world.Turn();
    const uint64_t paused_at = world.sink.received();
    EXPECT_LT(paused_at, 400'000u);
    EXPECT_GT(world.next_turn, absl::ZeroDuration());
    for (int turn = 0; turn < 100; ++turn) {
      world.sink.Release(1);
      world.Turn();
    }
    EXPECT_EQ(world.sink.received(), paused_at);
    EXPECT_EQ(world.sink.closed(), 0u);
    world.sink.accepts = true;
    ASSERT_TRUE(world.RunUntil([&] {
      world.sink.Release(world.sink.held());
      return world.sink.closed() == 4;
    }));
    world.ExpectEverything();
  }
}

// ---- drain and abort

TEST(StreamReceiverTest, DrainTakesWhatTheKernelHasThenStops) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    World world(seed,
                {.faults = {.end_of_multishot = static_cast<uint32_t>(seed % 4)}, .chunks = 3});
    for (int i = 0; i < 6; ++i) {
      world.AddPeer(RandomBytes(world.ring, 50'000), i % 2 == 0 ? PeerEnd::kStay : PeerEnd::kClose);
    }
    const uint64_t drain_at = world.ring.Roll(200);
    for (uint64_t turn = 0; turn < drain_at; ++turn) {
      world.sink.Release(world.ring.Roll(4));
      world.Turn();
    }
    world.StopAccepting();
    world.receiver->Drain();
    ASSERT_TRUE(world.RunUntil([&] {
      world.sink.Release(world.sink.held());
      return world.receiver->idle();
    }));
    world.ExpectPrefixes();
    for (const auto& [id, stream] : world.sink.streams) {
      const bool complete = stream.bytes.size() == 50'000;
      EXPECT_TRUE(stream.how == StreamEnd::kStopped || complete);
    }
  }
}

TEST(StreamReceiverTest, AStreamAddedWhileDrainingEndsToo) {
  World world(1);
  world.receiver->Drain();
  world.AddPeer("x", PeerEnd::kStay);
  ASSERT_TRUE(world.RunUntilClosed(1));
  EXPECT_EQ(world.sink.streams.begin()->second.how, StreamEnd::kStopped);
}

TEST(StreamReceiverTest, AbortEndsEveryStreamAtOnce) {
  uint64_t left = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    World world(seed, {.faults = {.end_of_multishot = static_cast<uint32_t>(seed % 4)},
                       .chunks = 1 + static_cast<uint32_t>(seed % 3)});
    for (int i = 0; i < 6; ++i) {
      world.AddPeer(RandomBytes(world.ring, 50'000), i % 2 == 0 ? PeerEnd::kStay : PeerEnd::kClose);
    }
    const uint64_t abort_at = world.ring.Roll(100);
    for (uint64_t turn = 0; turn < abort_at; ++turn) {
      if (seed % 3 != 0) world.sink.Release(world.ring.Roll(4));  // else they starve
      if (seed % 5 == 0 && turn % 8 == 0) world.sink.accepts = !world.sink.accepts;  // or pause
      world.Turn();
    }
    world.StopAccepting();
    if (seed % 2 == 0) world.receiver->Drain();
    world.receiver->Abort();
    world.receiver->Abort();  // as its track does while the disk is lost
    // No lease is returned, the sink accepts nothing: it ends all the same.
    for (int turn = 0; turn < 20 && !world.receiver->idle(); ++turn) world.Turn();
    EXPECT_TRUE(world.receiver->idle());
    if (!world.receiver->idle()) std::abort();
    world.ExpectPrefixes();
    for (const auto& [id, stream] : world.sink.streams) {
      EXPECT_TRUE(stream.closed);
      EXPECT_TRUE(stream.how == StreamEnd::kStopped || stream.bytes.size() == 50'000);
      left += 50'000 - stream.bytes.size();
    }
  }
  EXPECT_GT(left, 0u);
}

// A receive that ends by itself, with bytes, just as everything is aborted: it is not armed again.
TEST(StreamReceiverTest, AbortWhileAReceiveEndsByItself) {
  World world(1, {.faults = {.end_of_multishot = 1}});
  world.AddPeer(std::string(100'000, 'x'), PeerEnd::kStay);
  ASSERT_TRUE(world.RunUntil([&] { return world.sink.fragments > 0; }));
  std::vector<Completion> late;
  while (late.empty()) {
    world.next_turn = world.receiver->OnTurn(world.ring.Monotonic());
    world.ring.SubmitAndWait(absl::Milliseconds(1));
    for (const Completion& done : world.ring.Harvest()) late.push_back(done);
  }
  ASSERT_EQ(late.size(), 1u);
  ASSERT_GT(late[0].result, 0);
  ASSERT_FALSE(late[0].more());
  world.receiver->Abort();
  world.receiver->OnReceive(late[0]);
  EXPECT_TRUE(world.receiver->idle());
  ASSERT_EQ(world.sink.closed(), 1u);
  EXPECT_EQ(world.sink.streams.begin()->second.how, StreamEnd::kStopped);
  world.ExpectPrefixes();
}

// ---- the table

TEST(StreamReceiverTest, TheTableFillsUpAndEmpties) {
  WorldOptions options;
  options.receiver.connections_max = 3;
  World world(1, options);
  for (int i = 0; i < 3; ++i) world.AddPeer("x", PeerEnd::kStay);
  ASSERT_TRUE(world.RunUntil([&] { return world.sink.fragments == 3; }));
  EXPECT_TRUE(world.receiver->full());
  EXPECT_EQ(world.receiver->open_streams(), 3u);
  world.AddPeer("y", PeerEnd::kStay);
  ASSERT_TRUE(world.RunUntil([&] { return world.refused == 1; }));
  EXPECT_EQ(world.sink.streams.size(), 3u);
  world.receiver->Abort();
  ASSERT_TRUE(world.RunUntilClosed(3));
  EXPECT_FALSE(world.receiver->full());
  EXPECT_EQ(world.receiver->open_streams(), 0u);
}

// Slots are used again and again; a table of two serves many streams, one after the other.
TEST(StreamReceiverTest, SlotsAreReused) {
  WorldOptions options;
  options.receiver.connections_max = 2;
  World world(1, options);
  for (int i = 0; i < 50; ++i) {
    world.AddPeer(RandomBytes(world.ring, 1000));
    ASSERT_TRUE(world.RunUntil([&] {
      world.sink.Release(world.sink.held());
      return world.sink.closed() == world.sent.size();
    }));
  }
  world.ExpectEverything();
}

TEST(StreamReceiverDeathTest, OurOwnBugsDie) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        WorldOptions options;
        options.receiver.connections_max = 1;
        World world(1, options);
        for (int i = 0; i < 2; ++i) world.receiver->Add(*world.ring.OpenSocket({}), StreamId{1});
      },
      "connection != nullptr");
  EXPECT_DEATH(
      {
        World world(1);
        world.receiver->OnReceive({{OpKind::kReceive, 0, 0, 0}, 0, 0});
      },
      "connection != nullptr");
  EXPECT_DEATH(
      {
        World world(1);
        world.AddPeer("", PeerEnd::kStay);
        world.RunUntil([&] { return !world.receiver->idle(); });
        world.receiver.reset();
      },
      "idle\\(\\)");
}

}  // namespace
}  // namespace sluice
