#include "writer/archive/archive.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ingest/status_macros.h"
#include "writer/readable.h"
#include "writer/segment/segment_codec.h"

namespace sluice {
namespace {

constexpr mode_t kFileMode = 0640;
constexpr mode_t kDirectoryMode = 0750;
constexpr ByteCount kCapacityDefault = GiB(16);
constexpr rlim_t kOtherFiles = 512;  // sockets, catalog connections, logs: besides the segments
// Who asks for the holder takes the lock for a moment: not a reason to give up.
constexpr int kLockAttempts = 10;
constexpr absl::Duration kLockPause = absl::Milliseconds(20);

std::string MetaPath(const std::string& directory) { return directory + "/ARCHIVE"; }
std::string LockPath(const std::string& directory) { return directory + "/LOCK"; }
std::string SegmentsPath(const std::string& directory) { return directory + "/segments"; }

// What failed on what, and what to do about it.
absl::Status Refused(absl::string_view what, const std::string& path, int error) {
  const absl::Status status = FileError(what, path, error);
  absl::string_view remedy;
  switch (error) {
    case EACCES:
    case EPERM:
      remedy = ": run as the archive's owner, or change its permissions";
      break;
    case EROFS:
      remedy = ": mount it writable, or name a directory on another disk";
      break;
    case ENOSPC:
    case EDQUOT:
      remedy = ": make room, or create the archive with a smaller capacity (--capacity)";
      break;
    case ENOLCK:
    case EOPNOTSUPP:
      remedy = ": name a directory on a local disk";
      break;
  }
  return absl::Status(status.code(), absl::StrCat(status.message(), remedy));
}

absl::StatusOr<UniqueFd> OpenFile(const std::string& path, int flags) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, kFileMode);
  if (fd < 0) return Refused("open", path, errno);
  return UniqueFd(fd);
}

absl::Status SyncDirectory(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY | O_DIRECTORY));
  return fsync(fd.get()) == 0 ? absl::OkStatus() : FileError("fsync", path, errno);
}

absl::Status MakeDirectory(const std::string& path) {
  if (mkdir(path.c_str(), kDirectoryMode) == 0 || errno == EEXIST) return absl::OkStatus();
  const int error = errno;
  if (error == ENOENT) {
    return absl::NotFoundError(
        absl::StrCat("create ", path, ": the directory it should be in does not exist: create it"));
  }
  return Refused("create", path, error);
}

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

// All of a small file; NOT_FOUND when there is none.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY));
  std::string text(2 * kMetaBytes, '\0');
  const ssize_t n = pread(fd.get(), text.data(), text.size(), 0);
  if (n < 0) return FileError("read", path, errno);
  text.resize(static_cast<size_t>(n));
  return text;
}

// Written beside, synced and renamed: there is always one whole file.
absl::Status WriteMeta(const std::string& directory, const ArchiveMeta& meta) {
  const std::string path = MetaPath(directory);
  const std::string temporary = path + ".tmp";
  const auto bytes = EncodeMeta(meta);
  SLUICE_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(temporary, O_WRONLY | O_CREAT | O_TRUNC));
  SLUICE_RETURN_IF_ERROR(WriteFully(fd.get(), temporary, {0}, bytes));
  if (fsync(fd.get()) != 0) return FileError("fsync", temporary, errno);
  if (rename(temporary.c_str(), path.c_str()) != 0) return FileError("rename to", path, errno);
  return SyncDirectory(directory);
}

// So large, and every block of it there: a write into it never meets ENOSPC. What the file
// holds already stays.
absl::Status Allocate(const std::string& path, ByteCount size) {
  SLUICE_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDWR | O_CREAT));
  if (const int error = posix_fallocate(fd.get(), 0, static_cast<off_t>(size.value)); error != 0) {
    return Refused(absl::StrCat("allocate ", Readable(size), " for"), path, error);
  }
  if (ftruncate(fd.get(), static_cast<off_t>(size.value)) != 0) {
    return FileError("set the length of", path, errno);
  }
  return absl::OkStatus();
}

absl::Status SyncFile(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDWR));
  return fsync(fd.get()) == 0 ? absl::OkStatus() : FileError("fsync", path, errno);
}

