// sluice recordings: list, get, create, stop, delete.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "control/cli/command.h"
#include "control/cli/json.h"
#include "control/cli/lists.h"
#include "control/cli/names.h"
#include "control/cli/options.h"
#include "control/cli/recording_view.h"
#include "control/cli/target.h"
#include "control/service/callers.h"
#include "control/service/conversion.h"
#include "ingest/status_macros.h"
#include "proto/sluice/v1/recordings.grpc.pb.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_keeper.h"

namespace sluice {
namespace {

struct Options {
  TargetOptions target;
  OutputFormat output = OutputFormat::kText;
  std::string name;
  std::string tcp;
  bool connect = false;
  bool payload_crc = true;
  absl::Duration flush_interval = absl::Milliseconds(500);
  absl::Duration sync_interval = absl::Seconds(1);
  BackPressure back_pressure = BackPressure::kLossless;
  std::optional<absl::Duration> lag_limit;
  absl::Duration drain_limit = absl::Seconds(10);
  std::string retention_class;
};

void Show(const v1::Recording& recording, OutputFormat output) {
  if (output == OutputFormat::kJson) {
    std::cout << ToJson(recording) << std::endl;
  } else {
    PrintRecording(recording, std::cout);
  }
}

absl::Status List(const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  if (options.output == OutputFormat::kJson) {
    JsonArray array(std::cout);
    SLUICE_RETURN_IF_ERROR(
        ForEachRecordingPage(*target, [&](const v1::ListRecordingsResponse& page) {
          for (const v1::Recording& recording : page.recordings()) array.Add(recording);
          return std::cout.good();
        }));
    array.End();
    return absl::OkStatus();
  }
  Table table = RecordingTable(std::cout);
  return ForEachRecordingPage(*target, [&](const v1::ListRecordingsResponse& page) {
    for (const v1::Recording& recording : page.recordings()) AddRecordingRow(recording, table);
    table.Flush();
    return std::cout.good();
  });
}

absl::Status Get(const Options& options) {
  v1::GetRecordingRequest request;
  SLUICE_ASSIGN_OR_RETURN(*request.mutable_name(), CompleteRecordingName(options.name));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  const auto stub = v1::RecordingService::NewStub(target->channel());
  CallContext context;
  v1::Recording recording;
  SLUICE_RETURN_IF_ERROR(target->ToStatus(stub->GetRecording(&context, request, &recording)));
  Show(recording, options.output);
  return absl::OkStatus();
}

absl::Status Create(const Options& options) {
  v1::CreateRecordingRequest request;
  SLUICE_ASSIGN_OR_RETURN(const std::string name, CompleteRecordingName(options.name));
  request.set_recording_id(ShortName(name));
  v1::Recording& wanted = *request.mutable_recording();
  if (options.connect) {
    wanted.mutable_tcp_connect()->set_address(options.tcp);
  } else {
    wanted.mutable_tcp_listen()->set_address(options.tcp);
  }
  wanted.set_payload_crc(options.payload_crc);
  *wanted.mutable_flush_interval() = ToProtoDuration(options.flush_interval);
  *wanted.mutable_sync_interval() = ToProtoDuration(options.sync_interval);
  wanted.set_retention_class(options.retention_class);
  wanted.set_back_pressure(ToProto(options.back_pressure));
  if (options.lag_limit) *wanted.mutable_lag_limit() = ToProtoDuration(*options.lag_limit);

  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  const auto stub = v1::RecordingService::NewStub(target->channel());
  CallContext context;
  v1::Recording recording;
  SLUICE_RETURN_IF_ERROR(target->ToStatus(stub->CreateRecording(&context, request, &recording)));
  Show(recording, options.output);
  return absl::OkStatus();
}

absl::Status Stop(const Options& options) {
  v1::StopRecordingRequest request;
  SLUICE_ASSIGN_OR_RETURN(*request.mutable_name(), CompleteRecordingName(options.name));
  *request.mutable_drain_limit() = ToProtoDuration(options.drain_limit);
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  const auto stub = v1::RecordingService::NewStub(target->channel());
  CallContext context(options.drain_limit + absl::Minutes(1));
  v1::Recording recording;
  SLUICE_RETURN_IF_ERROR(target->ToStatus(stub->StopRecording(&context, request, &recording)));
  Show(recording, options.output);
  return absl::OkStatus();
}

// Where nobody records there is nobody to ask.
absl::Status DeleteFromFiles(const std::string& directory, const std::string& id) {
  ArchiveOptions wanted;
  wanted.directory = directory;
  wanted.create = false;
  wanted.purpose = "delete";
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Archive> archive, Archive::Open(wanted));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<ArchiveKeeper> keeper,
                          ArchiveKeeper::Start(*archive));
  return keeper->DeleteRecording(id, UserActor(getuid()));
}

