// Questions to the kernel's generic netlink families.
#ifndef CONTROL_NIC_GENETLINK_H_
#define CONTROL_NIC_GENETLINK_H_

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "control/nic/attributes.h"
#include "control/nic/netlink.h"

namespace sluice {

struct GenetlinkFamily {
  std::string name;
  uint16_t id = 0;
  uint8_t version = 1;
};

// One request. Fits a page, as all do that are asked here.
class GenetlinkRequest {
 public:
  GenetlinkRequest(const GenetlinkFamily& family, uint8_t command);
  GenetlinkRequest(const GenetlinkRequest&) = delete;
  GenetlinkRequest& operator=(const GenetlinkRequest&) = delete;

  void Put(uint16_t type, uint32_t value);
  void PutByte(uint16_t type, uint8_t value);
  void Put(uint16_t type, const std::string& text);
  // What `fill` puts is within the nest.
  void Nest(uint16_t type, const std::function<void()>& fill);

  nlmsghdr* message() { return message_; }

 private:
  alignas(nlmsghdr) std::array<char, 4096> buffer_;
  nlmsghdr* message_;
};

// Used by one thread.
class Genetlink {
 public:
  static absl::StatusOr<Genetlink> Open();

  // NOT_FOUND: this kernel has no such family.
  absl::StatusOr<GenetlinkFamily> Family(const std::string& name);

  // The attributes of the answer; of the last one where there are several. Errors are
  // Netlink's: they begin with `what`.
  absl::StatusOr<Attributes> Do(GenetlinkRequest& request, absl::string_view what);
  absl::StatusOr<std::vector<Attributes>> Dump(GenetlinkRequest& request, absl::string_view what);

 private:
  explicit Genetlink(Netlink netlink) : netlink_(std::move(netlink)) {}

  Netlink netlink_;
};

}  // namespace sluice

#endif  // CONTROL_NIC_GENETLINK_H_