// All segment files and the directory they are in. A few files are synced one by one, for others
// may have much to write; many all at once, for each sync takes its milliseconds.
absl::Status SyncSegments(const std::string& directory, uint32_t count) {
  constexpr uint32_t kFew = 128;
  const std::string segments = SegmentsPath(directory);
  if (count > kFew) {
    SLUICE_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(segments, O_RDONLY | O_DIRECTORY));
    return syncfs(fd.get()) == 0 ? absl::OkStatus() : FileError("sync", segments, errno);
  }
  for (uint32_t slot = 0; slot < count; ++slot) {
    SLUICE_RETURN_IF_ERROR(SyncFile(Archive::SegmentPath(directory, slot)));
  }
  return SyncDirectory(segments);
}

// What an interrupted creation left, in blocks that are already ours.
ByteCount AllocatedAlready(const std::string& directory) {
  ByteCount sum;
  DIR* segments = opendir(SegmentsPath(directory).c_str());
  if (segments == nullptr) return sum;
  while (const dirent* entry = readdir(segments)) {
    struct stat info = {};
    if (fstatat(dirfd(segments), entry->d_name, &info, 0) == 0 && S_ISREG(info.st_mode)) {
      sum += {static_cast<uint64_t>(info.st_blocks) * 512};
    }
  }
  closedir(segments);
  return sum;
}

// For the catalog, which grows with the number of streams.
ByteCount CatalogReserve(ByteCount capacity) {
  return {std::clamp(capacity.value / 64, MiB(1).value, MiB(256).value)};
}

// How the archive is to be cut, or what is wrong with that.
absl::StatusOr<ArchiveMeta> PlanCapacity(const ArchiveOptions& options) {
  const std::string& path = options.directory;
  struct statvfs disk = {};
  if (statvfs(path.c_str(), &disk) != 0) return FileError("ask for the free space of", path, errno);
  const ByteCount free =
      ByteCount{uint64_t{disk.f_bavail} * disk.f_frsize} + AllocatedAlready(path);
  ByteCount capacity = options.capacity;
  if (capacity.value == 0) {
    capacity = std::min(kCapacityDefault, ByteCount{RoundDown(free.value / 4 * 3, MiB(1).value)});
  }
  ArchiveMeta meta;
  meta.segment = options.segment;
  if (meta.segment.value == 0) {
    meta.segment = {
        RoundDown(std::clamp(capacity.value / 64, MiB(16).value, MiB(256).value), MiB(1).value)};
  }
  if (meta.segment < kSegmentBytesMin || meta.segment > kSegmentBytesMax ||
      meta.segment.value % kBlockBytes != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "segments of ", Readable(meta.segment), ": they can have from ", Readable(kSegmentBytesMin),
        " to ", Readable(kSegmentBytesMax), ", in multiples of 4 KiB"));
  }
  const uint64_t count = capacity.value / meta.segment.value;
  if (count > kSegmentCountMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("capacity ", Readable(capacity), " is more than ", kSegmentCountMax,
                     " segments of ", Readable(meta.segment), ": ask for larger segments"));
  }
  meta.segment_count = static_cast<uint32_t>(count);
  const ByteCount needed = meta.capacity() + CatalogReserve(capacity);
  if (needed > free || (options.capacity.value == 0 && count < kSegmentCountMin)) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "create archive ", path, ": capacity ", Readable(capacity), " needs ", Readable(needed),
        ", the disk has ", Readable(free), " free: choose a smaller capacity (--capacity), ",
        "another directory, or make room"));
  }
  if (count < kSegmentCountMin) {
    return absl::InvalidArgumentError(
        absl::StrCat("capacity ", Readable(capacity), " is too small: an archive has at least ",
                     kSegmentCountMin, " segments, here of ", Readable(meta.segment)));
  }
  return meta;
}

absl::StatusOr<std::array<uint8_t, 16>> NewUuid() {
  std::array<uint8_t, 16> uuid;
  if (getrandom(uuid.data(), uuid.size(), 0) != static_cast<ssize_t>(uuid.size())) {
    return absl::ErrnoToStatus(errno, "getrandom");
  }
  uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0F) | 0x40);  // version 4: random
  uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3F) | 0x80);
  return uuid;
}

// One more than the highest number that a segment file has.
uint32_t CountSlots(const std::string& directory) {
  uint32_t count = 0;
  DIR* segments = opendir(SegmentsPath(directory).c_str());
  if (segments == nullptr) return 0;
  while (const dirent* entry = readdir(segments)) {
    absl::string_view name = entry->d_name;
    uint32_t slot = 0;
    if (absl::ConsumeSuffix(&name, ".seg") && absl::SimpleAtoi(name, &slot) &&
        slot < kSegmentCountMax) {
      count = std::max(count, slot + 1);
    }
  }
  closedir(segments);
  return count;
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
  if (meta) meta->segment_count = slots;
  return meta;
}

