// How an interface is asked and told things: the seam between the NIC's management and the kernel.
#ifndef CONTROL_NIC_NIC_PORT_H_
#define CONTROL_NIC_NIC_PORT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "control/nic/attributes.h"
#include "control/nic/genetlink.h"

namespace sluice {

// Used by one thread. Errors have the code of their errno and begin with `what`.
class NicPort {
 public:
  virtual ~NicPort() = default;

  // Names of all interfaces, in the kernel's order.
  virtual absl::StatusOr<std::vector<std::string>> Interfaces() = 0;
  // As Genetlink's.
  virtual absl::StatusOr<GenetlinkFamily> Family(const std::string& name) = 0;
  virtual absl::StatusOr<Attributes> Do(GenetlinkRequest& request, absl::string_view what) = 0;
  virtual absl::StatusOr<std::vector<Attributes>> Dump(GenetlinkRequest& request,
                                                       absl::string_view what) = 0;
  // The ioctl SIOCETHTOOL. `command` is one of <linux/ethtool.h>'s structs, and has the answer
  // afterwards. For what netlink does not have: flow rules, and in older kernels RSS.
  virtual absl::Status Ethtool(const std::string& interface, void* command,
                               absl::string_view what) = 0;
  // Files of /proc and /sys.
  virtual absl::StatusOr<std::string> ReadText(const std::string& path) = 0;
};

// The kernel, in the calling thread's network namespace.
absl::StatusOr<std::unique_ptr<NicPort>> OpenKernelPort();

}  // namespace sluice

#endif  // CONTROL_NIC_NIC_PORT_H_
