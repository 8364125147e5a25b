#include "ingest/probe/driver.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace sluice {

Driver DriverOf(const std::string& interface) {
  ethtool_drvinfo info = {};
  info.cmd = ETHTOOL_GDRVINFO;
  ifreq request = {};
  if (interface.size() >= sizeof(request.ifr_name)) return {};
  std::memcpy(request.ifr_name, interface.data(), interface.size());
  request.ifr_data = reinterpret_cast<char*>(&info);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return {};
  const bool told = ioctl(fd, SIOCETHTOOL, &request) == 0;
  close(fd);
  if (!told) return {};
  return {std::string(info.driver, strnlen(info.driver, sizeof(info.driver))),
          info.bus_info[0] != '\0'};
}

bool CanLendQueues(const std::string& driver) {
  static constexpr std::array<std::string_view, 4> kDrivers = {"bnxt_en", "mlx5_core", "gve",
                                                               "fbnic"};
  return std::find(kDrivers.begin(), kDrivers.end(), driver) != kDrivers.end();
}

}  // namespace sluice
