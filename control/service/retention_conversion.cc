#include "control/service/retention_conversion.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "control/config/recording_rules.h"
#include "control/service/conversion.h"
#include "control/service/names.h"
#include "ingest/status_macros.h"
#include "writer/readable.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

constexpr absl::string_view kHolds = "holds/";
constexpr size_t kOwnerBytesMax = 200;
constexpr size_t kReasonBytesMax = 2000;

int64_t Bytes(ByteCount bytes) { return static_cast<int64_t>(bytes.value); }
int64_t Bytes(ByteCount segment, uint64_t n) { return Bytes(segment * n); }

std::string ClassName(absl::string_view name) { return absl::StrCat("retentionClasses/", name); }

v1::RetentionRule ToProto(RetentionRule rule) {
  switch (rule) {
    case RetentionRule::kAge:
      return v1::AGE;
    case RetentionRule::kQuota:
      return v1::QUOTA;
    case RetentionRule::kPressure:
      return v1::PRESSURE;
    case RetentionRule::kCatalog:
      return v1::CATALOG;
  }
  return v1::RETENTION_RULE_UNSPECIFIED;
}

absl::Status CheckText(absl::string_view field, const std::string& text, size_t bytes_max) {
  if (text.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " is missing: a hold says whose it is, ", "and why"));
  }
  if (text.size() <= bytes_max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " has ", text.size(), " bytes, at most ", bytes_max, " are possible"));
}

absl::Status ReadSelector(const v1::Hold& from, Selector* to) {
  if (from.selector().empty()) {
    return absl::InvalidArgumentError(
        "selector is missing, such as \"recordings/market\" or \"recordings/-\" for all");
  }
  if (const auto stream = ParseStreamName(from.selector()); stream.ok()) {
    to->recording = stream->recording;
    to->stream = stream->stream;
  } else {
    absl::StatusOr<std::string> recording = ParseStreamParent(from.selector());
    if (!recording.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "selector \"", from.selector(), "\" has none of the forms \"recordings/{recording}\", ",
          "\"recordings/{recording}/streams/{stream}\", \"recordings/-\""));
    }
    to->recording = *std::move(recording);
  }
  if (from.has_from_time()) {
    SLUICE_ASSIGN_OR_RETURN(to->from, ReadTime("from_time", from.from_time()));
  }
  if (from.has_to_time()) {
    SLUICE_ASSIGN_OR_RETURN(to->to, ReadTime("to_time", from.to_time()));
  }
  return absl::OkStatus();
}

void FillRemoval(const RetentionSegment& segment, RetentionRule rule, v1::PlannedRemoval* to) {
  to->set_segment_id(static_cast<int64_t>(segment.id));
  to->set_recording(MakeRecordingName(segment.recording));
  to->set_lane(static_cast<int32_t>(segment.lane));
  to->set_rule(ToProto(rule));
  *to->mutable_first_time() = ToTimestamp(segment.first_time);
  *to->mutable_last_time() = ToTimestamp(segment.last_time);
  to->set_payload_bytes(Bytes(segment.payload));
}

}  // namespace

absl::StatusOr<UnixNanos> ReadTime(absl::string_view field,
                                   const google::protobuf::Timestamp& from) {
  // What fits into nanoseconds since 1970.
  constexpr int64_t kSecondsMax = 9'223'372'035;
  if (from.seconds() < 0 || from.seconds() > kSecondsMax || from.nanos() < 0 ||
      from.nanos() >= 1'000'000'000) {
    return absl::InvalidArgumentError(absl::StrCat(field, " is not a time between 1970 and 2262"));
  }
  return UnixNanos{from.seconds() * 1'000'000'000 + from.nanos()};
}

std::string MakeHoldName(absl::string_view id) { return absl::StrCat(kHolds, id); }

absl::StatusOr<std::string> ParseHoldName(absl::string_view name) {
  absl::string_view id = name;
  if (absl::ConsumePrefix(&id, kHolds) && CheckRecordingId(id).ok()) return std::string(id);
  return absl::InvalidArgumentError(
      absl::StrCat("name \"", name, "\" does not have the form \"holds/{hold}\""));
}

absl::StatusOr<Hold> ToHold(const v1::CreateHoldRequest& request) {
  const v1::Hold& from = request.hold();
  Hold to;
  to.id = request.hold_id();
  if (!to.id.empty() && !CheckRecordingId(to.id).ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("hold_id \"", to.id, "\": use lower-case letters, digits and hyphens, ",
                     "beginning with a letter, at most 63"));
  }
  SLUICE_RETURN_IF_ERROR(ReadSelector(from, &to.selector));
  SLUICE_RETURN_IF_ERROR(CheckText("owner", from.owner(), kOwnerBytesMax));
  SLUICE_RETURN_IF_ERROR(CheckText("reason", from.reason(), kReasonBytesMax));
  to.owner = from.owner();
  to.reason = from.reason();
  if (from.has_until_time()) {
    SLUICE_ASSIGN_OR_RETURN(to.until, ReadTime("until_time", from.until_time()));
  }
  if (from.budget_bytes() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("budget_bytes is ", from.budget_bytes(), ", and must not be negative"));
  }
  to.budget = {static_cast<uint64_t>(from.budget_bytes())};
  return to;
}

