#include "tests/e2e/peer.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ingest/check.h"
#include "tests/support/child.h"

namespace sluice {
namespace {

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

sockaddr_in LocalEnd(int socket) {
  sockaddr_in address = {};
  socklen_t length = sizeof(address);
  SLUICE_CHECK(getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  return address;
}

int MakeSocket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  SLUICE_CHECK(fd >= 0);
  return fd;
}

int Milliseconds(std::chrono::milliseconds time) { return static_cast<int>(time.count()); }

}  // namespace

Peer::Peer(const StreamContent& content, uint64_t number, uint16_t port, const std::string& from)
    : content_(&content), number_(number), socket_(MakeSocket()) {
  sockaddr_in here = Loopback(0);
  SLUICE_CHECK(inet_pton(AF_INET, from.c_str(), &here.sin_addr) == 1);
  EXPECT_EQ(bind(socket_, reinterpret_cast<const sockaddr*>(&here), sizeof(here)), 0) << errno;
  const sockaddr_in to = Loopback(port);
  const int result = connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
  EXPECT_EQ(result, 0) << "connect to port " << port << ": errno " << errno;
  NoteAddress();
}

Peer::Peer(const StreamContent& content, uint64_t number, int socket)
    : content_(&content), number_(number), socket_(socket) {
  NoteAddress();
}

Peer::Peer(Peer&& from) noexcept
    : content_(from.content_),
      number_(from.number_),
      socket_(std::exchange(from.socket_, -1)),
      sent_(from.sent_),
      address_(from.address_) {}

Peer::~Peer() { Close(); }

void Peer::NoteAddress() {
  const int on = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  const sockaddr_in end = LocalEnd(socket_);
  std::array<char, INET_ADDRSTRLEN> host;
  inet_ntop(AF_INET, &end.sin_addr, host.data(), host.size());
  address_ = absl::StrCat(host.data(), ":", ntohs(end.sin_port));
}

int64_t Peer::SendSome(uint64_t bytes, int flags) {
  const ContentPart part(*content_, number_, sent_, bytes);
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(part.vectors());
  message.msg_iovlen = static_cast<size_t>(part.count());
  const int64_t n = sendmsg(socket_, &message, MSG_NOSIGNAL | flags);
  if (n > 0) sent_ += static_cast<uint64_t>(n);
  return n;
}

bool Peer::Send(uint64_t bytes) {
  const uint64_t end = sent_ + bytes;
  while (sent_ < end) {
    if (SendSome(end - sent_, 0) < 0 && errno != EINTR) return false;
  }
  return true;
}

void Peer::TrySend(uint64_t bytes) { SendSome(bytes, MSG_DONTWAIT); }

void Peer::SendUntilFull() {
  // The receiver's window may still grow while what is there is being confirmed.
  pollfd ready = {.fd = socket_, .events = POLLOUT, .revents = 0};
  do {
    while (SendSome(100'003, MSG_DONTWAIT) > 0) {
    }
  } while (poll(&ready, 1, Milliseconds(std::chrono::milliseconds(50))) > 0);
}

void Peer::FinishSending() { shutdown(socket_, SHUT_WR); }

void Peer::Reset() {
  const linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  Close();
}

void Peer::Close() {
  if (socket_ >= 0) close(std::exchange(socket_, -1));
}

bool Peer::AwaitClose() {
  std::array<char, 64> ignored;
  pollfd ready = {.fd = socket_, .events = POLLIN, .revents = 0};
  while (true) {
    if (poll(&ready, 1, Milliseconds(kPatience)) == 0) {
      ADD_FAILURE() << address_ << ": the recorder does not close the connection";
      return false;
    }
    const ssize_t n = recv(socket_, ignored.data(), ignored.size(), 0);
    if (n == 0) return true;
    if (n < 0 && errno != EINTR) return false;
  }
}

uint64_t Peer::acknowledged() const {
  int on_the_way = 0;
  SLUICE_CHECK(ioctl(socket_, SIOCOUTQ, &on_the_way) == 0);
  return sent_ - static_cast<uint64_t>(on_the_way);
}

void Peer::AwaitAcknowledged() const {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (acknowledged() < sent_ && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

Server::Server(uint16_t port) : socket_(MakeSocket()) {
  const int on = 1;
  setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const sockaddr_in at = Loopback(port);
  EXPECT_EQ(bind(socket_, reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0) << errno;
  EXPECT_EQ(listen(socket_, 64), 0) << errno;
  port_ = ntohs(LocalEnd(socket_).sin_port);
}

Server::~Server() { close(socket_); }

int Server::Accept() {
  pollfd ready = {.fd = socket_, .events = POLLIN, .revents = 0};
  if (poll(&ready, 1, Milliseconds(kPatience)) != 1) ADD_FAILURE() << "nobody connects";
  const int fd = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
  EXPECT_GE(fd, 0) << errno;
  return fd;
}

uint16_t UnusedPort() { return Server().port(); }

}  // namespace sluice
