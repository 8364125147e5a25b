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

using ConfigReader = std::function<absl::StatusOr<ServeConfig>()>;
using RecorderOpener =
    std::function<absl::StatusOr<std::unique_ptr<Recorder>>(const RecorderOptions&)>;

// Sets the configured network cards, opens the recorder, starts the API, then the configured
// recordings; those that an earlier run left behind are resumed. Logs to stderr. The first SIGINT
// or SIGTERM drains all recordings, while the API still answers, and makes it return OK; the second
// ends the process with 1 at once. Returns an error when something cannot be started; nothing is
// left running then. In the end network cards are put back as they were, if the configuration asks
// for it.
//
// SIGHUP: asks `reload` for the configuration, and takes it over while it records: recordings that
// are new, gone or changed start and stop, the others do not notice. One that is refused changes
// nothing. What has changed, and what counts only from the next start, is logged.
//
// Call it from a process with one thread.
absl::Status RunDaemon(const ServeConfig& config, const ConfigReader& reload,
                       const RecorderOpener& open = &Recorder::Open);

}  // namespace sluice

#endif  // CONTROL_SERVICE_DAEMON_H_
