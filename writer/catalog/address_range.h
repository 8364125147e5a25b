// Addresses that follow each other: one, or a network ("10.0.0.0/8").
#ifndef WRITER_CATALOG_ADDRESS_RANGE_H_
#define WRITER_CATALOG_ADDRESS_RANGE_H_

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ingest/receive/socket_address.h"

namespace sluice {

// Ports and scopes play no part. `first` and `last` belong to it.
struct AddressRange {
  uint16_t family = 0;  // 4 or 6
  std::array<uint8_t, 16> first = {};
  std::array<uint8_t, 16> last = {};

  bool operator==(const AddressRange&) const = default;

  bool Contains(const SocketAddress& address) const;

  // "10.0.0.1", "10.0.0.0/8", "2001:db8::/32"; brackets around IPv6 may be there. Bits behind the
  // prefix may be set and do not matter. IPv4-mapped IPv6 becomes IPv4, as in SocketAddress.
  // INVALID_ARGUMENT says what is wrong.
  static absl::StatusOr<AddressRange> Parse(absl::string_view text);
  static AddressRange Only(const SocketAddress& address);
};

}  // namespace sluice

#endif  // WRITER_CATALOG_ADDRESS_RANGE_H_
