// From the bytes around a segment's extents to structs and back. Pure: no files; trusts nothing.
#ifndef WRITER_SEGMENT_SEGMENT_CODEC_H_
#define WRITER_SEGMENT_SEGMENT_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ingest/units.h"
#include "writer/segment/format.h"
#include "writer/segment/segment_link.h"

namespace sluice {

struct SegmentFooter {
  std::vector<ExtentRecord> extents;
  std::vector<StreamRecord> streams;
  SegmentTrailer trailer;
};

// A footer of so many records, rounded up to blocks.
constexpr uint64_t FooterBytes(uint64_t extents, uint64_t streams) {
  return RoundUp(
      extents * sizeof(ExtentRecord) + streams * sizeof(StreamRecord) + sizeof(SegmentTrailer),
      kBlockBytes);
}

// Sets the checksum: the header is its block.
void SealSegmentHeader(SegmentHeader& header);
// The first block of a file. NOT_FOUND: the slot is empty, that is zeros or a header without a
// recording. FAILED_PRECONDITION: a newer format. DATA_LOSS: damaged.
absl::StatusOr<SegmentHeader> ParseSegmentHeader(absl::Span<const std::byte> block);
// The same, but an empty slot's header is also a header.
absl::StatusOr<SegmentHeader> ParseSlotHeader(absl::Span<const std::byte> block);
// What is written over the header of a segment that must not be found again: it keeps the id, so
// that ids go on counting upwards even when the catalog is lost.
SegmentHeader EmptySlotHeader(const SegmentHeader& last);
inline bool IsEmptySlot(const SegmentHeader& header) { return header.recording_uid == 0; }
std::string RecordingName(const SegmentHeader& header);

// Sets the checksum.
void SealSegmentTrailer(SegmentTrailer& trailer);
// The trailer is the end of `last_block`. NOT_FOUND: none of this segment's (the segment is not
// sealed). FAILED_PRECONDITION: a newer format. DATA_LOSS: damaged, or not what it can be in a
// file of `segment_bytes`.
absl::StatusOr<SegmentTrailer> ParseSegmentTrailer(absl::Span<const std::byte> last_block,
                                                   SegmentId id, ByteCount segment_bytes);
// What the trailer says of the segment itself; without a recording when it is no link of a chain.
SegmentOrigin OriginOf(const SegmentTrailer& trailer);
// The same as the header says it, behind `previous`.
SegmentOrigin OriginOf(const SegmentHeader& header, const SegmentLink& previous);
// All of the footer: trailer.footer_bytes that end with the file.
absl::StatusOr<SegmentFooter> ParseSegmentFooter(absl::Span<const std::byte> footer, SegmentId id,
                                                 ByteCount segment_bytes);

}  // namespace sluice

#endif  // WRITER_SEGMENT_SEGMENT_CODEC_H_
