// sluice retention: plan, apply, hold, holds, release, classes, audit.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "control/cli/command.h"
#include "control/cli/json.h"
#include "control/cli/options.h"
#include "control/cli/retention_view.h"
#include "control/cli/stream_filter.h"
#include "control/cli/target.h"
#include "control/service/callers.h"
#include "control/service/conversion.h"
#include "control/service/names.h"
#include "control/service/retention_conversion.h"
#include "ingest/status_macros.h"
#include "proto/sluice/v1/retention.grpc.pb.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_keeper.h"

namespace sluice {
namespace {

struct Options {
  TargetOptions target;
  OutputFormat output = OutputFormat::kText;
  std::string name;
  std::string selector;
  std::string from, to, until;
  std::string owner;
  std::string reason;
  ByteCount budget;
  int limit = 0;
};

void Print(const google::protobuf::Message& message, OutputFormat output,
           const std::function<void()>& as_text) {
  if (output == OutputFormat::kJson) {
    std::cout << ToJson(message) << std::endl;
  } else {
    as_text();
  }
}

std::string Actor() { return UserActor(getuid()); }

// Of an archive that nobody has open: there is nobody to ask, so the change is made here.
struct Opened {
  std::unique_ptr<Archive> archive;
  std::unique_ptr<ArchiveKeeper> keeper;
};
absl::StatusOr<std::optional<Opened>> OpenIfNobodyHas(const Target& target) {
  if (target.directory().empty() ||
      !absl::IsNotFound(Archive::Holder(target.directory()).status())) {
    return std::nullopt;
  }
  ArchiveOptions wanted;
  wanted.directory = target.directory();
  wanted.create = false;
  wanted.purpose = "retention";
  Opened opened;
  SLUICE_ASSIGN_OR_RETURN(opened.archive, Archive::Open(wanted));
  SLUICE_ASSIGN_OR_RETURN(opened.keeper, ArchiveKeeper::Start(*opened.archive));
  return opened;
}

// "market", "recordings/market", "market/streams/1-0-7": as the API has it.
std::string CompleteSelector(const std::string& text) {
  if (text == "-" || !absl::StartsWith(text, "recordings/")) return "recordings/" + text;
  return text;
}

absl::Status ReadTime(const std::string& text, google::protobuf::Timestamp* to) {
  SLUICE_ASSIGN_OR_RETURN(const absl::Time time, ParseTimeOption(text, absl::Now()));
  *to = ToTimestamp(time);
  return absl::OkStatus();
}

// A time, or how long from now.
absl::Status ReadUntil(const std::string& text, google::protobuf::Timestamp* to) {
  if (const absl::StatusOr<absl::Duration> ahead = ParseDurationOption(text); ahead.ok()) {
    *to = ToTimestamp(absl::Now() + *ahead);
    return absl::OkStatus();
  }
  return ReadTime(text, to);
}

absl::StatusOr<v1::CreateHoldRequest> HoldRequest(const Options& options) {
  v1::CreateHoldRequest request;
  request.set_hold_id(options.name);
  v1::Hold& hold = *request.mutable_hold();
  hold.set_selector(CompleteSelector(options.selector));
  if (!options.from.empty())
    SLUICE_RETURN_IF_ERROR(ReadTime(options.from, hold.mutable_from_time()));
  if (!options.to.empty()) SLUICE_RETURN_IF_ERROR(ReadTime(options.to, hold.mutable_to_time()));
  if (!options.until.empty()) {
    SLUICE_RETURN_IF_ERROR(ReadUntil(options.until, hold.mutable_until_time()));
  }
  hold.set_owner(options.owner);
  hold.set_reason(options.reason);
  hold.set_budget_bytes(static_cast<int64_t>(options.budget.value));
  return request;
}

absl::Status CreateHold(const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const v1::CreateHoldRequest request, HoldRequest(options));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  SLUICE_ASSIGN_OR_RETURN(const std::optional<Opened> opened, OpenIfNobodyHas(*target));
  v1::Hold created;
  if (opened) {
    SLUICE_ASSIGN_OR_RETURN(Hold hold, ToHold(request));
    SLUICE_ASSIGN_OR_RETURN(const HoldState state,
                            opened->keeper->CreateHold(std::move(hold), Actor()));
    created = ToProto(state, opened->archive->meta().segment);
  } else {
    CallContext context;
    SLUICE_RETURN_IF_ERROR(target->ToStatus(
        v1::RetentionService::NewStub(target->channel())->CreateHold(&context, request, &created)));
  }
  Print(created, options.output, [&] { PrintHold(created, std::cout); });
  return absl::OkStatus();
}

absl::Status Release(const Options& options) {
  v1::ReleaseHoldRequest request;
  request.set_name(absl::StrContains(options.name, '/') ? options.name
                                                        : MakeHoldName(options.name));
  SLUICE_ASSIGN_OR_RETURN(const std::string id, ParseHoldName(request.name()));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  SLUICE_ASSIGN_OR_RETURN(const std::optional<Opened> opened, OpenIfNobodyHas(*target));
  v1::Hold released;
  if (opened) {
    SLUICE_ASSIGN_OR_RETURN(const HoldState state, opened->keeper->ReleaseHold(id, Actor()));
    released = ToProto(state, opened->archive->meta().segment);
  } else {
    CallContext context;
    SLUICE_RETURN_IF_ERROR(target->ToStatus(v1::RetentionService::NewStub(target->channel())
                                                ->ReleaseHold(&context, request, &released)));
  }
  Print(released, options.output, [&] { PrintHold(released, std::cout); });
  return absl::OkStatus();
}

absl::Status Apply(const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  SLUICE_ASSIGN_OR_RETURN(const std::optional<Opened> opened, OpenIfNobodyHas(*target));
  v1::ApplyRetentionResponse response;
  if (opened) {
    const std::vector<RemovedSegment> removed = opened->keeper->ApplyRetention(Actor());
    const Retention retention = opened->keeper->retention();
    for (const RemovedSegment& one : removed) *response.add_removals() = ToProto(one, retention);
  } else {
    CallContext context(absl::Minutes(10));
    SLUICE_RETURN_IF_ERROR(
        target->ToStatus(v1::RetentionService::NewStub(target->channel())
                             ->ApplyRetention(&context, v1::ApplyRetentionRequest(), &response)));
  }
  Print(response, options.output, [&] { PrintRemovals(response.removals(), std::cout); });
  return absl::OkStatus();
}

absl::Status Plan(const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  v1::PlanRetentionRequest request;
  request.set_limit(options.limit);
  v1::RetentionPlan plan;
  CallContext context;
  SLUICE_RETURN_IF_ERROR(target->ToStatus(
      v1::RetentionService::NewStub(target->channel())->PlanRetention(&context, request, &plan)));
  Print(plan, options.output, [&] { PrintPlan(plan, std::cout); });
  return absl::OkStatus();
}

absl::Status Holds(const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  v1::ListHoldsResponse response;
  CallContext context;
  SLUICE_RETURN_IF_ERROR(
      target->ToStatus(v1::RetentionService::NewStub(target->channel())
                           ->ListHolds(&context, v1::ListHoldsRequest(), &response)));
  if (options.output == OutputFormat::kJson) {
    JsonArray array(std::cout);
    for (const v1::Hold& hold : response.holds()) array.Add(hold);
    array.End();
  } else {
    PrintHolds(response.holds(), std::cout);
  }
  return absl::OkStatus();
}

absl::Status Classes(const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  v1::ListRetentionClassesResponse response;
  CallContext context;
  SLUICE_RETURN_IF_ERROR(target->ToStatus(
      v1::RetentionService::NewStub(target->channel())
          ->ListRetentionClasses(&context, v1::ListRetentionClassesRequest(), &response)));
  if (options.output == OutputFormat::kJson) {
    JsonArray array(std::cout);
    for (const v1::RetentionClass& rule : response.classes()) array.Add(rule);
    array.End();
  } else {
    PrintClasses(response.classes(), std::cout);
  }
  return absl::OkStatus();
}

absl::Status Audit(const Options& options) {
  constexpr int kPageSize = 1000;
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, Target::Open(options.target));
  const auto stub = v1::RetentionService::NewStub(target->channel());
  JsonArray array(std::cout);
  Table table = AuditTable(std::cout);
  v1::ListAuditEventsRequest request;
  request.set_page_size(kPageSize);
  v1::ListAuditEventsResponse response;
  do {
    CallContext context;
    SLUICE_RETURN_IF_ERROR(target->ToStatus(stub->ListAuditEvents(&context, request, &response)));
    for (const v1::AuditEvent& event : response.events()) {
      if (options.output == OutputFormat::kJson) {
        array.Add(event);
      } else {
        AddAuditRow(event, table);
      }
    }
    if (options.output == OutputFormat::kText) table.Flush();
    request.set_page_token(response.next_page_token());
  } while (!response.next_page_token().empty() && std::cout.good());
  if (options.output == OutputFormat::kJson) array.End();
  return absl::OkStatus();
}

