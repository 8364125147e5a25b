#include "control/service/event_service.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "control/service/conversion.h"
#include "control/service/event_conversion.h"
#include "control/service/retention_conversion.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_keeper.h"
#include "writer/catalog/catalog.h"

namespace sluice {
namespace {

constexpr size_t kRowsAtATime = 256;
// How soon a call notices that it was cancelled.
constexpr absl::Duration kPatience = absl::Milliseconds(100);
// How often the catalog is looked at when another process writes it.
constexpr absl::Duration kPoll = absl::Milliseconds(50);
// How often it is asked whether that process is still there: asking takes its lock for a moment.
constexpr absl::Duration kAskForHolder = absl::Seconds(1);

// Which events are wanted.
struct Filter {
  std::vector<v1::Event::Kind> kinds;  // empty: all
  UnixNanos from;

  bool Wants(v1::Event::Kind kind) const {
    return kinds.empty() || std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
  }
  bool Matches(const AuditRow& row) const { return Wants(KindOf(row.action)) && row.time >= from; }
  // Up to which id wanted events may be missing.
  int64_t Forgotten(const AuditBounds& bounds) const {
    const bool removals = Wants(v1::Event::SEGMENT_REMOVED);
    const bool others = kinds.size() != 1 || !removals;
    return std::max(removals ? bounds.forgotten_removals : 0, others ? bounds.forgotten_others : 0);
  }
};

absl::StatusOr<Filter> ToFilter(const v1::WatchEventsRequest& request) {
  Filter filter;
  if (request.after_event_id() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("after_event_id ", request.after_event_id(), " is negative"));
  }
  if (request.after_event_id() > 0 && request.from_now()) {
    return absl::InvalidArgumentError("give after_event_id or from_now, not both");
  }
  for (const int kind : request.kinds()) {
    if (!v1::Event::Kind_IsValid(kind) || kind == v1::Event::KIND_UNSPECIFIED) {
      return absl::InvalidArgumentError(absl::StrCat("kinds: there is no kind ", kind));
    }
    filter.kinds.push_back(static_cast<v1::Event::Kind>(kind));
  }
  std::sort(filter.kinds.begin(), filter.kinds.end());
  filter.kinds.erase(std::unique(filter.kinds.begin(), filter.kinds.end()), filter.kinds.end());
  if (request.has_from_time()) {
    SLUICE_ASSIGN_OR_RETURN(filter.from, ReadTime("from_time", request.from_time()));
  }
  return filter;
}

}  // namespace

// One call.
class EventService::Watcher {
 public:
  Watcher(const EventService& service, const grpc::ServerContext& context,
          grpc::ServerWriter<v1::Event>& writer)
      : service_(service), context_(context), writer_(writer) {}

  absl::Status Run(const v1::WatchEventsRequest& request) {
    SLUICE_ASSIGN_OR_RETURN(filter_, ToFilter(request));
    SLUICE_ASSIGN_OR_RETURN(catalog_, service_.archive_->OpenCatalog());
    SLUICE_RETURN_IF_ERROR(Begin(request));
    absl::Time ask_for_holder = absl::InfinitePast();
    bool last_look = !request.follow();
    while (true) {
      const bool closing = service_.closing_.load();  // before the last look
      const uint64_t seen = ChangeCount();
      SLUICE_RETURN_IF_ERROR(SendAll());
      if (last_look) return absl::OkStatus();
      if (closing) return absl::UnavailableError("the server is shutting down");
      // A writer has told everything before it lets go of the archive: look once more.
      if (const absl::Time now = absl::Now(); now >= ask_for_holder) {
        last_look = service_.NobodyWrites();
        ask_for_holder = now + kAskForHolder;
      }
      if (!last_look) SLUICE_RETURN_IF_ERROR(WaitForMore(seen));
    }
  }

 private:
  absl::Status Begin(const v1::WatchEventsRequest& request) {
    SLUICE_ASSIGN_OR_RETURN(const AuditBounds bounds, catalog_->BoundsOfAudit());
    if (request.after_event_id() > bounds.last) {
      return absl::OutOfRangeError(absl::StrCat(
          "after_event_id ", request.after_event_id(), ": the archive's newest event has id ",
          bounds.last, "; this id is another archive's, or the catalog was lost since"));
    }
    after_ = request.from_now() ? bounds.last : request.after_event_id();
    // Whoever asks for what is kept does not miss what is not.
    if (after_ == 0) not_missed_ = filter_.Forgotten(bounds);
    // So that the client knows that from here on it misses nothing.
    writer_.SendInitialMetadata();
    return absl::OkStatus();
  }

  // What the catalog has. Bounds are read after rows: then no loss between the two goes unseen.
  absl::Status SendAll() {
    while (true) {
      SLUICE_RETURN_IF_ERROR(CheckNotCancelled());
      SLUICE_ASSIGN_OR_RETURN(const std::vector<AuditRow> rows,
                              catalog_->Audit(after_, kRowsAtATime));
      SLUICE_ASSIGN_OR_RETURN(const AuditBounds bounds, catalog_->BoundsOfAudit());
      if (const int64_t forgotten = filter_.Forgotten(bounds);
          forgotten > std::max(after_, not_missed_)) {
        return absl::OutOfRangeError(absl::StrCat("events after ", after_,
                                                  " are not kept any more, up to ", forgotten,
                                                  ": go on after that one"));
      }
      for (const AuditRow& row : rows) {
        if (filter_.Matches(row) && !writer_.Write(ToEvent(row))) {
          return absl::CancelledError("the client is gone");
        }
        after_ = row.id;
      }
      if (rows.size() < kRowsAtATime) return absl::OkStatus();
    }
  }

  absl::Status WaitForMore(uint64_t seen) const {
    Recorder* const recorder = service_.archive_->recorder();
    if (recorder == nullptr) {
      absl::SleepFor(kPoll);
      return CheckNotCancelled();
    }
    // While the catalog refuses to be written there is nothing to tell: a watcher waits on.
    while (!service_.closing_.load() && recorder->keeper().WaitForChange(seen, kPatience) == seen) {
      SLUICE_RETURN_IF_ERROR(CheckNotCancelled());
    }
    return absl::OkStatus();
  }

  absl::Status CheckNotCancelled() const {
    if (context_.IsCancelled()) return absl::CancelledError("the client has cancelled the call");
    return absl::OkStatus();
  }

  uint64_t ChangeCount() const {
    Recorder* const recorder = service_.archive_->recorder();
    return recorder == nullptr ? 0 : recorder->keeper().change_count();
  }

  const EventService& service_;
  const grpc::ServerContext& context_;
  grpc::ServerWriter<v1::Event>& writer_;
  Filter filter_;
  std::unique_ptr<Catalog> catalog_;
  int64_t after_ = 0;       // the last row that was read
  int64_t not_missed_ = 0;  // up to here nobody asked
};

bool EventService::NobodyWrites() const {
  return archive_->recorder() == nullptr &&
         absl::IsNotFound(Archive::Holder(archive_->directory()).status());
}

grpc::Status EventService::WatchEvents(grpc::ServerContext* context,
                                       const v1::WatchEventsRequest* request,
                                       grpc::ServerWriter<v1::Event>* writer) {
  const absl::Cleanup leave = [this] { watchers_.fetch_sub(1); };
  if (watchers_.fetch_add(1) >= watchers_max_) {
    return ToGrpcStatus(absl::ResourceExhaustedError(absl::StrCat(
        watchers_max_, " calls are watching events already; try again when one has ended")));
  }
  return ToGrpcStatus(Watcher(*this, *context, *writer).Run(*request));
}

}  // namespace sluice
