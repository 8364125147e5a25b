#include "control/service/names.h"

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/config/recording_rules.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

constexpr absl::string_view kRecordings = "recordings";
constexpr absl::string_view kStreams = "streams";
constexpr absl::string_view kAll = "-";

absl::Status Malformed(absl::string_view name, absl::string_view form) {
  return absl::InvalidArgumentError(
      absl::StrCat("name \"", name, "\" does not have the form \"", form, "\""));
}

bool IsId(absl::string_view id) { return CheckRecordingId(id).ok(); }

}  // namespace

std::string MakeRecordingName(absl::string_view recording) {
  return absl::StrCat(kRecordings, "/", recording);
}

std::string MakeStreamName(absl::string_view recording, StreamId stream) {
  return absl::StrCat(kRecordings, "/", recording, "/", kStreams, "/", StreamIdToString(stream));
}

absl::StatusOr<std::string> ParseRecordingName(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 2 || parts[0] != kRecordings || !IsId(parts[1])) {
    return Malformed(name, "recordings/{recording}");
  }
  return std::string(parts[1]);
}

absl::StatusOr<StreamName> ParseStreamName(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() == 4 && parts[0] == kRecordings && IsId(parts[1]) && parts[2] == kStreams) {
    if (const std::optional<StreamId> stream = ParseStreamId(parts[3])) {
      return StreamName{std::string(parts[1]), *stream};
    }
  }
  return Malformed(name, "recordings/{recording}/streams/{epoch}-{lane}-{number}");
}

absl::StatusOr<std::string> ParseStreamParent(absl::string_view parent) {
  const std::vector<absl::string_view> parts = absl::StrSplit(parent, '/');
  if (parts.size() == 2 && parts[0] == kRecordings) {
    if (parts[1] == kAll) return std::string();
    if (IsId(parts[1])) return std::string(parts[1]);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("parent \"", parent,
                   "\" does not have the form \"recordings/{recording}\", or "
                   "\"recordings/-\" for all"));
}

}  // namespace sluice
