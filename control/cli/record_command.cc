// sluice record: a recorder without a daemon.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "control/cli/command.h"
#include "control/cli/options.h"
#include "control/cli/rate_meter.h"
#include "control/cli/record_summary.h"
#include "control/cli/status_line.h"
#include "control/cli/terminal.h"
#include "control/config/recording_rules.h"
#include "control/recorder/drop_watch.h"
#include "control/recorder/recorder.h"
#include "control/service/callers.h"
#include "control/service/signal_watch.h"
#include "ingest/status_macros.h"
#include "writer/catalog/catalog.h"

namespace sluice {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(20);
constexpr absl::Duration kPollAtEnd = absl::Milliseconds(2);  // the last stream is being sealed
constexpr absl::Duration kRedraw = absl::Milliseconds(200);
constexpr absl::Duration kWarningsInterval = absl::Seconds(1);
constexpr absl::Duration kDrainLimit = absl::Seconds(10);

struct Options {
  std::string tcp;
  bool connect = false;
  RecorderOptions recorder;
  RecordingSpec spec;
  absl::Duration max_age = absl::InfiniteDuration();
  ByteCount quota;
  std::optional<absl::Duration> lag_limit;
  absl::Duration duration = absl::InfiniteDuration();
  uint64_t exit_after_streams = std::numeric_limits<uint64_t>::max();
  OutputFormat output = OutputFormat::kText;
  bool quiet = false;
};

// One run of the command.
class Recording {
 public:
  explicit Recording(const Options& options) : options_(options) {}

  int Run() {
    const absl::Status started = Start();
    if (!started.ok()) return Fail(started);
    Watch();
    absl::StatusOr<RecordSummary> summary = Stop();
    if (!summary.ok()) return Fail(summary.status());
    return Finish(*summary);
  }

 private:
  absl::Status Start() {
    RecordingSpec spec = options_.spec;
    SLUICE_RETURN_IF_ERROR(CheckRecordingId(spec.id));
    SLUICE_RETURN_IF_ERROR(CheckInterval("flush interval", spec.flush_interval));
    SLUICE_RETURN_IF_ERROR(CheckInterval("sync interval", spec.sync_interval));
    SLUICE_RETURN_IF_ERROR(CheckStallLimit("stall limit", options_.recorder.stall_limit));
    if (options_.lag_limit) {
      SLUICE_RETURN_IF_ERROR(CheckLagLimit("lag limit", *options_.lag_limit, spec.back_pressure));
      spec.lag_limit = *options_.lag_limit;
    }
    spec.source = options_.connect ? SourceKind::kTcpConnect : SourceKind::kTcpListen;
    SLUICE_ASSIGN_OR_RETURN(spec.address, SocketAddress::Parse(options_.tcp));

    RecorderOptions recorder = options_.recorder;
    SLUICE_RETURN_IF_ERROR(DefineClass(&recorder, &spec));
    SLUICE_ASSIGN_OR_RETURN(recorder_, Recorder::Open(recorder));
    ShowWarnings();
    if (!options_.quiet) {
      for (const std::string& note : recorder_->keeper().recovery().notes) Note(note);
    }
    SLUICE_ASSIGN_OR_RETURN(const RecordingStatus status,
                            recorder_->CreateRecording(spec, UserActor(getuid())));
    begin_ = absl::Now();
    if (!options_.quiet) {
      std::cerr << (options_.connect ? "connecting to " + spec.address.ToString()
                                     : "listening on " + status.bound.ToString())
                << ", recording to " << options_.recorder.archive.directory << " (" << Receivers()
                << ")" << std::endl;
    }
    return absl::OkStatus();
  }

  // An age or a quota makes a class of the recording's own, of its name.
  absl::Status DefineClass(RecorderOptions* recorder, RecordingSpec* spec) const {
    if (options_.max_age == absl::InfiniteDuration() && options_.quota.value == 0) {
      return absl::OkStatus();
    }
    if (!spec->retention_class.empty()) {
      return absl::InvalidArgumentError(
          "--retention-class has its own age and quota: leave --max-age and --quota out");
    }
    spec->retention_class = spec->id;
    RetentionClass own;
    own.name = spec->id;
    own.max_age = options_.max_age;
    own.quota = options_.quota;
    recorder->retention_classes = {own};
    return absl::OkStatus();
  }

  // Which receiver the lanes got, and why not a better one.
  std::string Receivers() const {
    std::set<std::string> kinds;
    for (const ReceiverStatus& receiver : recorder_->Status().receivers) {
      kinds.insert(
          absl::StrCat("receiver: ", NameOf(receiver.kind), ", because ", receiver.reason));
    }
    return absl::StrJoin(kinds, "; ");
  }

