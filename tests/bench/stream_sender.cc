#include "tests/bench/stream_sender.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "tests/bench/command_line.h"

namespace sluice {

StreamSender::StreamSender(const StreamContent& content, Pieces pieces, Ending ending,
                           std::vector<Stream> streams)
    : content_(content),
      pieces_(pieces),
      ending_(ending),
      streams_(std::move(streams)),
      epoll_(static_cast<int>(OrDie(epoll_create1(EPOLL_CLOEXEC), "epoll_create1"))) {}

StreamSender::~StreamSender() {
  for (Stream& stream : streams_) {
    if (stream.socket >= 0) close(stream.socket);
  }
  close(epoll_);
}

void StreamSender::Connect(const sockaddr_in& to) {
  const auto* address = reinterpret_cast<const sockaddr*>(&to);
  for (Stream& stream : streams_) {
    stream.socket =
        static_cast<int>(OrDie(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    const int apart = pieces_ == Pieces::kOdd ? 1 : 0;  // On the wire, too.
    OrDie(setsockopt(stream.socket, IPPROTO_TCP, TCP_NODELAY, &apart, sizeof(apart)), "setsockopt");
    OrDie(connect(stream.socket, address, sizeof(to)), "connect");
    socklen_t length = sizeof(stream.local);
    OrDie(getsockname(stream.socket, reinterpret_cast<sockaddr*>(&stream.local), &length),
          "getsockname");
    epoll_event interest = {.events = EPOLLOUT, .data = {.ptr = &stream}};
    OrDie(epoll_ctl(epoll_, EPOLL_CTL_ADD, stream.socket, &interest), "epoll_ctl");
    ++sending_;
    ++open_;
  }
}

void StreamSender::SendAll() {
  while (sending_ > 0) Turn();
}

void StreamSender::AwaitEnd() {
  while (open_ > 0) Turn();
}

bool StreamSender::all_sent() const {
  return std::all_of(streams_.begin(), streams_.end(),
                     [](const Stream& stream) { return stream.sent == stream.bytes; });
}

void StreamSender::Turn() {
  std::array<epoll_event, 64> events;
  const int count = epoll_wait(epoll_, events.data(), events.size(), -1);
  if (count < 0 && errno != EINTR) Die("epoll_wait", errno);
  for (int i = 0; i < count; ++i) {
    Stream& stream = *static_cast<Stream*>(events[i].data.ptr);
    if (events[i].events & EPOLLOUT) {
      Send(stream);
    } else {
      AwaitPeer(stream);
    }
  }
}

uint64_t StreamSender::NextPiece(const Stream& stream) {
  const uint64_t left = stream.bytes - stream.sent;
  return pieces_ == Pieces::kLarge ? left : std::min<uint64_t>(left, random_() % 65'536 | 1);
}

void StreamSender::Send(Stream& stream) {
  const ContentPart part(content_, stream.number, stream.sent, NextPiece(stream));
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(part.vectors());
  message.msg_iovlen = part.count();
  const ssize_t sent = sendmsg(stream.socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (sent < 0) {
    --sending_;
    return End(stream, errno);
  }
  stream.sent += sent;
  if (stream.sent == stream.bytes) FinishSending(stream);
}

void StreamSender::FinishSending(Stream& stream) {
  --sending_;
  if (ending_ == Ending::kClose) return End(stream, 0);
  if (ending_ == Ending::kAwaitPeer) shutdown(stream.socket, SHUT_WR);
  epoll_event interest = {.events = EPOLLIN, .data = {.ptr = &stream}};
  OrDie(epoll_ctl(epoll_, EPOLL_CTL_MOD, stream.socket, &interest), "epoll_ctl");
}

void StreamSender::AwaitPeer(Stream& stream) {
  char ignored[4096];
  const ssize_t received = recv(stream.socket, ignored, sizeof(ignored), MSG_DONTWAIT);
  if (received > 0 || (received < 0 && (errno == EAGAIN || errno == EINTR))) return;
  const int error = received < 0 ? errno : 0;
  if (stream.sent == stream.bytes) return End(stream, error);
  --sending_;
  End(stream, error != 0 ? error : EPIPE);
}

void StreamSender::End(Stream& stream, int error) {
  stream.error = error;
  close(std::exchange(stream.socket, -1));
  --open_;
}

}  // namespace sluice
