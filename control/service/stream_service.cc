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
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
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
// How often one call asks the catalog before it returns a short page.
constexpr int kRoundsMax = 3;

// "17" in the order of names, "1767225600000000000:17" in that of times.
absl::Status ReadPosition(RequestHash hash, const std::string& token, StreamSearch* search) {
  if (token.empty()) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(const std::string text, ReadPageToken(hash, token));
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  const bool timed = search->order == StreamOrder::kOpened;
  StreamPosition position;
  uint64_t id = 0;
  if (parts.size() != (timed ? 2 : 1) || !absl::SimpleAtoi(parts.back(), &id) ||
      (timed && !absl::SimpleAtoi(parts.front(), &position.opened.value))) {
    return absl::InvalidArgumentError("page_token is not one that this service gave out");
  }
  position.id = StreamId{id};
  search->after = position;
  return absl::OkStatus();
}

std::string MakePosition(RequestHash hash, const StreamSearch& search, StreamPosition position) {
  const auto id = static_cast<uint64_t>(position.id);
  return MakePageToken(hash, search.order == StreamOrder::kOpened
                                 ? absl::StrCat(position.opened.value, ":", id)
                                 : absl::StrCat(id));
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

void FillGap(const StreamGap& gap, uint64_t limit, v1::ReadStreamResponse* to) {
  to->mutable_gap()->set_length_bytes(
      static_cast<int64_t>(std::min((gap.end - gap.begin).value, limit)));
  // The API's causes have the format's numbers.
  to->mutable_gap()->set_cause(
      static_cast<v1::ReadStreamResponse::Gap::Cause>(static_cast<int>(gap.cause)));
}

}  // namespace

absl::StatusOr<v1::ListStreamsResponse> StreamService::List(grpc::ServerContext& context,
                                                            const v1::ListStreamsRequest& request) {
  SLUICE_ASSIGN_OR_RETURN(const std::string recording, ParseStreamParent(request.parent()));
  SLUICE_ASSIGN_OR_RETURN(const StreamQuery query, StreamQuery::Parse(request.filter()));
  SLUICE_ASSIGN_OR_RETURN(const size_t page_size, PageSize(request.page_size()));
  StreamSearch search;
  search.filter = query.Prefilter();
  SLUICE_RETURN_IF_ERROR(ParseStreamOrder(request.order_by(), &search));
  const RequestHash hash =
      HashRequest({"ListStreams", request.parent(), request.filter(), request.order_by()});
  SLUICE_RETURN_IF_ERROR(ReadPosition(hash, request.page_token(), &search));
  if (!recording.empty()) {
    SLUICE_RETURN_IF_ERROR(archive_->Find(recording).status());
    search.filter.recording = recording;
  }
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog, archive_->OpenCatalog());
  v1::ListStreamsResponse response;
  for (int round = 0; round < kRoundsMax; ++round) {
    SLUICE_RETURN_IF_ERROR(CheckGoesOn(context));
    search.limit = page_size - static_cast<size_t>(response.streams_size());
    SLUICE_ASSIGN_OR_RETURN(const StreamPage page, catalog->FindStreams(search));
    for (const StreamRow& row : page.rows) {
      if (query.Matches(row)) *response.add_streams() = ToProto(row);
    }
    search.after = page.next;
    if (!search.after) return response;
    if (response.streams_size() == static_cast<int>(page_size)) break;
  }
  response.set_next_page_token(MakePosition(hash, search, *search.after));
  return response;
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
    if (reader.gap()) {
      FillGap(*reader.gap(), left, &response);
      left -= static_cast<uint64_t>(response.gap().length_bytes());
      reader.SkipGap();
      if (!writer->Write(response)) return absl::CancelledError("the client is gone");
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
