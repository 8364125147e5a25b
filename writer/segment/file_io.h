// Whole reads and writes at a place in a file, from memory that O_DIRECT accepts.
#ifndef WRITER_SEGMENT_FILE_IO_H_
#define WRITER_SEGMENT_FILE_IO_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "ingest/units.h"

namespace sluice {

// "open /data/a: No such file or directory", with the code that belongs to `error`.
absl::Status FileError(absl::string_view what, const std::string& path, int error);

// Reads or writes all of it, or fails. With O_DIRECT, place and length are multiples of
// kBlockBytes and the memory is an AlignedBuffer's. Reading past the end is DATA_LOSS.
absl::Status ReadFully(int fd, const std::string& path, FileOffset at, absl::Span<std::byte> out);
absl::Status WriteFully(int fd, const std::string& path, FileOffset at,
                        absl::Span<const std::byte> bytes);

// Zeroed memory that begins on a multiple of kBlockBytes, and is a multiple of it long.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t bytes);
  AlignedBuffer(AlignedBuffer&& from) noexcept
      : data_(std::move(from.data_)), size_(std::exchange(from.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& from) noexcept {
    data_ = std::move(from.data_);
    size_ = std::exchange(from.size_, 0);
    return *this;
  }

  size_t size() const { return size_; }
  std::byte* data() { return data_.get(); }
  absl::Span<std::byte> span() { return {data_.get(), size_}; }
  absl::Span<const std::byte> span() const { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
};

// Closes a descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& from) noexcept : fd_(from.release()) {}
  UniqueFd& operator=(UniqueFd&& from) noexcept;
  ~UniqueFd();

  int get() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace sluice

#endif  // WRITER_SEGMENT_FILE_IO_H_
