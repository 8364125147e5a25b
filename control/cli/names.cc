#include "control/cli/names.h"

#include <optional>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/config/recording_rules.h"
#include "control/service/names.h"
#include "ingest/status_macros.h"
#include "writer/stream_id.h"

namespace sluice {

absl::StatusOr<std::string> CompleteRecordingName(absl::string_view name) {
  if (absl::StrContains(name, '/')) {
    SLUICE_RETURN_IF_ERROR(ParseRecordingName(name).status());
    return std::string(name);
  }
  SLUICE_RETURN_IF_ERROR(CheckRecordingId(name));
  return MakeRecordingName(name);
}

std::string ShortName(absl::string_view name) {
  return std::string(name.substr(name.rfind('/') + 1));
}

std::string RecordingOf(absl::string_view stream_name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(stream_name, '/');
  return parts.size() > 1 ? std::string(parts[1]) : "";
}

absl::StatusOr<StreamArgument> ParseStreamArgument(absl::string_view name) {
  if (absl::StrContains(name, '/')) {
    SLUICE_ASSIGN_OR_RETURN(const StreamName full, ParseStreamName(name));
    return StreamArgument{full.recording, full.stream};
  }
  if (const std::optional<StreamId> stream = ParseStreamId(name))
    return StreamArgument{"", *stream};
  return absl::InvalidArgumentError(absl::StrCat("\"", name,
                                                 "\" is no stream: its name looks like 3-0-17, or "
                                                 "recordings/market/streams/3-0-17 in full"));
}

}  // namespace sluice
