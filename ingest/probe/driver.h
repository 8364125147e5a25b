// Which driver moves an interface's packets.
#ifndef INGEST_PROBE_DRIVER_H_
#define INGEST_PROBE_DRIVER_H_

#include <string>

namespace sluice {

struct Driver {
  std::string name;       // empty: it does not say
  bool hardware = false;  // a device on a bus, unlike lo and veth
};

// Asked by ioctl (ETHTOOL_GDRVINFO), which anybody may. Of an interface that does not exist
// nothing is known.
Driver DriverOf(const std::string& interface);

// Whether a driver of Linux 7.3 lends receive queues to programs: bnxt_en, mlx5_core, gve, fbnic.
bool CanLendQueues(const std::string& driver);

}  // namespace sluice

#endif  // INGEST_PROBE_DRIVER_H_
