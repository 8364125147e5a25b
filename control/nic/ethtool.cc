#include "control/nic/ethtool.h"

#include <linux/ethtool_netlink.h>

#include "control/nic/genetlink.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

absl::StatusOr<Attributes> Exchange(NicPort& port, const std::string& interface, uint8_t command,
                                    uint16_t header, absl::string_view what,
                                    const std::function<void(GenetlinkRequest&)>& fill) {
  const absl::StatusOr<GenetlinkFamily> family = port.Family(ETHTOOL_GENL_NAME);
  if (absl::IsNotFound(family.status())) {
    return absl::UnimplementedError(family.status().message());  // before Linux 5.6
  }
  SLUICE_RETURN_IF_ERROR(family.status());
  GenetlinkRequest request(*family, command);
  request.Nest(header, [&] { request.Put(ETHTOOL_A_HEADER_DEV_NAME, interface); });
  if (fill) fill(request);
  return port.Do(request, what);
}

}  // namespace

absl::StatusOr<Attributes> AskEthtool(NicPort& port, const std::string& interface, uint8_t command,
                                      uint16_t header, absl::string_view what) {
  return Exchange(port, interface, command, header, what, nullptr);
}

absl::Status TellEthtool(NicPort& port, const std::string& interface, uint8_t command,
                         uint16_t header, absl::string_view what,
                         const std::function<void(GenetlinkRequest&)>& fill) {
  return Exchange(port, interface, command, header, what, fill).status();
}

}  // namespace sluice
