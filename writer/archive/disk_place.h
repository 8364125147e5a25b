// Where in an archive a directory belongs.
#ifndef WRITER_ARCHIVE_DISK_PLACE_H_
#define WRITER_ARCHIVE_DISK_PLACE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "writer/archive/archive_codec.h"

namespace sluice {

// The directory's absolute path, which is found from anywhere. INVALID_ARGUMENT: too long to keep.
absl::StatusOr<std::string> DiskDirectory(const std::string& directory);

struct DiskPlace {
  uint32_t number = 0;
  DiskEntry entry;      // in use
  bool is_new = false;  // a disk has to be made there; the entry lacks the number of its slots
};

// What a directory, as DiskDirectory() has it, is or can be to the archive. ALREADY_EXISTS: a disk
// in use. FAILED_PRECONDITION: another archive's disk, or its place is taken, or reserved for a
// disk that is not there now. RESOURCE_EXHAUSTED: there are enough.
absl::StatusOr<DiskPlace> FindPlace(const ArchiveMeta& meta, const std::string& directory);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_DISK_PLACE_H_
