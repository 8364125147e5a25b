// What a track has received and no extent has taken yet, in order; where bytes can be dropped.
#ifndef WRITER_ARRIVAL_LINE_H_
#define WRITER_ARRIVAL_LINE_H_

#include <cstddef>
#include <deque>
#include <optional>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "ingest/receive/lease_sink.h"
#include "ingest/region/region_lease.h"
#include "ingest/units.h"
#include "writer/extent/extent_builder.h"
#include "writer/extent/format.h"

namespace sluice {

struct Received {
  Fragment fragment;
  RegionLease lease;
};
struct StreamClosed {
  StreamId stream{};
  StreamOffset length;
  CloseReason how{};
};
using Arrival = std::variant<Received, StreamOpened, StreamClosed, DroppedBytes>;

// Dropped bytes leave their place to a gap. Those that follow each other in a stream share one, so
// the line stays short however much is dropped: an entry for each stream's opening, gap and end.
// On one lane's thread.
class ArrivalLine {
 public:
  bool empty() const { return passed_.empty() && line_.empty(); }
  size_t size() const { return passed_.size() + line_.size(); }

  void Push(Arrival arrival, absl::Duration now) { line_.push_back({std::move(arrival), now}); }
  // Bytes that have just arrived and are not kept.
  void PushDropped(const DroppedBytes& gap, absl::Duration now);
  // Not when empty().
  Arrival& front() { return passed_.empty() ? line_.front().arrival : passed_.front(); }
  void Pop();

  // Drops the oldest fragment. Zero: there is none.
  ByteCount DropOldest();
  // Drops all fragments that came before `time`.
  ByteCount DropBefore(absl::Duration time);
  // When the first came that is not dropped: a fragment, or an event. None: there is nothing to
  // drop.
  std::optional<absl::Duration> since() const {
    return line_.empty() ? std::nullopt : std::optional(line_.front().since);
  }

 private:
  struct Entry {
    Arrival arrival;
    absl::Duration since;
  };

  ByteCount Pass();
  bool Extends(const DroppedBytes& gap);
  void Forget(const DroppedBytes* gap);

  // What stood before the oldest fragment that was not dropped: events and gaps. Then the rest.
  std::deque<Arrival> passed_;
  std::deque<Entry> line_;
  // Each stream's last gap, in one of the two: a deque's elements stay where they are.
  absl::flat_hash_map<StreamId, DroppedBytes*> gaps_;
};

}  // namespace sluice

#endif  // WRITER_ARRIVAL_LINE_H_
