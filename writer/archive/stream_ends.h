// How far streams reach in what a crash has left.
#ifndef WRITER_ARCHIVE_STREAM_ENDS_H_
#define WRITER_ARCHIVE_STREAM_ENDS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "ingest/units.h"
#include "writer/extent/extent_codec.h"

namespace sluice {

// Told of extents in the order in which they were received, tells which ones leave a hole. Power
// may take the end of one segment and leave the begin of the next, which was written at the same
// time and was not durable either; a stream ends where its first byte is missing. So does the end
// of a stream, told where bytes before it are missing, leave a hole. A gap that an extent tells of
// is not missing.
class StreamEnds {
 public:
  // `before`: where a stream ended before any of these extents, if anybody knows.
  using Before = std::function<std::optional<uint64_t>(StreamId)>;
  explicit StreamEnds(Before before) : before_(std::move(before)) {}

  enum class Fit {
    kGoesOn,
    kLeavesHole,  // then nothing is learned from it
    // All of it was there before: a disk refused it after it had taken it, and so it was written
    // again elsewhere.
    kRepeated,
  };
  // `over_holes`: it goes on in any case.
  Fit Add(const ExtentIndex& extent, bool over_holes);

 private:
  const Before before_;
  absl::flat_hash_map<uint64_t, uint64_t> ends_;  // in what was added
};

}  // namespace sluice

#endif  // WRITER_ARCHIVE_STREAM_ENDS_H_
