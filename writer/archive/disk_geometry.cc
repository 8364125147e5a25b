#include "writer/archive/disk_geometry.h"

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fstream>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ingest/units.h"
#include "writer/extent/format.h"

namespace sluice {
namespace {

constexpr uint64_t kWriteBytesMax = MiB(4).value;
constexpr uint64_t kRangesMax = 256;  // what the kernel keeps in one bio without a further hop

std::optional<uint64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  uint64_t value = 0;
  if (!(file >> value)) return std::nullopt;
  return value;
}

std::string LastName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool IsPowerOfTwo(uint64_t value) { return value != 0 && (value & (value - 1)) == 0; }

}  // namespace

bool DiskGeometry::ReadQueue(const std::string& sys, uint64_t device_number,
                             DiskGeometry* geometry) {
  const std::string link =
      absl::StrCat(sys, "/dev/block/", major(device_number), ":", minor(device_number));
  char resolved[PATH_MAX];
  if (realpath(link.c_str(), resolved) == nullptr) return false;
  std::string device = resolved;
  geometry->device = LastName(device);
  // A partition has no queue of its own: the disk that contains it has.
  if (access(absl::StrCat(device, "/partition").c_str(), F_OK) == 0) {
    device = device.substr(0, device.rfind('/'));
  }
  const std::string queue = absl::StrCat(device, "/queue/");
  const std::optional<uint64_t> max_sectors_kb = ReadNumber(queue + "max_sectors_kb");
  const std::optional<uint64_t> max_segments = ReadNumber(queue + "max_segments");
  if (!max_sectors_kb || !max_segments) return false;
  // Whole blocks only, and never less than one.
  geometry->write_bytes_max = std::max(
      RoundDown(std::min(KiB(*max_sectors_kb).value, kWriteBytesMax), kBlockBytes), kBlockBytes);
  geometry->ranges_max = static_cast<uint32_t>(std::clamp<uint64_t>(*max_segments, 1, kRangesMax));
  geometry->virt_boundary = ReadNumber(queue + "virt_boundary_mask").value_or(0);
  return true;
}

absl::StatusOr<DiskGeometry> DiskGeometry::Probe(int fd) {
  DiskGeometry geometry;
  struct statx info = {};
  if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN, &info) != 0) {
    return absl::ErrnoToStatus(errno, "ask the file system about direct I/O (statx)");
  }
  geometry.memory_align = geometry.offset_align = kBlockBytes;
  bool told = false;  // by the file system what direct I/O needs
  if ((info.stx_mask & STATX_DIOALIGN) != 0) {
    told = true;
    geometry.direct = info.stx_dio_mem_align != 0;
    if (geometry.direct) {
      geometry.memory_align = info.stx_dio_mem_align;
      geometry.offset_align = info.stx_dio_offset_align;
    }
  }
  // Older kernels, and file systems that do not say: whether the file could be opened for direct
  // I/O is the answer, and whole blocks are what all of them accept.
  if (!told) geometry.direct = (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
  if (!ReadQueue("/sys", makedev(info.stx_dev_major, info.stx_dev_minor), &geometry)) {
    geometry.memory_align = geometry.offset_align = kBlockBytes;
    geometry.virt_boundary = 0;
  }
  if (geometry.direct &&
      (!IsPowerOfTwo(geometry.memory_align) || !IsPowerOfTwo(geometry.offset_align) ||
       geometry.memory_align > kBlockBytes || geometry.offset_align > kBlockBytes)) {
    geometry.direct = false;  // extents are built from whole blocks of 4 KiB, no larger ones
  }
  if (!geometry.direct) geometry.memory_align = geometry.offset_align = kBlockBytes;
  return geometry;
}

DiskGeometry Strictest(const DiskGeometry& a, const DiskGeometry& b) {
  DiskGeometry both;
  both.direct = a.direct && b.direct;
  both.memory_align = std::max(a.memory_align, b.memory_align);
  both.offset_align = std::max(a.offset_align, b.offset_align);
  both.virt_boundary = std::max(a.virt_boundary, b.virt_boundary);
  both.write_bytes_max = std::min(a.write_bytes_max, b.write_bytes_max);
  both.ranges_max = std::min(a.ranges_max, b.ranges_max);
  both.device = a.device == b.device ? a.device : absl::StrCat(a.device, ", ", b.device);
  return both;
}

}  // namespace sluice
