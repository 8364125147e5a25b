// What is said of a network card: by the API, and on the command line.
#ifndef CONTROL_SERVICE_NIC_REPORT_H_
#define CONTROL_SERVICE_NIC_REPORT_H_

#include <string>

#include "absl/status/statusor.h"
#include "control/nic/nic_plan.h"
#include "control/nic/nic_port.h"
#include "control/nic/nic_step.h"
#include "proto/sluice/v1/nic.pb.h"

namespace sluice {

// "interfaces/eth1", and back. INVALID_ARGUMENT.
std::string InterfaceName(const std::string& interface);
absl::StatusOr<std::string> ParseInterfaceName(const std::string& name);

// The card as it is and, when it was set by Sluice, what has changed since. `journals`: see
// NicJournal.
absl::StatusOr<v1::NetworkInterface> DescribeNic(NicPort& port, const std::string& journals,
                                                 const std::string& interface);

// What ApplyNic() would do.
absl::StatusOr<v1::NicPlan> PlanNic(NicPort& port, const std::string& journals,
                                    const DesiredNic& desired);

void AddStep(const std::string& interface, const NicStep& step, v1::NicPlan* to);

// INVALID_ARGUMENT: one sentence.
absl::StatusOr<DesiredNic> ToDesired(const std::string& interface,
                                     const v1::InterfaceSettings& from);

}  // namespace sluice

#endif  // CONTROL_SERVICE_NIC_REPORT_H_
