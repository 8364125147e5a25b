#include <algorithm>

#include "absl/strings/str_cat.h"
#include "control/doctor/checks.h"
#include "ingest/units.h"
#include "writer/extent/format.h"

namespace sluice {
namespace {

// Below these an extent is split on its way (PlanLane in writer/lane.cc).
constexpr ByteCount kWriteMin = KiB(128);
constexpr uint32_t kRangesMin = 32;

Check NotAsked(std::string name) {
  return {std::move(name), CheckState::kNotChecked, "no --archive was given", ""};
}

Check NotReached(std::string name) {
  return {std::move(name), CheckState::kNotChecked, "nothing can be written there", ""};
}

}  // namespace

uint64_t WriteAlign(const DiskGeometry& disk) {
  return std::max<uint64_t>(disk.memory_align,
                            disk.virt_boundary == 0 ? 1 : disk.virt_boundary + 1);
}

Check CheckDisk(const DoctorFacts& facts) {
  if (!facts.disk) {
    Check check = NotAsked("disk");
    check.remedy = "--archive DIR checks the disk that DIR is on";
    return check;
  }
  if (!facts.disk->ok()) {
    return {"disk", CheckState::kMissing, std::string(facts.disk->status().message()),
            "make the directory writable for this user, or choose another one"};
  }
  const DiskGeometry& disk = **facts.disk;
  const std::string device = disk.device.empty() ? "not visible" : disk.device;
  if (disk.direct) return {"disk", CheckState::kOk, absl::StrCat(device, ", direct I/O"), ""};
  return {"disk", CheckState::kWarning,
          absl::StrCat(device, ", no direct I/O: the page cache copies every byte once more"),
          "ext4 or XFS on a local disk do better"};
}

std::vector<Check> CheckFurtherDisks(const DoctorFacts& facts) {
  std::vector<Check> checks;
  for (const DoctorFacts::FurtherDisk& disk : facts.further_disks) {
    Check& check = checks.emplace_back();
    check.name = absl::StrCat("disk ", disk.number);
    // The others record without it.
    if (!disk.geometry.ok()) {
      check.state = CheckState::kWarning;
      check.found = absl::StrCat(disk.directory, ": ", disk.geometry.status().message());
      check.remedy = "mount or repair it, then `sluice archive add-disk` if it was taken out";
      continue;
    }
    const DiskGeometry& geometry = *disk.geometry;
    const std::string device = geometry.device.empty() ? "not visible" : geometry.device;
    check.found = absl::StrCat(disk.directory, ": ", device,
                               geometry.direct ? ", direct I/O" : ", no direct I/O");
    if (!geometry.direct) {
      check.state = CheckState::kWarning;
      check.remedy = "ext4 or XFS on a local disk do better";
    } else if (WriteAlign(geometry) > kBlockBytes) {
      check.state = CheckState::kMissing;
      check.remedy = absl::StrCat("Sluice aligns to ", kBlockBytes, ": use another disk");
    } else if (facts.disk && facts.disk->ok() && WriteAlign(geometry) > WriteAlign(**facts.disk)) {
      check.state = CheckState::kWarning;
      check.found += absl::StrCat(", memory ", WriteAlign(geometry));
      check.remedy =
          "all writes are aligned as the strictest disk wants it: use one like the others";
    }
  }
  return checks;
}

Check CheckAlignment(const DoctorFacts& facts) {
  if (!facts.disk) return NotAsked("alignment");
  if (!facts.disk->ok()) return NotReached("alignment");
  const DiskGeometry& disk = **facts.disk;
  Check check{"alignment", CheckState::kOk,
              absl::StrCat("memory ", disk.memory_align, ", file ", disk.offset_align,
                           disk.virt_boundary == 0
                               ? ", no virtual boundary"
                               : absl::StrCat(", virtual boundary ", disk.virt_boundary + 1)),
              ""};
  if (WriteAlign(disk) > kBlockBytes) {
    check.state = CheckState::kMissing;
    check.remedy = absl::StrCat("Sluice aligns to ", kBlockBytes, ": use another disk");
  } else if (WriteAlign(disk) == kBlockBytes) {
    check.state = CheckState::kWarning;
    check.remedy = absl::StrCat(
        "only zero-copy receive suffers, whose packets are copied for this disk: use ",
        disk.virt_boundary != 0
            ? "NVMe with scatter-gather lists on Linux 7.2 or newer, which has no such boundary"
            : "one with smaller units, such as NVMe");
  }
  return check;
}

Check CheckWriteLimits(const DoctorFacts& facts) {
  if (!facts.disk) return NotAsked("write limits");
  if (!facts.disk->ok()) return NotReached("write limits");
  const DiskGeometry& disk = **facts.disk;
  Check check{
      "write limits", CheckState::kOk,
      absl::StrCat(disk.write_bytes_max >> 10, " KiB and ", disk.ranges_max, " ranges a write"),
      ""};
  if (disk.write_bytes_max < kWriteMin.value || disk.ranges_max < kRangesMin) {
    check.state = CheckState::kWarning;
    check.remedy = "writes are split on their way: raise queue/max_sectors_kb, or use another disk";
  }
  return check;
}

}  // namespace sluice
