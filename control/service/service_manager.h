// What systemd wants to know of a service that it runs: sd_notify(3).
#ifndef CONTROL_SERVICE_SERVICE_MANAGER_H_
#define CONTROL_SERVICE_SERVICE_MANAGER_H_

#include <string>

#include "absl/time/time.h"

namespace sluice {

// Elsewhere than under systemd (no NOTIFY_SOCKET) nothing happens. Used by one thread.
class ServiceManager {
 public:
  ServiceManager();

  // How often Alive() has to be called: half of what the unit's WatchdogSec allows. Infinite
  // without a watchdog.
  absl::Duration alive_interval() const { return alive_interval_; }

  // The service does what it is for. Who was started after it may go on.
  void Ready();
  // Without it, systemd kills the service and starts it again. `status`: a line that `systemctl
  // status` shows.
  void Alive(const std::string& status);
  void Stopping();

 private:
  absl::Duration alive_interval_;
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_SERVICE_MANAGER_H_