  // Returns when the recording is to end, or has ended.
  void Watch() {
    RateMeter rate(begin_, 0);
    absl::Time drawn = begin_;
    absl::Time warned = begin_;
    const absl::Time end = begin_ + options_.duration;
    absl::Duration poll = kPoll;
    while (true) {
      const absl::Time now = absl::Now();
      if (signals_.Wait(std::clamp(end - now, absl::ZeroDuration(), poll)) != 0) return;
      const absl::StatusOr<RecordingStatus> status = recorder_->GetRecording(options_.spec.id);
      if (!status.ok() || status->state != RecordingState::kRecording) return;
      if (status->streams_closed >= options_.exit_after_streams || now >= end) return;
      const bool ending =
          status->streams_opened >= options_.exit_after_streams && status->streams_open == 0;
      poll = ending ? kPollAtEnd : kPoll;
      if (!first_byte_ && status->ledger.received > 0) first_byte_ = now;
      if (now - warned >= kWarningsInterval) {
        warned = now;
        ShowWarnings();
        ShowDrops(*status);
      }
      if (line_.visible() && !options_.quiet && now - drawn >= kRedraw) {
        drawn = now;
        rate.Update(now, status->ledger.received);
        Draw(*status, rate.per_second());
      }
    }
  }

  void Draw(const RecordingStatus& status, double rate) {
    StatusLineFigures figures;
    figures.elapsed = absl::Now() - begin_;
    figures.received = {status.ledger.received};
    figures.bytes_per_second = rate;
    figures.streams_open = status.streams_open;
    figures.streams_opened = status.streams_opened;
    figures.durable_lag = status.durable_lag;
    figures.lost = {status.ledger.dropped()};
    line_.Draw(FormatStatusLine(figures, line_.width() - 1));
  }

  absl::StatusOr<RecordSummary> Stop() {
    line_.Clear();
    RecordSummary summary;
    SLUICE_ASSIGN_OR_RETURN(summary.status,
                            recorder_->StopRecording(options_.spec.id, kDrainLimit, "shutdown"));
    const absl::Time end = absl::Now();
    summary.elapsed = end - begin_;
    summary.active = first_byte_ ? end - *first_byte_ : absl::ZeroDuration();
    const RecorderStatus last = recorder_->Status();
    summary.region = last.region;
    summary.receivers = last.receivers;
    ShowWarnings();
    recorder_.reset();
    const absl::StatusOr<std::unique_ptr<Catalog>> catalog = Catalog::Open(
        Archive::CatalogPath(options_.recorder.archive.directory), Catalog::Mode::kReadOnly);
    if (catalog.ok()) {
      absl::StatusOr<RecordingRow> row = (*catalog)->Recording(options_.spec.id);
      if (row.ok()) summary.stored = *std::move(row);
    }
    return summary;
  }

  int Finish(const RecordSummary& summary) {
    if (options_.output == OutputFormat::kJson) {
      if (!options_.quiet) std::cerr << SummaryText(summary) << std::endl;
      std::cout << SummaryJson(summary) << std::endl;
    } else if (!options_.quiet) {
      std::cout << SummaryText(summary) << std::endl;
    }
    if (summary.status.state != RecordingState::kFailed) return kExitOk;
    return Fail(absl::UnavailableError(summary.status.failure));
  }

  // What has not been said before.
  void ShowWarnings() {
    if (options_.quiet) return;
    for (const std::string& warning : recorder_->Status().warnings) {
      if (!warnings_.insert(warning).second) continue;
      line_.Clear();
      Note(warning);
    }
  }

  void ShowDrops(const RecordingStatus& status) {
    if (options_.quiet) return;
    const std::optional<std::string> warning = drops_.Look(status, absl::Now());
    if (!warning) return;
    line_.Clear();
    Note(*warning);
  }

