// The command line of `sluice`.
#ifndef CONTROL_CLI_PROGRAM_H_
#define CONTROL_CLI_PROGRAM_H_

namespace sluice {

// Understands the command line and does what it says; returns the exit code.
int RunProgram(int argc, const char* const* argv);

}  // namespace sluice

#endif  // CONTROL_CLI_PROGRAM_H_
