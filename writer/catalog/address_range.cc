#include "writer/catalog/address_range.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

}  // namespace

bool AddressRange::Contains(const SocketAddress& address) const {
  return address.family == family && first <= address.bytes && address.bytes <= last;
}

AddressRange AddressRange::Only(const SocketAddress& address) {
  return {address.family, address.bytes, address.bytes};
}

absl::StatusOr<AddressRange> AddressRange::Parse(absl::string_view text) {
  const auto invalid = [text](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text, "\" ", why, "; write \"10.0.0.1\", \"10.0.0.0/8\" or \"2001:db8::/32\""));
  };
  const size_t slash = text.find('/');
  absl::string_view address = text.substr(0, slash);
  if (address.size() > 2 && address.front() == '[' && address.back() == ']') {
    address = address.substr(1, address.size() - 2);
  }
  AddressRange range;
  const std::string terminated(address);
  if (inet_pton(AF_INET, terminated.c_str(), range.first.data()) == 1) {
    range.family = 4;
  } else if (inet_pton(AF_INET6, terminated.c_str(), range.first.data()) == 1) {
    range.family = 6;
  } else {
    return invalid("is not an address or a network");
  }
  int bits_max = range.family == 4 ? 32 : 128;
  int bits = bits_max;
  if (slash != absl::string_view::npos &&
      (!absl::SimpleAtoi(text.substr(slash + 1), &bits) || bits < 0 || bits > bits_max)) {
    return invalid(absl::StrCat("has a prefix that is not a number from 0 to ", bits_max));
  }
  if (range.family == 6 && bits >= 96 &&
      std::equal(kMapped.begin(), kMapped.end(), range.first.begin())) {
    std::copy_n(range.first.begin() + kMapped.size(), 4, range.first.begin());
    std::fill(range.first.begin() + 4, range.first.end(), uint8_t{0});
    range.family = 4;
    bits -= 96;
    bits_max = 32;
  }
  range.last = range.first;
  for (int bit = bits; bit < bits_max; ++bit) {
    const auto mask = static_cast<uint8_t>(0x80 >> (bit % 8));
    range.first.at(static_cast<size_t>(bit / 8)) &= static_cast<uint8_t>(~mask);
    range.last.at(static_cast<size_t>(bit / 8)) |= mask;
  }
  return range;
}

}  // namespace sluice
