// sluice doctor: what this machine allows, and what to do about the rest.
#include "control/cli/doctor_command.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "control/cli/command.h"
#include "control/cli/doctor_report.h"
#include "control/cli/options.h"
#include "control/cli/terminal.h"
#include "control/doctor/diagnosis.h"
#include "control/doctor/read_facts.h"

namespace sluice {
namespace {

struct Options {
  DoctorQuestion question;
  OutputFormat output = OutputFormat::kText;
};

}  // namespace

int RunDoctor(const DoctorQuestion& question, OutputFormat output) {
  const absl::StatusOr<DoctorFacts> facts = ReadFacts(question);
  if (!facts.ok()) return Fail(facts.status());
  const Diagnosis diagnosis = Diagnose(*facts);
  std::cout << (output == OutputFormat::kJson ? DoctorJson(diagnosis)
                                              : DoctorText(diagnosis, OutputHasColors()))
            << std::flush;
  return diagnosis.receiver == ExpectedReceiver::kNone ? kExitFailed : kExitOk;
}

void AddDoctorCommand(CLI::App& program, Action& action) {
  const auto options = std::make_shared<Options>();
  DoctorQuestion& question = options->question;
  CLI::App& app = *program.add_subcommand(
      "doctor", "Check what kernel, privileges, network card and disk allow");
  CLI::Option* const interface =
      app.add_option("--interface", question.interface,
                     "A network interface, to be checked for zero-copy receive")
          ->type_name("IF");
  app.add_option("--queue", question.queue, "Its receive queue that would be lent to a recorder")
      ->type_name("N")
      ->needs(interface);
  app.add_option("--archive", question.directory,
                 "The directory of an archive, or any on the same disk")
      ->type_name("DIR");
  AddOutputOption(app, options->output, "text");
  app.footer(
      "Needs no daemon, and changes nothing. But a queue that can be lent is borrowed for a\n"
      "moment, which restarts it: packets on their way through it may be lost. For what needs\n"
      "privileges, run it as the user who will record.\n"
      "Exit code 0: recording works, if only by copying; 1: it does not; 2: bad arguments.\n"
      "\n"
      "Examples:\n"
      "  sluice doctor\n"
      "  sluice doctor --archive /srv/archive\n"
      "  sluice doctor --interface eth1 --queue 7 --archive /srv/archive\n"
      "  sluice doctor -o json | jq -r '.checks[] | select(.state == \"MISSING\") | .remedy'");
  app.callback([&action, options] {
    action = [options] { return RunDoctor(options->question, options->output); };
  });
}

}  // namespace sluice
