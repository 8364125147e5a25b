// `sluice serve`: a recorder, its recordings and its API, until a signal ends them.
#ifndef CONTROL_SERVICE_DAEMON_H_
#define CONTROL_SERVICE_DAEMON_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/config/serve_config.h"
#include "control/recorder/recorder.h"

namespace sluice {

using RecorderOpener =
    std::function<absl::StatusOr<std::unique_ptr<Recorder>>(const RecorderOptions&)>;

// Sets the configured network cards, opens the recorder, starts the API, then the configured
// recordings; those that an earlier run left behind are resumed. Logs to stderr. The first SIGINT
// or SIGTERM drains all recordings, while the API still answers, and makes it return OK; the second
// ends the process with 1 at once. Returns an error when something cannot be started; nothing is
// left running then. In the end network cards are put back as they were, if the configuration asks
// for it.
//
// Call it from a process with one thread.
absl::Status RunDaemon(const ServeConfig& config, const RecorderOpener& open);
inline absl::Status RunDaemon(const ServeConfig& config) {
  return RunDaemon(config, &Recorder::Open);
}

}  // namespace sluice

#endif  // CONTROL_SERVICE_DAEMON_H_
