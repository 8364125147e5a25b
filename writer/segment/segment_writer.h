// Writes a track's extents into segments, makes them durable, and says so.
#ifndef WRITER_SEGMENT_SEGMENT_WRITER_H_
#define WRITER_SEGMENT_SEGMENT_WRITER_H_

#include <sys/uio.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ingest/ring/op_table.h"
#include "ingest/ring/ring.h"
#include "ingest/units.h"
#include "writer/extent/sealed_extent.h"
#include "writer/segment/durable_mark.h"
#include "writer/segment/file_io.h"
#include "writer/segment/footer_builder.h"
#include "writer/segment/segment_keeper.h"
#include "writer/segment/wait_times.h"

namespace sluice {

struct SegmentWriterOptions {
  uint8_t track = 0;  // of the lane
  ByteCount segment;  // the size of every segment
  uint64_t extent_bytes_max = 0;
  uint32_t entries_max = 0;  // of an extent
  uint32_t writes_in_flight_max = 8;
  absl::Duration sync_interval = absl::Seconds(1);
  // A disk that lets a write or a sync wait for so long is avoided, if there is another one.
  absl::Duration stall_limit = absl::Seconds(10);
};

// What a disk has lost of a stream: it was written, its memory was given back, and then the disk
// could not make it durable. Has all that an event needs, for the one before may be lost too.
struct LostPart {
  StreamId stream{};
  UnixNanos opened;
  SocketAddress peer;
  SocketAddress local;
  struct Range {
    StreamOffset begin;
    StreamOffset end;
  };
  absl::InlinedVector<Range, 1> ranges;     // in order; none: only events were lost
  StreamOffset end;                         // as far as is known
  CloseReason reason = CloseReason::kNone;  // not kNone: its end was told there
};

// What the writer has achieved; cumulative.
struct SegmentWriterCounters {
  ByteCount disk;               // written: headers, payload, pads, footers
  ByteCount payload;            // written
  ByteCount durable;            // of `payload`, published as durable
  ByteCount taken_back;         // of `lost`: had been `payload`, before a disk lost it
  ByteCount lost;               // of payload handed over: the disk was lost, or has lost it
  uint64_t streams_closed = 0;  // closed, and published as durable to their end
  uint64_t write_errors = 0;
  uint64_t extents = 0;
  // While an extent that could have been given to the disk had no segment to go to. Until the
  // keeper's answer is needed it is not waited for.
  WaitTimes segment_waits;
  LoanTimes loans;               // of every segment that came, waited for or not
  absl::Duration longest_write;  // from when the kernel was given it until it had completed it
};

// Segments stand in line. Extents go into the last one. A segment that is full, or that the disk
// refused a write to, takes no more extents; when its last write has finished it is synced, gets a
// footer, and is synced again, so that a footer that is there says that the extents are. Several
// segments at a time, because a sync takes longer than filling a small one.
// Only the first in line is published, and leaves the line when it is sealed, so the catalog
// learns of bytes in the order in which they were received. A refused extent is written again into
// the segment after it. When that fails kAttemptsMax times, or a sync fails, or the keeper cannot
// give a segment, the disk is lost: see failure(). When it may not give one now, the writer waits.
//
// Owned by a track, on its lane's thread; destroyed when idle().
class SegmentWriter {
 public:
  static constexpr uint32_t kAttemptsMax = 3;

  SegmentWriter(Ring& ring, SegmentKeeper& keeper, TrackIdentity identity,
                // Hands the keeper's answer over to the lane's thread, which calls OnSegmentReady.
                SegmentKeeper::Ready on_ready, const SegmentWriterOptions& options);
  SegmentWriter(const SegmentWriter&) = delete;
  SegmentWriter& operator=(const SegmentWriter&) = delete;
  ~SegmentWriter();

  // The number of the segment into which the next extent goes, from 1: it changes only in
  // Append() and when a write fails.
  uint64_t segment_number() const { return segment_number_; }

