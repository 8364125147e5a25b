// Over the real kernel, on loopback and in a temporary directory.
#include "ingest/ring/uring_ring.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "ingest/receive/listener.h"

namespace sluice {
namespace {

constexpr OpTag kAccept{OpKind::kAccept, 1, 0, 0};
constexpr OpTag kConnect{OpKind::kConnect, 1, 0, 0};
constexpr OpTag kWrite{OpKind::kWrite, 1, 0, 0};
constexpr OpTag kSync{OpKind::kSync, 1, 0, 0};
constexpr OpTag Receive(uint32_t slot) { return {OpKind::kReceive, 1, 5, slot}; }

// Page-aligned memory.
class Pages {
 public:
  explicit Pages(size_t bytes)
      : bytes_(bytes),
        at_(static_cast<std::byte*>(
            mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {}
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() { munmap(at_, bytes_); }

  std::byte* data() const { return at_; }
  std::span<std::byte> span() const { return {at_, bytes_}; }
  std::string Text(size_t at, size_t length) const {
    return std::string(reinterpret_cast<const char*>(at_) + at, length);
  }
  void Fill(uint32_t seed) {
    for (size_t i = 0; i < bytes_; ++i) {
      seed = seed * 1664525 + 1013904223;
      at_[i] = static_cast<std::byte>(seed >> 24);
    }
  }

 private:
  const size_t bytes_;
  std::byte* const at_;
};

SocketAddress Parse(const std::string& text) { return *SocketAddress::Parse(text); }

// A connected socket on the sender's side.
int Dial(const SocketAddress& to) {
  sockaddr_storage storage;
  const socklen_t length = to.ToSockaddr(&storage);
  const int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&storage), length) == 0) return fd;
  close(fd);
  return -1;
}

void Send(int fd, const std::string& bytes) {
  ASSERT_EQ(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

class UringRingTest : public ::testing::Test {
 protected:
  void SetUp() override { OpenRing({}); }
  void TearDown() override {
    ring_.reset();
    for (const int fd : descriptors_) close(fd);
  }

  void OpenRing(const UringOptions& options) {
    auto ring = OpenUringRing(options);
    if (absl::IsFailedPrecondition(ring.status())) {
      GTEST_SKIP() << ring.status().message();
    }
    ASSERT_TRUE(ring.ok()) << ring.status();
    ring_ = *std::move(ring);
  }

  int Own(int fd) {
    EXPECT_GE(fd, 0);
    descriptors_.push_back(fd);
    return fd;
  }

  int ListenOn(const std::string& address) {
    auto listeners = Listen(Parse(address), 1);
    EXPECT_TRUE(listeners.ok()) << listeners.status();
    return Own(listeners.ok() ? listeners->at(0) : -1);
  }

  // The next `wanted` completions, or fewer when they take too long.
  std::vector<Completion> Collect(size_t wanted) {
    std::vector<Completion> all;
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    while (all.size() < wanted && absl::Now() < deadline) {
      ring_->SubmitAndWait(absl::Seconds(1));
      for (const Completion& done : ring_->Harvest()) all.push_back(done);
    }
    EXPECT_EQ(all.size(), wanted);
    all.resize(wanted);
    return all;
  }
  Completion Next() { return Collect(1)[0]; }

  // Both ends of a connection: the sender's, and the one that the ring accepted.
  struct Connection {
    int sender;
    int receiver;
  };
  Connection Connect(int listener) {
    const int sender = Own(Dial(ListeningAddress(listener)));
    return {sender, Own(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC))};
  }

  // A temporary file for direct writes; -1, and the test skipped, where there are none.
  int OpenDirect(uint64_t bytes) {
    std::string name = absl::StrCat(::testing::TempDir(), "/uring_ring_test.XXXXXX");
    const int fd = mkostemp(name.data(), O_DIRECT | O_CLOEXEC);
    unlink(name.c_str());
    if (fd < 0) return -1;
    Own(fd);
    EXPECT_EQ(posix_fallocate(fd, 0, static_cast<off_t>(bytes)), 0);
    return fd;
  }
  std::string ReadBack(int fd, uint64_t at, size_t length) {
    Pages pages(RoundUp(length, 4096));
    EXPECT_EQ(pread(fd, pages.data(), RoundUp(length, 4096), static_cast<off_t>(at)),
              static_cast<ssize_t>(RoundUp(length, 4096)));
    return pages.Text(0, length);
  }

  std::unique_ptr<Ring> ring_;
  std::vector<int> descriptors_;
};

// ---- accept

TEST(UringRingOptionsTest, TheCompletionQueueMayBeSmall) {
  const auto ring = OpenUringRing({.completion_entries = 16});
  EXPECT_TRUE(ring.ok()) << ring.status();
}

TEST_F(UringRingTest, OneAcceptTakesManyConnections) {
  const int listener = ListenOn("127.0.0.1:0");
  ring_->AcceptMultishot(kAccept, listener);
  for (int i = 0; i < 3; ++i) {
    const int sender = Own(Dial(ListeningAddress(listener)));
    const Completion done = Next();
    EXPECT_EQ(done.tag, kAccept);
    ASSERT_GE(done.result, 0);
    EXPECT_TRUE(done.more());
    EXPECT_FALSE(done.has_buffer());
    Own(done.result);
    EXPECT_NE(fcntl(done.result, F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_EQ(ring_->PeerAddress(done.result), ring_->LocalAddress(sender));
    EXPECT_EQ(ring_->LocalAddress(done.result), ListeningAddress(listener));
  }
  ring_->Cancel(kAccept);
  const Completion last = Next();
  EXPECT_EQ(last.result, -ECANCELED);
  EXPECT_FALSE(last.more());
}

TEST_F(UringRingTest, AddressesOfNoSocketAreUnknown) {
  EXPECT_EQ(ring_->PeerAddress(-1), SocketAddress{});
  EXPECT_EQ(ring_->LocalAddress(-1).ToString(), "unknown");
}

// ---- receive

// Three connections, one group: the kernel puts what arrives back to back into the first buffer,
// then into the next, in the order in which they were provided.
TEST_F(UringRingTest, BytesOfSeveralConnectionsArePackedBackToBack) {
  const int listener = ListenOn("127.0.0.1:0");
  Pages pages(8192);
  ASSERT_TRUE(ring_->OpenBufferGroup(7, 4).ok());
  ring_->ProvideBuffer(7, 2, pages.span().subspan(0, 250));
  ring_->ProvideBuffer(7, 1, pages.span().subspan(4096, 4096));

  std::vector<Connection> connections;
  for (uint32_t i = 0; i < 3; ++i) {
    connections.push_back(Connect(listener));
    ring_->ReceiveMultishot(Receive(i), connections[i].receiver, 7);
  }
  for (uint32_t i = 0; i < 2; ++i) {
    Send(connections[i].sender, std::string(100, static_cast<char>('a' + i)));
    const Completion done = Next();
    EXPECT_EQ(done.tag, Receive(i));
    EXPECT_EQ(done.result, 100);
    ASSERT_TRUE(done.has_buffer());
    EXPECT_EQ(done.buffer(), 2);
    EXPECT_TRUE(done.buffer_more());
    EXPECT_TRUE(done.more());
  }
  // More than is left: the first buffer is finished, the rest goes into the second.
  Send(connections[2].sender, std::string(100, 'c'));
  const auto done = Collect(2);
  EXPECT_EQ(done[0].result, 50);
  EXPECT_EQ(done[0].buffer(), 2);
  EXPECT_FALSE(done[0].buffer_more());
  EXPECT_TRUE(done[0].more());
  EXPECT_EQ(done[1].result, 50);
  EXPECT_EQ(done[1].buffer(), 1);
  EXPECT_TRUE(done[1].buffer_more());
  EXPECT_EQ(pages.Text(0, 251), std::string(100, 'a') + std::string(100, 'b') +
                                    std::string(50, 'c') + std::string(1, '\0'));
  EXPECT_EQ(pages.Text(4096, 51), std::string(50, 'c') + std::string(1, '\0'));

  for (uint32_t i = 0; i < 3; ++i) ring_->Cancel(Receive(i));
  for (const Completion& last : Collect(3)) EXPECT_EQ(last.result, -ECANCELED);
  ring_->CloseBufferGroup(7);
}

TEST_F(UringRingTest, AnEmptyGroupEndsTheReceiveAndABufferRevivesIt) {
  const int listener = ListenOn("127.0.0.1:0");
  Pages pages(8192);
  ASSERT_TRUE(ring_->OpenBufferGroup(0, 1).ok());
  const Connection connection = Connect(listener);
  ring_->ReceiveMultishot(Receive(0), connection.receiver, 0);
  Send(connection.sender, "hello");
  for (int i = 0; i < 2; ++i) {
    const Completion done = Next();
    EXPECT_EQ(done.result, -ENOBUFS);
    EXPECT_FALSE(done.more());
    EXPECT_FALSE(done.has_buffer());
    if (i == 1) ring_->ProvideBuffer(0, 0, pages.span().subspan(0, 4096));
    ring_->ReceiveMultishot(Receive(0), connection.receiver, 0);
  }
  const Completion done = Next();
  EXPECT_EQ(done.result, 5);
  EXPECT_EQ(pages.Text(0, 5), "hello");

  close(connection.sender);
  descriptors_.erase(std::find(descriptors_.begin(), descriptors_.end(), connection.sender));
  const Completion last = Next();
  EXPECT_EQ(last.result, 0);
  EXPECT_FALSE(last.more());
  ring_->CloseBufferGroup(0);
}

// All of a long stream, through buffers that are provided again as they are filled.
TEST_F(UringRingTest, ALongStreamArrivesWhole) {
  constexpr size_t kBuffer = 4096;
  constexpr size_t kBytes = 3 << 20;
  const int listener = ListenOn("127.0.0.1:0");
  Pages pages(4 * kBuffer);
  Pages content(kBytes);
  content.Fill(1);
  ASSERT_TRUE(ring_->OpenBufferGroup(0, 4).ok());
  size_t filled[4] = {};
  for (uint16_t id = 0; id < 4; ++id) {
    ring_->ProvideBuffer(0, id, pages.span().subspan(id * kBuffer, kBuffer));
  }
  const Connection connection = Connect(listener);
  std::thread sender([&] {
    Send(connection.sender, content.Text(0, kBytes));
    shutdown(connection.sender, SHUT_WR);
  });
  ring_->ReceiveMultishot(Receive(0), connection.receiver, 0);
  std::string got;
  bool ended = false;
  while (!ended) {
    ring_->SubmitAndWait(absl::Seconds(1));
    for (const Completion& done : ring_->Harvest()) {
      if (done.has_buffer()) {
        const uint16_t id = done.buffer();
        got += pages.Text(id * kBuffer + filled[id], static_cast<size_t>(done.result));
        filled[id] += static_cast<size_t>(done.result);
        EXPECT_EQ(done.buffer_more(), filled[id] < kBuffer);
        if (!done.buffer_more()) {
          filled[id] = 0;
          ring_->ProvideBuffer(0, id, pages.span().subspan(id * kBuffer, kBuffer));
        }
      }
      if (done.more()) continue;
      ended = done.result != -ENOBUFS && done.result <= 0;
      if (ended) {
        EXPECT_EQ(done.result, 0);
      } else {
        ring_->ReceiveMultishot(Receive(0), connection.receiver, 0);
      }
    }
  }
  sender.join();
  EXPECT_TRUE(got == content.Text(0, kBytes)) << got.size() << " bytes";
  ring_->CloseBufferGroup(0);
}

TEST_F(UringRingTest, AResetIsTold) {
  const int listener = ListenOn("127.0.0.1:0");
  Pages pages(4096);
  ASSERT_TRUE(ring_->OpenBufferGroup(0, 1).ok());
  ring_->ProvideBuffer(0, 0, pages.span());
  const int sender = Dial(ListeningAddress(listener));
  const int receiver = Own(accept(listener, nullptr, nullptr));
  ring_->ReceiveMultishot(Receive(0), receiver, 0);
  const linger reset = {1, 0};
  setsockopt(sender, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  close(sender);
  const Completion done = Next();
  EXPECT_EQ(done.result, -ECONNRESET);
  EXPECT_FALSE(done.more());
  ring_->CloseBufferGroup(0);
}

TEST_F(UringRingTest, ShutdownDeliversWhatHasArrivedThenEnds) {
  const int listener = ListenOn("127.0.0.1:0");
  Pages pages(4096);
  ASSERT_TRUE(ring_->OpenBufferGroup(0, 1).ok());
  ring_->ProvideBuffer(0, 0, pages.span());
  const Connection connection = Connect(listener);
  Send(connection.sender, "last words");
  ring_->ShutdownReceive(connection.receiver);
  ring_->ReceiveMultishot(Receive(0), connection.receiver, 0);
  const auto done = Collect(2);
  EXPECT_EQ(done[0].result, 10);
  EXPECT_EQ(done[1].result, 0);
  EXPECT_FALSE(done[1].more());
  ring_->CloseBufferGroup(0);
}

TEST_F(UringRingTest, ABufferGroupCanBeOpenedAgain) {
  const int listener = ListenOn("127.0.0.1:0");
  Pages pages(8192);
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(ring_->OpenBufferGroup(9, 2).ok());
    ring_->ProvideBuffer(9, 0, pages.span().subspan(0, 4096));
    const Connection connection = Connect(listener);
    ring_->ReceiveMultishot(Receive(0), connection.receiver, 9);
    Send(connection.sender, "x");
    EXPECT_EQ(Next().result, 1);
    ring_->Cancel(Receive(0));
    EXPECT_EQ(Next().result, -ECANCELED);
    ring_->CloseBufferGroup(9);
  }
}

// ---- connect

TEST_F(UringRingTest, ConnectsOrIsRefused) {
  const int listener = ListenOn("127.0.0.1:0");
  const SocketAddress there = ListeningAddress(listener);
  const int socket = Own(*ring_->OpenSocket(there));
  ring_->Connect(kConnect, socket, there);
  EXPECT_EQ(Next().result, 0);
  EXPECT_EQ(ring_->PeerAddress(socket), there);

  // A port that was free a moment ago, and that nobody listens on.
  const int bound = Own(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_storage any;
  const socklen_t length = Parse("127.0.0.1:0").ToSockaddr(&any);
  ASSERT_EQ(bind(bound, reinterpret_cast<sockaddr*>(&any), length), 0);
  const int second = Own(*ring_->OpenSocket(there));
  ring_->Connect(kConnect, second, ListeningAddress(bound));
  EXPECT_EQ(Next().result, -ECONNREFUSED);
}

// The address is copied for each: two in one turn do not get mixed up.
TEST_F(UringRingTest, ManyConnectsInOneTurnReachTheirAddresses) {
  std::vector<SocketAddress> there;
  std::vector<int> sockets;
  for (uint32_t i = 0; i < 5; ++i) {
    there.push_back(ListeningAddress(ListenOn(absl::StrCat("127.0.0.", i + 1, ":0"))));
    sockets.push_back(Own(*ring_->OpenSocket(there[i])));
  }
  for (uint32_t i = 0; i < 5; ++i)
    ring_->Connect({OpKind::kConnect, 0, 0, i}, sockets[i], there[i]);
  for (const Completion& done : Collect(5)) {
    EXPECT_EQ(done.result, 0);
    EXPECT_EQ(ring_->PeerAddress(sockets[done.tag.slot]), there[done.tag.slot]);
  }
}

TEST_F(UringRingTest, AConnectThatHangsIsCancelled) {
  // With its backlog full, a listener answers nobody.
  const int listener = Own(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_storage any;
  const socklen_t length = Parse("127.0.0.1:0").ToSockaddr(&any);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&any), length), 0);
  ASSERT_EQ(listen(listener, 0), 0);
  const SocketAddress there = ListeningAddress(listener);
  Own(Dial(there));
  const int socket = Own(*ring_->OpenSocket(there));
  ring_->Connect(kConnect, socket, there);
  ring_->SubmitAndWait(absl::ZeroDuration());
  ASSERT_TRUE(ring_->Harvest().empty());
  ring_->Cancel(kConnect);
  EXPECT_EQ(Next().result, -ECANCELED);
}

TEST_F(UringRingTest, CancellingWhatIsNotThereIsHarmless) {
  ring_->Cancel(Receive(77));
  ring_->SubmitAndWait(absl::ZeroDuration());
  EXPECT_TRUE(ring_->Harvest().empty());
}

TEST_F(UringRingTest, Ipv6) {
  auto listeners = Listen(Parse("[::1]:0"), 1);
  if (!listeners.ok()) GTEST_SKIP() << "no IPv6 loopback: " << listeners.status();
  const int listener = Own(listeners->at(0));
  const SocketAddress there = ListeningAddress(listener);
  ring_->AcceptMultishot(kAccept, listener);
  const int socket = Own(*ring_->OpenSocket(there));
  ring_->Connect(kConnect, socket, there);
  int accepted = -1;
  for (const Completion& done : Collect(2)) {
    ASSERT_GE(done.result, 0);
    if (done.tag == kAccept) accepted = Own(done.result);
  }
  EXPECT_EQ(ring_->PeerAddress(accepted), ring_->LocalAddress(socket));
  EXPECT_EQ(ring_->PeerAddress(accepted).family, 6);
  ring_->Cancel(kAccept);
  Next();
}

// A sender's name does not depend on which of the two protocols the listener speaks.
TEST_F(UringRingTest, Ipv4OnADualStackListener) {
  auto listeners = Listen(Parse("[::]:0"), 1);
  ASSERT_TRUE(listeners.ok()) << listeners.status();
  const int listener = Own(listeners->at(0));
  SocketAddress there = Parse("127.0.0.1:1");
  there.port = ListeningAddress(listener).port;
  const int sender = Own(Dial(there));
  const int receiver = Own(accept(listener, nullptr, nullptr));
  EXPECT_EQ(ring_->PeerAddress(receiver), ring_->LocalAddress(sender));
  EXPECT_EQ(ring_->PeerAddress(receiver).family, 4);
  EXPECT_EQ(ring_->LocalAddress(receiver), there);
}

// ---- wake and wait

TEST_F(UringRingTest, WakesFromAnotherThread) {
  for (int i = 0; i < 3; ++i) {
    std::thread other([this] { ring_->Wake(); });
    ring_->SubmitAndWait(absl::Hours(1));  // the test ends: it was woken
    EXPECT_TRUE(ring_->Harvest().empty());
    other.join();
  }
}

TEST_F(UringRingTest, AWakeBeforeTheWaitIsNotLost) {
  for (int i = 0; i < 3; ++i) {
    ring_->Wake();
    ring_->Wake();
    ring_->SubmitAndWait(absl::Hours(1));
    EXPECT_TRUE(ring_->Harvest().empty());
  }
}

TEST_F(UringRingTest, WaitsAsLongAsItIsTold) {
  for (const absl::Duration wait :
       {absl::Nanoseconds(1), absl::Milliseconds(1), absl::Milliseconds(30)}) {
    const absl::Duration before = ring_->Monotonic();
    ring_->SubmitAndWait(wait);
    EXPECT_GE(ring_->Monotonic() - before, wait);
    EXPECT_TRUE(ring_->Harvest().empty());
  }
  ring_->SubmitAndWait(absl::ZeroDuration());  // the test ends
  ring_->SubmitAndWait(-absl::InfiniteDuration());
  ring_->Wake();
  ring_->SubmitAndWait(absl::InfiniteDuration());
}

TEST_F(UringRingTest, RealTimeIsTheSystems) {
  const int64_t before = absl::ToUnixNanos(absl::Now());
  const int64_t now = ring_->RealTime().value;
  EXPECT_GE(now, before - 1'000'000'000);
  EXPECT_LE(now, absl::ToUnixNanos(absl::Now()) + 1'000'000'000);
}

// ---- disk

TEST_F(UringRingTest, WritesFromUnregisteredMemory) {
  const int fd = OpenDirect(1 << 20);
  if (fd < 0) GTEST_SKIP() << "no direct I/O in " << ::testing::TempDir();
  Pages pages(64 << 10);
  pages.Fill(1);
  const iovec ranges[] = {
      {pages.data() + 4096, 4096}, {pages.data(), 4096}, {pages.data() + 32768, 8192}};
  ring_->Write(kWrite, fd, {8192}, ranges);
  const Completion done = Next();
  EXPECT_EQ(done.tag, kWrite);
  EXPECT_EQ(done.result, 16384);
  EXPECT_FALSE(done.more());
  EXPECT_EQ(ReadBack(fd, 8192, 16384),
            pages.Text(4096, 4096) + pages.Text(0, 4096) + pages.Text(32768, 8192));
  EXPECT_EQ(ReadBack(fd, 0, 8192), std::string(8192, '\0'));
  ring_->SyncData(kSync, fd);
  const Completion synced = Next();
  EXPECT_EQ(synced.tag, kSync);
  EXPECT_EQ(synced.result, 0);
}

TEST_F(UringRingTest, WritesFromRegisteredMemory) {
  const int fd = OpenDirect(1 << 20);
  if (fd < 0) GTEST_SKIP() << "no direct I/O in " << ::testing::TempDir();
  Pages inside(1 << 20);
  Pages outside(4096);
  inside.Fill(2);
  outside.Fill(3);
  const absl::Status registered = ring_->RegisterMemory(inside.span());
  if (absl::IsFailedPrecondition(registered)) GTEST_SKIP() << registered.message();
  ASSERT_TRUE(registered.ok()) << registered;

  // Its first and its last page, out of order.
  const iovec fixed[] = {{inside.data() + (1 << 20) - 4096, 4096}, {inside.data(), 4096}};
  ring_->Write(kWrite, fd, {0}, fixed);
  EXPECT_EQ(Next().result, 8192);
  EXPECT_EQ(ReadBack(fd, 0, 8192), inside.Text((1 << 20) - 4096, 4096) + inside.Text(0, 4096));

  // Partly outside: as if nothing were registered.
  const iovec mixed[] = {{inside.data(), 4096}, {outside.data(), 4096}, {inside.data(), 4096}};
  ring_->Write(kWrite, fd, {65536}, mixed);
  EXPECT_EQ(Next().result, 12288);
  EXPECT_EQ(ReadBack(fd, 65536, 12288),
            inside.Text(0, 4096) + outside.Text(0, 4096) + inside.Text(0, 4096));
}

TEST_F(UringRingTest, AsManyRangesAsAWriteMayHave) {
  const int fd = OpenDirect(8 << 20);
  if (fd < 0) GTEST_SKIP() << "no direct I/O in " << ::testing::TempDir();
  Pages pages(kRangesMax * 4096);
  pages.Fill(4);
  for (const bool registered : {false, true}) {
    if (registered && !ring_->RegisterMemory(pages.span()).ok()) return;
    std::vector<iovec> ranges;
    std::string expected;
    for (size_t i = kRangesMax; i-- > 0;) {
      ranges.push_back({pages.data() + i * 4096, 4096});
      expected += pages.Text(i * 4096, 4096);
    }
    ring_->Write(kWrite, fd, {0}, ranges);
    EXPECT_EQ(Next().result, static_cast<int32_t>(kRangesMax * 4096));
    EXPECT_TRUE(ReadBack(fd, 0, kRangesMax * 4096) == expected);
  }
}

TEST_F(UringRingTest, ErrorsComeAsCompletions) {
  const int fd = Own(open("/dev/full", O_WRONLY | O_CLOEXEC));
  Pages pages(4096);
  const iovec range = {pages.data(), 4096};
  ring_->Write(kWrite, fd, {0}, {&range, 1});
  EXPECT_EQ(Next().result, -ENOSPC);
  ring_->SyncData(kSync, fd);
  EXPECT_LT(Next().result, 0);  // not a file
  const int listener = Own(::socket(AF_INET, SOCK_STREAM, 0));
  ring_->AcceptMultishot(kAccept, listener);  // does not listen
  EXPECT_EQ(Next().result, -EINVAL);
}

// More submissions in a turn than the queue has entries, and more completions than it has.
TEST_F(UringRingTest, SmallQueuesLoseNothing) {
  ASSERT_NO_FATAL_FAILURE(OpenRing({.submission_entries = 4, .completion_entries = 8}));
  const int fd = Own(memfd_create("uring_ring_test", MFD_CLOEXEC));
  Pages pages(4096);
  pages.Fill(5);
  const iovec range = {pages.data(), 4096};
  constexpr uint32_t kWrites = 300;
  for (uint32_t i = 0; i < kWrites; ++i) {
    ring_->Write({OpKind::kWrite, 0, 0, i}, fd, {uint64_t{i} * 4096}, {&range, 1});
  }
  std::vector<int> seen(kWrites, 0);
  for (const Completion& done : Collect(kWrites)) {
    EXPECT_EQ(done.result, 4096);
    ++seen.at(done.tag.slot);
  }
  EXPECT_EQ(seen, std::vector<int>(kWrites, 1));
  EXPECT_EQ(ReadBack(fd, (kWrites - 1) * 4096, 4096), pages.Text(0, 4096));
  // It still wakes, which needs a completion of its own.
  ring_->Wake();
  ring_->SubmitAndWait(absl::Hours(1));
}

TEST_F(UringRingTest, GoesAwayWithOperationsInFlight) {
  const int listener = ListenOn("127.0.0.1:0");
  Pages pages(4096);
  ASSERT_TRUE(ring_->OpenBufferGroup(0, 1).ok());
  ring_->ProvideBuffer(0, 0, pages.span());
  ring_->AcceptMultishot(kAccept, listener);
  const Connection connection = Connect(listener);
  ring_->ReceiveMultishot(Receive(0), connection.receiver, 0);
  ring_->SubmitAndWait(absl::ZeroDuration());
  ring_.reset();
  EXPECT_GE(Own(Dial(ListeningAddress(listener))), 0);
}

// ---- locked memory

bool DropLockCapability() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  for (auto* set : {&data[0].effective, &data[0].permitted}) *set &= ~(1u << CAP_IPC_LOCK);
  return syscall(SYS_capset, &header, data) == 0;
}

bool LimitLockedMemory(uint64_t bytes) {
  const rlimit limit = {bytes, bytes};
  return DropLockCapability() && setrlimit(RLIMIT_MEMLOCK, &limit) == 0;
}

// In a child, whose answer is how it exits. The queues count too on newer kernels, and fit.
int RegisterBeyondTheLimit(int fd) {
  if (!LimitLockedMemory(2 << 20)) return 10;
  auto ring = OpenUringRing({});
  if (!ring.ok()) return 11;
  Pages pages(4 << 20);
  pages.Fill(6);
  const absl::Status refused = (*ring)->RegisterMemory(pages.span());
  if (absl::IsFailedPrecondition(refused)) return 77;
  if (!absl::IsResourceExhausted(refused)) return 12;
  for (const char* word : {"4 MiB", "ulimit -l", "LimitMEMLOCK", "CAP_IPC_LOCK", "slower"}) {
    if (!absl::StrContains(refused.message(), word)) return 13;
  }
  const iovec range = {pages.data() + (1 << 20), 8192};
  (*ring)->Write(kWrite, fd, {4096}, {&range, 1});
  for (int turn = 0; turn < 30; ++turn) {
    (*ring)->SubmitAndWait(absl::Seconds(1));
    for (const Completion& done : (*ring)->Harvest()) {
      if (done.result != 8192) return 14;
      std::string back(8192, '\0');
      if (pread(fd, back.data(), back.size(), 4096) != 8192) return 15;
      return back == pages.Text(1 << 20, 8192) ? 0 : 16;
    }
  }
  return 17;
}

// Where not even the queues may be locked: older kernels do not count them.
int OpenBeyondTheLimit() {
  if (!LimitLockedMemory(4096)) return 10;
  const auto ring = OpenUringRing({});
  if (ring.ok()) return 0;
  if (!absl::IsResourceExhausted(ring.status())) return 11;
  return absl::StrContains(ring.status().message(), "ulimit -l") ? 0 : 12;
}

template <class Work>
int ExitStatusOf(Work work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(UringRingTest, WithoutLockedMemoryWritesWorkAllTheSame) {
  const int fd = Own(memfd_create("uring_ring_test", MFD_CLOEXEC));
  const int status = ExitStatusOf([fd] { return RegisterBeyondTheLimit(fd); });
  if (status == 77) GTEST_SKIP() << "this kernel registers no memory for writes";
  EXPECT_EQ(status, 0);
}

TEST_F(UringRingTest, TheLimitOnLockedMemoryIsNamedWhenTheQueuesExceedIt) {
  EXPECT_EQ(ExitStatusOf(OpenBeyondTheLimit), 0);
}

}  // namespace
}  // namespace sluice
