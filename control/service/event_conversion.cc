#include "control/service/event_conversion.h"

#include "absl/strings/str_cat.h"
#include "control/service/conversion.h"

namespace sluice {
namespace {

struct KindName {
  v1::Event::Kind kind;
  const char* action;
};
constexpr KindName kKinds[] = {
    {v1::Event::SEGMENT_REMOVED, kRemovedAction},
    {v1::Event::HOLD_CREATED, "hold created"},
    {v1::Event::HOLD_RELEASED, "hold released"},
    {v1::Event::HOLD_EXPIRED, "hold ended"},
    {v1::Event::HOLD_REFUSED, "hold refused"},
    {v1::Event::HOLD_FULL, "hold full"},
    {v1::Event::CLASS_DEFINED, "class defined"},
    {v1::Event::CLASS_REMOVED, "class removed"},
    {v1::Event::RETENTION_APPLIED, "retention applied"},
    {v1::Event::RECORDING_CREATED, "recording created"},
    {v1::Event::RECORDING_RESUMED, "recording resumed"},
    {v1::Event::RECORDING_STOPPED, "recording stopped"},
    {v1::Event::RECORDING_FAILED, "recording failed"},
    {v1::Event::RECORDING_INTERRUPTED, "recording interrupted"},
    {v1::Event::RECORDING_DELETED, "recording deleted"},
    {v1::Event::DISK_ADDED, "disk added"},
    {v1::Event::DISK_REMOVED, "disk removed"},
    {v1::Event::DISK_TAKEN_OUT, "disk taken out"},
    {v1::Event::DISK_MISSING, "disk missing"},
    {v1::Event::DISK_RETURNED, "disk returned"},
    {v1::Event::DAMAGE_FOUND, "damage found"},
    {v1::Event::ARCHIVE_EXHAUSTED, "archive exhausted"},
    {v1::Event::ARCHIVE_AVAILABLE, "archive available"},
    {v1::Event::ALARM_RAISED, "alarm raised"},
    {v1::Event::ALARM_CLEARED, "alarm cleared"},
    {v1::Event::INTERFACE_SET, "interface set"},
    {v1::Event::INTERFACE_PUT_BACK, "interface put back"},
};

}  // namespace

v1::Event::Kind KindOf(absl::string_view action) {
  for (const KindName& known : kKinds) {
    if (action == known.action) return known.kind;
  }
  return v1::Event::KIND_UNSPECIFIED;
}

absl::string_view ActionOf(v1::Event::Kind kind) {
  for (const KindName& known : kKinds) {
    if (kind == known.kind) return known.action;
  }
  return "";
}

v1::Event ToEvent(const AuditRow& row) {
  v1::Event to;
  to.set_id(row.id);
  *to.mutable_time() = ToTimestamp(row.time);
  to.set_actor(row.actor);
  to.set_kind(KindOf(row.action));
  to.set_action(row.action);
  to.set_object(row.object);
  to.set_detail(row.detail);
  if (!row.removed) return to;
  v1::RemovedSegments& removed = *to.mutable_removed();
  // The API's reasons have the catalog's numbers.
  const int reason = static_cast<int>(row.removed->reason);
  if (v1::RemovedSegments::Reason_IsValid(reason)) {
    removed.set_reason(static_cast<v1::RemovedSegments::Reason>(reason));
  }
  removed.set_lane(static_cast<int32_t>(row.removed->lane));
  removed.set_first_segment_id(static_cast<int64_t>(row.removed->first));
  removed.set_last_segment_id(static_cast<int64_t>(row.removed->last));
  removed.set_segments(static_cast<int64_t>(row.removed->segments));
  removed.set_payload_bytes(static_cast<int64_t>(row.removed->payload.value));
  if (!row.removed->retention_class.empty()) {
    removed.set_retention_class(absl::StrCat("retentionClasses/", row.removed->retention_class));
  }
  return to;
}

}  // namespace sluice
