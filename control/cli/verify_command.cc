// sluice verify: reads everything and says what does not hold.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "control/cli/command.h"
#include "control/cli/options.h"
#include "control/cli/progress.h"
#include "control/cli/target.h"
#include "control/cli/verify_report.h"
#include "ingest/status_macros.h"
#include "proto/sluice/v1/status.grpc.pb.h"
#include "writer/archive/verify.h"

namespace sluice {
namespace {

// Not those of other commands: scripts want to tell damage from trouble.
constexpr int kExitDamage = 1;
constexpr int kExitCouldNot = 2;

struct Options {
  TargetOptions target;
  OutputFormat output = OutputFormat::kText;
  VerifyOptions verify;
};

// A daemon is asked only where its archive is: the files are read here.
absl::StatusOr<std::string> Directory(const Options& options) {
  if (!options.target.archive.empty()) return options.target.archive;
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  const auto stub = v1::StatusService::NewStub(target->channel());
  CallContext context;
  v1::Status status;
  SLUICE_RETURN_IF_ERROR(
      target->ToStatus(stub->GetStatus(&context, v1::GetStatusRequest(), &status)));
  return status.archive().directory();
}

absl::StatusOr<VerifyReport> Verify(const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const std::string directory, Directory(options));
  Progress progress("verify");
  return VerifyArchive(
      directory, [&progress](ByteCount done, ByteCount total) { progress.Update(done, total); },
      options.verify);
}

int Run(const Options& options) {
  const absl::StatusOr<VerifyReport> report = Verify(options);
  if (!report.ok()) {
    Fail(report.status());
    return kExitCouldNot;
  }
  std::cout << (options.output == OutputFormat::kJson ? VerifyJson(*report) : VerifyText(*report))
            << std::flush;
  return report->ok() ? kExitOk : kExitDamage;
}

}  // namespace

void AddVerifyCommand(CLI::App& program, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App& app =
      *program.add_subcommand("verify", "Read a whole archive and say what does not hold");
  AddTargetOptions(app, options->target);
  AddOutputOption(app, options->output, "text");
  app.add_flag("--fast", options->verify.fast,
               "Only headers, footers, chains and the catalog; no payload is read");
  AddSizeOption(app, "--rate", options->verify.bytes_per_second,
                "Read at most so much a second, as in 50MiB (default: no limit)");
  app.footer(
      "Checks every checksum, every stream for holes, each recording's chain of segments for "
      "missing\n"
      "and exchanged ones, and the catalog against the files. Changes nothing. Reads past the "
      "page\n"
      "cache; --rate keeps the disk for the recorder. Exit code 0: no damage; 1: damage; 2: it "
      "could not be checked.\n"
      "\n"
      "Example:\n"
      "  sluice verify --archive /srv/archive");
  app.callback([&action, options] { action = [options] { return Run(*options); }; });
}

}  // namespace sluice
