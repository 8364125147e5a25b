#include "control/recorder/drop_watch.h"

#include "absl/strings/str_cat.h"

namespace sluice {

std::string DropWarning(const RecordingStatus& recording) {
  return absl::StrCat("recording ", recording.spec.id, ": the disk is slower than the senders; ",
                      recording.ledger.dropped_policy, " bytes were dropped until now, as its ",
                      "policy ", NameOf(recording.spec.back_pressure), " says");
}

std::optional<std::string> DropWatch::Look(const RecordingStatus& recording, absl::Time now) {
  const uint64_t dropped = recording.ledger.dropped_policy;
  if (dropped == 0) return std::nullopt;
  Said& said = said_[recording.uid];
  // A recording that was stopped and created again counts from zero.
  if (dropped == said.dropped || now - said.at < kInterval) return std::nullopt;
  said = {dropped, now};
  return DropWarning(recording);
}

}  // namespace sluice
