// What ties a segment to its archive, its track and the segment before it.
#ifndef WRITER_SEGMENT_SEGMENT_LINK_H_
#define WRITER_SEGMENT_SEGMENT_LINK_H_

#include <array>
#include <cstdint>

#include "ingest/units.h"

namespace sluice {

using Sha256 = std::array<uint8_t, 32>;

// A sealed segment, and FooterSha256() of its footer (footer_hash.h).
struct SegmentLink {
  SegmentId id{};      // 0: none
  Sha256 footer = {};  // zeros: not known

  bool operator==(const SegmentLink&) const = default;
};

// What a footer says of its segment besides what is in it. Without a recording it says nothing,
// and the footer is no link of a chain.
struct SegmentOrigin {
  std::array<uint8_t, 16> archive_uuid = {};
  uint64_t recording_uid = 0;
  uint32_t epoch = 0;
  LaneId lane{};
  SegmentLink previous;  // in the track: the same recording on the same lane, epochs aside

  bool operator==(const SegmentOrigin&) const = default;
};

}  // namespace sluice

#endif  // WRITER_SEGMENT_SEGMENT_LINK_H_
