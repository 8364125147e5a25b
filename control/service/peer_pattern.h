// Which peers a filter means: "10.0.0.1:40112", "10.0.0.1", "10.0.0.0/8", "10.0.0.1*".
#ifndef CONTROL_SERVICE_PEER_PATTERN_H_
#define CONTROL_SERVICE_PEER_PATTERN_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ingest/receive/socket_address.h"
#include "writer/catalog/address_range.h"

namespace sluice {

class PeerPattern {
 public:
  // INVALID_ARGUMENT: none of the forms.
  static absl::StatusOr<PeerPattern> Parse(absl::string_view text);
  // All whose text begins so.
  static PeerPattern BeginningWith(absl::string_view text);

  bool Matches(const SocketAddress& peer) const;
  // All that match are in it; where it is unset they can be anywhere.
  const std::optional<AddressRange>& range() const { return range_; }

 private:
  // What is set has to hold.
  std::optional<AddressRange> range_;
  std::optional<std::string> text_;
  bool is_prefix_ = false;  // `text_` is the begin of the peer's
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_PEER_PATTERN_H_
