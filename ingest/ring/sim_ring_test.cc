// The simulator is what other tests stand on: does it notice what it says it notices?
#include "ingest/ring/sim_ring.h"

#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr OpTag kWrite{OpKind::kWrite, 0, 0, 0};
constexpr OpTag kSync{OpKind::kSync, 0, 0, 0};
constexpr OpTag kReceive{OpKind::kReceive, 0, 0, 0};

struct alignas(4096) Blocks {
  std::byte bytes[4 * 4096] = {};
  std::byte* at(size_t block) { return bytes + block * 4096; }
  void Fill(char with) { std::memset(bytes, with, sizeof(bytes)); }
};

// Turns until `wanted` completions are there, or nothing happens any more.
std::vector<Completion> Collect(SimRing& ring, size_t wanted) {
  std::vector<Completion> all;
  for (int turn = 0; turn < 1000 && all.size() < wanted; ++turn) {
    ring.SubmitAndWait(absl::Milliseconds(1));
    for (const Completion& done : ring.Harvest()) all.push_back(done);
  }
  return all;
}

Completion WriteOne(SimRing& ring, int file, uint64_t at, std::vector<iovec> ranges) {
  ring.Write(kWrite, file, {at}, ranges);
  const auto done = Collect(ring, 1);
  EXPECT_EQ(done.size(), 1u);
  return done.at(0);
}

std::string TheViolation(const SimRing& ring) {
  EXPECT_EQ(ring.violations().size(), 1u);
  return ring.violations().empty() ? "" : ring.violations()[0];
}

// ---- the device's demands

TEST(SimRingTest, AWriteAsTheDeviceWantsItIsNoViolation) {
  SimRing ring(1);
  Blocks blocks;
  const int file = ring.AddFile(1 << 20);
  blocks.Fill('x');
  EXPECT_EQ(WriteOne(ring, file, 512, {{blocks.at(0), 512}, {blocks.at(1), 1024}}).result, 1536);
  EXPECT_EQ(ring.FileBytes(file).substr(512, 1536), std::string(1536, 'x'));
  EXPECT_EQ(ring.FileBytes(file)[511], '\0');
  EXPECT_EQ(ring.FileBytes(file)[2048], '\0');
  EXPECT_TRUE(ring.violations().empty());
  EXPECT_EQ(ring.writes(), 1u);
}

TEST(SimRingTest, MisalignedWritesAreNoticed) {
  struct Case {
    uint64_t at;
    std::vector<iovec> ranges;
    const char* what;
  };
  Blocks blocks;
  const std::vector<Case> cases = {
      {100, {{blocks.at(0), 512}}, "file offset 100"},
      {0, {{blocks.at(0) + 4, 512}}, "range of 512 bytes"},
      {0, {{blocks.at(0), 256}, {blocks.at(1), 256}}, "range of 256 bytes"},
      {0, {{blocks.at(0), 512}, {blocks.at(1), 0}}, "range of 0 bytes"},
  };
  for (const Case& wrong : cases) {
    SimRing ring(1);
    const int file = ring.AddFile(1 << 20);
    WriteOne(ring, file, wrong.at, wrong.ranges);
    ASSERT_FALSE(ring.violations().empty()) << wrong.what;
    EXPECT_TRUE(absl::StrContains(ring.violations()[0], wrong.what)) << ring.violations()[0];
  }
}

TEST(SimRingTest, ATotalThatIsNoMultipleIsNoticed) {
  SimDevice device;
  device.memory_align = 4;
  SimRing ring(1, {}, device);
  Blocks blocks;
  WriteOne(ring, ring.AddFile(1 << 20), 0, {{blocks.at(0), 4}, {blocks.at(1), 512}});
  EXPECT_EQ(TheViolation(ring), "total length 516");
}

