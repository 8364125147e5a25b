// Which segment lies in which slot: lends slots to tracks, takes them back, keeps the catalog true.
#ifndef WRITER_ARCHIVE_SEGMENT_STORE_H_
#define WRITER_ARCHIVE_SEGMENT_STORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ingest/units.h"
#include "writer/archive/archive_codec.h"
#include "writer/archive/track_links.h"
#include "writer/archive/update_queue.h"
#include "writer/catalog/catalog.h"
#include "writer/retention/retention.h"
#include "writer/segment/format.h"
#include "writer/segment/segment_keeper.h"

namespace sluice {

// The slots' files, as far as the store writes to them itself. Implemented by the archive's files
// and by a simulated disk.
class SlotFiles {
 public:
  virtual ~SlotFiles() = default;
  // For the track that the slot is lent to.
  virtual int Descriptor(uint32_t slot) = 0;
  virtual absl::Status WriteHeader(uint32_t slot, const SegmentHeader& header) = 0;
  virtual absl::Status Sync(uint32_t slot) = 0;
  // A disk has failed, and nothing is written to it any more.
  virtual void TakeOut(uint32_t /*disk*/, const std::string& /*why*/) {}
};

struct SegmentStoreOptions {
  std::string directory;  // for what is told to people
  ArchiveMeta meta;
  uint64_t last_segment_id = 0;      // ids go on after this one
  std::vector<uint32_t> kept_out;    // slots that must not be written to
  std::function<UnixNanos()> clock;  // what goes into headers, and what retention goes by
  // For figures alone: how long a loan took. Null: nobody asks.
  std::function<absl::Duration()> stopwatch;
  // Of the segments that could be had, one in so many may be lent before it is needed.
  uint32_t ahead_share = 8;
  RetentionPolicy policy;
  // Makes a changed policy durable, before it is in force. Null: it lasts as long as the store.
  std::function<absl::Status(const RetentionPolicy&)> save_policy;
};

// How many segments each rule has removed.
struct RemovalCounts {
  uint64_t age = 0;
  uint64_t quota = 0;
  uint64_t pressure = 0;
  uint64_t catalog = 0;
};

// One that a rule has removed.
struct RemovedSegment {
  SegmentRow row;
  RetentionRule rule;
};

// Has no thread and never waits for anything but its files and its catalog, so that one seed can
// decide all it does. Thread-compatible: owned by the archive's keeper, on its thread.
//
// The catalog may fail as long as it likes: what it refused is kept and offered again, and the
// segments say everything anyway.
class SegmentStore {
 public:
  // `files` and `catalog` outlive the store. Fails when the catalog cannot be read.
  static absl::StatusOr<std::unique_ptr<SegmentStore>> Open(SegmentStoreOptions options,
                                                            SlotFiles& files, Catalog& catalog);

  // An empty segment: in a free slot, on the disk that is the least full, or in that of a segment
  // that has to go (see NextFor in ../retention/rules.h). UNAVAILABLE: every slot is refused.
  // RESOURCE_EXHAUSTED: none may go, and the message says who has them.
  absl::StatusOr<SegmentLoan> Lend(const TrackIdentity& track);
  // A loan into which nothing was written.
  void Return(SegmentId segment);

  // The segment's disk has refused a write or a sync. It is taken out of use, unless it is the last
  // one. What it holds stays readable.
  void Refuse(SegmentId segment, const absl::Status& why);

  // Takes the updates over: from here on the store goes by them, and the catalog has to be told.
  void Note(std::vector<SegmentUpdate> updates);
  // Tells the catalog some of what it does not know yet, in the order in which it came: segments
  // with `streams` streams in all, one at least, in one transaction. True: there is more, and the
  // catalog takes it.
  bool PublishSome(size_t streams = kStreamsAtOnce);
  // Both, until the catalog knows everything or refuses.
  void Publish(std::vector<SegmentUpdate> updates);
  // Whether something waits for a catalog that takes it: Publish({}) tries again.
  bool unpublished() const {
    return !pending_.empty() || !pending_audit_.empty() || !unheard_.empty() ||
           !pending_removals_.empty();
  }

  // `actor`, here and below, is for the audit: who asked for it.
  absl::Status PutRecording(const RecordingRow& row, const std::string& actor = "recorder");
  // FAILED_PRECONDITION: it is being written, or somebody holds some of it.
  absl::Status DeleteRecording(const std::string& id, const std::string& actor = "recorder");

  // Who keeps what (segment_store_retention.cc). A call that fails changes nothing.
  //
  // In place of the classes there were.
  absl::Status SetRetentionClasses(std::vector<RetentionClass> classes, const std::string& actor);
  // A hold without an id gets one. See Retention::AddHold; NOT_FOUND: no such recording or stream.
  absl::StatusOr<HoldState> CreateHold(Hold hold, const std::string& actor);
  // As it was. NOT_FOUND.
  absl::StatusOr<HoldState> ReleaseHold(const std::string& id, const std::string& actor);
  // Ends the holds whose time is over, and removes what is due by age or quota, at most `limit`
  // segments.
  std::vector<RemovedSegment> Tidy(size_t limit);
  // When that has something to do next.
  UnixNanos tidy_time() const;
  void Audit(const std::string& actor, const std::string& action, const std::string& object,
             const std::string& detail);
  const Retention& retention() const { return retention_; }
  const RemovalCounts& removals() const { return removals_; }