  void Append(SealedExtent extent);
  // Of extents: those that the disk has been given, but for disks out of use, and those that are
  // next.
  size_t unwritten() const;
  void OnSegmentReady(absl::StatusOr<SegmentLoan> loan);
  void OnWrite(const Completion& done);
  void OnSync(const Completion& done);
  // Starts what is due; returns when to come again at the latest.
  absl::Duration OnTurn(absl::Duration now);
  // Nothing is expected soon: what was appended need not wait for the sync interval.
  void Hurry() { hurried_ = true; }
  // No more extents will come: seals what is open, now.
  void Finish();
  // Waits for no segment that cannot be had: what needs one is lost, what has one is sealed.
  void GiveUpWaiting();

  // Everything that was appended is durable and published, or lost.
  bool idle() const { return segments_.empty() && !loan_requested_ && lost_.empty(); }
  // What disks have lost since the last call, for the recording to tell; in `counters` it is not
  // payload any more, but lost.
  bool has_lost() const { return !lost_.empty(); }
  std::vector<LostPart> TakeLost() { return std::exchange(lost_, {}); }
  // Since when the oldest appended byte waits to be durable; none: everything is durable.
  std::optional<absl::Duration> undurable_since() const;
  // Why the disk is lost; OK while it is not. Then extents are counted as lost and their leases
  // go home.
  const absl::Status& failure() const { return failure_.ok() ? given_up_ : failure_; }
  // Why what was appended waits for a segment: none may go. OK while it need not.
  absl::Status waiting() const;
  const SegmentWriterCounters& counters() const { return counters_; }

 private:
  static constexpr uint32_t kSyncsMax = 8;  // at a time
  static constexpr absl::Duration kRequestAgain = absl::Milliseconds(100);
  // Segments are had ready for so long a time of writing, as far as the keeper allows.
  static constexpr absl::Duration kReadyFor = absl::Milliseconds(500);
  // What is ready goes back when no segment was filled for so long.
  static constexpr absl::Duration kReadyKeptFor = absl::Seconds(2);
  static constexpr uint32_t kStallsMax = 100;
  // Between the syncs of a track whose streams come and go one by one.
  static constexpr absl::Duration kHurriedInterval = absl::Milliseconds(50);

  using Ranges = absl::InlinedVector<LostPart::Range, 1>;

  // An extent in its place, from Append() until those before it are written too.
  struct Placed {
    SealedExtent extent;
    FileOffset at;
    uint32_t sequence = 0;
    uint32_t attempts = 0;
    absl::Duration appended = {};
    absl::Duration started = {};  // when it was given to the kernel
    enum { kQueued, kWriting, kWritten, kMoved } state = kQueued;
  };
  struct Segment {
    std::optional<SegmentLoan> loan;
    FileOffset end{kBlockBytes};  // of the extents so far
    uint32_t next_sequence = 0;
    bool closed = false;         // takes no more extents
    bool touched = false;        // a write into it was started
    std::deque<Placed> extents;  // in the order of their places; they leave at the front
    size_t queued_at = 0;        // index of the first that is still kQueued
    uint32_t writing = 0;
    // What has left the line above.
    FooterBuilder footer;
    uint64_t streams_reserved = 0;  // the most that extents in the line can add to the footer
    ByteCount payload;
    bool lacks_crc = false;  // an extent has none of its payload
    bool has_hole = false;   // an extent was refused: the mark stays before it
    DurableMark mark{FileOffset{kBlockBytes}};
    // Since the last sync started, and what of each stream it was.
    absl::flat_hash_map<StreamId, Ranges> changed;
    ByteCount unpublished;  // payload since then
    // When the oldest byte was appended that no sync covers yet.
    std::optional<absl::Duration> waiting_since;
    enum { kOpen, kExtentsSyncing, kExtentsSynced, kFooterWriting, kFooterWritten } seal = kOpen;
    AlignedBuffer footer_bytes;
    SegmentLink previous;  // what they say came before
    Sha256 footer_sha256 = {};
    // What the last sync covers, until it is published; no segment: it is not to be published.
    enum { kNone, kRunning, kFinished } sync = kNone;
    SegmentUpdate covered;
    absl::flat_hash_map<StreamId, Ranges> covered_changed;
    ByteCount covered_payload;
    std::optional<absl::Duration> covered_since;
    absl::Duration op_started = {};  // the footer's write, or the sync
    bool avoided = false;            // its disk refused something, or stalls
    bool abandoned = false;          // nothing more is made durable here
  };
  struct WriteOp {
    Segment* segment;
    Placed* placed;                        // nullptr: the footer
    absl::InlinedVector<iovec, 6> ranges;  // what is left to write
    FileOffset at;
    uint32_t stalls = 0;  // short writes in a row that did not complete a block
  };
  struct SyncOp {
    Segment* segment;
  };

