#include "control/service/retention_service.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
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
absl::StatusOr<Retention> RetentionService::Read() const {
  if (archive_->recorder() != nullptr) return archive_->recorder()->keeper().retention();
  SLUICE_ASSIGN_OR_RETURN(const ArchiveMeta meta, Archive::ReadMeta(archive_->directory()));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog, archive_->OpenCatalog());
  return ReadRetention(archive_->directory(), meta, *catalog);
}

absl::StatusOr<v1::Hold> RetentionService::Create(const v1::CreateHoldRequest& request,
                                                  const std::string& actor) {
  SLUICE_ASSIGN_OR_RETURN(Recorder * recorder, archive_->RequireRecorder());
  SLUICE_ASSIGN_OR_RETURN(Hold hold, ToHold(request));
  SLUICE_ASSIGN_OR_RETURN(const HoldState state,
                          recorder->keeper().CreateHold(std::move(hold), actor));
  return ToProto(state, recorder->archive().meta().segment);
}

absl::StatusOr<v1::Hold> RetentionService::Get(const v1::GetHoldRequest& request) {
  SLUICE_ASSIGN_OR_RETURN(const std::string id, ParseHoldName(request.name()));
  SLUICE_ASSIGN_OR_RETURN(const Retention retention, Read());
  const std::optional<HoldState> state = retention.FindHold(id);
  if (!state) return absl::NotFoundError(absl::StrCat("there is no hold \"", id, "\""));
  return ToProto(*state, retention.segment());
}

absl::StatusOr<v1::Hold> RetentionService::Release(const v1::ReleaseHoldRequest& request,
                                                   const std::string& actor) {
  SLUICE_ASSIGN_OR_RETURN(Recorder * recorder, archive_->RequireRecorder());
  SLUICE_ASSIGN_OR_RETURN(const std::string id, ParseHoldName(request.name()));
  SLUICE_ASSIGN_OR_RETURN(const HoldState state, recorder->keeper().ReleaseHold(id, actor));
  return ToProto(state, recorder->archive().meta().segment);
}

absl::StatusOr<v1::RetentionPlan> RetentionService::Plan(const v1::PlanRetentionRequest& request) {
  SLUICE_ASSIGN_OR_RETURN(const size_t limit, PageSize(request.limit()));
  SLUICE_ASSIGN_OR_RETURN(const Retention retention, Read());
  const UnixNanos now{absl::GetCurrentTimeNanos()};
  return ToProto(::sluice::PlanRetention(retention, now, limit), retention);
}

absl::StatusOr<v1::ApplyRetentionResponse> RetentionService::Apply(const std::string& actor) {
  SLUICE_ASSIGN_OR_RETURN(Recorder * recorder, archive_->RequireRecorder());
  v1::ApplyRetentionResponse response;
  const std::vector<RemovedSegment> removed = recorder->keeper().ApplyRetention(actor);
  const Retention retention = recorder->keeper().retention();
  for (const RemovedSegment& one : removed) *response.add_removals() = ToProto(one, retention);
  return response;
}

absl::StatusOr<v1::ListAuditEventsResponse> RetentionService::ListAudit(
    const v1::ListAuditEventsRequest& request) {
  const RequestHash hash = HashRequest({"ListAuditEvents"});
  SLUICE_ASSIGN_OR_RETURN(const size_t page_size, PageSize(request.page_size()));
  int64_t after = 0;
  if (!request.page_token().empty()) {
    SLUICE_ASSIGN_OR_RETURN(const std::string position, ReadPageToken(hash, request.page_token()));
    if (!absl::SimpleAtoi(position, &after)) {
      return absl::InvalidArgumentError("page_token is not one that this service gave out");
    }
  }
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog, archive_->OpenCatalog());
  // One more, to know whether there is another page.
  SLUICE_ASSIGN_OR_RETURN(const std::vector<AuditRow> rows, catalog->Audit(after, page_size + 1));
  v1::ListAuditEventsResponse response;
  for (const AuditRow& row : rows) {
    if (response.events_size() == static_cast<int>(page_size)) {
      response.set_next_page_token(MakePageToken(hash, absl::StrCat(after)));
      break;
    }
    *response.add_events() = ToProto(row);
    after = row.id;
  }
  return response;
}

grpc::Status RetentionService::CreateHold(grpc::ServerContext* context,
                                          const v1::CreateHoldRequest* request,
                                          v1::Hold* response) {
  return Answer(Create(*request, archive_->callers().ActorOf(*context)), response);
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

grpc::Status RetentionService::ReleaseHold(grpc::ServerContext* context,
                                           const v1::ReleaseHoldRequest* request,
                                           v1::Hold* response) {
  return Answer(Release(*request, archive_->callers().ActorOf(*context)), response);
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

grpc::Status RetentionService::ApplyRetention(grpc::ServerContext* context,
                                              const v1::ApplyRetentionRequest* /*request*/,
                                              v1::ApplyRetentionResponse* response) {
  return Answer(Apply(archive_->callers().ActorOf(*context)), response);
}

grpc::Status RetentionService::ListAuditEvents(grpc::ServerContext* /*context*/,
                                               const v1::ListAuditEventsRequest* request,
                                               v1::ListAuditEventsResponse* response) {
  return Answer(ListAudit(*request), response);
}

}  // namespace sluice
