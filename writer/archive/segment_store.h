// Which segment lies in which slot: lends slots to tracks, takes them back, keeps the catalog true.
#ifndef WRITER_ARCHIVE_SEGMENT_STORE_H_
#define WRITER_ARCHIVE_SEGMENT_STORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ingest/units.h"
#include "writer/archive/archive_codec.h"
#include "writer/archive/track_links.h"
#include "writer/archive/update_queue.h"
#include "writer/catalog/catalog.h"
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
  std::function<UnixNanos()> clock;  // what goes into headers
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

  // An empty segment: a free slot, on the disk that is the least full, else that of the oldest
  // sealed segment. UNAVAILABLE: every slot is refused. RESOURCE_EXHAUSTED: all are being written.
  absl::StatusOr<SegmentLoan> Lend(const TrackIdentity& track);
  // A loan into which nothing was written.
  void Return(SegmentId segment);

  // The segment's disk has refused a write or a sync. It is taken out of use, unless it is the last
  // one. What it holds stays readable.
  void Refuse(SegmentId segment, const absl::Status& why);

  // Takes the updates over, and tells the catalog of these and of what it refused before.
  void Publish(std::vector<SegmentUpdate> updates);
  // Whether something waits for a catalog that takes it: Publish({}) tries again.
  bool unpublished() const { return !pending_.empty(); }

  absl::Status PutRecording(const RecordingRow& row);
  absl::Status DeleteRecording(const std::string& id);

  // What the catalog answered last.
  const absl::Status& health() const { return health_; }
  // How often it has changed.
  uint64_t changes() const { return changes_; }

 private:
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
  };

  SegmentStore(SegmentStoreOptions options, SlotFiles& files, Catalog& catalog)
      : options_(std::move(options)), files_(&files), catalog_(&catalog) {}

  std::optional<uint32_t> ChooseSlot(LaneId lane) const;
  std::optional<uint32_t> ChooseFreeSlot(LaneId lane) const;
  bool IsLast(uint32_t disk) const;
  void TakeOut(uint32_t disk, const absl::Status& why);
  void ForgetOlderOnDisksOut(const SegmentRow& reused);
  absl::StatusOr<SegmentLoan> Lend(uint32_t slot, const TrackIdentity& track);
  SegmentHeader HeaderOf(const Slot& slot) const;
  absl::Status EnsureInCatalog(const SegmentUpdate& update);
  RemovalCause Cause(RemovalReason reason) const;
  Slot* Find(SegmentId segment);
  void OnPublished(Slot& slot, const SegmentUpdate& update);
  void OnCatalog(const absl::Status& status);

  const SegmentStoreOptions options_;
  SlotFiles* files_;
  Catalog* catalog_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> disk_of_slot_;
  std::vector<bool> disk_out_;  // by number: it has failed
  uint64_t last_id_ = 0;
  std::map<std::pair<uint64_t, LaneId>, uint64_t> last_of_track_;  // in this epoch
  TrackLinks sealed_;                                              // the last of each track
  UpdateQueue pending_;                                            // not in the catalog yet
  absl::Status health_;
  uint64_t changes_ = 0;
};

}  // namespace sluice

#endif  // WRITER_ARCHIVE_SEGMENT_STORE_H_