// Asking again for what an archive has is fine, asking for something else is not.
absl::Status CheckSameShape(const ArchiveOptions& options, const ArchiveMeta& meta) {
  if (options.capacity.value != 0 &&
      options.capacity.value / meta.segment.value != meta.segment_count) {
    return absl::FailedPreconditionError(
        absl::StrCat("archive ", options.directory, " was created with a capacity of ",
                     Readable(meta.capacity()), ", and ", Readable(options.capacity),
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

// Some file systems take the flag and refuse the reads.
bool DirectReadWorks(int fd) {
  AlignedBuffer block(kBlockBytes);
  return pread(fd, block.data(), block.size(), 0) == static_cast<ssize_t>(block.size());
}

std::string Describe(const absl::StatusOr<ArchiveHolder>& holder) {
  if (!holder.ok()) return "another process";
  return absl::StrCat("process ", holder->pid,
                      holder->purpose.empty() ? "" : absl::StrCat(" (", holder->purpose, ")"));
}

}  // namespace

std::string Archive::SegmentPath(const std::string& directory, uint32_t slot) {
  return absl::StrFormat("%s/%06d.seg", SegmentsPath(directory), slot);
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
  const std::string path = LockPath(directory);
  SLUICE_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY));
  if (flock(fd.get(), LOCK_SH | LOCK_NB) == 0) {
    return absl::NotFoundError(absl::StrCat("nobody has archive ", directory, " open for writing"));
  }
  if (errno != EWOULDBLOCK) return Refused("lock", path, errno);
  // Whoever has just taken the lock is about to say so.
  absl::StatusOr<ArchiveHolder> holder;
  for (int attempt = 0; attempt < kLockAttempts; ++attempt) {
    SLUICE_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path));
    holder = ParseHolder(text);
    if (holder.ok()) break;
    absl::SleepFor(kLockPause);
  }
  return holder;
}

absl::Status Archive::Lock(const ArchiveOptions& options) {
  const std::string path = LockPath(directory_);
  SLUICE_ASSIGN_OR_RETURN(lock_, OpenFile(path, O_RDWR | O_CREAT));
  for (int attempt = 1; flock(lock_.get(), LOCK_EX | LOCK_NB) != 0; ++attempt) {
    if (errno != EWOULDBLOCK) return Refused("lock", path, errno);
    if (attempt == kLockAttempts) {
      return absl::FailedPreconditionError(
          absl::StrCat("archive ", directory_, " is already open for writing by ",
                       Describe(Holder(directory_)), ": stop it, or choose another directory"));
    }
    absl::SleepFor(kLockPause);
  }
  const std::string text = EncodeHolder(
      {.pid = getpid(), .purpose = options.purpose, .socket_path = options.socket_path});
  if (ftruncate(lock_.get(), 0) != 0) return FileError("write", path, errno);
  return WriteFully(lock_.get(), path, {0},
                    {reinterpret_cast<const std::byte*>(text.data()), text.size()});
}

// The ARCHIVE file comes last: where it is, everything else was there once.
absl::Status Archive::Create(const ArchiveOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(meta_, PlanCapacity(options));
  SLUICE_ASSIGN_OR_RETURN(meta_.uuid, NewUuid());
  meta_.created = {absl::GetCurrentTimeNanos()};
  // A catalog without segments speaks of what is not here any more.
  const std::string catalog = CatalogPath(directory_);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    rename((catalog + suffix).c_str(), (catalog + ".old" + suffix).c_str());
  }
  SLUICE_RETURN_IF_ERROR(MakeDirectory(SegmentsPath(directory_)));
  for (uint32_t slot = 0; slot < meta_.segment_count; ++slot) {
    const absl::Status status = Allocate(SegmentPath(directory_, slot), meta_.segment);
    if (status.ok()) continue;
    // The disk filled up meanwhile: give back what was taken.
    do {
      unlink(SegmentPath(directory_, slot).c_str());
    } while (slot-- > 0);
    return status;
  }
  // Those of an interrupted creation that was to be larger.
  for (uint32_t slot = meta_.segment_count; slot < kSegmentCountMax; ++slot) {
    if (unlink(SegmentPath(directory_, slot).c_str()) != 0) break;
  }
  SLUICE_RETURN_IF_ERROR(SyncSegments(directory_, meta_.segment_count));
  return WriteMeta(directory_, meta_);
}

