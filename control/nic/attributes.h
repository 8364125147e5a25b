// The attributes of a netlink message.
#ifndef CONTROL_NIC_ATTRIBUTES_H_
#define CONTROL_NIC_ATTRIBUTES_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

// A copy: nothing else need stay. What is not there, or of another length than asked for, is
// nothing; of several of one type the last counts.
class Attributes {
 public:
  Attributes() = default;
  // Begins with an attribute. Ends with the first that does not fit.
  explicit Attributes(absl::Span<const std::byte> bytes);

  bool Has(uint16_t type) const { return values_.contains(type); }
  // Of one, two, four or eight bytes.
  std::optional<uint64_t> Number(uint16_t type) const;
  std::string Text(uint16_t type) const;
  Attributes Nest(uint16_t type) const;

 private:
  std::map<uint16_t, std::vector<std::byte>> values_;
};

}  // namespace sluice

#endif  // CONTROL_NIC_ATTRIBUTES_H_
