// One directory of segment files: the archive's home, or a further disk of it.
#ifndef WRITER_ARCHIVE_DISK_H_
#define WRITER_ARCHIVE_DISK_H_

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

// What the directory says that it is. NOT_FOUND: it has no DISK file; DATA_LOSS: a damaged one.
absl::StatusOr<DiskIdentity> ReadDisk(const std::string& directory);

// Whether the disk of an archive is where the archive says, and not another one, or an empty
// directory to which nothing is mounted. UNAVAILABLE: it is not, in one sentence that names it.
absl::Status CheckPresent(const ArchiveMeta& meta, uint32_t number);

// Makes a further disk: segment files, and the DISK file last. `entry` has directory and slots;
// gets the uuid.
absl::Status CreateDisk(const ArchiveMeta& meta, uint32_t number, DiskEntry* entry);

absl::StatusOr<Uuid> NewUuid();

// The slots' files, open for reads and writes. Thread-compatible.
class Disk {
 public:
  // `meta` has the disk. Segment files that are missing or short are made anew, unless `look_only`.
  // An error: nothing of the disk can be used.
  static absl::StatusOr<std::unique_ptr<Disk>> Open(const ArchiveMeta& meta, uint32_t number,
                                                    const std::string& directory,
                                                    bool look_only = false);

  const DiskGeometry& geometry() const { return geometry_; }
  // -1: the slot's file cannot be opened. `slot` is one of the disk's.
  int fd(uint32_t slot) const { return fds_.at(slot - first_slot_).get(); }
  const std::vector<std::string>& warnings() const { return warnings_; }
  // How many slots had lost their file, or a part of it, and got a new, empty one.
  uint32_t slots_recreated() const { return slots_recreated_; }
  absl::Status Sync();  // all of its file system

 private:
  Disk() = default;
  absl::Status Lock(const ArchiveMeta& meta, uint32_t number);
  absl::Status ProbeGeometry(const std::string& file);
  absl::Status OpenSlot(uint32_t slot, ByteCount segment, bool look_only);

  std::string directory_;
  uint32_t first_slot_ = 0;
  DiskGeometry geometry_;
  UniqueFd lock_;  // on a further disk's DISK file; the home has the archive's
  std::vector<UniqueFd> fds_;
  std::vector<std::string> warnings_;
  uint32_t slots_recreated_ = 0;
};

}  // namespace sluice

#endif  // WRITER_ARCHIVE_DISK_H_
