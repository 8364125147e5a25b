#include "writer/archive/archive.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive_files.h"
#include "writer/archive/archive_lock.h"
#include "writer/archive/capacity.h"
#include "writer/archive/disk_place.h"
#include "writer/readable.h"
#include "writer/segment/segment_codec.h"

namespace sluice {
namespace {

constexpr ByteCount kCapacityDefault = GiB(16);
constexpr rlim_t kOtherFiles = 512;  // sockets, catalog connections, logs: besides the segments
constexpr char kMetaFile[] = "ARCHIVE";

std::string MetaPath(const std::string& directory) { return directory + "/" + kMetaFile; }

UnixNanos Now() { return {absl::GetCurrentTimeNanos()}; }

// The directory itself, created when that may be.
absl::Status CheckDirectory(const ArchiveOptions& options) {
  const std::string& path = options.directory;
  if (path.empty()) return absl::InvalidArgumentError("no archive directory was named");
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) {
    if (errno != ENOENT) return Refused("open archive", path, errno);
    if (!options.create) {
      return absl::NotFoundError(absl::StrCat("there is no archive in ", path));
    }
    return MakeDirectory(path);
  }
  if (!S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("archive ", path, " is not a directory: name one, or a new one"));
  }
  return absl::OkStatus();
}

// What the segments say about an archive whose ARCHIVE file is gone: each header repeats it.
// Nothing when no segment was ever used, as after an interrupted creation.
std::optional<ArchiveMeta> MetaFromSegments(const std::string& directory) {
  std::optional<ArchiveMeta> meta;
  const uint32_t slots = CountSlots(directory);
  for (uint32_t slot = 0; slot < slots; ++slot) {
    const std::string path = Archive::SegmentPath(directory, slot);
    const auto fd = OpenFile(path, O_RDONLY);
    AlignedBuffer block(kBlockBytes);
    if (!fd.ok() || !ReadFully(fd->get(), path, {0}, block.span()).ok()) continue;
    const absl::StatusOr<SegmentHeader> header = ParseSlotHeader(block.span());
    if (!header.ok()) continue;
    if (!meta) {
      meta.emplace();
      meta->uuid = header->archive_uuid;
      meta->segment = {header->segment_bytes};
      meta->created = {header->created_ns};
    }
    meta->epoch = std::max(meta->epoch, header->epoch);
    meta->created = std::min(meta->created, UnixNanos{header->created_ns});
  }
  if (!meta) return meta;
  meta->segment_count = slots;
  meta->disks.push_back({.slot_count = slots});
  return meta;
}

// Asking again for what an archive has is fine, asking for something else is not.
absl::Status CheckSameShape(const ArchiveOptions& options, const ArchiveMeta& meta) {
  const uint32_t slots = meta.disks.front().slot_count;
  if (options.capacity.value != 0 && options.capacity.value / meta.segment.value != slots) {
    return absl::FailedPreconditionError(
        absl::StrCat("archive ", options.directory, " was created with a capacity of ",
                     Readable(meta.segment * slots), ", and ", Readable(options.capacity),
                     " was asked for: leave the capacity out, or choose another directory"));
  }
  if (options.segment.value != 0 && options.segment != meta.segment) {
    return absl::FailedPreconditionError(
        absl::StrCat("archive ", options.directory, " was created with segments of ",
                     Readable(meta.segment), ", and ", Readable(options.segment),
                     " was asked for: leave the segment size out, or choose another directory"));
  }
  return absl::OkStatus();
}

absl::Status ProvideOpenFiles(uint32_t segments) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return absl::OkStatus();
  const rlim_t needed = segments + kOtherFiles;
  if (limit.rlim_cur >= needed) return absl::OkStatus();
  limit.rlim_cur = std::min(needed, limit.rlim_max);
  if (limit.rlim_max < needed || setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the archive's ", segments, " segments need ", needed, " open files, the limit is ",
        limit.rlim_max, ": raise it (ulimit -n, LimitNOFILE=), or use larger segments"));
  }
  return absl::OkStatus();
}

// Of an archive that has none yet: no less than the catalog has already.
ByteCount CatalogBoundOf(const std::string& directory, const ArchiveMeta& meta) {
  std::error_code ignored;
  const uint64_t size = std::filesystem::file_size(Archive::CatalogPath(directory), ignored);
  const uint64_t there = ignored ? 0 : RoundUp(size + size / 2, kBlockBytes);
  return std::min(std::max(CatalogFor(meta.capacity()), ByteCount{there}), kCatalogBytesMax);
}

absl::Status NoSuchDisk(const std::string& directory, uint32_t number) {
  return absl::NotFoundError(absl::StrCat("archive ", directory, " has no disk ", number));
}

}  // namespace

