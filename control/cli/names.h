// Names as people type them: in full, or just their last part.
#ifndef CONTROL_CLI_NAMES_H_
#define CONTROL_CLI_NAMES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ingest/units.h"

namespace sluice {

// "market" or "recordings/market": the full name. INVALID_ARGUMENT says what a name looks like.
absl::StatusOr<std::string> CompleteRecordingName(absl::string_view name);

// The last part of a full name: "market", "3-0-17".
std::string ShortName(absl::string_view name);
// "market" of "recordings/market/streams/3-0-17".
std::string RecordingOf(absl::string_view stream_name);

struct StreamArgument {
  std::string recording;  // its id; empty when the name does not say
  StreamId stream{};
};
// "3-0-17" or "recordings/market/streams/3-0-17".
absl::StatusOr<StreamArgument> ParseStreamArgument(absl::string_view name);

}  // namespace sluice

#endif  // CONTROL_CLI_NAMES_H_
