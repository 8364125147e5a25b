// sluice.v1.RecordingService over a recorder and its archive.
#ifndef CONTROL_SERVICE_RECORDING_SERVICE_H_
#define CONTROL_SERVICE_RECORDING_SERVICE_H_

#include "control/service/served_archive.h"
#include "proto/sluice/v1/recordings.grpc.pb.h"

namespace sluice {

// Owned by the ApiServer; called on gRPC's threads.
class RecordingService final : public v1::RecordingService::Service {
 public:
  explicit RecordingService(const ServedArchive* archive) : archive_(archive) {}

  grpc::Status CreateRecording(grpc::ServerContext* context,
                               const v1::CreateRecordingRequest* request,
                               v1::Recording* response) override;
  grpc::Status GetRecording(grpc::ServerContext* context, const v1::GetRecordingRequest* request,
                            v1::Recording* response) override;
  grpc::Status ListRecordings(grpc::ServerContext* context,
                              const v1::ListRecordingsRequest* request,
                              v1::ListRecordingsResponse* response) override;
  grpc::Status StopRecording(grpc::ServerContext* context, const v1::StopRecordingRequest* request,
                             v1::Recording* response) override;
  grpc::Status DeleteRecording(grpc::ServerContext* context,
                               const v1::DeleteRecordingRequest* request,
                               google::protobuf::Empty* response) override;

 private:
  absl::StatusOr<v1::Recording> Create(const v1::CreateRecordingRequest& request,
                                       const std::string& actor);
  absl::StatusOr<v1::Recording> Get(const v1::GetRecordingRequest& request);
  absl::StatusOr<v1::ListRecordingsResponse> List(const v1::ListRecordingsRequest& request);
  absl::StatusOr<v1::Recording> Stop(const v1::StopRecordingRequest& request,
                                     const std::string& actor);
  absl::Status Delete(const v1::DeleteRecordingRequest& request, const std::string& actor);

  const ServedArchive* const archive_;
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_RECORDING_SERVICE_H_