std::string Archive::SegmentPath(const std::string& directory, uint32_t slot) {
  return SlotPath(directory, slot);
}

std::string Archive::SegmentPath(const std::string& directory, const ArchiveMeta& meta,
                                 uint32_t slot) {
  const uint32_t number = meta.DiskOf(slot);
  return SlotPath(number == 0 ? directory : meta.disks[number].directory, slot);
}

std::string Archive::CatalogPath(const std::string& directory) { return directory + "/catalog.db"; }

absl::StatusOr<ArchiveMeta> Archive::ReadMeta(const std::string& directory) {
  const std::string path = MetaPath(directory);
  const absl::StatusOr<std::string> file = ReadSmallFile(path);
  if (absl::IsNotFound(file.status())) {
    return absl::NotFoundError(absl::StrCat("there is no archive in ", directory));
  }
  if (!file.ok()) return file.status();
  absl::StatusOr<ArchiveMeta> meta =
      ParseMeta({reinterpret_cast<const std::byte*>(file->data()), file->size()});
  if (meta.ok()) return meta;
  return absl::Status(meta.status().code(), absl::StrCat(path, ": ", meta.status().message()));
}

absl::StatusOr<ArchiveHolder> Archive::Holder(const std::string& directory) {
  return HolderOfLock(directory);
}

absl::Status Archive::WriteMeta() const {
  return ReplaceFile(directory_, kMetaFile, EncodeMeta(meta_));
}

// The ARCHIVE file comes last: where it is, everything else was there once.
absl::Status Archive::Create(const ArchiveOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(const CapacityPlan plan,
                          PlanCapacity({.directory = directory_,
                                        .capacity = options.capacity,
                                        .capacity_default = kCapacityDefault,
                                        .segment = options.segment,
                                        .slots_min = kSegmentCountMin,
                                        .slots_max = kSegmentCountMax,
                                        .catalog = options.catalog}));
  meta_.segment = plan.segment;
  meta_.catalog = plan.catalog;
  meta_.segment_count = plan.slots;
  meta_.disks.push_back({.slot_count = plan.slots});
  SLUICE_ASSIGN_OR_RETURN(meta_.uuid, NewUuid());
  meta_.created = Now();
  // A catalog without segments speaks of what is not here any more.
  const std::string catalog = CatalogPath(directory_);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    rename((catalog + suffix).c_str(), (catalog + ".old" + suffix).c_str());
  }
  SLUICE_RETURN_IF_ERROR(MakeSlots(directory_, 0, plan.slots, plan.segment));
  return WriteMeta();
}

absl::Status Archive::RaiseEpoch() {
  if (meta_.epoch >= kEpochMax) {
    return absl::ResourceExhaustedError(absl::StrCat("archive ", directory_, " was opened ",
                                                     meta_.epoch, " times: create a new one"));
  }
  ++meta_.epoch;
  if (meta_.catalog.value == 0 && !meta_.imported)
    meta_.catalog = CatalogBoundOf(directory_, meta_);
  return WriteMeta();
}

// ---- disks

const std::string& Archive::DirectoryOf(uint32_t number) const {
  return number == 0 ? directory_ : meta_.disks[number].directory;
}

int Archive::segment_fd(uint32_t slot) const {
  const uint32_t number = meta_.DiskOf(slot);
  const Disk* const disk = OpenDisk(number);
  return disk != nullptr && meta_.disks[number].Has(slot) ? disk->fd(slot) : -1;
}

// What is out of use, or not there, is left out; one has to be left.
absl::Status Archive::OpenDisks(bool look_only) {
  SLUICE_RETURN_IF_ERROR(ProvideOpenFiles(meta_.segment_count));
  disks_.resize(meta_.disks.size());
  problems_.resize(meta_.disks.size());
  absl::Status why;
  bool any = false;
  for (uint32_t number = 0; number < meta_.disks.size(); ++number) {
    DiskEntry& entry = meta_.disks[number];
    states_.push_back(entry.state);
    if (!entry.exists()) continue;
    if (entry.state != DiskState::kActive) {
      problems_[number] = StatusOfDisk(meta_, number, DirectoryOf(number)).problem;
      if (entry.state == DiskState::kRemoved) continue;
      warnings_.push_back(
          absl::StrCat("disk ", number, " (", DirectoryOf(number), ") ", problems_[number]));
      continue;
    }
    absl::StatusOr<std::unique_ptr<Disk>> disk =
        Disk::Open(meta_, number, DirectoryOf(number), look_only);
    if (!disk.ok()) {
      why = disk.status();
      problems_[number] = std::string(why.message());
      warnings_.push_back(absl::StrCat(why.message(), "; the archive works without this disk"));
      disk_events_.push_back({number, "disk missing", problems_[number]});
      continue;
    }
    const std::vector<std::string>& warnings = (*disk)->warnings();
    warnings_.insert(warnings_.end(), warnings.begin(), warnings.end());
    slots_recreated_ += (*disk)->slots_recreated();
    geometry_ = any ? Strictest(geometry_, (*disk)->geometry()) : (*disk)->geometry();
    any = true;
    if (number != 0 && entry.seen_epoch != 0 && entry.seen_epoch + 1 < meta_.epoch) {
      disk_events_.push_back({number, "disk returned", DirectoryOf(number)});
    }
    entry.seen_epoch = meta_.epoch;
    disks_[number] = *std::move(disk);
  }
  if (!any && !why.ok()) return why;
  if (!any) {
    return absl::FailedPreconditionError(
        absl::StrCat("no disk of archive ", directory_,
                     " is in use: repair one and take it in again with `sluice archive add-disk`"));
  }
  return look_only || meta_.disks.size() == 1 ? absl::OkStatus() : WriteMeta();
}

