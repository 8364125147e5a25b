#include "ingest/receive/listener.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

// A recorder that has just died holds on to its port for some milliseconds: the kernel takes an
// io_uring apart after its process is gone. Whoever starts it again should not have to know.
constexpr int kAttempts = 20;
constexpr auto kPause = std::chrono::milliseconds(25);

constexpr int kBacklog = 4096;  // the kernel lowers it to net.core.somaxconn

absl::Status WhyNotListening(const SocketAddress& address, int error) {
  const std::string what = absl::StrCat("listen on ", address.ToString(), ": ");
  switch (error) {
    case EADDRINUSE:
      return absl::UnavailableError(absl::StrCat(
          what, "the address is in use by another program; choose another port, or 0 for any"));
    case EADDRNOTAVAIL:
      return absl::InvalidArgumentError(absl::StrCat(
          what, "this machine has no such address; see `ip address`, or write :PORT for all"));
    case EACCES:
      return absl::PermissionDeniedError(
          absl::StrCat(what, "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE"));
    default:
      return absl::ErrnoToStatus(error, what);
  }
}

absl::StatusOr<int> ListenOnce(const SocketAddress& address, bool share) {
  const int fd = socket(address.family == 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return WhyNotListening(address, errno);
  absl::Cleanup close_fd = [fd] { close(fd); };

  const int on = 1;
  const int off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (share) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
  if (address.family == 6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  sockaddr_storage storage;
  const socklen_t length = address.ToSockaddr(&storage);
  if (bind(fd, reinterpret_cast<sockaddr*>(&storage), length) != 0 || listen(fd, kBacklog) != 0) {
    return WhyNotListening(address, errno);
  }
  std::move(close_fd).Cancel();
  return fd;
}

SocketAddress AllIpv4(uint16_t port) {
  SocketAddress address;
  address.family = 4;
  address.port = port;
  return address;
}

}  // namespace

SocketAddress ListeningAddress(int listener) {
  sockaddr_storage storage = {};
  socklen_t length = sizeof(storage);
  getsockname(listener, reinterpret_cast<sockaddr*>(&storage), &length);
  return SocketAddress::FromSockaddr(storage);
}

absl::StatusOr<std::vector<int>> Listen(const SocketAddress& address, uint32_t count) {
  SocketAddress at = address;
  // Without SO_REUSEPORT first: with it, a port that another recorder listens on would be shared
  // with it in silence.
  absl::StatusOr<int> probe = ListenOnce(at, /*share=*/false);
  for (int i = 1; i < kAttempts && absl::IsUnavailable(probe.status()); ++i) {
    std::this_thread::sleep_for(kPause);
    probe = ListenOnce(at, /*share=*/false);
  }
  const bool any = address.family == 6 && address.bytes == std::array<uint8_t, 16>{};
  if (!probe.ok() && any && !absl::IsUnavailable(probe.status())) {
    at = AllIpv4(address.port);  // a machine without IPv6
    probe = ListenOnce(at, /*share=*/false);
  }
  if (!probe.ok()) return probe.status();
  if (count == 1) return std::vector<int>{*probe};

  at.port = ListeningAddress(*probe).port;
  close(*probe);
  std::vector<int> listeners;
  absl::Cleanup close_all = [&listeners] {
    for (const int fd : listeners) close(fd);
  };
  for (uint32_t i = 0; i < count; ++i) {
    SLUICE_ASSIGN_OR_RETURN(const int fd, ListenOnce(at, /*share=*/true));
    listeners.push_back(fd);
  }
  std::move(close_all).Cancel();
  return listeners;
}

}  // namespace sluice
