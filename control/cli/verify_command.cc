// sluice verify: reads everything and says what does not hold.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "control/cli/command.h"
#include "control/cli/options.h"
#include "control/cli/progress.h"
#include "control/cli/target.h"
#include "control/cli/verify_report.h"
#include "control/config/age.h"
#include "ingest/status_macros.h"
#include "proto/sluice/v1/status.grpc.pb.h"
#include "writer/archive/verify.h"

namespace sluice {
namespace {

struct Options {
  TargetOptions target;
  OutputFormat output = OutputFormat::kText;
  VerifyOptions verify;
};

// "17:0f3c...", as `sluice archive info` prints it.
absl::StatusOr<SegmentLink> ParseHead(const std::string& text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  uint64_t id = 0;
  SegmentLink head;
  const bool hex = parts.second.size() == 2 * head.footer.size() &&
                   std::all_of(parts.second.begin(), parts.second.end(), absl::ascii_isxdigit);
  if (!absl::SimpleAtoi(parts.first, &id) || id == 0 || !hex) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text,
                     "\" is not a segment's number, a colon and the 64 hexadecimal "
                     "digits of its footer's SHA-256"));
  }
  const std::string bytes = absl::HexStringToBytes(parts.second);
  head.id = SegmentId{id};
  std::copy(bytes.begin(), bytes.end(), head.footer.begin());
  return head;
}

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

void AddAgeOption(CLI::App& app, Options& options) {
  app.add_option_function<std::string>(
         "--max-age",
         [&options](const std::string& text) {
           const absl::StatusOr<absl::Duration> age = ParseAge(text);
           if (!age.ok()) {
             throw CLI::ValidationError("--max-age", std::string(age.status().message()));
           }
           options.verify.max_age = *age;
         },
         "Likewise, if that was less than so long ago, as in 30d")
      ->type_name("AGE");
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
  app.add_flag("--since-last", options->verify.since_last,
               "Do not read again what was read in full before and was whole");
  AddAgeOption(app, *options);
  app.add_option_function<std::vector<std::string>>(
         "--expect-head",
         [options](const std::vector<std::string>& heads) {
           for (const std::string& text : heads) {
             const absl::StatusOr<SegmentLink> head = ParseHead(text);
             if (!head.ok()) {
               throw CLI::ValidationError("--expect-head", std::string(head.status().message()));
             }
             options->verify.expected_heads.push_back(*head);
           }
         },
         "A chain's head that `archive info` showed once: damage unless that segment is still here "
         "as it was, or its removal is recorded; may be given again")
      ->type_name("ID:SHA256");
  AddSizeOption(app, "--rate", options->verify.bytes_per_second,
                "Read at most so much a second, as in 50MiB (default: no limit)");
  app.footer(
      "Checks every checksum, every stream for holes, each recording's chain of segments for "
      "missing\n"
      "and exchanged ones, and the catalog against the files. Changes nothing, but remembers in\n"
      "VERIFIED which segments are whole, for --since-last and --max-age; these look at a\n"
      "recording for holes only where all of its segments are read. Reads past the page\n"
      "cache; --rate keeps the disk for the recorder. Exit code 0: no damage; 1: damage; 2: it "
      "could not be checked.\n"
      "\n"
      "Example:\n"
      "  sluice verify --archive /srv/archive");
  app.callback([&action, options] { action = [options] { return Run(*options); }; });
}

}  // namespace sluice
