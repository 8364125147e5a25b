// How an archive's disks fare.
#ifndef WRITER_ARCHIVE_DISK_STATUS_H_
#define WRITER_ARCHIVE_DISK_STATUS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ingest/units.h"
#include "writer/archive/archive_codec.h"
#include "writer/archive/disk_geometry.h"

namespace sluice {

// A snapshot.
struct DiskStatus {
  uint32_t number = 0;  // 0: the home
  std::string directory;
  DiskState state = DiskState::kActive;
  std::string problem = {};  // why it is not used; empty: it is
  uint32_t first_slot = 0;
  uint32_t slot_count = 0;
  ByteCount capacity;
  DiskGeometry geometry = {};  // where it is open

  bool in_use() const { return problem.empty(); }
};

// By what ARCHIVE in `directory` says.
DiskStatus StatusOfDisk(const ArchiveMeta& meta, uint32_t number, const std::string& directory);

// All of them, and whether they are there; nothing is opened for writing.
std::vector<DiskStatus> LookAtDisks(const std::string& directory, const ArchiveMeta& meta);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_DISK_STATUS_H_
