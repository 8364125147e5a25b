#include "ingest/receive/socket_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sluice {

std::string SocketAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = {};
  switch (family) {
    case 4:
      inet_ntop(AF_INET, bytes.data(), text, sizeof(text));
      return absl::StrCat(text, ":", port);
    case 6:
      inet_ntop(AF_INET6, bytes.data(), text, sizeof(text));
      return scope == 0 ? absl::StrCat("[", text, "]:", port)
                        : absl::StrCat("[", text, "%", scope, "]:", port);
    default:
      return "unknown";
  }
}

socklen_t SocketAddress::ToSockaddr(sockaddr_storage* out) const {
  *out = {};
  if (family == 4) {
    auto* in4 = reinterpret_cast<sockaddr_in*>(out);
    in4->sin_family = AF_INET;
    in4->sin_port = htons(port);
    std::memcpy(&in4->sin_addr, bytes.data(), 4);
    return sizeof(*in4);
  }
  if (family == 6) {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(out);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    in6->sin6_scope_id = scope;
    std::memcpy(&in6->sin6_addr, bytes.data(), 16);
    return sizeof(*in6);
  }
  return 0;
}

SocketAddress SocketAddress::FromSockaddr(const sockaddr_storage& from) {
  SocketAddress address;
  if (from.ss_family == AF_INET) {
    const auto& in4 = reinterpret_cast<const sockaddr_in&>(from);
    address.family = 4;
    address.port = ntohs(in4.sin_port);
    std::memcpy(address.bytes.data(), &in4.sin_addr, 4);
  } else if (from.ss_family == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(from);
    address.port = ntohs(in6.sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
      address.family = 4;
      std::memcpy(address.bytes.data(), in6.sin6_addr.s6_addr + 12, 4);
    } else {
      address.family = 6;
      address.scope = in6.sin6_scope_id;
      std::memcpy(address.bytes.data(), &in6.sin6_addr, 16);
    }
  }
  return address;
}

absl::StatusOr<SocketAddress> SocketAddress::Parse(absl::string_view text) {
  const auto invalid = [text](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("address '", text, "': ", why,
                     "; write ADDRESS:PORT, [IPV6]:PORT or :PORT for all addresses"));
  };
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return invalid("no port");
  absl::string_view host = text.substr(0, colon);
  const absl::string_view port = text.substr(colon + 1);
  int port_number = 0;
  if (!absl::SimpleAtoi(port, &port_number) || port_number < 0 || port_number > 65535) {
    return invalid(absl::StrCat("port '", port, "' is not a number from 0 to 65535"));
  }
  if (!host.empty() && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    if (host.empty()) return invalid("empty brackets");
  } else if (host.find(':') != absl::string_view::npos) {
    return invalid("an IPv6 address needs brackets");
  }
  if (host.empty() || host == "*") host = "::";

  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(std::string(host).c_str(), std::string(port).c_str(), &hints, &found);
  if (error != 0) return invalid(gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  sockaddr_storage storage = {};
  std::memcpy(&storage, found->ai_addr, found->ai_addrlen);
  return FromSockaddr(storage);
}

}  // namespace sluice
