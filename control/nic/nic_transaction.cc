#include "control/nic/nic_transaction.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

using Phase = NicJournalEntry::Phase;
using Next = std::function<absl::StatusOr<std::optional<NicStep>>(const NicState&)>;

// No interface needs so many; a driver that takes back what it was told would go on for ever.
constexpr int kStepsMax = 4096;

absl::Status Ignored(const NicState& now, const NicStep& step) {
  return absl::InternalError(
      absl::StrCat("`", AsCommand(now.interface, step), "`: the driver ", now.driver.name,
                   " said yes, but reading back shows that nothing has changed"));
}

// Asks for one step after the other and does them, until there is none.
absl::Status Go(NicPort& port, const std::string& interface, const Next& next,
                const NicWatcher& watcher) {
  SLUICE_ASSIGN_OR_RETURN(NicState now, ReadNicState(port, interface));
  for (int i = 0; i < kStepsMax; ++i) {
    SLUICE_ASSIGN_OR_RETURN(const std::optional<NicStep> step, next(now));
    if (!step) return absl::OkStatus();
    if (watcher) watcher(*step);
    SLUICE_RETURN_IF_ERROR(Perform(port, now, *step));
    SLUICE_ASSIGN_OR_RETURN(now, ReadNicState(port, interface));
    if (!IsDone(now, *step)) return Ignored(now, *step);
  }
  return absl::InternalError(absl::StrCat(interface, ": its driver undoes what it is told"));
}

absl::Status GoTo(NicPort& port, const NicState& before, const DesiredNic& desired,
                  const NicWatcher& watcher) {
  return Go(
      port, desired.interface,
      [&](const NicState& now) -> absl::StatusOr<std::optional<NicStep>> {
        SLUICE_ASSIGN_OR_RETURN(std::optional<NicStep> step, NextStep(now, desired));
        if (!step) step = NextLostRule(now, before, desired);
        return step;
      },
      watcher);
}

// A header split that a driver chose by itself is not the same as one that was asked for, though
// it reads the same: first it is left to the driver again, then, if that does not give what it
// was, it is said.
class SplitBack {
 public:
  void Soften(std::optional<NicStep>* step) {
    if (!step->has_value()) return;
    auto* const rings = std::get_if<SetRings>(&**step);
    if (rings == nullptr || !rings->header_split || tried_) return;
    tried_ = true;
    rings->header_split = HeaderSplit::kUnknown;
  }

 private:
  bool tried_ = false;
};

absl::Status GoBack(NicPort& port, const NicState& before, const NicJournalEntry& entry,
                    const NicWatcher& watcher) {
  SplitBack split;
  return Go(
      port, entry.original.interface,
      [&](const NicState& now) -> absl::StatusOr<std::optional<NicStep>> {
        std::optional<NicStep> step = NextStepBack(now, entry.original, entry.desired);
        if (!step) step = NextLostRule(now, before, entry.desired);
        split.Soften(&step);
        return step;
      },
      watcher);
}

absl::Status Undo(NicPort& port, NicJournal& journal, NicJournalEntry entry,
                  const NicWatcher& watcher) {
  SLUICE_ASSIGN_OR_RETURN(const NicState before, ReadNicState(port, entry.original.interface));
  // What was half done may have cost rules that were there at its begin.
  const bool half_done = entry.phase != Phase::kApplied;
  entry.phase = Phase::kReverting;
  SLUICE_RETURN_IF_ERROR(journal.Write(entry));
  SLUICE_RETURN_IF_ERROR(GoBack(port, half_done ? entry.original : before, entry, watcher));
  return journal.Remove();
}

// One apply on an interface that is nobody's.
absl::Status Begin(NicPort& port, NicJournal& journal, const DesiredNic& desired,
                   const NicWatcher& watcher) {
  NicJournalEntry entry;
  entry.desired = desired;
  SLUICE_ASSIGN_OR_RETURN(entry.original, ReadNicState(port, desired.interface));
  // What can be known beforehand is refused before anything is touched.
  SLUICE_RETURN_IF_ERROR(Steps(entry.original, desired).status());
  SLUICE_RETURN_IF_ERROR(journal.Write(entry));
  absl::Status status = GoTo(port, entry.original, desired, watcher);
  if (status.ok()) {
    entry.phase = Phase::kApplied;
    status = journal.Write(entry);
    if (status.ok()) return status;
  }
  const absl::Status undone = Undo(port, journal, entry, watcher);
  if (undone.ok()) {
    return absl::Status(status.code(), absl::StrCat(status.message(), ". ", desired.interface,
                                                    " was put back as it was"));
  }
  return absl::Status(
      status.code(), absl::StrCat(status.message(), ". ", desired.interface,
                                  " could not be put back as it was (", undone.message(),
                                  "): try again with `sluice nic revert ", desired.interface, "`"));
}

}  // namespace

absl::Status ApplyNic(NicPort& port, NicJournal& journal, const DesiredNic& desired,
                      const NicWatcher& watcher) {
  SLUICE_RETURN_IF_ERROR(RecoverNic(port, journal, watcher).status());
  SLUICE_ASSIGN_OR_RETURN(std::optional<NicJournalEntry> earlier, journal.Read());
  if (!earlier) return Begin(port, journal, desired, watcher);
  if (earlier->desired == desired) {
    SLUICE_ASSIGN_OR_RETURN(const NicState now, ReadNicState(port, desired.interface));
    return GoTo(port, now, desired, watcher);  // only what has drifted
  }
  SLUICE_RETURN_IF_ERROR(Steps(earlier->original, desired).status());
  SLUICE_RETURN_IF_ERROR(Undo(port, journal, *earlier, watcher));
  const absl::Status status = Begin(port, journal, desired, watcher);
  if (status.ok()) return status;
  const absl::Status again = Begin(port, journal, earlier->desired, watcher);
  if (again.ok()) {
    return absl::Status(status.code(),
                        absl::StrCat(status.message(), ", with what was applied to it"));
  }
  return status;
}

absl::Status RevertNic(NicPort& port, NicJournal& journal, const NicWatcher& watcher) {
  SLUICE_ASSIGN_OR_RETURN(const std::optional<NicJournalEntry> entry, journal.Read());
  if (!entry) return absl::NotFoundError("nothing was changed on this interface");
  return Undo(port, journal, *entry, watcher);
}

absl::StatusOr<bool> RecoverNic(NicPort& port, NicJournal& journal, const NicWatcher& watcher) {
  SLUICE_ASSIGN_OR_RETURN(const std::optional<NicJournalEntry> entry, journal.Read());
  if (!entry || entry->phase == Phase::kApplied) return false;
  SLUICE_RETURN_IF_ERROR(Undo(port, journal, *entry, watcher));
  return true;
}

}  // namespace sluice
