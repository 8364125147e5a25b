// How a stream is named: by the archive's epoch, the lane that received it, and a counter.
#ifndef WRITER_STREAM_ID_H_
#define WRITER_STREAM_ID_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "ingest/units.h"

namespace sluice {

// The epoch grows by one each time the archive is opened for writing, so a name is never given
// twice, even when a crash took the last names that were given.
//
//   bits 63..40 epoch   39..32 lane   31..0 counter, from 1
struct StreamIdParts {
  uint32_t epoch = 0;
  uint8_t lane = 0;
  uint32_t counter = 0;
};

constexpr StreamId MakeStreamId(StreamIdParts parts) {
  return StreamId{uint64_t{parts.epoch & 0xFFFFFF} << 40 | uint64_t{parts.lane} << 32 |
                  parts.counter};
}
constexpr StreamIdParts SplitStreamId(StreamId id) {
  const uint64_t bits = static_cast<uint64_t>(id);
  return {static_cast<uint32_t>(bits >> 40), static_cast<uint8_t>(bits >> 32),
          static_cast<uint32_t>(bits)};
}

// "3-0-17": the last part of the resource name recordings/RECORDING/streams/3-0-17.
std::string StreamIdToString(StreamId id);
std::optional<StreamId> ParseStreamId(absl::string_view text);

}  // namespace sluice

#endif  // WRITER_STREAM_ID_H_
