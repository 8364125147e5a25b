// Network cards, as people read them.
#ifndef CONTROL_CLI_NIC_VIEW_H_
#define CONTROL_CLI_NIC_VIEW_H_

#include <ostream>
#include <string>

#include "control/nic/nic_queues.h"
#include "control/nic/nic_state.h"
#include "control/nic/nic_step.h"
#include "proto/sluice/v1/nic.pb.h"

namespace sluice {

v1::NetworkInterface ToProto(const NicState& state);
void AddPlacement(const NicPlacement& placement, v1::NetworkInterface* to);
void AddStep(const std::string& interface, const NicStep& step, v1::NicPlan* to);

void PrintInterface(const v1::NetworkInterface& interface, std::ostream& out);
void PrintPlan(const v1::NicPlan& plan, std::ostream& out);

}  // namespace sluice

#endif  // CONTROL_CLI_NIC_VIEW_H_
