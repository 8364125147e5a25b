// sluice events: what happened to the archive, and what happens.
#include <CLI/CLI.hpp>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "control/cli/command.h"
#include "control/cli/human.h"
#include "control/cli/json.h"
#include "control/cli/options.h"
#include "control/cli/recording_view.h"
#include "control/cli/stream_filter.h"
#include "control/cli/target.h"
#include "control/service/conversion.h"
#include "control/service/event_conversion.h"
#include "ingest/status_macros.h"
#include "proto/sluice/v1/events.grpc.pb.h"

namespace sluice {
namespace {

struct Options {
  TargetOptions target;
  OutputFormat output = OutputFormat::kText;
  std::string since;
  std::vector<std::string> kinds;
  int64_t after = 0;
  bool follow = false;
};

// "hold-created" for "hold created".
std::string OptionOf(v1::Event::Kind kind) {
  const absl::string_view action = ActionOf(kind);
  return absl::StrReplaceAll(action, {{" ", "-"}});
}

std::string AllKinds() {
  std::string all;
  for (int kind = v1::Event::Kind_MIN + 1; kind <= v1::Event::Kind_MAX; ++kind) {
    absl::StrAppend(&all, all.empty() ? "" : ", ", OptionOf(static_cast<v1::Event::Kind>(kind)));
  }
  return all;
}

absl::StatusOr<v1::WatchEventsRequest> MakeRequest(const Options& options) {
  v1::WatchEventsRequest request;
  request.set_follow(options.follow);
  request.set_after_event_id(options.after);
  if (!options.since.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const absl::Time since, ParseTimeOption(options.since, absl::Now()));
    *request.mutable_from_time() = ToTimestamp(since);
  }
  for (const std::string& name : options.kinds) {
    const v1::Event::Kind kind = KindOf(absl::StrReplaceAll(name, {{"-", " "}}));
    if (kind == v1::Event::KIND_UNSPECIFIED) {
      return absl::InvalidArgumentError(
          absl::StrCat("--kind ", name, ": there is no such kind, only ", AllKinds()));
    }
    request.add_kinds(kind);
  }
  return request;
}

// One line each, at once: events may come hours apart.
void Print(const v1::Event& event, OutputFormat output) {
  if (output == OutputFormat::kJson) {
    std::cout << ToJsonLine(event) << std::endl;
    return;
  }
  std::cout << event.id() << "  " << ShowTime(event.time()) << "  " << Printable(event.actor())
            << "  " << event.action();
  if (!event.object().empty()) std::cout << "  " << Printable(event.object());
  if (!event.detail().empty()) std::cout << ": " << Printable(event.detail());
  std::cout << std::endl;
}

absl::Status Run(const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const v1::WatchEventsRequest request, MakeRequest(options));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  grpc::ClientContext context;  // without a deadline
  const auto reader = v1::EventService::NewStub(target->channel())->WatchEvents(&context, request);
  v1::Event event;
  while (std::cout.good() && reader->Read(&event)) Print(event, options.output);
  if (!std::cout.good()) {
    context.TryCancel();
    reader->Finish();
    return absl::OkStatus();  // nobody reads on
  }
  return target->ToStatus(reader->Finish());
}

}  // namespace

void AddEventsCommand(CLI::App& program, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App& app =
      *program.add_subcommand("events", "Show what happened to the archive, and what happens");
  AddTargetOptions(app, options->target);
  app.add_flag("-f,--follow", options->follow, "Go on with what happens from now on");
  app.add_option("--since", options->since, "Only what happened at this time or later; 90m: ago")
      ->type_name("TIME");
  app.add_option("--after", options->after, "Begin after the event with this id")
      ->type_name("ID")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--kind", options->kinds,
                 "Only events of this kind, such as hold-created; may be given several times")
      ->type_name("KIND")
      ->allow_extra_args(false);
  AddOutputOption(app, options->output, "lines");
  app.footer(absl::StrCat(
      "JSON is one document a line. Whoever goes on with --after and the last id misses nothing.\n"
      "\n"
      "Kinds: ",
      AllKinds(),
      ".\n"
      "\n"
      "Examples:\n"
      "  sluice events --follow --socket /run/sluice/sluice.sock --output json\n"
      "  sluice events --archive /srv/archive --since 24h --kind removed --kind hold-ended"));
  app.callback([&action, options] { action = [options] { return ExitCodeOf(Run(*options)); }; });
}

}  // namespace sluice
