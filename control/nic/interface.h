// What a network interface and its receive queues are, as the kernel tells it. Read only.
#ifndef CONTROL_NIC_INTERFACE_H_
#define CONTROL_NIC_INTERFACE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "control/nic/attributes.h"
#include "ingest/probe/driver.h"

namespace sluice {

enum class HeaderSplit {
  kUnknown,
  kOff,
  kOn
};  // unknown: the driver has no such setting, or "auto"

struct InterfaceFacts {
  std::string name;
  uint32_t index = 0;
  bool up = false;
  Driver driver;
  std::optional<uint32_t> receive_queues;  // in use; nothing: neither kernel nor driver says
  HeaderSplit header_split = HeaderSplit::kUnknown;
  std::optional<uint32_t> header_split_threshold;  // packets up to this length stay in one piece
  bool xdp = false;                                // an XDP program is attached
};

// NOT_FOUND: there is no such interface in this network namespace. What a kernel or driver cannot
// tell is left unknown.
absl::StatusOr<InterfaceFacts> ReadInterface(const std::string& name);

// Whose memory a queue receives into.
enum class QueueUser {
  kKernel,  // nobody's in particular: the queue can be lent
  kIoUring,
  kDmabuf,
  kXsk,     // AF_XDP
  kLeased,  // to another interface
};

// What the kernel says of one queue (NETDEV_CMD_QUEUE_GET).
QueueUser UserOf(const Attributes& queue);

struct QueueFacts {
  std::optional<uint32_t> napi;  // nothing: packets do not come by NAPI (lo, veth without GRO)
  QueueUser user = QueueUser::kKernel;
};

// NOT_FOUND: there is no such interface or receive queue. FAILED_PRECONDITION: the interface is
// down, and has none. UNIMPLEMENTED: this kernel does not tell (Linux 6.8 does).
absl::StatusOr<QueueFacts> ReadQueue(const std::string& interface, uint32_t queue);

// The NAPI instance that serves a receive queue; sockets name it as SO_INCOMING_NAPI_ID. NOT_FOUND
// also when the queue has none. Changes when the interface goes down and up again.
absl::StatusOr<uint32_t> NapiOfQueue(const std::string& interface, uint32_t queue);

}  // namespace sluice

#endif  // CONTROL_NIC_INTERFACE_H_
