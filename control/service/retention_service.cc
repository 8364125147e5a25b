#include "control/service/retention_service.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "control/service/answer.h"
#include "control/service/page_token.h"
#include "control/service/retention_conversion.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_keeper.h"
#include "writer/archive/retention_reader.h"
#include "writer/catalog/audit.h"
#include "writer/retention/plan.h"

namespace sluice {
namespace {

constexpr char kActor[] = "api";

// In the order of time; those of one time by their own names, so that a page can begin anywhere.
std::string PositionOf(UnixNanos time, absl::string_view name) {
  return absl::StrCat(absl::StrFormat("%020d", time.value), " ", name);
}

absl::StatusOr<std::map<std::string, v1::AuditEvent>> ReadEvents(Catalog& catalog) {
  std::map<std::string, v1::AuditEvent> events;
  SLUICE_ASSIGN_OR_RETURN(const std::vector<AuditRow> audit, catalog.Audit(0, kAuditRowsMax));
  for (const AuditRow& row : audit) {
    events[PositionOf(row.time, absl::StrFormat("a%012d", row.id))] = ToProto(row);
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<RemovalRow> removals, catalog.Removals());
  for (const RemovalRow& row : removals) {
    const std::string name = absl::StrFormat("r%020u", static_cast<uint64_t>(row.first));
    events[PositionOf(row.ended, name)] = ToProto(row);
  }
  return events;
}

}  // namespace

absl::StatusOr<Retention> RetentionService::Read() const {
  if (archive_->recorder() != nullptr) return archive_->recorder()->keeper().retention();
  SLUICE_ASSIGN_OR_RETURN(const ArchiveMeta meta, Archive::ReadMeta(archive_->directory()));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog, archive_->OpenCatalog());
  return ReadRetention(archive_->directory(), meta, *catalog);
}

absl::StatusOr<v1::Hold> RetentionService::Create(const v1::CreateHoldRequest& request) {
  SLUICE_ASSIGN_OR_RETURN(Recorder * recorder, archive_->RequireRecorder());
  SLUICE_ASSIGN_OR_RETURN(Hold hold, ToHold(request));
  SLUICE_ASSIGN_OR_RETURN(const HoldState state,
                          recorder->keeper().CreateHold(std::move(hold), kActor));
  return ToProto(state, recorder->archive().meta().segment);
}

absl::StatusOr<v1::Hold> RetentionService::Get(const v1::GetHoldRequest& request) {
  SLUICE_ASSIGN_OR_RETURN(const std::string id, ParseHoldName(request.name()));
  SLUICE_ASSIGN_OR_RETURN(const Retention retention, Read());
  const std::optional<HoldState> state = retention.FindHold(id);
  if (!state) return absl::NotFoundError(absl::StrCat("there is no hold \"", id, "\""));
  return ToProto(*state, retention.segment());
}

absl::StatusOr<v1::Hold> RetentionService::Release(const v1::ReleaseHoldRequest& request) {
  SLUICE_ASSIGN_OR_RETURN(Recorder * recorder, archive_->RequireRecorder());
  SLUICE_ASSIGN_OR_RETURN(const std::string id, ParseHoldName(request.name()));
  SLUICE_ASSIGN_OR_RETURN(const HoldState state, recorder->keeper().ReleaseHold(id, kActor));
  return ToProto(state, recorder->archive().meta().segment);
}

absl::StatusOr<v1::RetentionPlan> RetentionService::Plan(const v1::PlanRetentionRequest& request) {
  SLUICE_ASSIGN_OR_RETURN(const size_t limit, PageSize(request.limit()));
  SLUICE_ASSIGN_OR_RETURN(const Retention retention, Read());
  const UnixNanos now{absl::GetCurrentTimeNanos()};
  return ToProto(::sluice::PlanRetention(retention, now, limit), retention);
}

absl::StatusOr<v1::ApplyRetentionResponse> RetentionService::Apply() {
  SLUICE_ASSIGN_OR_RETURN(Recorder * recorder, archive_->RequireRecorder());
  v1::ApplyRetentionResponse response;
  const std::vector<RemovedSegment> removed = recorder->keeper().ApplyRetention(kActor);
  const Retention retention = recorder->keeper().retention();
  for (const RemovedSegment& one : removed) *response.add_removals() = ToProto(one, retention);
  return response;
}

absl::StatusOr<v1::ListAuditEventsResponse> RetentionService::ListAudit(
    const v1::ListAuditEventsRequest& request) {
  const RequestHash hash = HashRequest({"ListAuditEvents"});
  SLUICE_ASSIGN_OR_RETURN(const size_t page_size, PageSize(request.page_size()));
  std::string after;
  if (!request.page_token().empty()) {
    SLUICE_ASSIGN_OR_RETURN(after, ReadPageToken(hash, request.page_token()));
  }
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog, archive_->OpenCatalog());
  SLUICE_ASSIGN_OR_RETURN(const auto events, ReadEvents(*catalog));
  v1::ListAuditEventsResponse response;
  auto at = events.upper_bound(after);
  for (; at != events.end() && response.events_size() < static_cast<int>(page_size); ++at) {
    *response.add_events() = at->second;
    after = at->first;
  }
  if (at != events.end()) response.set_next_page_token(MakePageToken(hash, after));
  return response;
}

grpc::Status RetentionService::CreateHold(grpc::ServerContext* /*context*/,
                                          const v1::CreateHoldRequest* request,
                                          v1::Hold* response) {
  return Answer(Create(*request), response);
}

grpc::Status RetentionService::GetHold(grpc::ServerContext* /*context*/,
                                       const v1::GetHoldRequest* request, v1::Hold* response) {
  return Answer(Get(*request), response);
}

grpc::Status RetentionService::ListHolds(grpc::ServerContext* /*context*/,
                                         const v1::ListHoldsRequest* /*request*/,
                                         v1::ListHoldsResponse* response) {
  const absl::StatusOr<Retention> retention = Read();
  if (retention.ok()) *response = HoldsToProto(retention->state());
  return ToGrpcStatus(retention.status());
}

grpc::Status RetentionService::ReleaseHold(grpc::ServerContext* /*context*/,
                                           const v1::ReleaseHoldRequest* request,
                                           v1::Hold* response) {
  return Answer(Release(*request), response);
}

grpc::Status RetentionService::ListRetentionClasses(
    grpc::ServerContext* /*context*/, const v1::ListRetentionClassesRequest* /*request*/,
    v1::ListRetentionClassesResponse* response) {
  const absl::StatusOr<Retention> retention = Read();
  if (retention.ok()) *response = ClassesToProto(retention->state());
  return ToGrpcStatus(retention.status());
}

grpc::Status RetentionService::PlanRetention(grpc::ServerContext* /*context*/,
                                             const v1::PlanRetentionRequest* request,
                                             v1::RetentionPlan* response) {
  return Answer(Plan(*request), response);
}

grpc::Status RetentionService::ApplyRetention(grpc::ServerContext* /*context*/,
                                              const v1::ApplyRetentionRequest* /*request*/,
                                              v1::ApplyRetentionResponse* response) {
  return Answer(Apply(), response);
}

grpc::Status RetentionService::ListAuditEvents(grpc::ServerContext* /*context*/,
                                               const v1::ListAuditEventsRequest* request,
                                               v1::ListAuditEventsResponse* response) {
  return Answer(ListAudit(*request), response);
}

}  // namespace sluice
