// What the archive holds, in SQLite: recordings, streams, segments, and which stream is where.
#ifndef WRITER_CATALOG_CATALOG_H_
#define WRITER_CATALOG_CATALOG_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ingest/units.h"
#include "writer/catalog/audit.h"
#include "writer/catalog/removal.h"
#include "writer/catalog/stream_row.h"
#include "writer/ledger.h"
#include "writer/segment/segment_keeper.h"

namespace sluice {

// How a recording ended, or that it has not.
enum class RecordingState : uint8_t { kRecording = 1, kStopped = 2, kFailed = 3, kInterrupted = 4 };

struct RecordingRow {
  uint64_t uid = 0;
  std::string id;      // unique among the rows
  std::string source;  // "tcp://0.0.0.0:9000", "tcp-connect://10.0.0.1:9000"; for people
  RecordingState state = RecordingState::kRecording;
  UnixNanos created;
  UnixNanos stopped;            // 0: not yet
  std::string failure;          // one sentence when kFailed
  std::string retention_class;  // empty: "default"
  // Sums over what the archive still holds.
  uint64_t stream_count = 0;
  ByteCount payload;
};

struct SegmentRow {
  SegmentId id{};
  uint32_t slot = 0;
  uint64_t recording_uid = 0;
  std::string recording;
  LaneId lane{};
  uint32_t epoch = 0;
  bool sealed = false;
  FileOffset durable;  // sealed: the end of its extents
  UnixNanos first_time;
  UnixNanos last_time;
  ByteCount payload;
  Ledger ledger;
  SegmentId previous{};  // the one before it in its track; 0: none, or not known
  std::array<uint8_t, 32> footer_sha256 = {};  // zeros: not sealed, or not known
};

// Where a part of a stream lies.
struct StreamPart {
  SegmentId segment{};
  uint32_t slot = 0;
  bool sealed = false;
  FileOffset durable;  // of the segment
  StreamOffset begin;
  StreamOffset end;
  StreamId stream{};
  ByteCount dropped = {};  // in gaps between the two
};

// That a catalog before this one was lost, with what it knew of removals.
struct CatalogLoss {
  UnixNanos time;    // when this one was made; 0: none was lost
  SegmentId last{};  // the highest id that any segment had then
};

// How much room the catalog takes. Bytes on the disk, but for `used`.
struct CatalogSize {
  ByteCount used;     // of its file: pages that hold something
  ByteCount history;  // about so much of that is recordings, removals and audit
  ByteCount file;     // what is set aside and not used yet included
  ByteCount log;      // the WAL beside it
  uint64_t streams = 0;
};

// One connection to the catalog. Thread-compatible: one thread at a time. Any number of readers
// may be open beside the one writer, in other processes too; a reader sees whole batches.
class Catalog {
 public:
  enum class Mode { kReadOnly, kReadWrite };

  // kReadWrite creates what is missing, and brings the catalog of an older version up to date.
  // DATA_LOSS: not a catalog, or a damaged one (the message names `sluice archive rebuild`);
  // FAILED_PRECONDITION: made by a newer version, or kReadOnly and made by an older one.
  static absl::StatusOr<std::unique_ptr<Catalog>> Open(const std::string& path, Mode mode);
  virtual ~Catalog() = default;

  // One sentence when Open() found an older version; else empty.
  virtual std::string migration_note() const = 0;

  // Reading.
  virtual absl::StatusOr<std::vector<RecordingRow>> Recordings() = 0;
  virtual absl::StatusOr<RecordingRow> Recording(const std::string& id) = 0;  // NOT_FOUND
  // A page, of one state of the catalog. Takes milliseconds, whatever is asked of however many.
  // Turning pages yields each stream at most once, and each one that is there throughout and
  // meets the filter, whatever comes and goes meanwhile.
  virtual absl::StatusOr<StreamPage> FindStreams(const StreamSearch& search) = 0;
  virtual absl::StatusOr<StreamRow> Stream(StreamId id) = 0;  // NOT_FOUND
  // Ordered by stream offset, then by segment id.
  virtual absl::StatusOr<std::vector<StreamPart>> StreamParts(StreamId id) = 0;
  virtual absl::StatusOr<std::vector<SegmentRow>> Segments() = 0;  // ordered by id
  // The streams that have a part in the segment, ordered by stream id; none when it is not known.
  virtual absl::StatusOr<std::vector<StreamPart>> SegmentParts(SegmentId id) = 0;