std::vector<DiskStatus> Archive::disks() const {
  const std::lock_guard lock(mutex_);
  std::vector<DiskStatus> all;
  for (uint32_t number = 0; number < disks_.size(); ++number) {
    if (!meta_.disks[number].exists()) continue;
    DiskStatus status = StatusOfDisk(meta_, number, DirectoryOf(number));
    status.state = states_[number];
    status.problem = problems_[number];
    if (disks_[number] != nullptr) status.geometry = disks_[number]->geometry();
    all.push_back(std::move(status));
  }
  return all;
}

absl::Status Archive::TakeOut(uint32_t number, const std::string& why) {
  const std::lock_guard lock(mutex_);
  problems_[number] = why;
  states_[number] = DiskState::kFailed;
  // What others read without the lock stays as it was opened.
  ArchiveMeta meta = meta_;
  for (uint32_t i = 0; i < meta.disks.size(); ++i) {
    if (meta.disks[i].state == states_[i]) continue;
    meta.disks[i].state = states_[i];
    meta.disks[i].since = Now();
  }
  return ReplaceFile(directory_, kMetaFile, EncodeMeta(meta));
}

absl::Status Archive::SyncDisks() {
  for (const auto& disk : disks_) {
    if (disk != nullptr) SLUICE_RETURN_IF_ERROR(disk->Sync());
  }
  return absl::OkStatus();
}

// Those that are named and not known yet. One that is known by its place is never made anew: its
// directory may be an empty one that waits for a mount.
absl::Status Archive::TakeInDisks(const ArchiveOptions& options) {
  for (const DiskOptions& disk : options.disks) {
    SLUICE_ASSIGN_OR_RETURN(const std::string directory, DiskDirectory(disk.directory));
    if (std::any_of(meta_.disks.begin(), meta_.disks.end(), [&](const DiskEntry& entry) {
          return entry.exists() && entry.directory == directory;
        })) {
      continue;
    }
    SLUICE_ASSIGN_OR_RETURN(const uint32_t number, AddDisk(disk));
    warnings_.push_back(
        absl::StrCat(directory, " is disk ", number, " of the archive from now on"));
    disk_events_.push_back({number, "disk added", directory});
  }
  return absl::OkStatus();
}

// What has failed since it was opened.
void Archive::TakeOverStates() {
  const std::lock_guard lock(mutex_);
  for (uint32_t i = 0; i < states_.size(); ++i) meta_.disks[i].state = states_[i];
}

void Archive::SetState(uint32_t number, DiskState state) {
  meta_.disks[number].state = state;
  meta_.disks[number].since = Now();
  const std::lock_guard lock(mutex_);
  if (number < states_.size()) states_[number] = state;
}

absl::StatusOr<uint32_t> Archive::AddDisk(const DiskOptions& options) {
  TakeOverStates();
  SLUICE_ASSIGN_OR_RETURN(const std::string directory, DiskDirectory(options.directory));
  if (std::error_code ignored; std::filesystem::equivalent(directory, directory_, ignored)) {
    if (meta_.disks.front().state == DiskState::kActive) {
      return absl::AlreadyExistsError(
          absl::StrCat(directory, " is the archive's home, and in use already"));
    }
    SetState(0, DiskState::kActive);
    SLUICE_RETURN_IF_ERROR(WriteMeta());
    return 0;
  }
  SLUICE_ASSIGN_OR_RETURN(DiskPlace place, FindPlace(meta_, directory));
  DiskEntry& entry = place.entry;
  if (place.is_new) {
    SLUICE_RETURN_IF_ERROR(MakeDirectory(directory));
    SLUICE_ASSIGN_OR_RETURN(
        const CapacityPlan plan,
        PlanCapacity({.directory = directory,
                      .capacity = options.capacity,
                      .capacity_default = meta_.segment * meta_.disks.front().slot_count,
                      .segment = meta_.segment,
                      .slots_max = kSegmentCountMax - entry.first_slot,
                      .with_catalog = false}));
    entry.slot_count = plan.slots;
    SLUICE_RETURN_IF_ERROR(CreateDisk(meta_, place.number, &entry));
  }
  if (meta_.disks.size() <= place.number) meta_.disks.resize(place.number + 1);
  meta_.disks[place.number] = entry;
  SetState(place.number, DiskState::kActive);
  meta_.segment_count = std::max(meta_.segment_count, entry.first_slot + entry.slot_count);
  if (place.is_new && meta_.catalog.value != 0) {
    const ByteCount more = CatalogFor(meta_.segment * entry.slot_count);
    meta_.catalog = std::min(meta_.catalog + more, kCatalogBytesMax);
  }
  SLUICE_RETURN_IF_ERROR(WriteMeta());
  return place.number;
}

