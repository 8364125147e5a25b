// Directories of preallocated segment files with a fixed capacity, each on a disk of its own.
#ifndef WRITER_ARCHIVE_ARCHIVE_H_
#define WRITER_ARCHIVE_ARCHIVE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ingest/units.h"
#include "writer/archive/archive_codec.h"
#include "writer/archive/disk.h"
#include "writer/archive/disk_geometry.h"
#include "writer/archive/disk_status.h"
#include "writer/segment/file_io.h"

namespace sluice {

// A directory, on another disk, for more segments.
struct DiskOptions {
  std::string directory;  // made if it is not there; its parent must be
  ByteCount capacity;  // for creation only; zero: as much as the home has, or less on a small disk
};

struct ArchiveOptions {
  std::string directory;
  // For creation only. An existing archive keeps what it was made with; asking for another
  // capacity is FAILED_PRECONDITION, zero asks for nothing (creation: 16 GiB, or less on a small
  // disk).
  ByteCount capacity;
  ByteCount segment;  // zero: capacity / 64, between 16 MiB and 256 MiB
  // The most that the catalog takes; zero: see CatalogFor(). For creation only.
  ByteCount catalog = {};
  bool create = true;
  // Only the lock is taken: nothing is made, made whole or written, and the epoch stays. For
  // finding out what an opening would meet.
  bool look_only = false;
  // Each is a disk of the archive already, or becomes one.
  std::vector<DiskOptions> disks;
  // Told to whoever finds the archive locked.
  std::string purpose;      // "record", "serve"
  std::string socket_path;  // where the holder answers RPCs; empty: it does not
};

// What became of a disk when an archive was opened, for the audit.
struct DiskEvent {
  uint32_t number = 0;
  std::string action;  // "disk added", "disk missing", "disk returned"
  std::string detail;  // one sentence
};

// Exclusive, for writing: held by one process at a time through a lock on DIR/LOCK.
// Thread-compatible, but for disks() and TakeOut(). Destruction closes the files and gives up the
// lock.
//
// The home has ARCHIVE, LOCK and the catalog, so nothing works without it; its segments may fail
// like those of any other disk. A disk that is not there, or refuses, is left out.
class Archive {
 public:
  // Creates the archive if there is none (and `create`), takes the lock, raises the epoch and
  // opens the segment files. Every error is one sentence that names the path and the remedy.
  static absl::StatusOr<std::unique_ptr<Archive>> Open(const ArchiveOptions& options);
  // Who has the archive open for writing; NOT_FOUND when nobody has.
  static absl::StatusOr<ArchiveHolder> Holder(const std::string& directory);
  static absl::StatusOr<ArchiveMeta> ReadMeta(const std::string& directory);

  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  const std::string& directory() const { return directory_; }
  const ArchiveMeta& meta() const { return meta_; }
  // The strictest of what the disks in use ask for.
  const DiskGeometry& geometry() const { return geometry_; }
  // Slot i's file, open for reads and writes, direct ones where its disk has them; -1: it cannot
  // be used.
  int segment_fd(uint32_t slot) const;
  std::string SegmentPath(uint32_t slot) const { return SegmentPath(directory_, meta_, slot); }
  // Whether the slot's disk was open when the archive was opened.
  bool HasDiskOf(uint32_t slot) const { return OpenDisk(meta_.DiskOf(slot)) != nullptr; }
  std::vector<DiskStatus> disks() const;
  // From now on the disk counts as failed, in ARCHIVE too (an error: only here). What is open of
  // it stays open.
  absl::Status TakeOut(uint32_t number, const std::string& why);
  // Changes the disks for the next opening.
  //
  // A directory that is a disk of this archive, be it failed, removed or at another place, is
  // taken in again with what it holds; any other becomes a new disk. Returns its number.
  absl::StatusOr<uint32_t> AddDisk(const DiskOptions& options);
  // Nothing is written to it any more; what it holds stays readable. `forget`: it is the
  // archive's no longer, and may be used for something else.
  absl::Status RemoveDisk(uint32_t number, bool forget);
  absl::Status SyncDisks();
  // What is out of the ordinary though the archive can be used, one sentence each.
  const std::vector<std::string>& warnings() const { return warnings_; }
  const std::vector<DiskEvent>& disk_events() const { return disk_events_; }
  // How many slots had lost their file, or a part of it, and got a new, empty one.
  uint32_t slots_recreated() const { return slots_recreated_; }

  // Of a slot of the home.
  static std::string SegmentPath(const std::string& directory, uint32_t slot);
  // Of any slot, by what ARCHIVE in `directory` says.
  static std::string SegmentPath(const std::string& directory, const ArchiveMeta& meta,
                                 uint32_t slot);
  static std::string CatalogPath(const std::string& directory);

 private:
  Archive() = default;
  absl::Status Create(const ArchiveOptions& options);
  absl::Status WriteMeta() const;
  absl::Status RaiseEpoch();
  absl::Status TakeInDisks(const ArchiveOptions& options);
  absl::Status OpenDisks(bool look_only);
  void TakeOverStates();
  void SetState(uint32_t number, DiskState state);
  const std::string& DirectoryOf(uint32_t number) const;
  // nullptr: it is not in use, or was added since.
  const Disk* OpenDisk(uint32_t number) const {
    return number < disks_.size() ? disks_[number].get() : nullptr;
  }

  std::string directory_;
  UniqueFd lock_;
  ArchiveMeta meta_;
  DiskGeometry geometry_;
  std::vector<std::unique_ptr<Disk>> disks_;  // by number; nullptr: not in use
  std::vector<std::string> warnings_;
  std::vector<DiskEvent> disk_events_;
  uint32_t slots_recreated_ = 0;

  mutable std::mutex mutex_;           // for what follows, and for writing ARCHIVE
  std::vector<std::string> problems_;  // by number
  std::vector<DiskState> states_;      // as they are now
};

}  // namespace sluice

#endif  // WRITER_ARCHIVE_ARCHIVE_H_