TEST(SimRingTest, TooLongAndTooScatteredWritesAreNoticed) {
  SimDevice device;
  device.write_bytes_max = 4096;
  device.ranges_max = 2;
  Blocks blocks;
  {
    SimRing ring(1, {}, device);
    WriteOne(ring, ring.AddFile(1 << 20), 0, {{blocks.at(0), 8192}});
    EXPECT_EQ(TheViolation(ring), "a write of 8192 bytes");
  }
  {
    SimRing ring(1, {}, device);
    WriteOne(ring, ring.AddFile(1 << 20), 0,
             {{blocks.at(0), 512}, {blocks.at(1), 512}, {blocks.at(2), 512}});
    EXPECT_EQ(TheViolation(ring), "too many ranges");
  }
}

TEST(SimRingTest, GapsAtTheVirtualBoundaryAreNoticed) {
  SimDevice device;
  device.virt_boundary = 4095;
  Blocks blocks;
  {
    SimRing ring(1, {}, device);  // the first may start anywhere, the last end anywhere
    WriteOne(ring, ring.AddFile(1 << 20), 0,
             {{blocks.at(0) + 512, 4096 - 512}, {blocks.at(2), 512}});
    EXPECT_TRUE(ring.violations().empty());
  }
  {
    SimRing ring(1, {}, device);
    WriteOne(ring, ring.AddFile(1 << 20), 0, {{blocks.at(0), 4096}, {blocks.at(2) + 512, 512}});
    EXPECT_EQ(TheViolation(ring), "a gap at the start of a range");
  }
  {
    SimRing ring(1, {}, device);
    WriteOne(ring, ring.AddFile(1 << 20), 0, {{blocks.at(0), 512}, {blocks.at(2), 512}});
    EXPECT_EQ(TheViolation(ring), "a gap at the end of a range");
  }
}

TEST(SimRingTest, MemoryThatChangesUnderAWriteIsNoticed) {
  SimRing ring(1);
  Blocks blocks;
  const int file = ring.AddFile(1 << 20);
  const iovec range = {blocks.at(0), 512};
  ring.Write(kWrite, file, {0}, {&range, 1});
  blocks.bytes[511] = std::byte{1};
  Collect(ring, 1);
  EXPECT_EQ(TheViolation(ring), "memory changed while it was being written");
}

// ---- faults

TEST(SimRingTest, ShortWritesPutDownWhatTheySay) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SimRing ring(seed, {.short_write = 1});
    Blocks blocks;
    blocks.Fill('x');
    const int file = ring.AddFile(1 << 20);
    const int32_t result = WriteOne(ring, file, 0, {{blocks.at(0), 4096}}).result;
    ASSERT_GT(result, 0);
    EXPECT_EQ(result % 512, 0);
    const size_t n = static_cast<size_t>(result);
    EXPECT_EQ(ring.FileBytes(file).substr(0, n), std::string(n, 'x'));
    EXPECT_EQ(ring.FileBytes(file)[n], '\0');
  }
}

TEST(SimRingTest, RefusedWritesSayWhy) {
  Blocks blocks;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimRing again(seed, {.again = 1});
    const int32_t soft = WriteOne(again, again.AddFile(4096), 0, {{blocks.at(0), 512}}).result;
    EXPECT_TRUE(soft == -EAGAIN || soft == -EINTR) << soft;
    EXPECT_EQ(again.writes(), 0u);
    SimRing error(seed, {.write_error = 1});
    const int32_t hard = WriteOne(error, error.AddFile(4096), 0, {{blocks.at(0), 512}}).result;
    EXPECT_TRUE(hard == -EIO || hard == -ENOSPC) << hard;
    SimRing nothing(seed, {.write_nothing = 1});
    EXPECT_EQ(WriteOne(nothing, nothing.AddFile(4096), 0, {{blocks.at(0), 512}}).result, 0);
  }
}

// ---- power loss

std::string Sector(char with) { return std::string(512, with); }

