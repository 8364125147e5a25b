#include "control/service/stream_service.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "control/service/answer.h"
#include "control/service/conversion.h"
#include "control/service/page_token.h"
#include "control/service/stream_query.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"

namespace sluice {
namespace {

constexpr size_t kChunkBytes = size_t{1} << 20;
// How soon a call notices that it was cancelled.
constexpr absl::Duration kPatience = absl::Milliseconds(100);
// How often the catalog is looked at when another process writes it.
constexpr absl::Duration kPoll = absl::Milliseconds(50);
// How often it is asked whether that process is still there: asking takes its lock for a moment.
constexpr absl::Duration kAskForHolder = absl::Seconds(1);
// How many streams one call looks at before it returns a short page.
constexpr size_t kScanMax = 20'000;

absl::StatusOr<StreamId> ReadPosition(RequestHash hash, const std::string& token) {
  if (token.empty()) return StreamId{};
  SLUICE_ASSIGN_OR_RETURN(const std::string position, ReadPageToken(hash, token));
  uint64_t id = 0;
  if (!absl::SimpleAtoi(position, &id)) {
    return absl::InvalidArgumentError("page_token is not one that this service gave out");
  }
  return StreamId{id};
}

std::string MakePosition(RequestHash hash, StreamId last) {
  return MakePageToken(hash, absl::StrCat(static_cast<uint64_t>(last)));
}

absl::Status CheckReadRequest(const v1::ReadStreamRequest& request) {
  if (request.offset() < 0) {
    return absl::InvalidArgumentError(absl::StrCat("offset ", request.offset(), " is negative"));
  }
  if (request.limit_bytes() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("limit_bytes ", request.limit_bytes(), " is negative"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::ListStreamsResponse> StreamService::List(grpc::ServerContext& context,
                                                            const v1::ListStreamsRequest& request) {
  SLUICE_ASSIGN_OR_RETURN(const std::string recording, ParseStreamParent(request.parent()));
  SLUICE_ASSIGN_OR_RETURN(const StreamQuery query, StreamQuery::Parse(request.filter()));
  SLUICE_ASSIGN_OR_RETURN(const size_t page_size, PageSize(request.page_size()));
  const RequestHash hash = HashRequest({"ListStreams", request.parent(), request.filter()});
  SLUICE_ASSIGN_OR_RETURN(StreamId after, ReadPosition(hash, request.page_token()));

  StreamFilter filter = query.Prefilter();
  if (!recording.empty()) {
    SLUICE_RETURN_IF_ERROR(archive_->Find(recording).status());
    filter.recording = recording;
  }
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog, archive_->OpenCatalog());
  v1::ListStreamsResponse response;
  size_t scanned = 0;
  while (true) {
    SLUICE_RETURN_IF_ERROR(CheckGoesOn(context));
    const size_t batch = page_size + 1;  // one more tells whether the page is the last
    SLUICE_ASSIGN_OR_RETURN(const std::vector<StreamRow> rows,
                            catalog->Streams(filter, after, batch));
    for (const StreamRow& row : rows) {
      if (query.Matches(row)) {
        if (response.streams_size() == static_cast<int>(page_size)) {
          response.set_next_page_token(MakePosition(hash, after));
          return response;
        }
        *response.add_streams() = ToProto(row);
      }
      after = row.id;
    }
    if (rows.size() < batch) return response;
    scanned += rows.size();
    if (scanned >= kScanMax) {
      response.set_next_page_token(MakePosition(hash, after));
      return response;
    }
  }
}

absl::StatusOr<StreamRow> StreamService::Find(Catalog& catalog, const StreamName& name) const {
  absl::StatusOr<StreamRow> row = catalog.Stream(name.stream);
  const bool missing = row.ok() ? row->recording != name.recording : absl::IsNotFound(row.status());
  if (!missing) return row;
  return absl::NotFoundError(absl::StrCat("there is no ",
                                          MakeStreamName(name.recording, name.stream), " in ",
                                          archive_->directory(), ", or not any more"));
}

absl::StatusOr<v1::Stream> StreamService::Get(const v1::GetStreamRequest& request) {
  SLUICE_ASSIGN_OR_RETURN(const StreamName name, ParseStreamName(request.name()));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog, archive_->OpenCatalog());
  SLUICE_ASSIGN_OR_RETURN(const StreamRow row, Find(*catalog, name));
  return ToProto(row);
}

absl::Status StreamService::Read(grpc::ServerContext& context, const v1::ReadStreamRequest& request,
                                 Writer* writer) {
  SLUICE_ASSIGN_OR_RETURN(const StreamName name, ParseStreamName(request.name()));
  SLUICE_RETURN_IF_ERROR(CheckReadRequest(request));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog, archive_->OpenCatalog());
  SLUICE_ASSIGN_OR_RETURN(const StreamRow row, Find(*catalog, name));
  const StreamOffset from =
      request.has_offset() ? StreamOffset{static_cast<uint64_t>(request.offset())} : row.begin;
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<StreamReader> reader,
                          StreamReader::Open(archive_->directory(), *catalog, name.stream, from));
  // The reader's view, which may be newer than the row.
  if (const StreamOffset durable = reader->stream().durable; from > durable && !request.follow()) {
    return absl::OutOfRangeError(absl::StrCat("offset ", from.value,
                                              " is not there yet: ", durable.value,
                                              " bytes of the stream are durable; set follow to "
                                              "wait for more"));
  }
  return Send(context, request, *reader, writer);
}

absl::Status StreamService::Send(grpc::ServerContext& context, const v1::ReadStreamRequest& request,
                                 StreamReader& reader, Writer* writer) {
  uint64_t left = request.limit_bytes() > 0 ? static_cast<uint64_t>(request.limit_bytes())
                                            : std::numeric_limits<uint64_t>::max();
  bool last_look = false;
  absl::Time ask_for_holder = absl::InfinitePast();
  std::string buffer;
  while (left > 0) {
    SLUICE_RETURN_IF_ERROR(CheckGoesOn(context));
    const uint64_t seen = ChangeCount();
    v1::ReadStreamResponse response;
    response.set_offset(static_cast<int64_t>(reader.position().value));
    buffer.resize(std::min<uint64_t>(left, kChunkBytes));
    SLUICE_ASSIGN_OR_RETURN(
        const size_t n,
        reader.Read(absl::MakeSpan(reinterpret_cast<std::byte*>(buffer.data()), buffer.size())));
    if (n > 0) {
      buffer.resize(n);
      left -= n;
      *response.mutable_data() = std::move(buffer);
      if (!writer->Write(response)) return absl::CancelledError("the client is gone");
      buffer = std::move(*response.mutable_data());  // its memory, for the next one
      last_look = false;
      continue;
    }
    if (!request.follow() || reader.ended() || last_look) return absl::OkStatus();
    // A writer publishes everything before it lets go of the archive: look once more.
    if (const absl::Time now = absl::Now(); now >= ask_for_holder) {
      last_look = NobodyWrites();
      ask_for_holder = now + kAskForHolder;
    }
    if (!last_look) SLUICE_RETURN_IF_ERROR(WaitForMore(context, seen));
  }
  return absl::OkStatus();
}

absl::Status StreamService::CheckGoesOn(const grpc::ServerContext& context) const {
  if (closing_.load()) return absl::UnavailableError("the server is shutting down");
  if (context.IsCancelled()) return absl::CancelledError("the client has cancelled the call");
  return absl::OkStatus();
}

uint64_t StreamService::ChangeCount() const {
  Recorder* const recorder = archive_->recorder();
  return recorder == nullptr ? 0 : recorder->keeper().change_count();
}

bool StreamService::NobodyWrites() const {
  return archive_->recorder() == nullptr &&
         absl::IsNotFound(Archive::Holder(archive_->directory()).status());
}

absl::Status StreamService::WaitForMore(const grpc::ServerContext& context, uint64_t seen) const {
  Recorder* const recorder = archive_->recorder();
  if (recorder == nullptr) {
    absl::SleepFor(kPoll);
    return absl::OkStatus();
  }
  while (recorder->keeper().WaitForChange(seen, kPatience) == seen) {
    SLUICE_RETURN_IF_ERROR(CheckGoesOn(context));
    SLUICE_RETURN_IF_ERROR(recorder->keeper().health());
  }
  return absl::OkStatus();
}

grpc::Status StreamService::ListStreams(grpc::ServerContext* context,
                                        const v1::ListStreamsRequest* request,
                                        v1::ListStreamsResponse* response) {
  return Answer(List(*context, *request), response);
}

grpc::Status StreamService::GetStream(grpc::ServerContext* /*context*/,
                                      const v1::GetStreamRequest* request, v1::Stream* response) {
  return Answer(Get(*request), response);
}

grpc::Status StreamService::ReadStream(grpc::ServerContext* context,
                                       const v1::ReadStreamRequest* request, Writer* writer) {
  const absl::Cleanup leave = [this] { readers_.fetch_sub(1); };
  if (readers_.fetch_add(1) >= readers_max_) {
    return ToGrpcStatus(absl::ResourceExhaustedError(absl::StrCat(
        readers_max_, " calls are reading streams already; try again when one has ended")));
  }
  return ToGrpcStatus(Read(*context, *request, writer));
}

}  // namespace sluice
