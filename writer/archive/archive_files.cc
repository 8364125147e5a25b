#include "writer/archive/archive_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive_codec.h"
#include "writer/readable.h"

namespace sluice {
namespace {

constexpr mode_t kFileMode = 0640;
constexpr mode_t kDirectoryMode = 0750;

std::string SegmentsPath(const std::string& directory) { return directory + "/segments"; }

// All segment files and the directory they are in. A few files are synced one by one, for others
// may have much to write; many all at once, for each sync takes its milliseconds.
absl::Status SyncSlots(const std::string& directory, uint32_t first, uint32_t count) {
  constexpr uint32_t kFew = 128;
  const std::string segments = SegmentsPath(directory);
  if (count > kFew) {
    SLUICE_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(segments, O_RDONLY | O_DIRECTORY));
    return syncfs(fd.get()) == 0 ? absl::OkStatus() : FileError("sync", segments, errno);
  }
  for (uint32_t slot = first; slot < first + count; ++slot) {
    SLUICE_RETURN_IF_ERROR(SyncFile(SlotPath(directory, slot)));
  }
  return SyncDirectory(segments);
}

}  // namespace

std::string SlotPath(const std::string& directory, uint32_t slot) {
  return absl::StrFormat("%s/%06d.seg", SegmentsPath(directory), slot);
}

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

absl::Status SyncFile(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDWR));
  return fsync(fd.get()) == 0 ? absl::OkStatus() : FileError("fsync", path, errno);
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY));
  std::string text(2 * kMetaBytes, '\0');
  const ssize_t n = pread(fd.get(), text.data(), text.size(), 0);
  if (n < 0) return FileError("read", path, errno);
  text.resize(static_cast<size_t>(n));
  return text;
}

absl::Status ReplaceFile(const std::string& directory, const std::string& name,
                         absl::Span<const std::byte> bytes) {
  const std::string path = absl::StrCat(directory, "/", name);
  const std::string temporary = path + ".tmp";
  SLUICE_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(temporary, O_WRONLY | O_CREAT | O_TRUNC));
  if (const absl::Status written = WriteFully(fd.get(), temporary, {0}, bytes); !written.ok()) {
    unlink(temporary.c_str());
    if (!absl::IsResourceExhausted(written)) return written;
    return absl::ResourceExhaustedError(
        absl::StrCat("the disk of ", directory, " has no room to write ", name,
                     " anew: make some there, a few MiB will do; nothing was changed"));
  }
  if (fsync(fd.get()) != 0) return FileError("fsync", temporary, errno);
  if (rename(temporary.c_str(), path.c_str()) != 0) return FileError("rename to", path, errno);
  return SyncDirectory(directory);
}

absl::Status MoveCatalogAside(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const std::string from = path + suffix;
    const std::string to = absl::StrCat(path, ".damaged", suffix);
    if (rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) {
      return FileError("move aside", from, errno);
    }
  }
  return absl::OkStatus();
}

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

absl::Status MakeSlots(const std::string& directory, uint32_t first, uint32_t count,
                       ByteCount segment) {
  SLUICE_RETURN_IF_ERROR(MakeDirectory(SegmentsPath(directory)));
  for (uint32_t made = 0; made < count; ++made) {
    const absl::Status status = Allocate(SlotPath(directory, first + made), segment);
    if (status.ok()) continue;
    // The disk filled up meanwhile: give back what was taken.
    do {
      unlink(SlotPath(directory, first + made).c_str());
    } while (made-- > 0);
    return status;
  }
  // Those of an interrupted creation that was to be larger.
  for (uint32_t slot = first + count; slot < kSegmentCountMax; ++slot) {
    if (unlink(SlotPath(directory, slot).c_str()) != 0) break;
  }
  return SyncSlots(directory, first, count);
}

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

}  // namespace sluice