  // That the catalog has not the room that it needs, though nothing can be done here; one sentence,
  // or empty.
  const std::string& catalog_alarm() const { return catalog_alarm_; }
  // What the catalog answered last.
  const absl::Status& health() const { return health_; }
  // How often it has changed.
  uint64_t changes() const { return changes_; }

 private:
  // Some ten milliseconds.
  static constexpr size_t kStreamsAtOnce = 512;
  enum class SlotState {
    kFree,
    kOpen,  // lent to a track, and not sealed yet
    kSealed,
    kKeptOut,  // the disk refuses it, or it is not ours
  };
  struct Slot {
    SlotState state = SlotState::kFree;
    SegmentRow row;
    bool in_catalog = false;  // false: the catalog refused the segment, and still has to learn it
    uint64_t previous = 0;    // the segment that its track had before
    RemovalCause replaced;    // why the segment went that was here before
  };
  struct DiskUse {
    bool out = false;         // it has failed
    uint64_t usable = 0;      // slots that are not kept out
    std::set<uint32_t> free;  // of these; none when it is out
    uint64_t used() const { return usable - free.size(); }
  };
  // How often the audit says that nothing may go, at most.
  static constexpr int64_t kExhaustedAgainNs = 60'000'000'000;
  static constexpr int64_t kTidyAgainNs = 1'000'000'000;  // after a failure
  static constexpr uint32_t kAheadMax = 16;               // of one track
  static constexpr size_t kPendingAuditMax = 1000;
  static constexpr size_t kPendingRemovalsMax = 1000;

  SegmentStore(SegmentStoreOptions options, SlotFiles& files, Catalog& catalog);

  absl::Status Load();
  std::optional<uint32_t> ChooseFreeSlot(LaneId lane) const;
  bool IsLast(uint32_t disk) const;
  void TakeOut(uint32_t disk, const absl::Status& why);
  void ForgetOlderOnDisksOut(const SegmentRow& reused, const RemovalCause& why);
  absl::StatusOr<SegmentLoan> Lend(uint32_t slot, const TrackIdentity& track,
                                   const RemovalCause& why);
  uint32_t Ahead(const TrackIdentity& track) const;
  void OnClosed(const SegmentRow& row);
  void OnExhausted(const std::string& why);
  void OnLent();
  // The slot has no segment any more.
  void Vacate(uint32_t index, bool usable);
  SegmentHeader HeaderOf(const Slot& slot) const;
  absl::Duration Stopwatch() const {
    return options_.stopwatch ? options_.stopwatch() : absl::ZeroDuration();
  }
  absl::Status EnsureInCatalog(const SegmentUpdate& update);
  void GiveUp(const Slot& slot);
  absl::Status TellOfGivenUp();
  absl::Status PublishPending(size_t streams);
  void FlushRemovals();
  RemovalCause Cause(RemovalReason reason) const;
  RemovalCause CauseOf(RetentionRule rule) const;
  absl::Status SavePolicy();
  void SaveFullHolds();
  void Count(RetentionRule rule) {
    removals_.age += rule == RetentionRule::kAge ? 1 : 0;
    removals_.quota += rule == RetentionRule::kQuota ? 1 : 0;
    removals_.catalog += rule == RetentionRule::kCatalog ? 1 : 0;
    removals_.pressure += rule == RetentionRule::kPressure ? 1 : 0;
  }
  std::optional<AuditRow> EventOf(const RecordingRow& row, const std::string& actor) const;
  absl::StatusOr<HoldState> TryCreateHold(Hold hold, const std::string& actor);
  void AuditFilledHolds();
  void NoteAudit(const std::string& actor, const std::string& action, const std::string& object,
                 const std::string& detail);
  void FlushAudit();
  Slot* Find(SegmentId segment);
  void OnPublished(Slot& slot, const SegmentUpdate& update);
  void OnCatalog(const absl::Status& status);
  void LookAtCatalog();
  ByteCount CatalogBytesOfPending() const;

  const SegmentStoreOptions options_;
  SlotFiles* files_;
  Catalog* catalog_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> disk_of_slot_;
  std::vector<DiskUse> disks_;  // by number
  absl::flat_hash_map<SegmentId, uint32_t> slot_of_;
  Retention retention_;
  uint64_t generation_ = 0;  // of the policy
  uint64_t last_id_ = 0;
  std::map<std::pair<uint64_t, LaneId>, uint64_t> last_of_track_;  // in this epoch
  // How many segments each has that are not sealed; tracks that have none are not here.
  std::map<std::pair<uint64_t, LaneId>, uint32_t> open_of_track_;
  TrackLinks sealed_;                    // the last of each track
  UpdateQueue pending_;                  // not in the catalog yet
  std::vector<AuditRow> pending_audit_;  // likewise
  // Segments, by slot, that the catalog refused to begin and that were given up again: it still
  // believes in what they have replaced.
  std::map<uint32_t, Slot> unheard_;
  std::vector<RemovalRow> pending_removals_;  // of segments that it did not know, or not well
  bool exhausted_ = false;                    // and the audit says so
  UnixNanos exhausted_at_;
  UnixNanos tidy_not_before_;
  UnixNanos save_not_before_;  // after a failure
  RemovalCounts removals_;
  std::string catalog_alarm_;
  absl::Status health_;
  uint64_t changes_ = 0;
};

}  // namespace sluice

#endif  // WRITER_ARCHIVE_SEGMENT_STORE_H_
