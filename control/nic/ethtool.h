// Messages of the kernel's "ethtool" generic netlink family.
#ifndef CONTROL_NIC_ETHTOOL_H_
#define CONTROL_NIC_ETHTOOL_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "control/nic/attributes.h"
#include "control/nic/nic_port.h"

namespace sluice {

// `header`: the attribute that says which interface. UNIMPLEMENTED: the driver or the kernel
// cannot.
absl::StatusOr<Attributes> AskEthtool(NicPort& port, const std::string& interface, uint8_t command,
                                      uint16_t header, absl::string_view what);
// `fill` puts what is to be set.
absl::Status TellEthtool(NicPort& port, const std::string& interface, uint8_t command,
                         uint16_t header, absl::string_view what,
                         const std::function<void(GenetlinkRequest&)>& fill);

}  // namespace sluice

#endif  // CONTROL_NIC_ETHTOOL_H_
