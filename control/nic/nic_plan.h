// What an interface should be, and the steps that lead there and back. Pure: nothing is asked of
// a kernel, so a plan can be shown before anything is done.
#ifndef CONTROL_NIC_NIC_PLAN_H_
#define CONTROL_NIC_NIC_PLAN_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control/nic/flow_rule.h"
#include "control/nic/nic_state.h"
#include "control/nic/nic_step.h"

namespace sluice {

// Packets that belong to a queue, or, with several zero-copy queues, to all of them.
struct DesiredRule {
  FlowMatch match;
  std::optional<uint32_t> to_queue;  // nothing: all zero-copy queues, by hash
  bool operator==(const DesiredRule&) const = default;
};

struct DesiredNic {
  std::string interface;
  // Kept free of what no rule sends there, with headers apart from payload.
  std::set<uint32_t> zero_copy_queues;
  std::vector<DesiredRule> rules;
  std::optional<uint32_t>
      receive_queues;                 // how many there should be; nothing: as many as there are
  std::optional<uint32_t> ring_size;  // receive descriptors a queue; nothing: as they are
  bool operator==(const DesiredNic&) const = default;
};

// The next step, of those that are left. Nothing: `now` is what was desired. FAILED_PRECONDITION:
// this interface cannot become it, or somebody else's rule is in the way.
//
// To go on, look at the state again, and ask again: what a driver does beside what it was told is
// then seen. Steps come in an order in which each is possible.
absl::StatusOr<std::optional<NicStep>> NextStep(const NicState& now, const DesiredNic& desired);

// The next step back to `original`, of what `desired` asked for, and no more: what somebody else
// has set meanwhile stays. Rules and contexts are ours that are not in `original` and that
// `desired` would have made.
std::optional<NicStep> NextStepBack(const NicState& now, const NicState& original,
                                    const DesiredNic& desired);

// A rule that was there `before`, that nobody was asked to remove, and that the driver has
// forgotten beside what it was told. Nothing: there is none.
std::optional<NicStep> NextLostRule(const NicState& now, const NicState& before,
                                    const DesiredNic& desired);

// All steps, as far as can be foreseen.
absl::StatusOr<std::vector<NicStep>> Steps(NicState now, const DesiredNic& desired);
std::vector<NicStep> StepsBack(NicState now, const NicState& original, const DesiredNic& desired);

}  // namespace sluice

#endif  // CONTROL_NIC_NIC_PLAN_H_
