// What is to be done when the configuration was changed while the daemon runs. Pure.
#ifndef CONTROL_CONFIG_RELOAD_H_
#define CONTROL_CONFIG_RELOAD_H_

#include <string>
#include <vector>

#include "control/config/serve_config.h"

namespace sluice {

struct Reload {
  // Recordings that are gone or changed, by id; then those that are new or changed.
  std::vector<std::string> to_stop;
  std::vector<RecordingSpec> to_start;
  bool classes = false;  // of retention
  // Cards that are new or changed. One that is not named any more stays as it was set.
  std::vector<InterfaceConfig> interfaces;
  // Fields, by name, that a running daemon cannot change: they count from the next start.
  std::vector<std::string> later;

  bool empty() const {
    return to_stop.empty() && to_start.empty() && !classes && interfaces.empty() && later.empty();
  }
};

Reload PlanReload(const ServeConfig& now, const ServeConfig& wanted);

}  // namespace sluice

#endif  // CONTROL_CONFIG_RELOAD_H_
