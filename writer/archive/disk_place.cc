#include "writer/archive/disk_place.h"

#include <algorithm>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ingest/status_macros.h"
#include "writer/archive/disk.h"
#include "writer/archive/format.h"

namespace sluice {
namespace {

absl::StatusOr<DiskPlace> PlaceOfNew(const ArchiveMeta& meta, const std::string& directory) {
  DiskPlace place{.entry = {.directory = directory}, .is_new = true};
  place.number = 1;
  while (place.number < meta.disks.size() && meta.disks[place.number].exists()) ++place.number;
  if (place.number >= kDisksMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the archive has ", kDisksMax, " disks already, which is all it can have"));
  }
  for (const DiskEntry& disk : meta.disks) {
    if (disk.exists() && disk.directory == directory) {
      return absl::FailedPreconditionError(absl::StrCat(
          "disk ", &disk - meta.disks.data(), " of the archive belongs in ", directory,
          ", and it is not there: mount it, or give it up first: remove-disk --discard"));
    }
    place.entry.first_slot = std::max(place.entry.first_slot, disk.first_slot + disk.slot_count);
  }
  return place;
}

}  // namespace

absl::StatusOr<std::string> DiskDirectory(const std::string& directory) {
  if (directory.empty()) return absl::InvalidArgumentError("no directory was named for the disk");
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(directory, error);
  std::string path = absolute.lexically_normal().string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (error || path.size() >= kDiskPathBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the path of disk ", directory,
                                                   " is too long: at most ", kDiskPathBytes - 1,
                                                   " bytes can be kept"));
  }
  return path;
}

absl::StatusOr<DiskPlace> FindPlace(const ArchiveMeta& meta, const std::string& directory) {
  const absl::StatusOr<DiskIdentity> identity = ReadDisk(directory);
  if (absl::IsNotFound(identity.status())) return PlaceOfNew(meta, directory);
  if (!identity.ok()) return identity.status();
  if (identity->archive_uuid != meta.uuid) {
    return absl::FailedPreconditionError(absl::StrCat(
        directory, " is a disk of another archive: name another directory, or remove this one"));
  }
  DiskPlace place{.number = identity->number,
                  .entry = {.uuid = identity->uuid,
                            .first_slot = identity->first_slot,
                            .slot_count = identity->slot_count,
                            .since = {absl::GetCurrentTimeNanos()},
                            .directory = directory}};
  for (uint32_t number = 0; number < meta.disks.size(); ++number) {
    const DiskEntry& disk = meta.disks[number];
    if (number == place.number && disk.uuid == identity->uuid) {
      if (disk.state == DiskState::kActive && disk.directory == directory) {
        return absl::AlreadyExistsError(
            absl::StrCat(directory, " is disk ", number, " of the archive, and in use already"));
      }
      place.entry.seen_epoch = disk.seen_epoch;
      continue;
    }
    // Its number or its slots were given to another one after it had been forgotten.
    const bool same_number = number == place.number && disk.exists();
    const bool overlaps = disk.first_slot < place.entry.first_slot + place.entry.slot_count &&
                          place.entry.first_slot < disk.first_slot + disk.slot_count;
    if (same_number || overlaps) {
      return absl::FailedPreconditionError(absl::StrCat(
          directory, " was disk ", place.number,
          " of the archive, whose place another disk has now: name another directory"));
    }
  }
  return place;
}

}  // namespace sluice