  void Place(SealedExtent extent, uint32_t attempts);
  bool HasRoom(const Segment& segment) const;
  void Close(Segment& segment);
  void AssignSpares();
  size_t SparesWanted() const;
  void RequestLoan(absl::Duration now);
  void ReturnSpares(size_t keep);
  absl::Duration ReturnIdleSpares(absl::Duration now);
  void StartWrites(Segment& segment);
  void NoteWait();
  void OnExtentRefused(Segment& segment, Placed& placed, const absl::Status& why);
  void MoveQueued(Segment& segment);
  void AvoidDisk(Segment& segment, const absl::Status& why);
  void Abandon(Segment& segment);
  void AbandonDisk(uint32_t disk);
  bool Avoids(uint32_t disk) const;
  void Uncover(Segment& segment);
  void AvoidStalled();
  void CountLost(Segment& segment);
  void LoseSegment(Segment& segment, const absl::Status& why);
  uint32_t WritesInFlight() const;
  void Retire(Segment& segment);
  void Fold(Segment& segment, const Placed& placed);
  bool IsNextOfChain(const Segment& segment) const;
  void StartFooter(Segment& segment);
  void SyncExtents(Segment& segment);
  void StartSync(Segment& segment);
  void SubmitSync(Segment& segment);
  SegmentUpdate Describe(const Segment& segment) const;
  void PublishSynced();
  void Seal(Segment& segment);
  bool IsUnused(const Segment& segment) const;
  absl::Duration SyncIfDue(absl::Duration now);
  void LoseDisk(absl::Status why);
  void DropExtent(SealedExtent& extent);
  void DropQueued(Segment& segment);
  absl::Duration SweepLost();

  Ring* ring_;
  SegmentKeeper* keeper_;
  const TrackIdentity identity_;
  const SegmentKeeper::Ready on_ready_;
  const SegmentWriterOptions options_;

  std::deque<Segment> segments_;  // a deque: operations in flight point into it
  uint64_t segment_number_ = 1;
  std::optional<SegmentLink> last_sealed_;               // the last that got a footer here
  std::deque<SegmentLoan> spares_;                       // for the next segments, in this order
  uint32_t ahead_ = 0;                                   // as the last loan said
  absl::Duration filled_at_;                             // when the last segment was full
  absl::Duration fill_time_ = absl::InfiniteDuration();  // of that one
  bool loan_requested_ = false;
  absl::Duration next_request_;  // not before
  absl::Status refusal_;         // RESOURCE_EXHAUSTED, when that was the last answer
  std::optional<absl::Duration> lacks_segment_since_;  // see segment_waits
  OpTable<WriteOp> writes_;
  OpTable<SyncOp> syncs_;

  std::vector<LostPart> lost_;
  absl::Duration now_;
  absl::Duration last_sync_;  // when it started
  bool hurried_ = false;
  bool finishing_ = false;
  absl::Status failure_;
  absl::Status given_up_;  // why extents that need a segment are lost
  SegmentWriterCounters counters_;
};

}  // namespace sluice

#endif  // WRITER_SEGMENT_SEGMENT_WRITER_H_