TEST(SimRingTest, BeforeASyncEachSectorIsKeptDroppedOrTorn) {
  SimRing ring(1);
  Blocks blocks;
  blocks.Fill('x');
  const int file = ring.AddFile(8192);
  WriteOne(ring, file, 0, {{blocks.at(0), 8192}});
  int kept = 0, dropped = 0, torn = 0;
  for (int i = 0; i < 50; ++i) {
    const std::string image = ring.CrashImage(file);
    ASSERT_EQ(image.size(), 8192u);
    for (size_t at = 0; at < image.size(); at += 512) {
      const std::string sector = image.substr(at, 512);
      if (sector == Sector('x')) {
        ++kept;
      } else if (sector == Sector('\0')) {
        ++dropped;
      } else {
        ++torn;  // a part of it, then garbage
        EXPECT_EQ(sector.find_first_not_of('x'), sector.find('?'));
      }
    }
  }
  for (const int count : {kept, dropped, torn}) EXPECT_GT(count, 100);
}

TEST(SimRingTest, AfterASyncAllOfItIsThere) {
  SimRing ring(1);
  Blocks blocks;
  blocks.Fill('x');
  const int file = ring.AddFile(8192);
  WriteOne(ring, file, 0, {{blocks.at(0), 4096}});
  ring.SyncData(kSync, file);
  EXPECT_EQ(Collect(ring, 1).at(0).result, 0);
  WriteOne(ring, file, 4096, {{blocks.at(0), 4096}});
  bool lost = false;
  for (int i = 0; i < 50; ++i) {
    const std::string image = ring.CrashImage(file);
    EXPECT_EQ(image.substr(0, 4096), std::string(4096, 'x'));
    lost |= image.substr(4096) != std::string(4096, 'x');
  }
  EXPECT_TRUE(lost);  // the sync says nothing about what came after it
}

TEST(SimRingTest, ASyncOfOneFileSaysNothingAboutAnother) {
  SimRing ring(1);
  Blocks blocks;
  blocks.Fill('x');
  const int one = ring.AddFile(4096);
  const int two = ring.AddFile(4096);
  WriteOne(ring, one, 0, {{blocks.at(0), 4096}});
  ring.SyncData(kSync, two);
  Collect(ring, 1);
  bool lost = false;
  for (int i = 0; i < 50; ++i) lost |= ring.CrashImage(one) != std::string(4096, 'x');
  EXPECT_TRUE(lost);
}

// A sync covers the writes that had finished when it started: not those that finish while it
// runs, and not more of them when another sync finishes in between.
TEST(SimRingTest, ASyncCoversOnlyWhatWasThereWhenItStarted) {
  uint64_t runs = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SimRing ring(seed);
    Blocks blocks;
    blocks.Fill('x');
    const int file = ring.AddFile(12288);
    WriteOne(ring, file, 0, {{blocks.at(0), 4096}});
    ring.SyncData(kSync, file);
    ring.SyncData({OpKind::kSync, 0, 0, 1}, file);
    const iovec range = {blocks.at(0), 4096};
    ring.Write(kWrite, file, {4096}, {&range, 1});
    Collect(ring, 3);
    ++runs;
    bool lost = false;
    for (int i = 0; i < 20; ++i) {
      const std::string image = ring.CrashImage(file);
      ASSERT_EQ(image.substr(0, 4096), std::string(4096, 'x'));
      lost |= image.substr(4096, 4096) != std::string(4096, 'x');
    }
    ASSERT_TRUE(lost) << "seed " << seed;
  }
  EXPECT_EQ(runs, 300u);
}

// As with fsync on Linux: what a failed one covered is in doubt, whatever a later one says.
TEST(SimRingTest, WhatAFailedSyncCoveredStaysInDoubt) {
  SimRing ring(1, {.sync_error = 1});
  Blocks blocks;
  blocks.Fill('x');
  const int file = ring.AddFile(4096);
  WriteOne(ring, file, 0, {{blocks.at(0), 4096}});
  ring.SyncData(kSync, file);
  EXPECT_EQ(Collect(ring, 1).at(0).result, -EIO);
  ring.faults().sync_error = 0;
  ring.SyncData(kSync, file);
  EXPECT_EQ(Collect(ring, 1).at(0).result, 0);
  bool lost = false;
  for (int i = 0; i < 50; ++i) lost |= ring.CrashImage(file) != std::string(4096, 'x');
  EXPECT_TRUE(lost);
}

