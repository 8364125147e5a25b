// sluice archive repair: what is wrong, what is done about it, and what stays.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "control/cli/command.h"
#include "control/cli/human.h"
#include "control/cli/json.h"
#include "control/cli/options.h"
#include "control/cli/progress.h"
#include "control/cli/target.h"
#include "ingest/status_macros.h"
#include "writer/archive/repair.h"

namespace sluice {
namespace {

struct Options {
  TargetOptions target;
  OutputFormat output = OutputFormat::kText;
  bool yes = false;
  bool fast = false;
  ByteCount rate;
};

std::string Things(size_t n) { return absl::StrCat(n, n == 1 ? " thing" : " things"); }

void ShowText(const RepairReport& report) {
  for (const RecoveryStep& step : report.steps) {
    std::cout << Printable(step.place) << ": " << Printable(step.finding) << "\n  -> "
              << (step.action.empty() ? "it is left as it is" : Printable(step.action)) << '\n';
  }
  for (const std::string& note : report.notes) std::cout << "note: " << Printable(note) << '\n';
  if (report.steps.empty()) {
    std::cout << "there is nothing to mend" << std::endl;
    return;
  }
  if (report.done) {
    std::cout << "mended " << Things(report.mendable());
  } else {
    std::cout << Things(report.mendable()) << " to mend";
  }
  if (report.left() > 0) std::cout << ", " << report.left() << " to leave as it is";
  if (!report.done && report.mendable() > 0) {
    std::cout << "; nothing was changed: --yes does it";
  }
  std::cout << std::endl;
}

void ShowJson(const RepairReport& report) {
  std::string steps;
  for (const RecoveryStep& step : report.steps) {
    absl::StrAppend(&steps, steps.empty() ? "" : ",", "\n  {\"place\": ", JsonString(step.place),
                    ", \"finding\": ", JsonString(step.finding),
                    ", \"action\": ", JsonString(step.action), "}");
  }
  std::cout << "{\n \"done\": " << (report.done ? "true" : "false")
            << ",\n \"mendable\": " << report.mendable() << ",\n \"left\": " << report.left()
            << ",\n \"steps\": [" << steps << "],\n \"notes\": " << JsonStrings(report.notes)
            << "\n}" << std::endl;
}

int Run(const Options& options) {
  Progress progress("repair");
  const absl::StatusOr<RepairReport> report =
      RepairArchive(options.target.archive,
                    {.dry_run = !options.yes,
                     .read_payload = !options.fast,
                     .bytes_per_second = options.rate,
                     .actor = absl::StrCat("user ", getuid())},
                    [&progress](ByteCount done, ByteCount total) { progress.Update(done, total); });
  if (!report.ok()) {
    Fail(report.status());
    return kExitCouldNot;
  }
  if (options.output == OutputFormat::kJson) {
    ShowJson(*report);
  } else {
    ShowText(*report);
  }
  const bool sound = report->left() == 0 && (report->done || report->mendable() == 0);
  return sound ? kExitOk : kExitDamage;
}

}  // namespace

void AddRepairCommand(CLI::App& group, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App& app = *group.add_subcommand(
      "repair", "Mend what can be mended; without --yes, only say what that would be");
  AddArchiveOption(app, options->target);
  AddOutputOption(app, options->output, "text");
  app.add_flag("--yes", options->yes, "Do it");
  app.add_flag("--fast", options->fast, "Do not read payload to find damage that stays");
  AddSizeOption(app, "--rate", options->rate,
                "Read at most so much a second, as in 50MiB (default: no limit)");
  app.footer(
      "Lost headers and footers are written anew, missing files allocated again, and a damaged\n"
      "catalog is made anew from the segments. Payload that is damaged is named, and stays.\n"
      "Nobody may have the archive open. Exit code 0: all is well now; 1: there is something to\n"
      "mend, or damage that stays; 2: it could not be looked at.\n"
      "\n"
      "Example:\n"
      "  sluice archive repair --archive /srv/archive --yes");
  app.callback([&action, options] { action = [options] { return Run(*options); }; });
}

}  // namespace sluice
