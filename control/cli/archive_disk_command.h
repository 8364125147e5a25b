// sluice archive: add-disk, remove-disk.
#ifndef CONTROL_CLI_ARCHIVE_DISK_COMMAND_H_
#define CONTROL_CLI_ARCHIVE_DISK_COMMAND_H_

#include <CLI/App.hpp>

#include "control/cli/command.h"

namespace sluice {

void AddArchiveDiskCommands(CLI::App& group, Action& action);

}  // namespace sluice

#endif  // CONTROL_CLI_ARCHIVE_DISK_COMMAND_H_
