#include "writer/segment/file_io.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ingest/check.h"
#include "writer/extent/format.h"

namespace sluice {

absl::Status FileError(absl::string_view what, const std::string& path, int error) {
  return absl::ErrnoToStatus(error, absl::StrCat(what, " ", path));
}

absl::Status ReadFully(int fd, const std::string& path, FileOffset at, absl::Span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t n = pread(fd, out.data(), out.size(), static_cast<off_t>(at.value));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(absl::StrCat("read at ", at.value, " of"), path, errno);
    if (n == 0) {
      return absl::DataLossError(absl::StrCat("read ", path, ": it ends at ", at.value, ", ",
                                              out.size(), " bytes too early"));
    }
    at = at + ByteCount{static_cast<uint64_t>(n)};
    out.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status WriteFully(int fd, const std::string& path, FileOffset at,
                        absl::Span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at.value));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return FileError(absl::StrCat("write at ", at.value, " of"), path, n < 0 ? errno : EIO);
    }
    at = at + ByteCount{static_cast<uint64_t>(n)};
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

AlignedBuffer::AlignedBuffer(size_t bytes) : size_(RoundUp(bytes, kBlockBytes)) {
  if (size_ == 0) return;
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(kBlockBytes, size_)));
  SLUICE_CHECK(data_ != nullptr);
  std::memset(data_.get(), 0, size_);
}

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) close(fd_);
}

UniqueFd& UniqueFd::operator=(UniqueFd&& from) noexcept {
  UniqueFd old(release());
  fd_ = from.release();
  return *this;
}

}  // namespace sluice
