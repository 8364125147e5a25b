#include "ingest/receive/listener.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

SocketAddress Parse(const std::string& text) { return *SocketAddress::Parse(text); }

int OpenDescriptors() {
  int count = 0;
  DIR* const all = opendir("/proc/self/fd");
  while (readdir(all) != nullptr) ++count;
  closedir(all);
  return count;
}

int Option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof(value);
  getsockopt(fd, level, name, &value, &length);
  return value;
}

bool CanConnect(const SocketAddress& to) {
  sockaddr_storage storage;
  const socklen_t length = to.ToSockaddr(&storage);
  const int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool connected = connect(fd, reinterpret_cast<sockaddr*>(&storage), length) == 0;
  close(fd);
  return connected;
}

bool DropCapabilities() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2] = {};
  return syscall(SYS_capset, &header, none) == 0;
}

class ListenerTest : public ::testing::Test {
 protected:
  void SetUp() override { open_before_ = OpenDescriptors(); }
  void TearDown() override {
    for (const int fd : listeners_) close(fd);
    EXPECT_EQ(OpenDescriptors(), open_before_);
  }

  std::vector<int> ListenOn(const std::string& address, uint32_t count) {
    auto listeners = Listen(Parse(address), count);
    EXPECT_TRUE(listeners.ok()) << listeners.status();
    if (!listeners.ok()) return {};
    listeners_.insert(listeners_.end(), listeners->begin(), listeners->end());
    return *listeners;
  }

  void ExpectInUse(const SocketAddress& address) {
    for (const uint32_t count : {1u, 3u}) {
      const int before = OpenDescriptors();
      const auto second = Listen(address, count);
      ASSERT_FALSE(second.ok());
      EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable) << second.status();
      EXPECT_TRUE(absl::StrContains(second.status().message(), address.ToString()))
          << second.status();
      EXPECT_TRUE(absl::StrContains(second.status().message(), "in use")) << second.status();
      EXPECT_EQ(OpenDescriptors(), before);
    }
  }

  int open_before_ = 0;
  std::vector<int> listeners_;
};

