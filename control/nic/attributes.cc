#include "control/nic/attributes.h"

#include <libmnl/libmnl.h>

#include <cstring>

namespace sluice {

Attributes::Attributes(absl::Span<const std::byte> bytes) {
  // Where the kernel puts them: on multiples of four, of which the last may lack its pad.
  while (bytes.size() >= MNL_ATTR_HDRLEN) {
    const auto* attribute = reinterpret_cast<const nlattr*>(bytes.data());
    if (mnl_attr_ok(attribute, static_cast<int>(bytes.size())) == 0) return;
    const auto* payload = static_cast<const std::byte*>(mnl_attr_get_payload(attribute));
    values_[mnl_attr_get_type(attribute)].assign(payload,
                                                 payload + mnl_attr_get_payload_len(attribute));
    bytes.remove_prefix(std::min<size_t>(MNL_ALIGN(mnl_attr_get_len(attribute)), bytes.size()));
  }
}

std::optional<uint64_t> Attributes::Number(uint16_t type) const {
  const auto found = values_.find(type);
  if (found == values_.end()) return std::nullopt;
  const std::vector<std::byte>& value = found->second;
  const size_t size = value.size();
  if (size != 1 && size != 2 && size != 4 && size != 8) return std::nullopt;
  uint64_t number = 0;
  std::memcpy(&number, value.data(), size);  // little-endian, like all of Sluice
  return number;
}

std::string Attributes::Text(uint16_t type) const {
  const auto found = values_.find(type);
  if (found == values_.end()) return "";
  const auto* text = reinterpret_cast<const char*>(found->second.data());
  return std::string(text, strnlen(text, found->second.size()));
}

Attributes Attributes::Nest(uint16_t type) const {
  const auto found = values_.find(type);
  return found == values_.end() ? Attributes() : Attributes(found->second);
}

}  // namespace sluice