// ---- the network

struct Received {
  std::map<int, std::string> streams;  // by socket
  std::vector<std::string> trace;
};

// Receives everything from `peers` peers through four small buffers.
Received ReceiveAll(uint64_t seed, SimFaults faults, int peers) {
  SimRing ring(seed, faults);
  std::vector<std::byte> memory(4 * 1000);
  std::map<uint16_t, size_t> filled;
  const int listener = ring.AddListener();
  ring.AcceptMultishot({OpKind::kAccept, 0, 0, 0}, listener);
  for (int i = 0; i < peers; ++i) {
    ring.AddPeer(listener, std::string(ring.Roll(5000), static_cast<char>('a' + i)));
  }
  EXPECT_TRUE(ring.OpenBufferGroup(0, 4).ok());
  const auto provide = [&](uint16_t id) {
    filled[id] = 0;
    ring.ProvideBuffer(0, id, std::span(memory).subspan(size_t{id} * 1000, 1000));
  };
  for (uint16_t id = 0; id < 4; ++id) provide(id);

  Received got;
  int open = peers;
  std::map<uint32_t, int> sockets;  // by slot
  for (int turn = 0; turn < 100'000 && open > 0; ++turn) {
    ring.SubmitAndWait(absl::Milliseconds(1));
    for (const Completion& done : ring.Harvest()) {
      got.trace.push_back(absl::StrCat(done.tag.Pack(), " ", done.result, " ", done.flags, " ",
                                       absl::ToInt64Nanoseconds(ring.Monotonic())));
      if (done.tag.kind == OpKind::kAccept) {
        if (!done.more()) ring.AcceptMultishot(done.tag, listener);
        if (done.result < 0) continue;
        const uint32_t slot = static_cast<uint32_t>(done.result);
        sockets[slot] = done.result;
        ring.ReceiveMultishot({OpKind::kReceive, 0, 0, slot}, done.result, 0);
        continue;
      }
      const int socket = sockets.at(done.tag.slot);
      if (done.has_buffer()) {
        const char* from = reinterpret_cast<const char*>(memory.data()) +
                           size_t{done.buffer()} * 1000 + filled[done.buffer()];
        got.streams[socket].append(from, static_cast<size_t>(done.result));
        filled[done.buffer()] += static_cast<size_t>(done.result);
        EXPECT_EQ(done.buffer_more(), filled[done.buffer()] < 1000);
        if (!done.buffer_more()) provide(done.buffer());
      }
      if (done.more()) continue;
      if (done.result > 0 || done.result == -ENOBUFS) {
        ring.ReceiveMultishot(done.tag, socket, 0);
      } else {
        EXPECT_EQ(done.result, 0);
        got.streams[socket];
        ring.CloseSocket(socket);
        --open;
      }
    }
  }
  EXPECT_EQ(open, 0);
  EXPECT_TRUE(ring.violations().empty());
  for (int peer = 1; peer <= peers; ++peer) EXPECT_TRUE(ring.Gone(peer));
  ring.CloseBufferGroup(0);
  return got;
}

TEST(SimRingTest, BytesArriveInOrderAndNeverMixed) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const Received got = ReceiveAll(seed, {.end_of_multishot = 5, .accept_error = 3}, 8);
    EXPECT_EQ(got.streams.size(), 8u);
    for (const auto& [socket, bytes] : got.streams) {
      EXPECT_EQ(bytes.find_first_not_of(bytes.empty() ? 'a' : bytes[0]), std::string::npos);
    }
  }
}

