#include "control/service/recording_service.h"

#include <cstddef>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "control/service/answer.h"
#include "control/service/conversion.h"
#include "control/service/names.h"
#include "control/service/page_token.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

constexpr absl::Duration kDrainLimitDefault = absl::Seconds(10);
constexpr absl::Duration kDrainLimitMax = absl::Hours(1);

absl::StatusOr<absl::Duration> DrainLimit(const v1::StopRecordingRequest& request) {
  if (!request.has_drain_limit()) return kDrainLimitDefault;
  SLUICE_ASSIGN_OR_RETURN(const absl::Duration limit,
                          FromProtoDuration("drain_limit", request.drain_limit()));
  if (limit >= absl::ZeroDuration() && limit <= kDrainLimitMax) return limit;
  return absl::InvalidArgumentError(absl::StrCat("drain_limit is ", absl::FormatDuration(limit),
                                                 ", but must be between 0s and ",
                                                 absl::FormatDuration(kDrainLimitMax)));
}

// For "recording "market" is not being recorded: ...".
absl::string_view Describe(RecordingState state) {
  switch (state) {
    case RecordingState::kRecording:
      return "an earlier run of the recorder left it behind";
    case RecordingState::kStopped:
      return "it was stopped";
    case RecordingState::kFailed:
      return "it failed";
    case RecordingState::kInterrupted:
      return "the recorder died while it recorded";
  }
  return "its state is unknown";
}

}  // namespace

absl::StatusOr<v1::Recording> RecordingService::Create(const v1::CreateRecordingRequest& request,
                                                       const std::string& actor) {
  SLUICE_ASSIGN_OR_RETURN(Recorder * recorder, archive_->RequireRecorder());
  SLUICE_ASSIGN_OR_RETURN(const RecordingSpec spec, ToSpec(request));
  SLUICE_ASSIGN_OR_RETURN(RecordingStatus status, recorder->CreateRecording(spec, actor));
  // It records: no trouble with the catalog must make the call fail.
  absl::StatusOr<KnownRecording> known = archive_->Find(spec.id);
  if (!known.ok()) known = KnownRecording{};
  known->live = std::move(status);
  return ToProto(*known);
}

absl::StatusOr<v1::Recording> RecordingService::Get(const v1::GetRecordingRequest& request) {
  SLUICE_ASSIGN_OR_RETURN(const std::string id, ParseRecordingName(request.name()));
  SLUICE_ASSIGN_OR_RETURN(const KnownRecording known, archive_->Find(id));
  return ToProto(known);
}

absl::StatusOr<v1::ListRecordingsResponse> RecordingService::List(
    const v1::ListRecordingsRequest& request) {
  const RequestHash hash = HashRequest({"ListRecordings"});
  SLUICE_ASSIGN_OR_RETURN(const size_t page_size, PageSize(request.page_size()));
  std::string after;
  if (!request.page_token().empty()) {
    SLUICE_ASSIGN_OR_RETURN(after, ReadPageToken(hash, request.page_token()));
  }
  SLUICE_ASSIGN_OR_RETURN(const auto all, archive_->All());

  v1::ListRecordingsResponse response;
  auto at = all.upper_bound(after);
  for (; at != all.end() && response.recordings_size() < static_cast<int>(page_size); ++at) {
    *response.add_recordings() = ToProto(at->second);
    after = at->first;
  }
  if (at != all.end()) response.set_next_page_token(MakePageToken(hash, after));
  return response;
}

absl::StatusOr<v1::Recording> RecordingService::Stop(const v1::StopRecordingRequest& request,
                                                     const std::string& actor) {
  SLUICE_ASSIGN_OR_RETURN(Recorder * recorder, archive_->RequireRecorder());
  SLUICE_ASSIGN_OR_RETURN(const std::string id, ParseRecordingName(request.name()));
  SLUICE_ASSIGN_OR_RETURN(const absl::Duration limit, DrainLimit(request));
  SLUICE_ASSIGN_OR_RETURN(KnownRecording known, archive_->Find(id));
  if (!known.live || known.live->state != RecordingState::kRecording) {
    return absl::FailedPreconditionError(
        absl::StrCat("recording \"", id, "\" is not being recorded: ", Describe(known.state())));
  }
  SLUICE_ASSIGN_OR_RETURN(RecordingStatus status, recorder->StopRecording(id, limit, actor));
  // It has stopped, and has come to its final sums in the catalog.
  absl::StatusOr<KnownRecording> final = archive_->Find(id);
  if (final.ok()) known = *std::move(final);
  known.live = std::move(status);
  return ToProto(known);
}

absl::Status RecordingService::Delete(const v1::DeleteRecordingRequest& request,
                                      const std::string& actor) {
  SLUICE_ASSIGN_OR_RETURN(Recorder * recorder, archive_->RequireRecorder());
  SLUICE_ASSIGN_OR_RETURN(const std::string id, ParseRecordingName(request.name()));
  SLUICE_ASSIGN_OR_RETURN(const KnownRecording known, archive_->Find(id));
  if (known.live && known.live->state == RecordingState::kRecording) {
    return absl::FailedPreconditionError(
        absl::StrCat("recording \"", id, "\" is being recorded; stop it before deleting it"));
  }
  return recorder->DeleteRecording(id, actor);
}

grpc::Status RecordingService::CreateRecording(grpc::ServerContext* context,
                                               const v1::CreateRecordingRequest* request,
                                               v1::Recording* response) {
  return Answer(Create(*request, archive_->callers().ActorOf(*context)), response);
}

grpc::Status RecordingService::GetRecording(grpc::ServerContext* /*context*/,
                                            const v1::GetRecordingRequest* request,
                                            v1::Recording* response) {
  return Answer(Get(*request), response);
}

grpc::Status RecordingService::ListRecordings(grpc::ServerContext* /*context*/,
                                              const v1::ListRecordingsRequest* request,
                                              v1::ListRecordingsResponse* response) {
  return Answer(List(*request), response);
}

grpc::Status RecordingService::StopRecording(grpc::ServerContext* context,
                                             const v1::StopRecordingRequest* request,
                                             v1::Recording* response) {
  return Answer(Stop(*request, archive_->callers().ActorOf(*context)), response);
}

grpc::Status RecordingService::DeleteRecording(grpc::ServerContext* context,
                                               const v1::DeleteRecordingRequest* request,
                                               google::protobuf::Empty* /*response*/) {
  return ToGrpcStatus(Delete(*request, archive_->callers().ActorOf(*context)));
}

}  // namespace sluice
