// A stretch of a segment file in memory, read in large pieces.
#ifndef CONTROL_QUERY_EXTENT_WINDOW_H_
#define CONTROL_QUERY_EXTENT_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ingest/units.h"
#include "writer/segment/file_io.h"
#include "writer/segment/segment_reader.h"

namespace sluice {

// Moves forward over one segment. How far it reads beyond what is asked for is the caller's to
// say, for only he knows whether he will go on. Who goes on at full length has the next piece
// read, and verified, by a thread of its own meanwhile. Thread-compatible.
class ExtentWindow {
 public:
  static constexpr ByteCount kAheadMax = MiB(4);

  // `segment`, the file at `path`, outlives the window.
  ExtentWindow(SegmentReader& segment, std::string path)
      : segment_(&segment), path_(std::move(path)) {}

  // The `bytes` at `at`, both multiples of kBlockBytes; valid until the next call. Where they
  // must be read, so is what follows them, up to `ahead` in all, but nothing from `limit` on:
  // what lies there may still change.
  absl::StatusOr<absl::Span<const std::byte>> Get(FileOffset at, ByteCount bytes, ByteCount ahead,
                                                  FileOffset limit);

  // Grows when there are bytes of which it is not known that they were the segment's when they
  // were read: see SegmentReader::StillHolds().
  uint64_t unverified_reads() const { return reads_; }

 private:
  // Being read, from end_ on.
  struct Next {
    AlignedBuffer memory;  // kHeadroom, then the bytes
    ByteCount bytes;
    std::future<bool> done;  // its destruction waits
  };
  // For what the window keeps when it moves on: the beginning of an extent.
  static constexpr ByteCount kHeadroom = KiB(1280);

  std::byte* Address(FileOffset at) { return memory_.data() + offset_ + (at - begin_).value; }
  absl::Status ReadOn(FileOffset at, FileOffset end);
  void TakeNext(FileOffset at);
  void StartNext(FileOffset limit);

  SegmentReader* const segment_;
  const std::string path_;
  AlignedBuffer memory_;  // from offset_ on it holds [begin_, end_) of the file
  uint64_t offset_ = 0;
  FileOffset begin_;
  FileOffset end_;
  uint64_t reads_ = 0;

  std::unique_ptr<SegmentReader> next_segment_;  // for the thread
  AlignedBuffer spare_;
  std::unique_ptr<Next> next_;
};

}  // namespace sluice

#endif  // CONTROL_QUERY_EXTENT_WINDOW_H_