TEST_F(ListenerTest, TheSystemChoosesAPort) {
  const int one = ListenOn("127.0.0.1:0", 1).at(0);
  const int two = ListenOn("127.0.0.1:0", 1).at(0);
  EXPECT_NE(ListeningAddress(one).port, 0);
  EXPECT_NE(ListeningAddress(one), ListeningAddress(two));
  EXPECT_TRUE(CanConnect(ListeningAddress(one)));
  EXPECT_NE(fcntl(one, F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(ListenerTest, SeveralShareOnePortThatTheSystemChose) {
  const std::vector<int> listeners = ListenOn("127.0.0.1:0", 4);
  ASSERT_EQ(listeners.size(), 4u);
  EXPECT_EQ(std::set<int>(listeners.begin(), listeners.end()).size(), 4u);
  for (const int fd : listeners) {
    EXPECT_EQ(ListeningAddress(fd), ListeningAddress(listeners[0]));
    EXPECT_EQ(Option(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
  }
  // The kernel spreads connections: each of enough of them lands on some listener, not all on one.
  std::vector<int> senders;
  sockaddr_storage storage;
  const socklen_t length = ListeningAddress(listeners[0]).ToSockaddr(&storage);
  for (int i = 0; i < 200; ++i) {
    senders.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(senders.back(), reinterpret_cast<sockaddr*>(&storage), length), 0);
  }
  int accepted = 0;
  int used = 0;
  for (const int fd : listeners) {
    const int before = accepted;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    for (int peer; (peer = accept(fd, nullptr, nullptr)) >= 0; ++accepted) close(peer);
    used += accepted > before ? 1 : 0;
  }
  EXPECT_EQ(accepted, 200);
  EXPECT_GT(used, 1);
  for (const int fd : senders) close(fd);
}

TEST_F(ListenerTest, APortInUseIsRefused) {
  ExpectInUse(ListeningAddress(ListenOn("127.0.0.1:0", 1).at(0)));
}

// Another recorder's listeners, which would share the port in silence.
TEST_F(ListenerTest, APortInUseByListenersThatShareItIsRefused) {
  ExpectInUse(ListeningAddress(ListenOn("127.0.0.1:0", 2).at(0)));
}

TEST_F(ListenerTest, APortInUseOnOneAddressIsRefusedForAll) {
  SocketAddress all = Parse("[::]:1");
  all.port = ListeningAddress(ListenOn("127.0.0.1:0", 1).at(0)).port;
  ExpectInUse(all);
  all = Parse("0.0.0.0:1");
  all.port = ListeningAddress(ListenOn("127.0.0.1:0", 2).at(0)).port;
  ExpectInUse(all);
}

TEST_F(ListenerTest, APortIsFreeAgainAfterItsConnections) {
  const SocketAddress address = ListeningAddress(ListenOn("127.0.0.1:0", 1).at(0));
  sockaddr_storage storage;
  const socklen_t length = address.ToSockaddr(&storage);
  const int sender = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(connect(sender, reinterpret_cast<sockaddr*>(&storage), length), 0);
  const int receiver = accept(listeners_[0], nullptr, nullptr);
  close(receiver);  // our end closes first: it lingers in TIME_WAIT
  close(sender);
  close(listeners_[0]);
  listeners_.clear();
  EXPECT_EQ(ListenOn(address.ToString(), 1).size(), 1u);
}

TEST_F(ListenerTest, AllAddressesMeansBothProtocols) {
  for (const uint32_t count : {1u, 2u}) {
    const SocketAddress all = ListeningAddress(ListenOn("[::]:0", count).at(0));
    SocketAddress four = Parse("127.0.0.1:1");
    four.port = all.port;
    EXPECT_TRUE(CanConnect(four));
    if (all.family != 6) continue;  // a machine without IPv6
    SocketAddress six = Parse("[::1]:1");
    six.port = all.port;
    if (std::ifstream("/proc/net/if_inet6").peek() != EOF) {
      EXPECT_TRUE(CanConnect(six));
    }
  }
}

TEST_F(ListenerTest, OneAddressMeansNoOther) {
  SocketAddress other = Parse("127.0.0.2:1");
  other.port = ListeningAddress(ListenOn("127.0.0.1:0", 1).at(0)).port;
  EXPECT_FALSE(CanConnect(other));
}

TEST_F(ListenerTest, SomebodyElsesAddressIsRefused) {
  for (const char* text : {"203.0.113.7:0", "[2001:db8::7]:0"}) {
    for (const uint32_t count : {1u, 2u}) {
      const auto listeners = Listen(Parse(text), count);
      ASSERT_FALSE(listeners.ok());
      EXPECT_EQ(listeners.status().code(), absl::StatusCode::kInvalidArgument)
          << listeners.status();
      EXPECT_TRUE(absl::StrContains(listeners.status().message(), text)) << listeners.status();
    }
  }
}

TEST_F(ListenerTest, PrivilegedPorts) {
  int first_unprivileged = 1024;
  std::ifstream("/proc/sys/net/ipv4/ip_unprivileged_port_start") >> first_unprivileged;
  if (first_unprivileged < 2) GTEST_SKIP() << "every port is open to everybody here";
  const pid_t child = fork();
  if (child == 0) {
    if (!DropCapabilities()) _exit(3);
    for (const char* text : {"127.0.0.1:1", "[::]:1"}) {
      const auto listeners = Listen(Parse(text), 1);
      if (listeners.ok()) _exit(4);
      if (listeners.status().code() != absl::StatusCode::kPermissionDenied) _exit(5);
      if (!absl::StrContains(listeners.status().message(), "CAP_NET_BIND_SERVICE")) _exit(6);
    }
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace sluice
