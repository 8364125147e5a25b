#ifndef TESTS_BENCH_STREAM_CONTENT_H_
#define TESTS_BENCH_STREAM_CONTENT_H_

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice {

// What test streams contain: a function of seed, stream and position, so that the
// sender costs nothing and every byte can be checked.
//
// A stream is a sequence of frames: a stamp (stream, position) and a body, which is
// a window of one pseudo-random block. No two frames are alike. The length of a frame
// is odd, so that frames never keep step with pages, chunks or disk blocks.
class StreamContent {
 public:
  struct Stamp {
    uint64_t stream;
    uint64_t position;
  };

  static constexpr size_t kFrameBytes = 65519;
  static constexpr size_t kBodyBytes = kFrameBytes - sizeof(Stamp);

  explicit StreamContent(uint64_t seed);

  const char* Body(Stamp stamp) const;

 private:
  uint64_t seed_;
  std::vector<uint64_t> block_;
};

// Bytes [position, position + bytes) of a stream, or the first of them, for writev().
class ContentPart {
 public:
  ContentPart(const StreamContent& content, uint64_t stream, uint64_t position, uint64_t bytes);
  ContentPart(const ContentPart&) = delete;  // The vectors point to the stamps.
  ContentPart& operator=(const ContentPart&) = delete;

  const iovec* vectors() const { return vectors_.data(); }
  int count() const { return count_; }
  uint64_t bytes() const { return bytes_; }

 private:
  static constexpr int kFramesMax = 17;  // A megabyte, wherever it starts.

  void Append(void* data, uint64_t size, uint64_t* skip, uint64_t* left);

  std::array<StreamContent::Stamp, kFramesMax> stamps_;
  std::array<iovec, 2 * kFramesMax> vectors_;
  int count_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace sluice

#endif  // TESTS_BENCH_STREAM_CONTENT_H_