using Run = absl::Status (*)(const Options&);

CLI::App& Add(CLI::App& group, const std::shared_ptr<Options>& options, Action& action,
              const std::string& name, const std::string& help, Run run) {
  CLI::App& app = *group.add_subcommand(name, help);
  AddTargetOptions(app, options->target);
  AddOutputOption(app, options->output, "table");
  app.callback(
      [&action, options, run] { action = [options, run] { return ExitCodeOf(run(*options)); }; });
  return app;
}

void AddHold(CLI::App& group, const std::shared_ptr<Options>& options, Action& action) {
  CLI::App& app = Add(group, options, action, "hold", "Keep data from being removed", &CreateHold);
  app.add_option("SELECTOR", options->selector,
                 "market, market/streams/1-0-7, or - for all recordings")
      ->required();
  app.add_option("--owner", options->owner, "Whose hold it is")->type_name("TEXT")->required();
  app.add_option("--reason", options->reason, "Why")->type_name("TEXT")->required();
  app.add_option("--id", options->name, "Its name (default: one is made up)")->type_name("ID");
  app.add_option("--from", options->from, "Only what came at this time or later; 90m: ago")
      ->type_name("TIME");
  app.add_option("--to", options->to, "And before this time")->type_name("TIME");
  app.add_option("--until", options->until, "When the hold ends by itself; 720h: from now")
      ->type_name("TIME");
  AddSizeOption(app, "--budget", options->budget,
                "The most that it may hold (default: what it selects now; required while\n"
                "that is being recorded)");
  app.footer(
      "Whole segments are held, also those still to come, oldest first, up to the budget. A hold\n"
      "that would leave recordings too little room is refused.\n"
      "\n"
      "Examples:\n"
      "  sluice retention hold market --owner alice --reason \"case 17\" --budget 20GiB\n"
      "  sluice retention hold - --from 2026-05-01T12:00:00Z --to 2026-05-01T13:00:00Z \\\n"
      "      --owner ops --reason outage --until 720h");
}

}  // namespace

void AddRetentionCommand(CLI::App& program, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App& group =
      *program.add_subcommand("retention", "What goes next and when, and what must stay");
  group.require_subcommand(1);
  group.footer(
      "Examples:\n"
      "  sluice retention plan --archive /srv/archive\n"
      "  sluice retention release case-17 --socket /run/sluice/sluice.sock");
  CLI::App& plan = Add(group, options, action, "plan",
                       "Show what would go, when, by which rule, and what is held", &Plan);
  plan.add_option("--limit", options->limit, "Show at most so many segments (default: 100)")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  Add(group, options, action, "apply", "Remove what is due by age or quota, now", &Apply);
  AddHold(group, options, action);
  Add(group, options, action, "holds", "List holds", &Holds);
  Add(group, options, action, "release", "End a hold", &Release)
      .add_option("HOLD", options->name, "\"case-17\", or \"holds/case-17\"")
      ->required();
  Add(group, options, action, "classes", "List retention classes and what they use", &Classes);
  Add(group, options, action, "audit", "Show who did what, and what was removed why", &Audit);
}

}  // namespace sluice
