#include "control/service/service_manager.h"

#include <systemd/sd-daemon.h>

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// Nobody can be told when systemd is not there to be told.
void Notify(const std::string& state) { sd_notify(/*unset_environment=*/0, state.c_str()); }

}  // namespace

ServiceManager::ServiceManager() : alive_interval_(absl::InfiniteDuration()) {
  uint64_t microseconds = 0;
  if (sd_watchdog_enabled(/*unset_environment=*/0, &microseconds) > 0) {
    alive_interval_ = absl::Microseconds(static_cast<int64_t>(microseconds)) / 2;
  }
}

void ServiceManager::Ready() { Notify("READY=1"); }

void ServiceManager::Alive(const std::string& status) {
  Notify(absl::StrCat("WATCHDOG=1\nSTATUS=", status));
}

void ServiceManager::Stopping() { Notify("STOPPING=1\nSTATUS=draining"); }

}  // namespace sluice
