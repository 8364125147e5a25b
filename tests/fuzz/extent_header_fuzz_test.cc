// Extent headers: whatever the bytes are, what is accepted can be used without looking twice.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/types/span.h"
#include "ingest/check.h"
#include "writer/extent/extent_codec.h"
#include "writer/segment/footer_builder.h"

namespace sluice {
namespace {

void CheckUsable(const ExtentIndex& index) {
  const ExtentHeader& header = index.header;
  SLUICE_CHECK(index.fragments.size() == header.fragment_count);
  SLUICE_CHECK(index.events.size() == header.event_count);
  uint64_t payload_bytes = 0;
  for (const FragmentEntry& fragment : index.fragments) {
    SLUICE_CHECK(fragment.payload_offset >= header.header_bytes);
    SLUICE_CHECK(uint64_t{fragment.payload_offset} + fragment.length <= header.extent_bytes);
    SLUICE_CHECK(fragment.stream_offset + fragment.length >= fragment.stream_offset);
    payload_bytes += fragment.length;
  }
  SLUICE_CHECK(payload_bytes == header.payload_bytes);
  for (const StreamEvent& event : index.events) SLUICE_CHECK(!event.peer.ToString().empty());
  // What recovery does with it.
  FooterBuilder footer;
  footer.Add(index.at, header, index.fragments, index.events);
  SLUICE_CHECK(footer.FooterBytes() <=
               footer.FooterBytesAfter(0, index.fragments.size() + index.events.size()));
}

void Parse(absl::Span<const std::byte> bytes) {
  const absl::StatusOr<ExtentHeader> fixed = ParseExtentHeader(bytes);
  const absl::StatusOr<ExtentIndex> index = ParseExtentIndex({kBlockBytes}, bytes);
  SLUICE_CHECK(fixed.ok() || !index.ok());
  if (index.ok()) CheckUsable(*index);
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  sluice::Parse(bytes);
  // Once more with the checksum made right, which no fuzzer guesses.
  if (size >= sizeof(sluice::ExtentHeader)) {
    sluice::SealExtentHeader(absl::MakeSpan(bytes));
    sluice::Parse(bytes);
  }
  return 0;
}
