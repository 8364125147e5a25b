// Questions to the kernel over one of its netlink protocols.
#ifndef CONTROL_NIC_NETLINK_H_
#define CONTROL_NIC_NETLINK_H_

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct mnl_socket;

namespace sluice {

// One socket. Used by one thread.
class Netlink {
 public:
  // NETLINK_GENERIC, NETLINK_ROUTE.
  static absl::StatusOr<Netlink> Open(int protocol);

  // What follows the netlink header in each message of the answer. Sets the request's sequence
  // number and flags. An error has the code of its errno, begins with `what`, and ends with what
  // the kernel itself says about it.
  using Answer = std::vector<std::vector<std::byte>>;
  absl::StatusOr<Answer> Do(nlmsghdr* request, absl::string_view what);
  // A list; read again when it changed meanwhile.
  absl::StatusOr<Answer> Dump(nlmsghdr* request, absl::string_view what);

 private:
  struct Close {
    void operator()(mnl_socket* socket) const;
  };
  explicit Netlink(mnl_socket* socket) : socket_(socket) {}
  absl::Status Send(nlmsghdr* request, uint16_t flags, absl::string_view what);
  absl::Status Receive(absl::string_view what, Answer* answer, bool* changed);

  std::unique_ptr<mnl_socket, Close> socket_;
  uint32_t sequence_ = 0;
};

}  // namespace sluice

#endif  // CONTROL_NIC_NETLINK_H_
