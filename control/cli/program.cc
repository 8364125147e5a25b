#include "control/cli/program.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "control/cli/command.h"
#include "control/cli/version.h"

namespace sluice {
namespace {

// "sluice recordings list": the command that the user got as far as.
std::string CommandOf(const CLI::App& program) {
  std::string command = program.get_name();
  const CLI::App* at = &program;
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    absl::StrAppend(&command, " ", at->get_name());
  }
  return command;
}

// One sentence in place of CLI11's wording, which names no remedy.
std::string Describe(const CLI::App& program, const CLI::ParseError& error) {
  const std::vector<std::string> extras = program.remaining(true);
  const std::string text = error.what();
  const bool no_command = absl::StartsWith(text, "A subcommand is required");
  if (!extras.empty() && absl::StartsWith(extras.front(), "-")) {
    return absl::StrCat("unknown option ", extras.front());
  }
  if (!extras.empty()) {
    return absl::StrCat(no_command ? "unknown command " : "unexpected argument ", extras.front());
  }
  if (no_command) return "a command is missing";
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    const absl::string_view name = absl::string_view(text).substr(0, text.find(':'));
    return absl::StrCat(name, " takes one value");
  }
  return absl::StrReplaceAll(std::string(absl::StripAsciiWhitespace(text)), {{"\n", " "}});
}

int Refuse(const CLI::App& program, const CLI::ParseError& error) {
  const std::string command = CommandOf(program);
  std::cerr << command << ": " << Describe(program, error) << "; see `" << command << " --help`\n";
  return kExitUsage;
}

}  // namespace

int RunProgram(int argc, const char* const* argv) {
  CLI::App program("Records network streams to disk, and finds and reads what was recorded.",
                   "sluice");
  program.set_version_flag("--version", std::string("sluice ") + kVersion,
                           "Print the version and exit");
  program.require_subcommand(1);
  program.footer(
      "Examples:\n"
      "  sluice record --tcp :9000 --archive /srv/archive\n"
      "  sluice streams --archive /srv/archive\n"
      "  sluice export 1-0-1 --archive /srv/archive --to stream.bin\n"
      "\n"
      "`sluice COMMAND --help` says more about each.");

  Action action;
  AddRecordCommand(program, action);
  AddServeCommand(program, action);
  AddStatusCommand(program, action);
  AddRecordingsCommand(program, action);
  AddRetentionCommand(program, action);
  AddStreamsCommand(program, action);
  AddEventsCommand(program, action);
  AddExportCommand(program, action);
  AddVerifyCommand(program, action);
  AddArchiveCommand(program, action);
  AddDoctorCommand(program, action);
  AddNicCommand(program, action);

  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version are "errors" with exit code 0.
    return error.get_exit_code() == 0 ? program.exit(error) : Refuse(program, error);
  }
  return action();
}

}  // namespace sluice
