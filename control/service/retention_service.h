// sluice.v1.RetentionService.
#ifndef CONTROL_SERVICE_RETENTION_SERVICE_H_
#define CONTROL_SERVICE_RETENTION_SERVICE_H_

#include <string>

#include "absl/status/statusor.h"
#include "control/service/served_archive.h"
#include "proto/sluice/v1/retention.grpc.pb.h"
#include "writer/retention/retention.h"

namespace sluice {

// Thread-safe. `archive` outlives it.
class RetentionService final : public v1::RetentionService::Service {
 public:
  explicit RetentionService(const ServedArchive* archive) : archive_(archive) {}

  grpc::Status CreateHold(grpc::ServerContext* context, const v1::CreateHoldRequest* request,
                          v1::Hold* response) override;
  grpc::Status GetHold(grpc::ServerContext* context, const v1::GetHoldRequest* request,
                       v1::Hold* response) override;
  grpc::Status ListHolds(grpc::ServerContext* context, const v1::ListHoldsRequest* request,
                         v1::ListHoldsResponse* response) override;
  grpc::Status ReleaseHold(grpc::ServerContext* context, const v1::ReleaseHoldRequest* request,
                           v1::Hold* response) override;
  grpc::Status ListRetentionClasses(grpc::ServerContext* context,
                                    const v1::ListRetentionClassesRequest* request,
                                    v1::ListRetentionClassesResponse* response) override;
  grpc::Status PlanRetention(grpc::ServerContext* context, const v1::PlanRetentionRequest* request,
                             v1::RetentionPlan* response) override;
  grpc::Status ApplyRetention(grpc::ServerContext* context,
                              const v1::ApplyRetentionRequest* request,
                              v1::ApplyRetentionResponse* response) override;
  grpc::Status ListAuditEvents(grpc::ServerContext* context,
                               const v1::ListAuditEventsRequest* request,
                               v1::ListAuditEventsResponse* response) override;

 private:
  // As the keeper knows it or, without one, as the files say.
  absl::StatusOr<Retention> Read() const;
  absl::StatusOr<v1::Hold> Create(const v1::CreateHoldRequest& request, const std::string& actor);
  absl::StatusOr<v1::Hold> Get(const v1::GetHoldRequest& request);
  absl::StatusOr<v1::Hold> Release(const v1::ReleaseHoldRequest& request, const std::string& actor);
  absl::StatusOr<v1::RetentionPlan> Plan(const v1::PlanRetentionRequest& request);
  absl::StatusOr<v1::ApplyRetentionResponse> Apply(const std::string& actor);
  absl::StatusOr<v1::ListAuditEventsResponse> ListAudit(const v1::ListAuditEventsRequest& request);

  const ServedArchive* const archive_;
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_RETENTION_SERVICE_H_
