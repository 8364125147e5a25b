// What the configuration says of a network card.
#ifndef CONTROL_CONFIG_INTERFACE_CONFIG_H_
#define CONTROL_CONFIG_INTERFACE_CONFIG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control/config/config_text.h"
#include "control/nic/nic_plan.h"
#include "proto/sluice/config/v1/config.pb.h"

namespace sluice {

struct InterfaceConfig {
  DesiredNic desired;
  bool restore_at_shutdown = false;
  bool operator==(const InterfaceConfig&) const = default;
};

// What is wrong is noted at its place.
InterfaceConfig ReadInterfaceConfig(const ConfigText::Place& place,
                                    const config::v1::Interface& from);

// A rule in one line, as on a command line: "tcp dst-port 9000", "udp src-ip 10.0.0.0/8 dst-port 53
// to 6". Two rules, for IPv4 and IPv6, when it names no address. INVALID_ARGUMENT.
absl::StatusOr<std::vector<DesiredRule>> ParseRule(const std::string& text);

}  // namespace sluice

#endif  // CONTROL_CONFIG_INTERFACE_CONFIG_H_
