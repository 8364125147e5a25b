// What can be read and set of an interface's receive side, at one moment.
#ifndef CONTROL_NIC_NIC_STATE_H_
#define CONTROL_NIC_NIC_STATE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control/nic/flow_rule.h"
#include "control/nic/interface.h"
#include "control/nic/nic_port.h"

namespace sluice {

struct Channels {
  uint32_t receive = 0;   // queues that only receive
  uint32_t transmit = 0;  // that only transmit
  uint32_t combined = 0;  // that do both
  uint32_t other = 0;
  uint32_t receive_max = 0;
  uint32_t transmit_max = 0;
  uint32_t combined_max = 0;
  uint32_t other_max = 0;

  uint32_t receive_queues() const { return receive + combined; }
  bool operator==(const Channels&) const = default;
};

struct Rings {
  std::optional<uint32_t> receive = {};  // descriptors a queue
  std::optional<uint32_t> receive_max = {};
  std::optional<uint32_t> transmit = {};
  // Nothing: the driver does not have the setting.
  std::optional<HeaderSplit> header_split = {};
  std::optional<uint32_t> header_split_threshold = {};
  std::optional<uint32_t> header_split_threshold_max = {};
  bool operator==(const Rings&) const = default;
};

// Which queue a hash leads to: an entry for each value of the hash's low bits.
using Indirection = std::vector<uint32_t>;

// As drivers spread it on their own, over all queues.
Indirection Even(size_t size, uint32_t queues);
bool IsEven(const Indirection& table, uint32_t queues);

// What a driver cannot say is nothing.
struct NicState {
  std::string interface;
  Driver driver;
  std::optional<Channels> channels;
  std::optional<Rings> rings;
  std::optional<bool> ntuple;              // flow rules are in force
  std::optional<Indirection> indirection;  // of the main RSS context
  std::map<uint32_t, Indirection> contexts;
  std::map<uint32_t, FlowRule> rules;  // by location
  uint32_t rules_max = 0;              // 0: the driver has no flow rules
  bool chooses_location = false;       // the driver does, for a new rule

  bool operator==(const NicState& other) const;
  // 0: nobody says.
  uint32_t receive_queues() const { return channels ? channels->receive_queues() : 0; }
};

// NOT_FOUND: there is no such interface in this network namespace.
absl::StatusOr<NicState> ReadNicState(NicPort& port, const std::string& interface);

}  // namespace sluice

#endif  // CONTROL_NIC_NIC_STATE_H_
