// A stretch of a segment file in memory, read in large pieces.
#ifndef CONTROL_QUERY_EXTENT_WINDOW_H_
#define CONTROL_QUERY_EXTENT_WINDOW_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ingest/units.h"
#include "writer/segment/file_io.h"
#include "writer/segment/segment_reader.h"

namespace sluice {

// Moves forward over one segment. How far it reads beyond what is asked for is the caller's to
// say, for only he knows whether he will go on. Thread-compatible.
class ExtentWindow {
 public:
  static constexpr ByteCount kAheadMax = MiB(4);

  // `segment` outlives the window.
  explicit ExtentWindow(SegmentReader& segment) : segment_(&segment) {}

  // The `bytes` at `at`, both multiples of kBlockBytes; valid until the next call. Where they
  // must be read, so is what follows them, up to `ahead` in all, but nothing from `limit` on:
  // what lies there may still change.
  absl::StatusOr<absl::Span<const std::byte>> Get(FileOffset at, ByteCount bytes, ByteCount ahead,
                                                  FileOffset limit);

  // How often the file was read: to see whether the bytes are new.
  uint64_t reads() const { return reads_; }

 private:
  void Reserve(uint64_t capacity);
  absl::Status Fill(FileOffset end);

  SegmentReader* segment_;
  AlignedBuffer memory_;
  FileOffset begin_;  // memory_ holds [begin_, end_) of the file
  FileOffset end_;
  uint64_t reads_ = 0;
};

}  // namespace sluice

#endif  // CONTROL_QUERY_EXTENT_WINDOW_H_