v1::Hold ToProto(const HoldState& state, ByteCount segment) {
  const Hold& hold = state.hold;
  const Selector& selector = hold.selector;
  v1::Hold to;
  to.set_name(MakeHoldName(hold.id));
  if (selector.stream) {
    to.set_selector(MakeStreamName(selector.recording, *selector.stream));
  } else {
    to.set_selector(MakeRecordingName(selector.recording.empty() ? "-" : selector.recording));
  }
  if (selector.from != kBeginOfTime) *to.mutable_from_time() = ToTimestamp(selector.from);
  if (selector.to != kEndOfTime) *to.mutable_to_time() = ToTimestamp(selector.to);
  to.set_owner(hold.owner);
  to.set_reason(hold.reason);
  if (hold.until != kEndOfTime) *to.mutable_until_time() = ToTimestamp(hold.until);
  to.set_budget_bytes(Bytes(hold.budget));
  *to.mutable_create_time() = ToTimestamp(hold.created);
  to.set_held_segments(state.segments);
  to.set_held_bytes(Bytes(segment, state.segments));
  to.set_refused_segments(state.refused);
  to.set_refused_bytes(Bytes(segment, state.refused));
  to.set_grows(state.grows);
  return to;
}

v1::ListHoldsResponse HoldsToProto(const RetentionState& state) {
  v1::ListHoldsResponse response;
  for (const HoldState& hold : state.holds) *response.add_holds() = ToProto(hold, state.segment);
  return response;
}

v1::ListRetentionClassesResponse ClassesToProto(const RetentionState& state) {
  v1::ListRetentionClassesResponse response;
  for (const RetentionClass& rule : state.classes) {
    v1::RetentionClass& to = *response.add_classes();
    to.set_name(ClassName(rule.name));
    to.set_priority(rule.priority);
    to.set_quota_bytes(Bytes(rule.quota));
    if (rule.max_age != absl::InfiniteDuration()) {
      *to.mutable_max_age() = ToProtoDuration(rule.max_age);
    }
    to.set_reserve_bytes(Bytes(rule.reserve));
  }
  for (const RetentionSegment& segment : state.segments) {
    v1::RetentionClass& to = *response.mutable_classes(static_cast<int>(segment.class_index));
    to.set_used_bytes(to.used_bytes() + Bytes(state.segment));
    if (segment.held()) to.set_held_bytes(to.held_bytes() + Bytes(state.segment));
  }
  return response;
}

v1::RetentionPlan ToProto(const RetentionPlan& plan, const Retention& retention) {
  const RetentionState state = retention.state();
  v1::RetentionPlan to;
  *to.mutable_plan_time() = ToTimestamp(plan.now);
  to.set_segment_bytes(Bytes(state.segment));
  to.set_segments(static_cast<int32_t>(state.slots));
  to.set_segments_free(static_cast<int32_t>(state.free()));
  to.set_segments_open(static_cast<int32_t>(retention.open()));
  int32_t held = 0;
  for (const RetentionSegment& segment : state.segments) held += segment.held() ? 1 : 0;
  to.set_segments_held(held);
  to.set_bytes_per_second(plan.bytes_per_second);
  for (const PlannedRemoval& planned : plan.removals) {
    v1::PlannedRemoval& removal = *to.add_removals();
    FillRemoval(planned.segment, planned.rule, &removal);
    removal.set_retention_class(ClassName(state.classes[planned.segment.class_index].name));
    *removal.mutable_time() = ToTimestamp(planned.when);
  }
  if (plan.exhausted) *to.mutable_exhaust_time() = ToTimestamp(*plan.exhausted);
  to.set_exhaust_reason(plan.exhausted_why);
  *to.mutable_holds() = HoldsToProto(state).holds();
  *to.mutable_classes() = ClassesToProto(state).classes();
  return to;
}

v1::PlannedRemoval ToProto(const RemovedSegment& removed, const Retention& retention) {
  v1::PlannedRemoval to;
  FillRemoval(RetentionSegmentOf(removed.row), removed.rule, &to);
  to.set_retention_class(ClassName(retention.ClassOf(removed.row.recording_uid)));
  return to;
}

v1::AuditEvent ToProto(const AuditRow& row) {
  v1::AuditEvent to;
  *to.mutable_time() = ToTimestamp(row.time);
  to.set_actor(row.actor);
  to.set_action(row.action);
  to.set_object(row.object);
  to.set_detail(row.detail);
  to.set_id(row.id);
  return to;
}

}  // namespace sluice