TEST(SimRingTest, TheSameSeedIsTheSameStory) {
  const SimFaults faults{.end_of_multishot = 5, .accept_error = 3};
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_EQ(ReceiveAll(seed, faults, 5).trace, ReceiveAll(seed, faults, 5).trace);
  }
  EXPECT_NE(ReceiveAll(1, faults, 5).trace, ReceiveAll(2, faults, 5).trace);
}

TEST(SimRingTest, BufferMistakesAreNoticed) {
  std::vector<std::byte> memory(4096);
  SimRing ring(1);
  ASSERT_TRUE(ring.OpenBufferGroup(3, 2).ok());
  ring.ProvideBuffer(3, 0, std::span(memory).subspan(0, 1024));
  ring.ProvideBuffer(3, 0, std::span(memory).subspan(1024, 1024));
  EXPECT_EQ(TheViolation(ring), "a buffer was provided twice");
  ring.ProvideBuffer(3, 1, std::span(memory).subspan(2048, 1024));
  EXPECT_EQ(ring.violations().back(), "more buffers than the group holds");
  ring.CloseBufferGroup(3);
}

TEST(SimRingTest, MemoryInTheKernelsHandsTwiceIsNoticed) {
  std::vector<std::byte> memory(4096);
  SimRing ring(1);
  ASSERT_TRUE(ring.OpenBufferGroup(3, 4).ok());
  ASSERT_TRUE(ring.OpenBufferGroup(4, 4).ok());
  ring.ProvideBuffer(3, 0, std::span(memory).subspan(0, 2048));
  ring.ProvideBuffer(3, 1, std::span(memory).subspan(2048, 2048));
  EXPECT_TRUE(ring.violations().empty());
  ring.ProvideBuffer(4, 0, std::span(memory).subspan(2047, 1));
  EXPECT_EQ(TheViolation(ring), "memory was provided twice");
  ring.CloseBufferGroup(3);
  ring.CloseBufferGroup(4);
}

// Whoever still reads a chunk after it was provided again reads nothing of value.
TEST(SimRingTest, ProvidedMemoryIsOverwritten) {
  std::vector<std::byte> memory(1024, std::byte{'x'});
  SimRing ring(1);
  ASSERT_TRUE(ring.OpenBufferGroup(0, 2).ok());
  ring.ProvideBuffer(0, 0, std::span(memory).subspan(0, 512));
  EXPECT_EQ(memory[0], std::byte{0xDD});
  EXPECT_EQ(memory[511], std::byte{0xDD});
  EXPECT_EQ(memory[512], std::byte{'x'});
  ring.CloseBufferGroup(0);
}

// A connected socket without an armed receive.
int AcceptOne(SimRing& ring, std::string bytes, SimRing::PeerEnd end) {
  const int listener = ring.AddListener();
  ring.AddPeer(listener, std::move(bytes), end);
  ring.AcceptMultishot({OpKind::kAccept, 0, 0, 0}, listener);
  return Collect(ring, 1).at(0).result;
}

TEST(SimRingTest, StreamsEndAsThePeerSays) {
  for (const auto& [end, result] :
       {std::pair(SimRing::PeerEnd::kClose, 0), std::pair(SimRing::PeerEnd::kReset, -ECONNRESET)}) {
    SimRing ring(1);
    const int socket = AcceptOne(ring, "", end);
    ASSERT_TRUE(ring.OpenBufferGroup(0, 2).ok());
    ring.ReceiveMultishot(kReceive, socket, 0);
    const auto done = Collect(ring, 1);
    ASSERT_EQ(done.size(), 1u);
    EXPECT_EQ(done[0].result, result);
    EXPECT_FALSE(done[0].more());
    ring.CloseSocket(socket);
    ring.CloseBufferGroup(0);
  }
}