absl::Status Archive::RaiseEpoch() {
  if (meta_.epoch >= kEpochMax) {
    return absl::ResourceExhaustedError(absl::StrCat("archive ", directory_, " was opened ",
                                                     meta_.epoch, " times: create a new one"));
  }
  ++meta_.epoch;
  return WriteMeta(directory_, meta_);
}

absl::Status Archive::OpenSegment(uint32_t slot) {
  const std::string path = SegmentPath(directory_, slot);
  struct stat info = {};
  const bool exists = stat(path.c_str(), &info) == 0;
  if (!exists || static_cast<uint64_t>(info.st_size) < meta_.segment.value) {
    warnings_.push_back(
        exists ? absl::StrCat("segment file ", path, " has only ", info.st_size, " of ",
                              meta_.segment.value,
                              " bytes: it was made whole again, what was cut off is lost")
               : absl::StrCat("segment file ", path,
                              " is missing: a new one was made, what it held is lost"));
    ++slots_recreated_;
    SLUICE_RETURN_IF_ERROR(Allocate(path, meta_.segment));
    SLUICE_RETURN_IF_ERROR(SyncFile(path));
  }
  SLUICE_ASSIGN_OR_RETURN(segment_fds_[slot],
                          OpenFile(path, O_RDWR | (geometry_.direct ? O_DIRECT : 0)));
  return absl::OkStatus();
}

absl::Status Archive::OpenSegments() {
  SLUICE_RETURN_IF_ERROR(ProvideOpenFiles(meta_.segment_count));
  SLUICE_RETURN_IF_ERROR(MakeDirectory(SegmentsPath(directory_)));
  segment_fds_.resize(meta_.segment_count);

  // Ask whether and how direct I/O works where nothing can go wrong.
  const std::string probe = MetaPath(directory_);
  absl::StatusOr<UniqueFd> fd = OpenFile(probe, O_RDONLY | O_DIRECT);
  const bool direct = fd.ok() && DirectReadWorks(fd->get());
  if (!fd.ok()) fd = OpenFile(probe, O_RDONLY);
  if (!fd.ok()) return fd.status();
  SLUICE_ASSIGN_OR_RETURN(geometry_, DiskGeometry::Probe(fd->get()));
  if (!direct || !geometry_.direct) {
    geometry_.direct = false;
    geometry_.memory_align = geometry_.offset_align = kBlockBytes;
    warnings_.push_back(absl::StrCat(
        "the file system of ", directory_,
        " has no direct I/O: writes go through the page cache, which copies every byte once more; ",
        "ext4 or XFS on a local disk do better"));
  }
  uint32_t lost = 0;
  absl::Status why;
  for (uint32_t slot = 0; slot < meta_.segment_count; ++slot) {
    const absl::Status status = OpenSegment(slot);
    if (status.ok()) continue;
    ++lost;
    why = status;
    warnings_.push_back(absl::StrCat(status.message(), ": this segment is left out"));
  }
  if (lost == meta_.segment_count) return why;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Archive>> Archive::Open(const ArchiveOptions& options) {
  auto archive = std::unique_ptr<Archive>(new Archive);
  archive->directory_ = options.directory;
  SLUICE_RETURN_IF_ERROR(CheckDirectory(options));
  absl::StatusOr<ArchiveMeta> meta = ReadMeta(options.directory);
  if (absl::IsNotFound(meta.status()) && !options.create) return meta.status();
  SLUICE_RETURN_IF_ERROR(archive->Lock(options));

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
    archive->meta_ = *meta;
  } else if (absl::IsNotFound(meta.status()) && options.create) {
    SLUICE_RETURN_IF_ERROR(archive->Create(options));
  } else if (absl::IsDataLoss(meta.status())) {
    return absl::DataLossError(absl::StrCat(
        meta.status().message(),
        ", and no segment says what it held: ", "name another directory, or remove this one"));
  } else {
    return meta.status();
  }
  SLUICE_RETURN_IF_ERROR(archive->RaiseEpoch());
  SLUICE_RETURN_IF_ERROR(archive->OpenSegments());
  return archive;
}

}  // namespace sluice
