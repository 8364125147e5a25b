// From the bytes of an extent's header to its parts. Pure: no files; trusts nothing.
#ifndef WRITER_EXTENT_EXTENT_CODEC_H_
#define WRITER_EXTENT_EXTENT_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ingest/units.h"
#include "writer/extent/format.h"

namespace sluice {

// An extent's header block(s), checked: magic, version, CRC, and that every entry lies inside.
struct ExtentIndex {
  FileOffset at;
  ExtentHeader header;
  std::vector<FragmentEntry> fragments;
  std::vector<StreamEvent> events;
};

// How many bytes the tables of an extent need, before they are rounded up to header_bytes.
constexpr uint64_t ExtentTableBytes(uint64_t fragments, uint64_t events) {
  return sizeof(ExtentHeader) + fragments * sizeof(FragmentEntry) + events * sizeof(StreamEvent);
}

// The fixed part from an extent's first block: enough to know how long the header and the extent
// are. The checksum is not looked at, since the other blocks are not here yet.
// OUT_OF_RANGE: no extent begins here. FAILED_PRECONDITION: a newer format. DATA_LOSS: damaged.
absl::StatusOr<ExtentHeader> ParseExtentHeader(absl::Span<const std::byte> first_block);

// The whole header, exactly header_bytes of it.
absl::StatusOr<ExtentIndex> ParseExtentIndex(FileOffset at, absl::Span<const std::byte> header);

// The checksum that belongs into `header_crc32c`, over `header` with that field zero.
uint32_t ExtentHeaderCrc(absl::Span<const std::byte> header);
// Writes it there: the last step of building a header.
void SealExtentHeader(absl::Span<std::byte> header);

}  // namespace sluice

#endif  // WRITER_EXTENT_EXTENT_CODEC_H_
