// Between the API's retention messages and what they stand for.
#ifndef CONTROL_SERVICE_RETENTION_CONVERSION_H_
#define CONTROL_SERVICE_RETENTION_CONVERSION_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ingest/units.h"
#include "proto/sluice/v1/retention.pb.h"
#include "writer/archive/retention_reader.h"
#include "writer/archive/segment_store.h"
#include "writer/catalog/catalog.h"
#include "writer/retention/plan.h"
#include "writer/retention/retention.h"

namespace sluice {

// INVALID_ARGUMENT, with the field's name: not a time that fits nanoseconds since 1970.
absl::StatusOr<UnixNanos> ReadTime(absl::string_view field,
                                   const google::protobuf::Timestamp& from);

std::string MakeHoldName(absl::string_view id);
// The hold's id. INVALID_ARGUMENT.
absl::StatusOr<std::string> ParseHoldName(absl::string_view name);

// What a client asks for, checked. INVALID_ARGUMENT names the field.
absl::StatusOr<Hold> ToHold(const v1::CreateHoldRequest& request);

v1::Hold ToProto(const HoldState& state, ByteCount segment);
v1::RetentionPlan ToProto(const RetentionPlan& plan, const Retention& retention);
// `retention`: which class its recording is of.
v1::PlannedRemoval ToProto(const RemovedSegment& removed, const Retention& retention);
v1::ListHoldsResponse HoldsToProto(const RetentionState& state);
v1::ListRetentionClassesResponse ClassesToProto(const RetentionState& state);
v1::AuditEvent ToProto(const AuditRow& row);

}  // namespace sluice

#endif  // CONTROL_SERVICE_RETENTION_CONVERSION_H_
