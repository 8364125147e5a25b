// What the commands of `sluice` have in common.
#ifndef CONTROL_CLI_COMMAND_H_
#define CONTROL_CLI_COMMAND_H_

#include <CLI/App.hpp>
#include <functional>

#include "absl/status/status.h"

namespace sluice {

enum ExitCode {
  kExitOk = 0,
  kExitFailed = 1,
  kExitUsage = 2,          // the command line, or a value on it, is wrong
  kExitGaps = 3,           // done, but what was exported has gaps
  kExitInterrupted = 130,  // by a signal, with the work left undone

  // Of commands that look for damage, instead of kExitFailed and kExitUsage: scripts want to tell
  // damage from trouble.
  kExitDamage = 1,
  kExitCouldNot = 2,
};

// What the chosen command does once the command line was understood; returns the exit code.
using Action = std::function<int()>;

// Each adds one command to the program. Parsing a command line that names it sets `action`.
void AddRecordCommand(CLI::App& program, Action& action);
void AddServeCommand(CLI::App& program, Action& action);
void AddStatusCommand(CLI::App& program, Action& action);
void AddRecordingsCommand(CLI::App& program, Action& action);
void AddRetentionCommand(CLI::App& program, Action& action);
void AddStreamsCommand(CLI::App& program, Action& action);
void AddEventsCommand(CLI::App& program, Action& action);
void AddExportCommand(CLI::App& program, Action& action);
void AddVerifyCommand(CLI::App& program, Action& action);
// Of the archive group.
void AddSegmentCommands(CLI::App& group, Action& action);
void AddRepairCommand(CLI::App& group, Action& action);
void AddArchiveCommand(CLI::App& program, Action& action);
void AddDoctorCommand(CLI::App& program, Action& action);
void AddNicCommand(CLI::App& program, Action& action);

// "sluice: MESSAGE" on standard error. INVALID_ARGUMENT is the user's mistake: kExitUsage.
int Fail(const absl::Status& status);
// The same shape, for what does not end the command.
void Note(absl::string_view text);
// kExitOk, or Fail().
inline int ExitCodeOf(const absl::Status& status) { return status.ok() ? kExitOk : Fail(status); }

}  // namespace sluice

#endif  // CONTROL_CLI_COMMAND_H_
