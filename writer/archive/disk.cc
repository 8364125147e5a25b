#include "writer/archive/disk.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive_files.h"
#include "writer/extent/format.h"

namespace sluice {
namespace {

constexpr char kDiskFile[] = "DISK";

std::string DiskPath(const std::string& directory) { return directory + "/" + kDiskFile; }

// Some file systems take the flag and refuse the reads.
bool DirectReadWorks(int fd) {
  AlignedBuffer block(kBlockBytes);
  return pread(fd, block.data(), block.size(), 0) == static_cast<ssize_t>(block.size());
}

std::string Name(uint32_t number, const std::string& directory) {
  return absl::StrCat("disk ", number, " (", directory, ")");
}

absl::Status MustHaveNothing(const std::string& directory) {
  if (access((directory + "/ARCHIVE").c_str(), F_OK) == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(directory, " is an archive of its own: name another directory"));
  }
  const absl::StatusOr<DiskIdentity> identity = ReadDisk(directory);
  if (absl::IsNotFound(identity.status())) return absl::OkStatus();
  if (!identity.ok()) return identity.status();
  return absl::FailedPreconditionError(absl::StrCat(
      directory, " is a disk of another archive: name another directory, or remove this one"));
}

}  // namespace

absl::StatusOr<DiskIdentity> ReadDisk(const std::string& directory) {
  const std::string path = DiskPath(directory);
  SLUICE_ASSIGN_OR_RETURN(const std::string file, ReadSmallFile(path));
  absl::StatusOr<DiskIdentity> disk =
      ParseDisk({reinterpret_cast<const std::byte*>(file.data()), file.size()});
  if (disk.ok()) return disk;
  return absl::Status(disk.status().code(), absl::StrCat(path, ": ", disk.status().message()));
}

absl::Status CheckPresent(const ArchiveMeta& meta, uint32_t number) {
  const DiskEntry& entry = meta.disks.at(number);
  const std::string name = Name(number, entry.directory);
  const absl::StatusOr<DiskIdentity> disk = ReadDisk(entry.directory);
  if (absl::IsNotFound(disk.status())) {
    return absl::UnavailableError(
        absl::StrCat(name, " of the archive is not there: is it mounted?"));
  }
  if (!disk.ok()) {
    return absl::UnavailableError(
        absl::StrCat(name, " of the archive cannot be read: ", disk.status().message()));
  }
  if (disk->uuid != entry.uuid || disk->archive_uuid != meta.uuid) {
    return absl::UnavailableError(
        absl::StrCat(name, " of the archive is not there, but another one: mount the right one"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Uuid> NewUuid() {
  Uuid uuid;
  if (getrandom(uuid.data(), uuid.size(), 0) != static_cast<ssize_t>(uuid.size())) {
    return absl::ErrnoToStatus(errno, "getrandom");
  }
  uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0F) | 0x40);  // version 4: random
  uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3F) | 0x80);
  return uuid;
}

absl::Status CreateDisk(const ArchiveMeta& meta, uint32_t number, DiskEntry* entry) {
  SLUICE_RETURN_IF_ERROR(MustHaveNothing(entry->directory));
  SLUICE_RETURN_IF_ERROR(
      MakeSlots(entry->directory, entry->first_slot, entry->slot_count, meta.segment));
  SLUICE_ASSIGN_OR_RETURN(entry->uuid, NewUuid());
  const auto bytes = EncodeDisk({.archive_uuid = meta.uuid,
                                 .uuid = entry->uuid,
                                 .number = number,
                                 .segment = meta.segment,
                                 .first_slot = entry->first_slot,
                                 .slot_count = entry->slot_count,
                                 .created = {absl::GetCurrentTimeNanos()}});
  return ReplaceFile(entry->directory, kDiskFile, bytes);
}

