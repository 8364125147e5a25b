#include "control/cli/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "writer/segment/file_io.h"

namespace sluice {
namespace {

constexpr int kPipeBytes = 1 << 20;

absl::Status Exists(const std::string& path) {
  return absl::AlreadyExistsError(
      absl::StrCat(path, " exists; choose another name, or replace it with --force"));
}

std::string TemporaryName(const std::string& path) {
  const size_t slash = path.rfind('/');
  const size_t name = slash == std::string::npos ? 0 : slash + 1;
  return absl::StrCat(path.substr(0, name), ".", path.substr(name), ".", getpid(), ".part");
}

}  // namespace

absl::StatusOr<std::unique_ptr<OutputFile>> OutputFile::Open(const std::string& path,
                                                             bool replace) {
  std::unique_ptr<OutputFile> file(new OutputFile);
  file->path_ = path == "-" ? "standard output" : path;
  file->replace_ = replace;
  if (path == "-") {
    file->fd_ = STDOUT_FILENO;
    fcntl(STDOUT_FILENO, F_SETPIPE_SZ, kPipeBytes);  // fewer turns, if it is a pipe
    return file;
  }
  struct stat info = {};
  const bool exists = stat(path.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is a directory; name a file in it"));
  }
  if (exists && !S_ISREG(info.st_mode)) {
    file->fd_ = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (file->fd_ < 0) return FileError("open", path, errno);
    return file;
  }
  if (exists && !replace) return Exists(path);
  const std::string temporary = TemporaryName(path);
  file->fd_ = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file->fd_ < 0) return FileError("create", temporary, errno);
  file->temporary_ = temporary;
  return file;
}

OutputFile::~OutputFile() {
  if (fd_ > STDERR_FILENO) close(fd_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

absl::Status OutputFile::Write(absl::Span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FileError("write", path_, errno);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status OutputFile::Commit() {
  if (fd_ == STDOUT_FILENO) return absl::OkStatus();
  // Some file systems tell only now that the bytes could not be kept.
  if (close(std::exchange(fd_, -1)) != 0) return FileError("close", path_, errno);
  if (temporary_.empty()) return absl::OkStatus();
  int renamed = -1;
  if (!replace_) {
    renamed = renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE);
    if (renamed != 0 && errno == EEXIST) return Exists(path_);
  }
  // Not every file system can rename without replacing.
  if (renamed != 0) renamed = rename(temporary_.c_str(), path_.c_str());
  if (renamed != 0) return FileError("rename to", path_, errno);
  temporary_.clear();
  return absl::OkStatus();
}

}  // namespace sluice