  // The highest id that was ever given to a segment, forgotten ones included; 0: none yet.
  virtual absl::StatusOr<SegmentId> LastSegmentId() = 0;
  // The uids of deleted recordings whose segments may still be on the disk.
  virtual absl::StatusOr<std::vector<uint64_t>> DeletedRecordings() = 0;

  // What left the archive and why, by recording, lane and segment.
  virtual absl::StatusOr<std::vector<RemovalRow>> Removals() = 0;
  virtual absl::StatusOr<CatalogLoss> Loss() = 0;
  // Who did what, in the order in which it was done, from the first id after `after`; at most
  // `limit`.
  virtual absl::StatusOr<std::vector<AuditRow>> Audit(int64_t after, size_t limit) = 0;
  virtual absl::StatusOr<AuditBounds> BoundsOfAudit() = 0;
  // The text that PutPolicy was given last; empty: none.
  virtual absl::StatusOr<std::string> Policy() = 0;

  virtual absl::StatusOr<CatalogSize> Size() = 0;
  // CatalogSize::used alone, in microseconds.
  virtual absl::StatusOr<ByteCount> Used() = 0;

  // Takes so much room on the disk for the catalog alone, and a little for its log, and keeps it
  // while this is open; and never takes more: then calls that write are RESOURCE_EXHAUSTED. The
  // bound holds even if the disk does not have the room, which is RESOURCE_EXHAUSTED here.
  virtual absl::Status SetAside(ByteCount bound) = 0;

  // Writing; each call is one transaction, or a part of Atomically()'s. PutRecording,
  // DeleteRecording and a Publish with `mark_must_last` also survive the loss of power; of the
  // rest, the last calls may be lost, for the segments can say it again.
  //
  // All that `body` writes here becomes visible at once, and survives the loss of power; when it
  // fails, nothing does. It must fail when a call within fails, unless that wrote nothing:
  // ALREADY_EXISTS and NOT_FOUND.
  virtual absl::Status Atomically(const std::function<absl::Status()>& body) = 0;
  // Inserts the row, or replaces the one of the same uid; the sums are ignored. ALREADY_EXISTS
  // when another recording has the id.
  virtual absl::Status PutRecording(const RecordingRow& row) = 0;
  // Forgets the recording, its streams and its segments, and remembers that it was deleted, so
  // that its segments are not taken in again before they are erased or reused. NOT_FOUND.
  virtual absl::Status DeleteRecording(const std::string& id, const RemovalCause& why = {}) = 0;
  // A new, empty segment in `slot`, whose earlier content is forgotten: streams that lose their
  // last part go, the others begin later. `why`: see ForgetSegment.
  virtual absl::Status BeginSegment(const SegmentRow& row, const RemovalCause& why = {}) = 0;
  // Remembers as a removal that it went, unless it never held anything or there is no reason.
  virtual absl::Status ForgetSegment(SegmentId id, const RemovalCause& why = {}) = 0;
  // A removal of what the catalog did not know. Saying it twice is the same as once.
  virtual absl::Status RecordRemoval(const RemovalRow& row) = 0;
  virtual absl::Status PutLoss(const CatalogLoss& loss) = 0;
  // Their ids are given here.
  virtual absl::Status AddAudit(absl::Span<const AuditRow> rows) = 0;
  // Ids that are given from now on are higher than `last`.
  virtual absl::Status BeginAudit(int64_t last) = 0;
  // Survives the loss of power, and so does what was added to the audit before it.
  virtual absl::Status PutPolicy(const std::string& text) = 0;
  virtual absl::Status Publish(absl::Span<const SegmentUpdate> updates) = 0;
  // Every segment that DeletedRecordings() speaks of is gone from the disk.
  virtual absl::Status ForgetDeletions() = 0;
  // At start: streams and recordings that were open when the last writer died. A recording's end
  // is its last byte's time, or `now` when it has none. Returns how many streams those were.
  virtual absl::StatusOr<uint32_t> CloseInterrupted(UnixNanos now) = 0;
  // Forgets everything that can be rebuilt from segments: segments, streams and their parts.
  // Removals stay.
  virtual absl::Status Clear() = 0;
};

}  // namespace sluice

#endif  // WRITER_CATALOG_CATALOG_H_
