// One change to an interface, such as a person would make with one ethtool command.
#ifndef CONTROL_NIC_NIC_STEP_H_
#define CONTROL_NIC_NIC_STEP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "control/nic/flow_rule.h"
#include "control/nic/nic_port.h"
#include "control/nic/nic_state.h"

namespace sluice {

struct SetChannels {
  Channels to;  // the maxima do not matter
};
// What is nothing stays.
struct SetRings {
  std::optional<uint32_t> receive;
  std::optional<HeaderSplit> header_split;  // kUnknown: as the driver thinks fit
  std::optional<uint32_t> header_split_threshold;
};
struct SetNtuple {
  bool on = false;
};
// Of the main RSS context. Nothing: the driver's own, which it adapts to the number of channels.
struct SetIndirection {
  std::optional<Indirection> to;
};
struct CreateContext {
  Indirection to;
};
struct DeleteContext {
  uint32_t id = 0;
};
struct InsertRule {
  FlowRule rule;
};
struct DeleteRule {
  FlowRule rule;
};

using NicStep = std::variant<SetChannels, SetRings, SetNtuple, SetIndirection, CreateContext,
                             DeleteContext, InsertRule, DeleteRule>;

// The same as a command of ethtool's: "ethtool -L eth1 combined 8".
std::string AsCommand(const std::string& interface, const NicStep& step);
// What else happens when it is done, in a few words; empty: nothing.
std::string Disturbs(const NicStep& step);

// Tells the kernel. An error is one sentence with the remedy.
absl::Status Perform(NicPort& port, const NicState& now, const NicStep& step);

// What is expected of `state` after the step. What drivers do beside (some reset the RSS table
// when the number of channels changes) only reading tells.
NicState Expected(NicState state, const NicStep& step);

// Nothing of what the step is about is missing in `state`.
bool IsDone(const NicState& state, const NicStep& step);

}  // namespace sluice

#endif  // CONTROL_NIC_NIC_STEP_H_