  const Options& options_;
  SignalWatch signals_;  // before anything that makes threads
  LiveLine line_;
  std::unique_ptr<Recorder> recorder_;
  std::set<std::string> warnings_;
  DropWatch drops_;
  absl::Time begin_;
  std::optional<absl::Time> first_byte_;
};

void AddOptions(CLI::App& app, Options& options) {
  app.add_option("--tcp", options.tcp, "Listen here, as in :9000 or 10.0.0.1:9000")
      ->type_name("ADDR:PORT")
      ->required();
  app.add_flag("--connect", options.connect, "Connect to the address instead");
  app.add_option("--archive", options.recorder.archive.directory,
                 "The archive's directory, made if there is none")
      ->type_name("DIR")
      ->required();
  AddSizeOption(app, "--capacity", options.recorder.archive.capacity,
                "Of a new archive (default: 16GiB, less on a small disk)");
  AddSizeOption(app, "--segment-size", options.recorder.archive.segment,
                "Of a new archive (default: capacity / 64, 16MiB to 256MiB)");
  app.add_option_function<std::vector<std::string>>(
         "--disk",
         [&options](const std::vector<std::string>& directories) {
           for (const std::string& directory : directories) {
             options.recorder.archive.disks.push_back({directory, {}});
           }
         },
         "One more directory for the archive, on a disk of its own, as large as the\n"
         "archive's if there is room; may be given again")
      ->type_name("DIR");
  AddDurationOption(app, "--stall-limit", options.recorder.stall_limit,
                    "Take a disk out of use that lets a write wait for so long, while there is\n"
                    "another one (default: 10s)");
  AddSizeOption(app, "--region", options.recorder.region, "Memory of each lane (default: 64MiB)");
  app.add_option("--lanes", options.recorder.lanes, "Threads that receive and write (default: 1)")
      ->type_name("N")
      ->check(CLI::Range(1, 64));
  app.add_option_function<std::string>(
         "--receiver",
         [&options](const std::string& name) {
           options.recorder.receiver.mode = *ParseReceiverMode(name);
         },
         "auto: zero-copy where --interface and --queue allow it; zero-copy: or not at\n"
         "all; device-less: RECV_ZC without a NIC, for tests; copy (default: auto)")
      ->type_name("KIND")
      ->check(CLI::IsMember({"auto", "zero-copy", "device-less", "copy"}));
  app.add_option("--interface", options.recorder.receiver.interface,
                 "The NIC that places payload into the lanes' memory")
      ->type_name("IF");
  app.add_option("--queue", options.recorder.receiver.queues,
                 "Its receive queues, one for each lane, as in 6,7")
      ->type_name("N,...")
      ->delimiter(',');
  AddSizeOption(app, "--receive-area", options.recorder.receiver.area,
                "Of the region, what zero-copy receive gets (default: all it can)");
  app.add_option("--completions", options.recorder.receiver.completion_entries,
                 "Entries of each lane's completion queue (default: 16384)")
      ->type_name("N")
      ->check(CLI::Range(16, 65536));
  app.add_option("--name", options.spec.id, "The recording's name (default: default)")
      ->type_name("ID");
  AddBoolOption(app, "--payload-crc", options.spec.payload_crc,
                "Checksum the payload (default: true)");
  AddDurationOption(app, "--flush-interval", options.spec.flush_interval,
                    "Write the data of an idle stream after (default: 500ms)");
  AddDurationOption(app, "--sync-interval", options.spec.sync_interval,
                    "Make it durable at least every (default: 1s)");
  AddSizeOption(app, "--quota", options.quota,
                "Keep at most so much of this recording on disk (default: no limit)");
  AddDurationOption(app, "--max-age", options.max_age,
                    "Remove what is older than this (default: never)");
  app.add_option("--retention-class", options.spec.retention_class,
                 "Keep it as this class says; see sluice retention classes")
      ->type_name("CLASS");
  AddBackPressureOptions(app, options.spec.back_pressure, options.lag_limit);
  AddDurationOption(app, "--duration", options.duration, "Stop after this time");
  app.add_option("--exit-after-streams", options.exit_after_streams,
                 "Stop when so many streams are closed and durable")
      ->type_name("N")
      ->check([](const std::string& text) {
        uint64_t number = 0;
        return absl::SimpleAtoi(text, &number) && number > 0
                   ? ""
                   : absl::StrCat("\"", text, "\" is not a number above 0");
      });
  AddOutputOption(app, options.output, "text");
  app.add_flag("-q,--quiet", options.quiet, "Print errors, and what --output json prints");
}

}  // namespace

void AddRecordCommand(CLI::App& program, Action& action) {
  const auto options = std::make_shared<Options>();
  options->spec.id = "default";
  options->recorder.archive.purpose = "record";
  CLI::App& app = *program.add_subcommand("record", "Record TCP streams, without a daemon");
  AddOptions(app, *options);
  app.footer(
      "SIGINT or SIGTERM ends it in order: what was received is made durable. A second one\n"
      "leaves at once.\n"
      "\n"
      "Examples:\n"
      "  sluice record --tcp :9000 --archive /srv/archive --capacity 400GiB\n"
      "  sluice record --tcp feed.example:7000 --connect --archive /srv/archive --duration 1h\n"
      "  sluice record --tcp :9000 --archive a --receiver zero-copy --interface eth1 --queue 7\n"
      "  sluice record --tcp 127.0.0.1:9000 --archive a --exit-after-streams 1 --output json");
  app.callback([&action, options] { action = [options] { return Recording(*options).Run(); }; });
}

}  // namespace sluice