absl::Status Archive::RemoveDisk(uint32_t number, bool forget) {
  TakeOverStates();
  if (number >= meta_.disks.size() || !meta_.disks[number].exists()) {
    return NoSuchDisk(directory_, number);
  }
  if (number == 0 && forget) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory_, " is the archive's home, which has the catalog: it can be taken ",
                     "out of use, but not be forgotten"));
  }
  const bool others =
      std::any_of(meta_.disks.begin(), meta_.disks.end(), [&](const DiskEntry& entry) {
        return &entry != &meta_.disks[number] && entry.exists() &&
               entry.state == DiskState::kActive;
      });
  if (!others) {
    return absl::FailedPreconditionError(absl::StrCat("disk ", number,
                                                      " is the last one in use of archive ",
                                                      directory_, ": add another one first"));
  }
  // The file goes first: a disk that is there and was forgotten cannot be used for anything.
  if (forget) {
    const std::string file = DirectoryOf(number) + "/DISK";
    if (CheckPresent(meta_, number).ok() && unlink(file.c_str()) != 0) {
      return Refused("remove", file, errno);
    }
    meta_.disks[number] = DiskEntry();
    SetState(number, DiskState::kActive);
  } else {
    SetState(number, DiskState::kRemoved);
  }
  return WriteMeta();
}

namespace {

absl::Status CheckMayRecord(const ArchiveOptions& options, const ArchiveMeta& meta) {
  if (!meta.imported || (options.purpose != "record" && options.purpose != "serve")) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "archive ", options.directory, " holds segments that were imported, and is only ",
      "for reading: record into another one"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Archive>> Archive::Open(const ArchiveOptions& options) {
  auto archive = std::unique_ptr<Archive>(new Archive);
  archive->directory_ = options.directory;
  SLUICE_RETURN_IF_ERROR(CheckDirectory(options));
  absl::StatusOr<ArchiveMeta> meta = ReadMeta(options.directory);
  if (absl::IsNotFound(meta.status()) && !options.create) return meta.status();
  SLUICE_ASSIGN_OR_RETURN(archive->lock_,
                          LockArchive(options.directory, {.pid = getpid(),
                                                          .purpose = options.purpose,
                                                          .socket_path = options.socket_path}));

  // Again, for it may have been created while we waited for the lock.
  meta = ReadMeta(options.directory);
  if (absl::IsNotFound(meta.status()) || absl::IsDataLoss(meta.status())) {
    if (const std::optional<ArchiveMeta> found = MetaFromSegments(options.directory)) {
      archive->warnings_.push_back(absl::StrCat(meta.status().message(),
                                                ": it was written anew from what the ",
                                                found->segment_count, " segments say"));
      meta = *found;
    }
  }
  if (meta.ok()) {
    SLUICE_RETURN_IF_ERROR(CheckSameShape(options, *meta));
    SLUICE_RETURN_IF_ERROR(CheckMayRecord(options, *meta));
    archive->meta_ = *meta;
  } else if (absl::IsNotFound(meta.status()) && options.create && !options.look_only) {
    SLUICE_RETURN_IF_ERROR(archive->Create(options));
  } else if (absl::IsDataLoss(meta.status())) {
    return absl::DataLossError(absl::StrCat(
        meta.status().message(),
        ", and no segment says what it held: ", "name another directory, or remove this one"));
  } else {
    return meta.status();
  }
  if (!options.look_only) {
    SLUICE_RETURN_IF_ERROR(archive->RaiseEpoch());
    SLUICE_RETURN_IF_ERROR(archive->TakeInDisks(options));
  }
  SLUICE_RETURN_IF_ERROR(archive->OpenDisks(options.look_only));
  return archive;
}

}  // namespace sluice
