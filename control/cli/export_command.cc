// sluice export: a stream's bytes, as its sender sent them.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "control/cli/byte_source.h"
#include "control/cli/command.h"
#include "control/cli/gap_report.h"
#include "control/cli/names.h"
#include "control/cli/options.h"
#include "control/cli/output_file.h"
#include "control/cli/progress.h"
#include "control/cli/target.h"
#include "control/service/signal_watch.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

// What becomes of the bytes that are missing.
enum class Gaps { kReport, kSkip, kZeros };

struct Options {
  TargetOptions target;
  std::string stream;
  std::string to;
  bool force = false;
  ByteRange range;
  Gaps gaps = Gaps::kReport;
  std::string gap_list;
};

absl::StatusOr<std::unique_ptr<ByteSource>> OpenSource(const Options& options,
                                                       SignalWatch& signals) {
  SLUICE_ASSIGN_OR_RETURN(const StreamArgument stream, ParseStreamArgument(options.stream));
  // Files are read here even where a daemon could do it: it has better things to do.
  if (!options.target.archive.empty()) {
    return OpenFiles(options.target.archive, stream, options.range, signals);
  }
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Target> target, Target::Open(options.target));
  return OpenDaemon(std::move(target), stream, options.range, signals);
}

absl::Status WriteZeros(ByteCount count, OutputFile& file) {
  static constexpr std::byte kZeros[64 << 10] = {};
  while (count.value > 0) {
    const uint64_t now = std::min<uint64_t>(count.value, sizeof(kZeros));
    SLUICE_RETURN_IF_ERROR(file.Write({kZeros, now}));
    count = count - ByteCount{now};
  }
  return absl::OkStatus();
}

// OK also when a signal ended what would otherwise follow the stream forever.
absl::Status Copy(const Options& options, ByteSource& source, OutputFile& file, GapReport& gaps) {
  Progress progress("export");
  ByteCount done;
  while (true) {
    const absl::StatusOr<StreamPiece> piece = source.Next();
    if (absl::IsCancelled(piece.status()) && options.range.follow) return absl::OkStatus();
    SLUICE_RETURN_IF_ERROR(piece.status());
    if (piece->is_end()) return absl::OkStatus();
    if (piece->gap) {
      gaps.Add(*piece->gap);
      if (options.gaps == Gaps::kZeros) {
        SLUICE_RETURN_IF_ERROR(WriteZeros(piece->gap->length(), file));
      }
      done += piece->gap->length();
    } else {
      gaps.Flush();
      SLUICE_RETURN_IF_ERROR(file.Write(piece->bytes));
      done += ByteCount{piece->bytes.size()};
    }
    progress.Update(done, options.range.follow ? ByteCount{} : source.total());
  }
}

// True: what was exported has gaps, which nobody has agreed to.
absl::StatusOr<bool> Export(const Options& options, SignalWatch& signals) {
  const std::string to = options.to.empty() ? "-" : options.to;
  if (options.to.empty() && isatty(STDOUT_FILENO) != 0) {
    return absl::InvalidArgumentError(
        "standard output is a terminal: name a file with --to FILE, or insist with --to -");
  }
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> source, OpenSource(options, signals));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<OutputFile> file,
                          OutputFile::Open(to, options.force));
  if (!options.range.from && source->begin().value > 0) {
    Note(absl::StrCat("the first ", source->begin().value,
                      " bytes of the stream are gone; beginning after them"));
  }
  std::ofstream list;
  if (!options.gap_list.empty()) {
    list.open(options.gap_list, std::ios::trunc);
    if (!list) return absl::UnavailableError(absl::StrCat("cannot write ", options.gap_list));
  }
  GapReport gaps(list.is_open() ? &list : nullptr, /*say=*/options.gaps == Gaps::kReport);
  SLUICE_RETURN_IF_ERROR(Copy(options, *source, *file, gaps));
  SLUICE_RETURN_IF_ERROR(file->Commit());
  const std::string sum = gaps.Finish();
  if (list.is_open() && !list.flush()) {
    return absl::UnavailableError(absl::StrCat("cannot write ", options.gap_list));
  }
  if (sum.empty()) return false;
  switch (options.gaps) {
    case Gaps::kReport:
      Note(absl::StrCat(sum, ", and are not in the output"));
      break;
    case Gaps::kSkip:
      Note(absl::StrCat(sum, ", and were skipped"));
      break;
    case Gaps::kZeros:
      Note(absl::StrCat(sum, ", and are zeros in the output"));
      break;
  }
  return options.gaps == Gaps::kReport;
}

