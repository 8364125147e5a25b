// What `sluice doctor` does; `sluice nic preflight` asks it about one card.
#ifndef CONTROL_CLI_DOCTOR_COMMAND_H_
#define CONTROL_CLI_DOCTOR_COMMAND_H_

#include "control/cli/options.h"
#include "control/doctor/read_facts.h"

namespace sluice {

// Prints the diagnosis. Returns the program's exit code.
int RunDoctor(const DoctorQuestion& question, OutputFormat output);

}  // namespace sluice

#endif  // CONTROL_CLI_DOCTOR_COMMAND_H_
