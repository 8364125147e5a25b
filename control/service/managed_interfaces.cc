#include "control/service/managed_interfaces.h"

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "control/nic/nic_journal.h"
#include "control/nic/nic_step.h"
#include "control/nic/nic_transaction.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

NicWatcher LogSteps(const std::string& interface, const ManagedInterfaces::Log& log) {
  return [&interface, &log](const NicStep& step) { log(AsCommand(interface, step)); };
}

}  // namespace

void ManagedInterfaces::Recover() {
  for (const std::string& interface : NicJournal::Interfaces(journals_)) {
    const auto recover = [&]() -> absl::StatusOr<bool> {
      SLUICE_ASSIGN_OR_RETURN(const std::optional<NicJournalEntry> entry,
                              ReadNicJournal(journals_, interface));
      // Seen without the lock, which not everybody may have.
      if (!entry || entry->phase == NicJournalEntry::Phase::kApplied) return false;
      SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<NicJournal> journal,
                              NicJournal::Open(journals_, interface));
      return RecoverNic(*port_, *journal, LogSteps(interface, info_));
    };
    const absl::StatusOr<bool> undone = recover();
    if (!undone.ok()) {
      warn_(absl::StrCat(
          "interface ", interface,
          ": what an earlier run left half done was not undone: ", undone.status().message()));
    } else if (*undone) {
      warn_(absl::StrCat("interface ", interface,
                         " was left half changed by an earlier run, and is as it was before"));
    }
  }
}

absl::Status ManagedInterfaces::Apply(const std::vector<InterfaceConfig>& interfaces) {
  for (const InterfaceConfig& interface : interfaces) {
    const absl::Status status = ApplyOne(interface);
    if (status.ok()) continue;
    Restore();
    return status;
  }
  return absl::OkStatus();
}

absl::Status ManagedInterfaces::ApplyOne(const InterfaceConfig& interface) {
  const std::string& name = interface.desired.interface;
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<NicJournal> journal,
                          NicJournal::Open(journals_, name));
  SLUICE_RETURN_IF_ERROR(ApplyNic(*port_, *journal, interface.desired, LogSteps(name, info_)));
  std::erase(to_restore_, name);
  if (interface.restore_at_shutdown) to_restore_.push_back(name);
  info_(absl::StrCat("interface ", name, " is set",
                     interface.restore_at_shutdown ? ", and will be put back at the end" : ""));
  return absl::OkStatus();
}

void ManagedInterfaces::Restore() {
  for (const std::string& interface : to_restore_) {
    const absl::Status status = RestoreOne(interface);
    if (status.ok()) {
      info_(absl::StrCat("interface ", interface, " is as it was before"));
    } else if (!absl::IsNotFound(status)) {  // somebody has put it back by hand
      warn_(absl::StrCat("interface ", interface, " was not put back: ", status.message(),
                         "; try `sluice nic revert ", interface, "`"));
    }
  }
  to_restore_.clear();
}

absl::Status ManagedInterfaces::RestoreOne(const std::string& interface) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<NicJournal> journal,
                          NicJournal::Open(journals_, interface));
  return RevertNic(*port_, *journal, LogSteps(interface, info_));
}

}  // namespace sluice
