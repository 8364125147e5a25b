// A directory of preallocated segment files with a fixed capacity.
#ifndef WRITER_ARCHIVE_ARCHIVE_H_
#define WRITER_ARCHIVE_ARCHIVE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ingest/units.h"
#include "writer/archive/archive_codec.h"
#include "writer/archive/disk_geometry.h"
#include "writer/segment/file_io.h"

namespace sluice {

struct ArchiveOptions {
  std::string directory;
  // For creation only. An existing archive keeps what it was made with; asking for another
  // capacity is FAILED_PRECONDITION, zero asks for nothing (creation: 16 GiB, or less on a small
  // disk).
  ByteCount capacity;
  ByteCount segment;  // zero: capacity / 64, between 16 MiB and 256 MiB
  bool create = true;
  // Told to whoever finds the archive locked.
  std::string purpose;      // "record", "serve"
  std::string socket_path;  // where the holder answers RPCs; empty: it does not
};

// Exclusive, for writing: held by one process at a time through a lock on DIR/LOCK.
// Thread-compatible. Destruction closes the files and gives up the lock.
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
  const DiskGeometry& geometry() const { return geometry_; }
  // Slot i's file, open for reads and writes, direct ones when geometry().direct.
  int segment_fd(uint32_t slot) const { return segment_fds_.at(slot).get(); }
  // What is out of the ordinary though the archive can be used, one sentence each.
  const std::vector<std::string>& warnings() const { return warnings_; }
  // How many slots had lost their file, or a part of it, and got a new, empty one.
  uint32_t slots_recreated() const { return slots_recreated_; }

  static std::string SegmentPath(const std::string& directory, uint32_t slot);
  static std::string CatalogPath(const std::string& directory);

 private:
  Archive() = default;
  absl::Status Lock(const ArchiveOptions& options);
  absl::Status Create(const ArchiveOptions& options);
  absl::Status RaiseEpoch();
  absl::Status OpenSegments();
  absl::Status OpenSegment(uint32_t slot);

  std::string directory_;
  ArchiveMeta meta_;
  DiskGeometry geometry_;
  UniqueFd lock_;
  std::vector<UniqueFd> segment_fds_;
  std::vector<std::string> warnings_;
  uint32_t slots_recreated_ = 0;
};

}  // namespace sluice

#endif  // WRITER_ARCHIVE_ARCHIVE_H_
