// sluice streams: list, get.
#include <CLI/CLI.hpp>
#include <cstdint>
#include <iostream>
#include <limits>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "control/cli/command.h"
#include "control/cli/human.h"
#include "control/cli/json.h"
#include "control/cli/lists.h"
#include "control/cli/names.h"
#include "control/cli/options.h"
#include "control/cli/recording_view.h"
#include "control/cli/stream_filter.h"
#include "control/cli/table.h"
#include "control/cli/target.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

struct Options {
  TargetOptions target;
  OutputFormat output = OutputFormat::kText;
  std::string recording = "-";
  StreamFilterOptions filter;
  std::string order_by;
  int page_size = 0;
  uint64_t limit = std::numeric_limits<uint64_t>::max();
  std::string name;
};

std::string Size(int64_t bytes) { return HumanSize({static_cast<uint64_t>(bytes)}); }

// "CLOSED", or what else there is to say: "CLOSED, RESET".
std::string State(const v1::Stream& stream) {
  const std::string state = v1::Stream::State_Name(stream.state());
  if (stream.close_reason() == v1::Stream::CLOSE_REASON_UNSPECIFIED ||
      stream.close_reason() == v1::Stream::END_OF_STREAM) {
    return state;
  }
  return absl::StrCat(state, ", ", v1::Stream::CloseReason_Name(stream.close_reason()));
}

absl::StatusOr<v1::ListStreamsRequest> MakeRequest(const Options& options) {
  v1::ListStreamsRequest request;
  request.set_filter(options.filter.ToFilter());
  // Who asks for a time wants to see what came first, and the index of times has it at once.
  const bool timed = options.filter.from.has_value() || options.filter.to.has_value();
  request.set_order_by(options.order_by.empty() && timed ? "open_time" : options.order_by);
  request.set_page_size(options.page_size);
  if (options.recording == "-" || options.recording == "recordings/-") {
    request.set_parent("recordings/-");
  } else {
    SLUICE_ASSIGN_OR_RETURN(*request.mutable_parent(), CompleteRecordingName(options.recording));
  }
  return request;
}

absl::Status List(const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const v1::ListStreamsRequest request, MakeRequest(options));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  uint64_t left = options.limit;
  if (options.output == OutputFormat::kJson) {
    JsonArray array(std::cout);
    SLUICE_RETURN_IF_ERROR(
        ForEachStreamPage(*target, request, [&](const v1::ListStreamsResponse& page) {
          for (const v1::Stream& stream : page.streams()) {
            if (left == 0) break;
            array.Add(stream);
            --left;
          }
          return std::cout.good() && left > 0;
        }));
    array.End();
    return absl::OkStatus();
  }
  Table table(std::cout,
              {{"STREAM"},
               {"RECORDING"},
               {"BYTES", Table::Align::kRight},
               {"GAPS", Table::Align::kRight},  // bytes: "DROPPED" is too wide for 80 columns
               {"OPENED"},
               {"PEER"},
               {"STATE"}});
  return ForEachStreamPage(*target, request, [&](const v1::ListStreamsResponse& page) {
    for (const v1::Stream& stream : page.streams()) {
      if (left == 0) break;
      --left;
      table.AddRow({ShortName(stream.name()), RecordingOf(stream.name()),
                    Size(stream.durable_bytes() - stream.begin_offset() - stream.dropped_bytes()),
                    stream.dropped_bytes() > 0 ? Size(stream.dropped_bytes()) : "-",
                    ShowTime(stream.open_time()), stream.peer_address(), State(stream)});
    }
    table.Flush();
    return std::cout.good() && left > 0;
  });
}

absl::Status Get(const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const StreamArgument argument, ParseStreamArgument(options.name));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  SLUICE_ASSIGN_OR_RETURN(const v1::Stream stream, FindStream(*target, argument));
  if (options.output == OutputFormat::kJson) {
    std::cout << ToJson(stream) << std::endl;
    return absl::OkStatus();
  }
  Properties properties(std::cout);
  properties.Add("Name", stream.name());
  properties.Add("State", State(stream));
  properties.Add("Peer", stream.peer_address());
  properties.Add("Local", stream.local_address());
  properties.Add("Opened", ShowTime(stream.open_time()));
  properties.Add("Last byte", ShowTime(stream.last_time()));
  properties.Add("Durable",
                 absl::StrCat(Size(stream.durable_bytes()), " (", stream.durable_bytes(), ")"));
  if (stream.dropped_bytes() > 0) {
    properties.Add("Dropped", absl::StrCat(Size(stream.dropped_bytes()), " (",
                                           stream.dropped_bytes(), "): it has gaps"));
  }
  if (stream.begin_offset() > 0) {
    properties.Add("Begins at", absl::StrCat(stream.begin_offset(), ", after what was removed"));
  }
  return absl::OkStatus();
}

void AddListOptions(CLI::App& app, Options& options) {
  AddTargetOptions(app, options.target);
  AddOutputOption(app, options.output, "table");
  app.add_option("--recording", options.recording, "Only those of this recording")
      ->type_name("NAME");
  AddStreamFilterOptions(app, options.filter);
  app.add_option("--order-by", options.order_by,
                 "name or open_time; \"open_time desc\" is the newest first (default: name, or "
                 "open_time with --from and --to)")
      ->type_name("ORDER");
  app.add_option("--limit", options.limit, "Stop after so many")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  app.add_option("--page-size", options.page_size, "How many to fetch at a time")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  app.footer(
      "Conditions, joined with AND:\n"
      "  state = OPEN                             or CLOSED\n"
      "  close_reason = RESET                     or END_OF_STREAM, INTERRUPTED, ...\n"
      "  peer_address = \"10.0.0.0/8\"             or \"10.0.0.1\", \"10.0.0.1:4000\", "
      "\"10.0.0.1*\"\n"
      "  peer_port = 4000                         also local_port, and !=, <, <=, >, >=\n"
      "  size >= 1MiB                             also !=, <, <=, >\n"
      "  open_time >= \"2026-01-01T00:00:00Z\"      also last_time, end_time, and <, <=, >\n"
      "\n"
      "Examples:\n"
      "  sluice streams --archive /srv/archive --peer 10.0.0.0/8 --from 90m --min-size 1MiB\n"
      "  sluice streams --archive /srv/archive --order-by 'open_time desc' --limit 20\n"
      "  sluice streams --archive /srv/archive --filter 'state = CLOSED AND close_reason != "
      "END_OF_STREAM'");
}

}  // namespace

void AddStreamsCommand(CLI::App& program, Action& action) {
  const auto options = std::make_shared<Options>();
  const auto set_list = [&action, options] {
    action = [options] { return ExitCodeOf(List(*options)); };
  };
  CLI::App& group = *program.add_subcommand("streams", "List and show recorded streams");
  AddListOptions(group, *options);
  group.callback([&group, set_list] {
    if (group.get_subcommands().empty()) set_list();
  });
  CLI::App& list = *group.add_subcommand("list", "List streams (also without saying so)");
  AddListOptions(list, *options);
  list.callback(set_list);

  CLI::App& get = *group.add_subcommand("get", "Show one stream");
  AddTargetOptions(get, options->target);
  AddOutputOption(get, options->output, "table");
  get.add_option("NAME", options->name, "\"3-0-17\", or \"recordings/market/streams/3-0-17\"")
      ->required();
  get.callback([&action, options] { action = [options] { return ExitCodeOf(Get(*options)); }; });
}

}  // namespace sluice
