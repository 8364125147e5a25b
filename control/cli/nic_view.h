// Network cards, as people read them.
#ifndef CONTROL_CLI_NIC_VIEW_H_
#define CONTROL_CLI_NIC_VIEW_H_

#include <ostream>

#include "proto/sluice/v1/nic.pb.h"

namespace sluice {

void PrintInterface(const v1::NetworkInterface& interface, std::ostream& out);
void PrintPlan(const v1::NicPlan& plan, std::ostream& out);

}  // namespace sluice

#endif  // CONTROL_CLI_NIC_VIEW_H_
