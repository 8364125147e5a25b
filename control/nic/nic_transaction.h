// Changes an interface wholly or not at all.
#ifndef CONTROL_NIC_NIC_TRANSACTION_H_
#define CONTROL_NIC_NIC_TRANSACTION_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/nic/nic_journal.h"
#include "control/nic/nic_plan.h"
#include "control/nic/nic_port.h"
#include "control/nic/nic_step.h"

namespace sluice {

// Told of each step before it is done.
using NicWatcher = std::function<void(const NicStep&)>;

// Makes the interface what is desired: one step at a time, each read back. When one fails, those
// before it are undone, and the error is the step's; if not even that succeeds, the error says so
// and the journal stays, for Revert() to try again. What an earlier Apply() made and is not desired
// any more is undone first.
//
// FAILED_PRECONDITION: the interface cannot become it; nothing was changed.
absl::Status ApplyNic(NicPort& port, NicJournal& journal, const DesiredNic& desired,
                      const NicWatcher& watcher = {});

// Puts the interface back as it was before the first Apply(). NOT_FOUND: nothing was changed.
absl::Status RevertNic(NicPort& port, NicJournal& journal, const NicWatcher& watcher = {});

// What a program that died left half done is undone. Returns whether there was any. Comes first
// at every start.
absl::StatusOr<bool> RecoverNic(NicPort& port, NicJournal& journal, const NicWatcher& watcher = {});

}  // namespace sluice

#endif  // CONTROL_NIC_NIC_TRANSACTION_H_
