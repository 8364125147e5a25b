// Resource names: "recordings/{recording}", "recordings/{recording}/streams/{stream}".
#ifndef CONTROL_SERVICE_NAMES_H_
#define CONTROL_SERVICE_NAMES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ingest/units.h"

namespace sluice {

struct StreamName {
  std::string recording;
  StreamId stream{};
};

std::string MakeRecordingName(absl::string_view recording);
std::string MakeStreamName(absl::string_view recording, StreamId stream);

// The recording's id. INVALID_ARGUMENT says what a name looks like; so do the others.
absl::StatusOr<std::string> ParseRecordingName(absl::string_view name);
absl::StatusOr<StreamName> ParseStreamName(absl::string_view name);
// The recording's id, or "" for "recordings/-", which stands for all.
absl::StatusOr<std::string> ParseStreamParent(absl::string_view parent);

}  // namespace sluice

#endif  // CONTROL_SERVICE_NAMES_H_
