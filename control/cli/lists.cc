#include "control/cli/lists.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/service/names.h"
#include "ingest/status_macros.h"
#include "proto/sluice/v1/recordings.grpc.pb.h"
#include "proto/sluice/v1/streams.grpc.pb.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

constexpr int kPageSize = 500;

absl::StatusOr<v1::Stream> GetStream(const Target& target, const std::string& name) {
  v1::GetStreamRequest request;
  request.set_name(name);
  v1::Stream stream;
  CallContext context;
  SLUICE_RETURN_IF_ERROR(target.ToStatus(
      v1::StreamService::NewStub(target.channel())->GetStream(&context, request, &stream)));
  return stream;
}

}  // namespace

absl::Status ForEachRecordingPage(
    const Target& target, const std::function<bool(const v1::ListRecordingsResponse&)>& page) {
  const auto stub = v1::RecordingService::NewStub(target.channel());
  v1::ListRecordingsRequest request;
  request.set_page_size(kPageSize);
  v1::ListRecordingsResponse response;
  do {
    CallContext context;
    SLUICE_RETURN_IF_ERROR(target.ToStatus(stub->ListRecordings(&context, request, &response)));
    if (!page(response)) break;
    request.set_page_token(response.next_page_token());
  } while (!response.next_page_token().empty());
  return absl::OkStatus();
}

absl::Status ForEachStreamPage(const Target& target, const v1::ListStreamsRequest& first,
                               const std::function<bool(const v1::ListStreamsResponse&)>& page) {
  const auto stub = v1::StreamService::NewStub(target.channel());
  v1::ListStreamsRequest request = first;
  if (request.page_size() == 0) request.set_page_size(kPageSize);
  v1::ListStreamsResponse response;
  do {
    CallContext context;
    SLUICE_RETURN_IF_ERROR(target.ToStatus(stub->ListStreams(&context, request, &response)));
    if (!page(response)) break;
    request.set_page_token(response.next_page_token());
  } while (!response.next_page_token().empty());
  return absl::OkStatus();
}

absl::StatusOr<v1::Stream> FindStream(const Target& target, const StreamArgument& argument) {
  if (!argument.recording.empty()) {
    return GetStream(target, MakeStreamName(argument.recording, argument.stream));
  }
  absl::StatusOr<v1::Stream> found = absl::NotFoundError(
      absl::StrCat("there is no stream ", StreamIdToString(argument.stream), ", or not any more"));
  SLUICE_RETURN_IF_ERROR(ForEachRecordingPage(target, [&](const v1::ListRecordingsResponse& page) {
    for (const v1::Recording& recording : page.recordings()) {
      absl::StatusOr<v1::Stream> stream =
          GetStream(target, MakeStreamName(ShortName(recording.name()), argument.stream));
      if (absl::IsNotFound(stream.status())) continue;
      found = std::move(stream);
      return false;
    }
    return true;
  }));
  return found;
}

}  // namespace sluice
