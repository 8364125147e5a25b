// A whole segment as readers take it: the header, the footer, and each extent that it names.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ingest/check.h"
#include "tests/fuzz/spoiled_segment.h"
#include "writer/archive/verify_segment.h"
#include "writer/segment/segment_reader.h"

namespace sluice {
namespace {

void UseFooter(SegmentReader& reader, ByteCount size) {
  Sha256 hash = {};
  const absl::StatusOr<SegmentFooter> footer = reader.ReadFooter(&hash);
  if (!footer.ok()) return;
  for (const StreamRecord& stream : footer->streams) {
    SLUICE_CHECK(stream.begin <= stream.end);
    SLUICE_CHECK(stream.first_extent <= stream.last_extent);
    SLUICE_CHECK(stream.last_extent < footer->extents.size());
  }
  for (const ExtentRecord& record : footer->extents) {
    const absl::StatusOr<ExtentIndex> extent = reader.ReadExtentIndex({record.offset});
    if (!extent.ok()) continue;
    SLUICE_CHECK(extent->at.value + extent->header.extent_bytes <= size.value);
    reader.CheckPayload(*extent).IgnoreError();
    for (const FragmentEntry& fragment : extent->fragments) {
      std::vector<std::byte> bytes(fragment.length);
      SLUICE_CHECK(
          reader.Read(extent->at + ByteCount{fragment.payload_offset}, absl::MakeSpan(bytes)).ok());
    }
  }
}

void Use(const std::string& path) {
  absl::StatusOr<std::unique_ptr<SegmentReader>> reader = SegmentReader::Open(path);
  if (!reader.ok()) return;
  UseFooter(**reader, kFuzzSegment);
  SLUICE_CHECK((*reader)->StillHolds());
  for (const VerifyDepth depth : {VerifyDepth::kStructure, VerifyDepth::kFull}) {
    VerifySealedSegment(**reader, std::nullopt, depth, [](ByteCount) { return true; });
  }
  VerifyOpenSegment(**reader, {}, {kFuzzSegment.value}, [](ByteCount) { return true; });
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int file = memfd_create("segment", MFD_CLOEXEC);
  sluice::FuzzInput input(data, size);
  const auto& good = sluice::GoodSegments();
  std::vector<std::byte> segment = good[input.Take<uint8_t>() % good.size()];
  sluice::Spoil(input, absl::MakeSpan(segment));
  SLUICE_CHECK(pwrite(file, segment.data(), segment.size(), 0) ==
               static_cast<ssize_t>(segment.size()));
  sluice::Use("/proc/self/fd/" + std::to_string(file));
  return 0;
}
