#include "writer/archive/disk_status.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "writer/archive/disk.h"

namespace sluice {
namespace {

std::string WhyOut(const DiskEntry& entry) {
  return absl::StrCat(
      entry.state == DiskState::kFailed ? "failed and was taken out of use"
                                        : "was taken out of use",
      entry.since.value == 0
          ? ""
          : absl::FormatTime(" on %Y-%m-%d at %H:%M:%S UTC", absl::FromUnixNanos(entry.since.value),
                             absl::UTCTimeZone()),
      ": `sluice archive add-disk` takes it in again");
}

}  // namespace

DiskStatus StatusOfDisk(const ArchiveMeta& meta, uint32_t number, const std::string& directory) {
  const DiskEntry& entry = meta.disks[number];
  return {.number = number,
          .directory = directory,
          .state = entry.state,
          .problem = entry.state == DiskState::kActive ? "" : WhyOut(entry),
          .first_slot = entry.first_slot,
          .slot_count = entry.slot_count,
          .capacity = meta.segment * entry.slot_count};
}

std::vector<DiskStatus> LookAtDisks(const std::string& directory, const ArchiveMeta& meta) {
  std::vector<DiskStatus> all;
  for (uint32_t number = 0; number < meta.disks.size(); ++number) {
    const DiskEntry& entry = meta.disks[number];
    if (!entry.exists()) continue;
    DiskStatus status = StatusOfDisk(meta, number, number == 0 ? directory : entry.directory);
    if (status.in_use() && number != 0) {
      status.problem = std::string(CheckPresent(meta, number).message());
    }
    all.push_back(std::move(status));
  }
  return all;
}

}  // namespace sluice
