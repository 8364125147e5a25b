#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/nic/nic_port.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

absl::Status FileError(absl::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat(what, " ", path));
}

class KernelPort final : public NicPort {
 public:
  KernelPort(Genetlink netlink, int socket) : netlink_(std::move(netlink)), socket_(socket) {}
  ~KernelPort() override { close(socket_); }

  absl::StatusOr<std::vector<std::string>> Interfaces() override {
    const std::unique_ptr<struct if_nameindex, decltype(&if_freenameindex)> list(::if_nameindex(),
                                                                                 &if_freenameindex);
    if (list == nullptr) return absl::ErrnoToStatus(errno, "list the interfaces");
    std::vector<std::string> names;
    for (const struct if_nameindex* one = list.get(); one->if_index != 0; ++one) {
      names.emplace_back(one->if_name);
    }
    return names;
  }

  absl::StatusOr<GenetlinkFamily> Family(const std::string& name) override {
    return netlink_.Family(name);
  }
  absl::StatusOr<Attributes> Do(GenetlinkRequest& request, absl::string_view what) override {
    return netlink_.Do(request, what);
  }
  absl::StatusOr<std::vector<Attributes>> Dump(GenetlinkRequest& request,
                                               absl::string_view what) override {
    return netlink_.Dump(request, what);
  }

  absl::Status Ethtool(const std::string& interface, void* command,
                       absl::string_view what) override {
    ifreq request = {};
    if (interface.size() >= sizeof(request.ifr_name)) {
      return absl::NotFoundError(absl::StrCat(what, ": no interface has so long a name"));
    }
    std::memcpy(request.ifr_name, interface.data(), interface.size());
    request.ifr_data = static_cast<char*>(command);
    if (ioctl(socket_, SIOCETHTOOL, &request) == 0) return absl::OkStatus();
    return absl::ErrnoToStatus(errno, what);
  }

  absl::StatusOr<std::string> ReadText(const std::string& path) override {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return FileError("open", path);
    std::string text;
    char block[4096];
    ssize_t n = 0;
    while ((n = read(fd, block, sizeof(block))) > 0) text.append(block, static_cast<size_t>(n));
    const absl::Status status = n < 0 ? FileError("read", path) : absl::OkStatus();
    close(fd);
    if (!status.ok()) return status;
    return text;
  }

 private:
  Genetlink netlink_;
  const int socket_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<NicPort>> OpenKernelPort() {
  SLUICE_ASSIGN_OR_RETURN(Genetlink netlink, Genetlink::Open());
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return absl::ErrnoToStatus(errno, "open a socket for ethtool");
  return std::make_unique<KernelPort>(std::move(netlink), socket);
}

}  // namespace sluice