TEST(SimRingTest, AStayingPeerIsSilentUntilItIsShutDownOrCancelled) {
  SimRing ring(1);
  const int socket = AcceptOne(ring, "", SimRing::PeerEnd::kStay);
  ASSERT_TRUE(ring.OpenBufferGroup(0, 2).ok());
  ring.ReceiveMultishot(kReceive, socket, 0);
  EXPECT_TRUE(Collect(ring, 1).empty());
  ring.Cancel(kReceive);
  EXPECT_EQ(Collect(ring, 1).at(0).result, -ECANCELED);
  ring.ReceiveMultishot(kReceive, socket, 0);
  ring.ShutdownReceive(socket);
  EXPECT_EQ(Collect(ring, 1).at(0).result, 0);
  ring.CloseSocket(socket);
  ring.CloseBufferGroup(0);
}

TEST(SimRingTest, NoBufferEndsTheReceive) {
  SimRing ring(1);
  const int socket = AcceptOne(ring, "bytes", SimRing::PeerEnd::kStay);
  ASSERT_TRUE(ring.OpenBufferGroup(0, 2).ok());
  ring.ReceiveMultishot(kReceive, socket, 0);
  const auto done = Collect(ring, 1);
  EXPECT_EQ(done.at(0).result, -ENOBUFS);
  EXPECT_FALSE(done.at(0).more());
  EXPECT_EQ(ring.Delivered(1), 0u);
  ring.CloseSocket(socket);
  ring.CloseBufferGroup(0);
}

TEST(SimRingTest, SocketMistakesAreNoticed) {
  SimRing ring(1);
  const int socket = AcceptOne(ring, "", SimRing::PeerEnd::kStay);
  ASSERT_TRUE(ring.OpenBufferGroup(0, 2).ok());
  ring.ReceiveMultishot(kReceive, socket, 0);
  ring.ReceiveMultishot(kReceive, socket, 0);
  EXPECT_EQ(TheViolation(ring), "two receives on one socket");
  ring.CloseSocket(socket);
  EXPECT_EQ(ring.violations().back(), "a socket was closed under a receive");
  ring.CloseBufferGroup(0);
}

TEST(SimRingTest, DialledPeersAnswerInOrderThenRefuse) {
  SimRing ring(1);
  ring.AddDialledPeer("a");
  const int first = *ring.OpenSocket({});
  const int second = *ring.OpenSocket({});
  ring.Connect({OpKind::kConnect, 0, 0, 0}, first, {});
  EXPECT_EQ(Collect(ring, 1).at(0).result, 0);
  EXPECT_EQ(ring.PeerAddress(first).port, 1);
  ring.Connect({OpKind::kConnect, 0, 0, 1}, second, {});
  EXPECT_EQ(Collect(ring, 1).at(0).result, -ECONNREFUSED);
  ring.CloseSocket(first);
  ring.CloseSocket(second);
}

// ---- the clock

TEST(SimRingTest, TimersRunInSimulatedTime) {
  SimRing ring(1);
  const absl::Duration start = ring.Monotonic();
  std::vector<int> ran;
  ring.After(absl::Seconds(20), [&] { ran.push_back(2); });
  ring.After(absl::Seconds(5), [&] {
    ran.push_back(1);
    EXPECT_GE(ring.Monotonic() - start, absl::Seconds(5));
  });
  for (int i = 0; i < 100 && ran.size() < 2; ++i) ring.SubmitAndWait(absl::Seconds(1));
  EXPECT_EQ(ran, (std::vector<int>{1, 2}));
  EXPECT_GE(ring.Monotonic() - start, absl::Seconds(20));
}

TEST(SimRingTest, WakeEndsTheWait) {
  SimRing ring(1);
  const absl::Duration start = ring.Monotonic();
  ring.After(absl::Seconds(5), [&] { ring.Wake(); });
  ring.SubmitAndWait(absl::Hours(1));
  EXPECT_LT(ring.Monotonic() - start, absl::Seconds(6));
  ring.SubmitAndWait(absl::Hours(1));  // once
  EXPECT_GE(ring.Monotonic() - start, absl::Hours(1));
}

}  // namespace
}  // namespace sluice
