// Where a track gets its segments from, and to whom it tells what has become durable.
#ifndef WRITER_SEGMENT_SEGMENT_KEEPER_H_
#define WRITER_SEGMENT_SEGMENT_KEEPER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ingest/receive/socket_address.h"
#include "ingest/units.h"
#include "writer/extent/format.h"
#include "writer/ledger.h"
#include "writer/segment/segment_link.h"

namespace sluice {

// One recording on one lane.
struct TrackIdentity {
  std::string recording;       // the recording's id
  uint64_t recording_uid = 0;  // tells apart recordings that were given the same id
  LaneId lane{};
  ExtentKind kind = ExtentKind::kStream;
};

// An empty segment, its header block already durable. The track writes from kBlockBytes on.
struct SegmentLoan {
  SegmentId id{};
  int fd = -1;     // O_DIRECT where the file system has it; owned by the keeper
  ByteCount size;  // of the file: header, extents and footer
  uint32_t disk = 0;
  bool replaceable = false;  // another disk is in use, which can do without this one
  // For the footer. Which segment came before, the keeper knows only as far as it was told: for
  // the first segment of a track since the track began.
  SegmentOrigin origin = {};
  uint32_t ahead = 0;  // how many more the track may have ready, beside the next one
  // What the keeper needed for it: see LoanTimes.
  struct {
    absl::Duration in_line;
    absl::Duration catalog;
    absl::Duration disk;
  } took = {};
};

// What a stream has durable in one segment, in one StreamUpdate per stream and publication.
struct StreamUpdate {
  StreamId stream{};
  UnixNanos opened;
  UnixNanos last_time;  // of its last durable fragment or event
  // This segment holds [begin, end), but for what a refused write moved to the next one, and for
  // gaps.
  StreamOffset begin;
  StreamOffset end;
  CloseReason reason = CloseReason::kNone;
  SocketAddress peer;
  SocketAddress local;
  ByteCount dropped = {};  // in gaps that this segment tells of
};

// What has become durable in a segment. Of the segment as a whole, so that a later update makes an
// earlier one superfluous; only the streams are those that changed since the last publication.
struct SegmentUpdate {
  TrackIdentity track;
  SegmentId segment{};
  bool sealed = false;        // its footer is durable: the last update of this segment
  SegmentLink previous;       // sealed: what the footer says came before
  Sha256 footer_sha256 = {};  // sealed: the footer's own hash; zeros: not known
  FileOffset durable;         // every extent before this is on stable storage
  // Extents have no payload CRC: recovery takes it from `durable` alone that they are whole, so the
  // catalog must not forget it with its last moments.
  bool mark_must_last = false;
  UnixNanos first_time;
  UnixNanos last_time;
  ByteCount payload;                  // of all its durable extents
  Ledger ledger;                      // of the last of them
  std::vector<StreamUpdate> streams;  // only those that changed
};

// Declared by the tracks, implemented by the archive (writer/archive/archive_keeper.h). All
// calls may come from any lane's thread, return at once and cannot fail.
class SegmentKeeper {
 public:
  virtual ~SegmentKeeper() = default;

  // Asks for an empty segment: a free one, else the oldest sealed one, reused. `ready` is called
  // exactly once, on a thread of the keeper's, and must only hand the answer over.
  // Fails with RESOURCE_EXHAUSTED when no segment may go, UNAVAILABLE when the disk refuses.
  using Ready = std::function<void(absl::StatusOr<SegmentLoan>)>;
  virtual void RequestSegment(const TrackIdentity& track, Ready ready) = 0;

  // Gives back a loan into which nothing was written.
  virtual void ReturnSegment(SegmentId segment) = 0;

  // A write or a sync of the segment was refused: its disk is taken out of use, unless it is the
  // last one, before the caller's next request is answered.
  virtual void ReportRefusal(SegmentId /*segment*/, const absl::Status& /*why*/) {}

  // Told in the order in which things became durable; never names a byte that is not.
  virtual void Publish(SegmentUpdate update) = 0;
};

}  // namespace sluice

#endif  // WRITER_SEGMENT_SEGMENT_KEEPER_H_
