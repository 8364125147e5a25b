// The configuration file of `sluice serve`, read and checked.
#ifndef CONTROL_CONFIG_SERVE_CONFIG_H_
#define CONTROL_CONFIG_SERVE_CONFIG_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "control/config/interface_config.h"
#include "control/recorder/recorder.h"
#include "ingest/units.h"

namespace sluice {

// What proto/sluice/config/v1/config.proto says, with its defaults filled in.
struct ServeConfig {
  RecorderOptions recorder;  // archive.purpose and archive.socket_path are set
  std::string unix_socket;   // absolute
  std::vector<RecordingSpec> recordings;
  // Reading again what was sealed, in the background. Zero interval: it is not done.
  absl::Duration verify_interval = absl::ZeroDuration();
  ByteCount verify_rate;  // a second
  std::vector<InterfaceConfig> interfaces;
  // What a running daemon cannot change, by field: as it stands in the file, without comments.
  // Fields that are not there have no text.
  std::map<std::string, std::string> fixed;
  std::string interface_state;  // absolute: where what they were is remembered
};

// NOT_FOUND or PERMISSION_DENIED when the file cannot be read. INVALID_ARGUMENT: one sentence a
// line, "FILE:LINE:COLUMN: what is wrong"; everything that is wrong, unless it is the syntax.
absl::StatusOr<ServeConfig> LoadConfig(const std::string& path);

// `name` stands for the file in messages.
absl::StatusOr<ServeConfig> ParseConfig(const std::string& text, const std::string& name);

}  // namespace sluice

#endif  // CONTROL_CONFIG_SERVE_CONFIG_H_
