// The first block of a segment file, and the footer at its end.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "ingest/check.h"
#include "writer/extent/crc32c.h"
#include "writer/segment/segment_codec.h"

namespace sluice {
namespace {

void ParseHeader(std::vector<std::byte> bytes) {
  for (const bool with_checksum : {false, true}) {
    if (with_checksum) {
      if (bytes.size() != sizeof(SegmentHeader)) return;
      SegmentHeader header;
      std::memcpy(&header, bytes.data(), sizeof(header));
      SealSegmentHeader(header);
      std::memcpy(bytes.data(), &header, sizeof(header));
    }
    const absl::StatusOr<SegmentHeader> header = ParseSlotHeader(bytes);
    if (!header.ok()) continue;
    SLUICE_CHECK(RecordingName(*header).size() <= kRecordingNameBytesMax);
    SLUICE_CHECK(ParseSegmentHeader(bytes).ok() != IsEmptySlot(*header));
    // A slot that is given up is empty from then on, and keeps its id.
    const SegmentHeader empty = EmptySlotHeader(*header);
    const absl::StatusOr<SegmentHeader> again =
        ParseSlotHeader({reinterpret_cast<const std::byte*>(&empty), sizeof(empty)});
    SLUICE_CHECK(again.ok() && IsEmptySlot(*again) && again->segment_id == header->segment_id);
  }
}

void CheckUsable(const SegmentFooter& footer, ByteCount size) {
  uint64_t end = kBlockBytes;
  for (const ExtentRecord& extent : footer.extents) {
    SLUICE_CHECK(extent.offset >= end);
    SLUICE_CHECK(extent.header_bytes <= extent.extent_bytes);
    end = extent.offset + extent.extent_bytes;
    SLUICE_CHECK(end <= footer.trailer.footer_offset);
  }
  SLUICE_CHECK(footer.trailer.footer_offset + footer.trailer.footer_bytes == size.value);
  for (const StreamRecord& stream : footer.streams) {
    SLUICE_CHECK(stream.begin <= stream.end);
    SLUICE_CHECK(stream.last_extent < footer.extents.size());
  }
}

// As the end of a file of 1 MiB.
void ParseFooter(std::vector<std::byte> bytes) {
  constexpr ByteCount kSize = MiB(1);
  SegmentTrailer trailer;
  if (bytes.size() < sizeof(trailer)) return;
  std::byte* const end = bytes.data() + bytes.size() - sizeof(trailer);
  for (const bool with_checksum : {false, true}) {
    std::memcpy(&trailer, end, sizeof(trailer));
    if (with_checksum) {
      trailer.records_crc32c =
          Crc32c(absl::MakeSpan(bytes).subspan(0, bytes.size() - sizeof(trailer)));
      SealSegmentTrailer(trailer);
      std::memcpy(end, &trailer, sizeof(trailer));
    }
    const SegmentId id{trailer.segment_id};
    const absl::StatusOr<SegmentTrailer> parsed = ParseSegmentTrailer(bytes, id, kSize);
    const absl::StatusOr<SegmentFooter> footer = ParseSegmentFooter(bytes, id, kSize);
    SLUICE_CHECK(parsed.ok() || !footer.ok());
    if (footer.ok()) CheckUsable(*footer, kSize);
  }
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  sluice::ParseHeader(bytes);
  sluice::ParseFooter(bytes);
  return 0;
}
