// Where an interface's receive queues are served: by which NAPI instance, interrupt and CPUs, and
// who has their memory.
#ifndef CONTROL_NIC_NIC_QUEUES_H_
#define CONTROL_NIC_NIC_QUEUES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control/nic/interface.h"
#include "control/nic/nic_port.h"

namespace sluice {

struct NicQueue {
  uint32_t id = 0;
  std::optional<uint32_t> napi;       // SO_INCOMING_NAPI_ID of its connections
  std::optional<uint32_t> interrupt;  // its NAPI instance's
  std::string cpus;                   // on which the interrupt is served, "0-3,8"; empty: unknown
  QueueUser user = QueueUser::kKernel;
};

struct NicPlacement {
  std::vector<NicQueue> queues;  // by id
  std::optional<int> numa_node;  // of the card; nothing: the machine has one
  std::string near_cpus;         // of that node, "0-7"; empty: unknown
};

// UNIMPLEMENTED: this kernel does not tell (Linux 6.8 does). Interrupts and CPUs of other network
// namespaces' views of /proc are left out.
absl::StatusOr<NicPlacement> ReadPlacement(NicPort& port, const std::string& interface,
                                           uint32_t index);

}  // namespace sluice

#endif  // CONTROL_NIC_NIC_QUEUES_H_
