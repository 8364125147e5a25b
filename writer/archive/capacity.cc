#include "writer/archive/capacity.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "writer/archive/archive_codec.h"
#include "writer/archive/archive_files.h"
#include "writer/extent/format.h"
#include "writer/readable.h"

namespace sluice {
namespace {

// For the catalog's log, ARCHIVE and their like.
constexpr ByteCount kBeside = MiB(8);

}  // namespace

ByteCount CatalogFor(ByteCount capacity) {
  return {RoundDown(std::clamp(capacity.value / 32, MiB(8).value, GiB(16).value), MiB(1).value)};
}

absl::StatusOr<CapacityPlan> PlanCapacity(const CapacityWish& wish) {
  const std::string& path = wish.directory;
  struct statvfs disk = {};
  if (statvfs(path.c_str(), &disk) != 0) return FileError("ask for the free space of", path, errno);
  const ByteCount free =
      ByteCount{uint64_t{disk.f_bavail} * disk.f_frsize} + AllocatedAlready(path);
  ByteCount capacity = wish.capacity;
  if (capacity.value == 0) {
    capacity =
        std::min(wish.capacity_default, ByteCount{RoundDown(free.value / 4 * 3, MiB(1).value)});
  }
  CapacityPlan plan;
  plan.segment = wish.segment;
  if (plan.segment.value == 0) {
    plan.segment = {
        RoundDown(std::clamp(capacity.value / 64, MiB(16).value, MiB(256).value), MiB(1).value)};
  }
  if (plan.segment < kSegmentBytesMin || plan.segment > kSegmentBytesMax ||
      plan.segment.value % kBlockBytes != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "segments of ", Readable(plan.segment), ": they can have from ", Readable(kSegmentBytesMin),
        " to ", Readable(kSegmentBytesMax), ", in multiples of 4 KiB"));
  }
  const uint64_t count = capacity.value / plan.segment.value;
  if (count > wish.slots_max) {
    return absl::InvalidArgumentError(absl::StrCat(
        "capacity ", Readable(capacity), " is more than ", wish.slots_max, " segments of ",
        Readable(plan.segment),
        wish.with_catalog ? ": ask for larger segments"
                          : ", which is what the archive can still take: ask for less"));
  }
  plan.slots = static_cast<uint32_t>(count);
  plan.catalog = wish.catalog.value == 0 ? CatalogFor(capacity)
                                         : ByteCount{RoundDown(wish.catalog.value, kBlockBytes)};
  if (wish.with_catalog && (plan.catalog < kCatalogBytesMin || plan.catalog > kCatalogBytesMax)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a catalog of ", Readable(plan.catalog), ": it can have from ",
                     Readable(kCatalogBytesMin), " to ", Readable(kCatalogBytesMax)));
  }
  const ByteCount needed =
      plan.segment * count + (wish.with_catalog ? plan.catalog + kBeside : ByteCount{kBlockBytes});
  if (needed > free || (wish.capacity.value == 0 && count < wish.slots_min)) {
    return absl::ResourceExhaustedError(absl::StrCat(
        wish.with_catalog ? "create archive " : "add disk ", path, ": capacity ",
        Readable(capacity), wish.with_catalog ? ", with its catalog," : "", " needs ",
        Readable(needed), ", the disk has ", Readable(free),
        " free: choose a smaller capacity (--capacity), another directory, or make room"));
  }
  if (count < wish.slots_min) {
    return absl::InvalidArgumentError(absl::StrCat(
        "capacity ", Readable(capacity), " is too small: ",
        wish.with_catalog ? "an archive has at least " : "a disk has at least ", wish.slots_min,
        wish.slots_min == 1 ? " segment" : " segments", ", here of ", Readable(plan.segment)));
  }
  return plan;
}

}  // namespace sluice
