// An IPv4 or IPv6 address with its port: what a stream's two ends are called.
#ifndef INGEST_RECEIVE_SOCKET_ADDRESS_H_
#define INGEST_RECEIVE_SOCKET_ADDRESS_H_

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

// Plain data of 24 bytes, stored on disk as it is (writer/FORMAT.md): numbers in host order
// (little-endian), the address in network order. IPv4 takes the first four bytes.
struct SocketAddress {
  uint16_t family = 0;  // 0 unknown, 4, 6
  uint16_t port = 0;
  uint32_t scope = 0;  // IPv6 scope id
  std::array<uint8_t, 16> bytes = {};

  bool operator==(const SocketAddress&) const = default;

  // "10.0.0.1:9000", "[2001:db8::1]:9000", "[fe80::1%2]:9000"; "unknown" for family 0.
  std::string ToString() const;

  // The kernel's form; returns its length, 0 for family 0.
  socklen_t ToSockaddr(sockaddr_storage* out) const;
  // IPv4-mapped IPv6 becomes IPv4, so that a peer has one name whatever socket it reached.
  static SocketAddress FromSockaddr(const sockaddr_storage& from);

  // "ADDRESS:PORT", "[ADDRESS]:PORT", ":PORT" and "*:PORT" (all addresses: "[::]"), or
  // "HOST:PORT" with a name that the system resolves. InvalidArgument says what is wrong.
  static absl::StatusOr<SocketAddress> Parse(absl::string_view text);
};
static_assert(sizeof(SocketAddress) == 24);

}  // namespace sluice

#endif  // INGEST_RECEIVE_SOCKET_ADDRESS_H_