absl::Status Delete(const Options& options) {
  v1::DeleteRecordingRequest request;
  SLUICE_ASSIGN_OR_RETURN(*request.mutable_name(), CompleteRecordingName(options.name));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  if (!target->directory().empty() &&
      absl::IsNotFound(Archive::Holder(target->directory()).status())) {
    return DeleteFromFiles(target->directory(), ShortName(request.name()));
  }
  const auto stub = v1::RecordingService::NewStub(target->channel());
  CallContext context;
  google::protobuf::Empty empty;
  SLUICE_RETURN_IF_ERROR(target->ToStatus(stub->DeleteRecording(&context, request, &empty)));
  if (options.output == OutputFormat::kJson) std::cout << ToJson(empty) << std::endl;
  return absl::OkStatus();
}

using Run = absl::Status (*)(const Options&);

// A subcommand that everything has in common with the others but its own options.
CLI::App& Add(CLI::App& group, const std::shared_ptr<Options>& options, Action& action,
              const std::string& name, const std::string& help, Run run) {
  CLI::App& app = *group.add_subcommand(name, help);
  AddTargetOptions(app, options->target);
  AddOutputOption(app, options->output, "table");
  app.callback([&app, &action, options, run] {
    if (!app.get_subcommands().empty()) return;  // which has had its say
    action = [options, run] { return ExitCodeOf(run(*options)); };
  });
  return app;
}

void AddName(CLI::App& app, Options& options) {
  app.add_option("NAME", options.name, "\"market\", or \"recordings/market\"")->required();
}

void AddCreate(CLI::App& group, const std::shared_ptr<Options>& options, Action& action) {
  CLI::App& app = Add(group, options, action, "create", "Start a recording on a daemon", &Create);
  app.add_option("ID", options->name,
                 "Its name: lower-case letters, digits and hyphens, beginning with a letter")
      ->required();
  app.add_option("--tcp", options->tcp, "Listen here, as in :9000 or 10.0.0.1:9000")
      ->type_name("ADDR:PORT")
      ->required();
  app.add_flag("--connect", options->connect, "Connect to the address instead");
  AddBoolOption(app, "--payload-crc", options->payload_crc, "Checksum the payload (default: true)");
  AddDurationOption(app, "--flush-interval", options->flush_interval,
                    "Data of an idle stream is written after this (default: 500ms)");
  AddDurationOption(app, "--sync-interval", options->sync_interval,
                    "What was written becomes durable this often (default: 1s)");
  app.add_option("--retention-class", options->retention_class,
                 "How it is kept; see sluice retention classes (default: default)")
      ->type_name("CLASS");
  AddBackPressureOptions(app, options->back_pressure, options->lag_limit);
  app.footer("Example:\n  sluice recordings create market --tcp :9000 --socket sluice.sock");
}

}  // namespace

void AddRecordingsCommand(CLI::App& program, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App& group = Add(program, options, action, "recordings",
                        "List, show, start, stop, delete recordings", &List);
  group.footer(
      "Without a subcommand it lists.\n"
      "\n"
      "Examples:\n"
      "  sluice recordings --archive /srv/archive\n"
      "  sluice recordings stop market --socket /run/sluice/sluice.sock");

  Add(group, options, action, "list", "List all recordings, earlier ones included", &List);
  AddName(Add(group, options, action, "get", "Show one recording", &Get), *options);
  AddCreate(group, options, action);
  CLI::App& stop = Add(group, options, action, "stop",
                       "Stop a recording: drain, seal, show the final figures", &Stop);
  AddName(stop, *options);
  AddDurationOption(stop, "--drain-limit", options->drain_limit,
                    "What senders keep sending is waited for this long (default: 10s)");
  AddName(Add(group, options, action, "delete", "Forget a stopped recording and its data", &Delete),
          *options);
}

}  // namespace sluice
