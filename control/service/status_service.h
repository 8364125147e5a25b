// sluice.v1.StatusService over a recorder and its archive.
#ifndef CONTROL_SERVICE_STATUS_SERVICE_H_
#define CONTROL_SERVICE_STATUS_SERVICE_H_

#include <functional>
#include <utility>

#include "control/service/served_archive.h"
#include "proto/sluice/v1/status.grpc.pb.h"
#include "writer/archive/background_verify.h"

namespace sluice {

// Owned by the ApiServer; called on gRPC's threads.
class StatusService final : public v1::StatusService::Service {
 public:
  using Verification = std::function<BackgroundVerifyStatus()>;

  // `verification`: null without one.
  StatusService(const ServedArchive* archive, Verification verification)
      : archive_(archive), verification_(std::move(verification)) {}

  grpc::Status GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest* request,
                         v1::Status* response) override;

 private:
  absl::StatusOr<v1::Status> Get();
  // What the recorder says. It must answer when the catalog cannot: its health is part of that.
  v1::Status GetFromRecorder();
  absl::StatusOr<v1::Status> GetFromFiles();

  const ServedArchive* const archive_;
  const Verification verification_;
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_STATUS_SERVICE_H_
