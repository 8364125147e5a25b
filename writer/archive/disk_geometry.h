// What direct writes to an archive must look like.
#ifndef WRITER_ARCHIVE_DISK_GEOMETRY_H_
#define WRITER_ARCHIVE_DISK_GEOMETRY_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "ingest/units.h"

namespace sluice {

// Asked from the file system (statx STATX_DIOALIGN) and the block device below it
// (/sys/dev/block/MAJ:MIN/queue). Plain data.
struct DiskGeometry {
  bool direct = true;           // O_DIRECT works; else writes go through the page cache
  uint32_t memory_align = 512;  // of every range's start and length in memory
  uint32_t offset_align = 512;  // of the file offset and of the total length
  uint64_t virt_boundary = 0;   // mask; ranges but the first must start, but the last end on it + 1
  uint64_t write_bytes_max = 1 << 20;  // one write that the block layer need not split
  uint32_t ranges_max = 128;           // physical segments in one write
  std::string device;                  // "vda", for people

  // `fd` is an open regular file on the file system in question. Where the device's queue cannot
  // be seen (overlay, btrfs, network file systems, containers without /sys), the answers are
  // careful ones: whole blocks of 4 KiB everywhere.
  static absl::StatusOr<DiskGeometry> Probe(int fd);
  // The same, with another place for /sys and without asking the file system: for `device_number`
  // as in stat's st_dev. Fills in what the device's queue says; false: nothing is known of it.
  static bool ReadQueue(const std::string& sys, uint64_t device_number, DiskGeometry* geometry);
};

// What both accept.
DiskGeometry Strictest(const DiskGeometry& a, const DiskGeometry& b);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_DISK_GEOMETRY_H_
