// sluice export: a stream's bytes, as its sender sent them.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "control/cli/byte_source.h"
#include "control/cli/command.h"
#include "control/cli/names.h"
#include "control/cli/options.h"
#include "control/cli/output_file.h"
#include "control/cli/progress.h"
#include "control/cli/target.h"
#include "control/service/signal_watch.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

struct Options {
  TargetOptions target;
  std::string stream;
  std::string to;
  bool force = false;
  ByteRange range;
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

// OK also when a signal ended what would otherwise follow the stream forever.
absl::Status Copy(const Options& options, ByteSource& source, OutputFile& file) {
  Progress progress("export");
  ByteCount done;
  while (true) {
    const absl::StatusOr<absl::Span<const std::byte>> bytes = source.Next();
    if (absl::IsCancelled(bytes.status()) && options.range.follow) return absl::OkStatus();
    SLUICE_RETURN_IF_ERROR(bytes.status());
    if (bytes->empty()) return absl::OkStatus();
    SLUICE_RETURN_IF_ERROR(file.Write(*bytes));
    done += ByteCount{bytes->size()};
    progress.Update(done, options.range.follow ? ByteCount{} : source.total());
  }
}

absl::Status Export(const Options& options, SignalWatch& signals) {
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
  SLUICE_RETURN_IF_ERROR(Copy(options, *source, *file));
  return file->Commit();
}

int Run(const Options& options) {
  SignalWatch signals;  // before anything that makes threads
  const absl::Status status = Export(options, signals);
  if (absl::IsCancelled(status)) return kExitInterrupted;
  return ExitCodeOf(status);
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
