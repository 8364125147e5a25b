// sluice status: one look at the whole recorder.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "control/cli/archive_view.h"
#include "control/cli/command.h"
#include "control/cli/human.h"
#include "control/cli/json.h"
#include "control/cli/options.h"
#include "control/cli/recording_view.h"
#include "control/cli/table.h"
#include "control/cli/target.h"
#include "ingest/status_macros.h"
#include "proto/sluice/v1/status.grpc.pb.h"

namespace sluice {
namespace {

struct Options {
  TargetOptions target;
  OutputFormat output = OutputFormat::kText;
};

void AddDaemon(const v1::Daemon& daemon, Properties& properties) {
  properties.Add("Daemon",
                 absl::StrCat("process ", daemon.pid(), ", since ", ShowTime(daemon.start_time())));
  properties.Add(
      "Lanes", absl::StrCat(daemon.lanes(), ", with ",
                            HumanSize({static_cast<uint64_t>(daemon.region_bytes())}), " of memory",
                            daemon.region_registered() ? "" : ", not registered",
                            daemon.region_huge_pages() ? ", in huge pages" : ""));
  for (int i = 0; i < daemon.receivers_size(); ++i) {
    const v1::Receiver& receiver = daemon.receivers(i);
    properties.Add(daemon.receivers_size() == 1 ? "Receiver" : absl::StrCat("Receiver ", i),
                   absl::StrCat(absl::AsciiStrToLower(v1::Receiver::Kind_Name(receiver.kind())),
                                ", because ", receiver.reason()));
  }
}

void AddVerification(const v1::Verification& verification, Properties& properties) {
  std::string text = absl::StrCat(verification.segments_verified(), " segments read, ",
                                  verification.segments_damaged(), " with damage");
  if (verification.has_last_pass_time()) {
    absl::StrAppend(&text, "; all that was due by ", ShowTime(verification.last_pass_time()));
  }
  if (verification.has_next_time()) {
    absl::StrAppend(&text, ", next ", ShowTime(verification.next_time()));
  }
  if (verification.waiting()) absl::StrAppend(&text, "; waits, because writes are late");
  properties.Add("Verify", text);
  for (const std::string& damage : verification.damage()) properties.Add("Damage", damage);
}

absl::Status Run(const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  const auto stub = v1::StatusService::NewStub(target->channel());
  CallContext context;
  v1::Status status;
  SLUICE_RETURN_IF_ERROR(
      target->ToStatus(stub->GetStatus(&context, v1::GetStatusRequest(), &status)));
  if (options.output == OutputFormat::kJson) {
    std::cout << ToJson(status) << std::endl;
    return absl::OkStatus();
  }
  {
    Properties properties(std::cout);
    if (status.has_daemon()) AddDaemon(status.daemon(), properties);
    AddArchive(status.archive(), properties);
    if (status.has_verification()) AddVerification(status.verification(), properties);
    for (const std::string& warning : status.warnings()) properties.Add("Warning", warning);
    for (const std::string& note : status.recovery().notes()) properties.Add("Recovery", note);
  }
  if (status.recordings().empty()) return absl::OkStatus();
  std::cout << '\n';
  Table table = RecordingTable(std::cout);
  for (const v1::Recording& recording : status.recordings()) AddRecordingRow(recording, table);
  table.Flush();
  return absl::OkStatus();
}

}  // namespace

void AddStatusCommand(CLI::App& program, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App& app = *program.add_subcommand("status", "Show the recorder and its archive");
  AddTargetOptions(app, options->target);
  AddOutputOption(app, options->output, "table");
  app.footer("Example:\n  sluice status --socket /run/sluice/sluice.sock");
  app.callback([&action, options] { action = [options] { return ExitCodeOf(Run(*options)); }; });
}

}  // namespace sluice
