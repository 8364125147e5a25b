#include "writer/archive/archive_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive_files.h"

namespace sluice {
namespace {

// Who asks for the holder takes the lock for a moment: not a reason to give up.
constexpr int kLockAttempts = 10;
constexpr absl::Duration kLockPause = absl::Milliseconds(20);

std::string LockPath(const std::string& directory) { return directory + "/LOCK"; }

std::string Describe(const absl::StatusOr<ArchiveHolder>& holder) {
  if (!holder.ok()) return "another process";
  return absl::StrCat("process ", holder->pid,
                      holder->purpose.empty() ? "" : absl::StrCat(" (", holder->purpose, ")"));
}

}  // namespace

absl::StatusOr<ArchiveHolder> HolderOfLock(const std::string& directory) {
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

absl::StatusOr<UniqueFd> LockArchive(const std::string& directory, const ArchiveHolder& holder) {
  const std::string path = LockPath(directory);
  SLUICE_ASSIGN_OR_RETURN(UniqueFd lock, OpenFile(path, O_RDWR | O_CREAT));
  for (int attempt = 1; flock(lock.get(), LOCK_EX | LOCK_NB) != 0; ++attempt) {
    if (errno != EWOULDBLOCK) return Refused("lock", path, errno);
    if (attempt == kLockAttempts) {
      return absl::FailedPreconditionError(absl::StrCat(
          "archive ", directory, " is already open for writing by ",
          Describe(HolderOfLock(directory)), ": stop it, or choose another directory"));
    }
    absl::SleepFor(kLockPause);
  }
  const std::string text = EncodeHolder(holder);
  if (ftruncate(lock.get(), 0) != 0) return FileError("write", path, errno);
  SLUICE_RETURN_IF_ERROR(WriteFully(
      lock.get(), path, {0}, {reinterpret_cast<const std::byte*>(text.data()), text.size()}));
  return lock;
}

}  // namespace sluice