// The home is locked by whoever has the archive; a further disk could be named by a copy of it.
absl::Status Disk::Lock(const ArchiveMeta& meta, uint32_t number) {
  SLUICE_RETURN_IF_ERROR(CheckPresent(meta, number));
  const std::string path = DiskPath(directory_);
  SLUICE_ASSIGN_OR_RETURN(lock_, OpenFile(path, O_RDONLY));
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  if (errno != EWOULDBLOCK) return Refused("lock", path, errno);
  return absl::FailedPreconditionError(
      absl::StrCat(path, " is locked by another process, which writes a copy of this archive"));
}

// Asks whether and how direct I/O works where nothing can go wrong.
absl::Status Disk::ProbeGeometry(const std::string& file) {
  absl::StatusOr<UniqueFd> fd = OpenFile(file, O_RDONLY | O_DIRECT);
  const bool direct = fd.ok() && DirectReadWorks(fd->get());
  if (!fd.ok()) fd = OpenFile(file, O_RDONLY);
  if (!fd.ok()) return fd.status();
  SLUICE_ASSIGN_OR_RETURN(geometry_, DiskGeometry::Probe(fd->get()));
  if (direct && geometry_.direct) return absl::OkStatus();
  geometry_.direct = false;
  geometry_.memory_align = geometry_.offset_align = kBlockBytes;
  warnings_.push_back(absl::StrCat(
      "the file system of ", directory_,
      " has no direct I/O: writes go through the page cache, which copies every byte once more; ",
      "ext4 or XFS on a local disk do better"));
  return absl::OkStatus();
}

absl::Status Disk::OpenSlot(uint32_t slot, ByteCount segment, bool look_only) {
  const std::string path = SlotPath(directory_, slot);
  struct stat info = {};
  const bool exists = stat(path.c_str(), &info) == 0;
  if (!look_only && (!exists || static_cast<uint64_t>(info.st_size) < segment.value)) {
    warnings_.push_back(
        exists
            ? absl::StrCat("segment file ", path, " has only ", info.st_size, " of ", segment.value,
                           " bytes: it was made whole again, what was cut off is lost")
            : absl::StrCat("segment file ", path,
                           " is missing: a new one was made, what it held is lost"));
    ++slots_recreated_;
    SLUICE_RETURN_IF_ERROR(Allocate(path, segment));
    SLUICE_RETURN_IF_ERROR(SyncFile(path));
  }
  SLUICE_ASSIGN_OR_RETURN(fds_[slot - first_slot_],
                          OpenFile(path, O_RDWR | (geometry_.direct ? O_DIRECT : 0)));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Disk>> Disk::Open(const ArchiveMeta& meta, uint32_t number,
                                                 const std::string& directory, bool look_only) {
  auto disk = std::unique_ptr<Disk>(new Disk);
  const DiskEntry& entry = meta.disks.at(number);
  disk->directory_ = directory;
  disk->first_slot_ = entry.first_slot;
  disk->fds_.resize(entry.slot_count);
  if (number != 0) SLUICE_RETURN_IF_ERROR(disk->Lock(meta, number));
  if (!look_only) {
    SLUICE_RETURN_IF_ERROR(MakeDirectory(directory + "/segments"));
    SLUICE_RETURN_IF_ERROR(
        disk->ProbeGeometry(number == 0 ? directory + "/ARCHIVE" : DiskPath(directory)));
  }
  uint32_t lost = 0;
  absl::Status why;
  for (uint32_t i = 0; i < entry.slot_count; ++i) {
    const absl::Status status = disk->OpenSlot(entry.first_slot + i, meta.segment, look_only);
    if (status.ok()) continue;
    ++lost;
    why = status;
    disk->warnings_.push_back(absl::StrCat(status.message(), ": this segment is left out"));
  }
  if (lost == entry.slot_count && !look_only) return why;
  return disk;
}

absl::Status Disk::Sync() {
  for (const UniqueFd& fd : fds_) {
    if (fd.get() < 0) continue;
    return syncfs(fd.get()) == 0 ? absl::OkStatus() : FileError("sync", directory_, errno);
  }
  return absl::OkStatus();
}

}  // namespace sluice