int Run(const Options& options) {
  SignalWatch signals;  // before anything that makes threads
  const absl::StatusOr<bool> has_gaps = Export(options, signals);
  if (absl::IsCancelled(has_gaps.status())) return kExitInterrupted;
  if (!has_gaps.ok()) return ExitCodeOf(has_gaps.status());
  return *has_gaps ? kExitGaps : kExitOk;
}

}  // namespace

void AddExportCommand(CLI::App& program, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App& app = *program.add_subcommand("export", "Write a stream's bytes to a file or a pipe");
  app.add_option("STREAM", options->stream, "\"3-0-17\", or \"recordings/market/streams/3-0-17\"")
      ->required();
  AddTargetOptions(app, options->target);
  app.add_option("--to", options->to, "The file; - is standard output, which is the default")
      ->type_name("FILE");
  app.add_flag("--force", options->force, "Replace the file if it exists");
  const auto offset = [options](const std::string& text) {
    const absl::StatusOr<ByteCount> value = ParseBytes(text);
    if (!value.ok()) throw CLI::ValidationError("--from", std::string(value.status().message()));
    options->range.from = StreamOffset{value->value};
  };
  app.add_option_function<std::string>(
         "--from", offset, "Begin at this offset (default: the first that still exists)")
      ->type_name("OFFSET");
  const auto limit = [options](const std::string& text) {
    const absl::StatusOr<ByteCount> value = ParseBytes(text);
    if (!value.ok()) throw CLI::ValidationError("--bytes", std::string(value.status().message()));
    if (value->value == 0) throw CLI::ValidationError("--bytes", "must be more than 0");
    options->range.limit = *value;
  };
  app.add_option_function<std::string>("--bytes", limit, "No more than so many")->type_name("N");
  app.add_flag("--follow", options->range.follow,
               "Wait for what is still to come, until the stream is closed");
  const auto gaps = [options](const std::string& text) {
    if (text == "report") {
      options->gaps = Gaps::kReport;
    } else if (text == "skip") {
      options->gaps = Gaps::kSkip;
    } else if (text == "zeros") {
      options->gaps = Gaps::kZeros;
    } else {
      throw CLI::ValidationError("--gaps",
                                 absl::StrCat("\"", text, "\" is none of report, skip and zeros"));
    }
  };
  app.add_option_function<std::string>(
         "--gaps", gaps,
         "Where bytes were dropped. report: leave them out, say so, and exit with 3;\n"
         "skip: leave them out; zeros: write zeros in their place (default: report)")
      ->type_name("HOW");
  app.add_option("--gap-list", options->gap_list,
                 "Write every gap's offset, length and cause, a line of JSON each")
      ->type_name("FILE");
  app.footer(
      "A file appears under its name when it is complete.\n"
      "\n"
      "Examples:\n"
      "  sluice export 1-0-1 --archive /srv/archive --to stream.bin\n"
      "  sluice export 1-0-1 --archive /srv/archive --from 1GiB --bytes 64KiB | xxd\n"
      "  sluice export recordings/market/streams/1-0-1 --socket sluice.sock --follow --to - | nc "
      "...");
  app.callback([&action, options] { action = [options] { return Run(*options); }; });
}

}  // namespace sluice
