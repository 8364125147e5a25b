#include "tests/fuzz/spoiled_segment.h"

#include <string>

#include "ingest/check.h"
#include "writer/extent/crc32c.h"
#include "writer/extent/extent_codec.h"
#include "writer/segment/segment_codec.h"
#include "writer/segment/test_segment.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

constexpr size_t kZones = 16;
constexpr size_t kZonesAtEnd = 2;  // for the footer; the others are the first blocks

// Where one of the blocks begins that hold anything.
size_t BlockOf(size_t zone, size_t size) {
  zone %= kZones;
  if (zone < kZones - kZonesAtEnd) return zone * kBlockBytes;
  return size - (kZones - zone) * kBlockBytes;
}

// Twelve bits of a place in a block, four of which block. A footer ends with its block.
size_t PlaceOf(uint16_t text, size_t size) {
  return BlockOf(text >> 12, size) + text % kBlockBytes;
}

void SealHeader(absl::Span<std::byte> segment) {
  SegmentHeader header;
  std::memcpy(&header, segment.data(), sizeof(header));
  SealSegmentHeader(header);
  std::memcpy(segment.data(), &header, sizeof(header));
}

// Whatever says that it is an extent's header.
void SealExtent(absl::Span<std::byte> segment, size_t at) {
  ExtentHeader header;
  std::memcpy(&header, &segment[at], sizeof(header));
  if (header.magic != ExtentHeader().magic) return;
  const size_t bytes = std::clamp<size_t>(header.header_bytes, sizeof(header), segment.size() - at);
  const absl::Span<std::byte> table = segment.subspan(at, bytes);
  SealExtentHeader(table);
  const absl::StatusOr<ExtentIndex> index = ParseExtentIndex({at}, table);
  if (!index.ok()) return;
  header.payload_crc32c = 0;
  for (const FragmentEntry& fragment : index->fragments) {
    const size_t begin = at + fragment.payload_offset;
    if (begin + fragment.length > segment.size()) return;
    header.payload_crc32c =
        ExtendCrc32c(header.payload_crc32c, segment.subspan(begin, fragment.length));
  }
  std::memcpy(table.data(), &header, sizeof(header));
  SealExtentHeader(table);
}

void SealFooter(absl::Span<std::byte> segment) {
  SegmentTrailer trailer;
  const size_t at = segment.size() - sizeof(trailer);
  std::memcpy(&trailer, &segment[at], sizeof(trailer));
  const size_t bytes =
      std::clamp<uint64_t>(trailer.footer_bytes, sizeof(trailer), kZonesAtEnd * kBlockBytes);
  trailer.records_crc32c = Crc32c(segment.subspan(segment.size() - bytes, bytes - sizeof(trailer)));
  SealSegmentTrailer(trailer);
  std::memcpy(&segment[at], &trailer, sizeof(trailer));
}

std::vector<std::byte> ImageOf(TestSegment& segment) {
  return {segment.image().begin(), segment.image().end()};
}

std::vector<std::vector<std::byte>> MakeSegments() {
  const StreamId first = MakeStreamId({1, 0, 1});
  const StreamId second = MakeStreamId({1, 0, 2});
  const StreamId third = MakeStreamId({1, 0, 3});
  TestSegmentOptions options;
  options.uuid = {0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a, 0x46, 0x69,
                  0x87, 0x96, 0xa5, 0xb4, 0xc3, 0xd2, 0xe1, 0xf0};
  options.size = kFuzzSegment;
  std::vector<std::vector<std::byte>> images;
  Ledger ledger;

  TestSegment one(options, &ledger);
  one.Add({{first, 0, "GET /"}}, {TestSegment::Open(first), TestSegment::Open(second)});
  one.Add({{first, 5, "index"}, {second, 0, "hello"}}, {TestSegment::Close(first, 10)});
  one.Add({{second, 9, "again"}}, {TestSegment::Gap(second, 5, 4)}, /*payload_crc=*/false);
  const SegmentLink link = one.Seal(kChained);
  images.push_back(ImageOf(one));

  options.id = SegmentId{2};
  options.slot = 1;
  TestSegment two(options, &ledger);
  two.Add({{second, 14, "and"}}, {TestSegment::Continued(second, 14)});
  two.Add({{second, 17, "on"}}, {TestSegment::Close(second, 19)});
  two.Seal(kChained, link);
  images.push_back(ImageOf(two));

  options.id = SegmentId{3};
  options.slot = 2;
  options.recording = "other";
  options.recording_uid = 8;
  TestSegment open(options);
  const FileOffset mark = open.Add({{third, 0, "one"}}, {TestSegment::Open(third)});
  open.Add({{third, 3, "two"}}, {}, /*payload_crc=*/false, mark);
  open.Add({{third, 6, "three"}}, {TestSegment::Close(third, 11)});
  images.push_back(ImageOf(open));
  for (std::vector<std::byte>& image : images) SealHeader(absl::MakeSpan(image));
  return images;
}

}  // namespace

const std::vector<std::vector<std::byte>>& GoodSegments() {
  static const std::vector<std::vector<std::byte>> segments = MakeSegments();
  return segments;
}

void Spoil(FuzzInput& input, absl::Span<std::byte> segment) {
  enum Edit { kBytes, kAdd, kLarge, kCopyBlock, kEdits };
  // What stays as it is: damage that the checksums show is worth a look, too.
  const uint8_t unsealed = input.Take<uint8_t>();
  for (uint8_t edits = unsealed >> 4; edits > 0 && !input.empty(); --edits) {
    const uint8_t edit = input.Take<uint8_t>() % kEdits;
    const size_t place = PlaceOf(input.Take<uint16_t>(), segment.size());
    const size_t room = segment.size() - place;
    if (edit == kBytes) {
      const size_t count = 1 + input.Take<uint8_t>() % 32;
      for (size_t i = 0; i < std::min(count, room); ++i) {
        segment[place + i] = static_cast<std::byte>(input.Take<uint8_t>());
      }
    } else if (edit == kAdd && room >= sizeof(uint64_t)) {
      uint64_t number = 0;
      std::memcpy(&number, &segment[place], sizeof(number));
      number += static_cast<uint64_t>(int64_t{input.Take<int16_t>()});
      std::memcpy(&segment[place], &number, sizeof(number));
    } else if (edit == kLarge && room >= sizeof(uint64_t)) {
      const uint8_t power = input.Take<uint8_t>();
      const uint64_t number = (uint64_t{1} << power % 64) - (power >= 128 ? 1 : 0);
      std::memcpy(&segment[place], &number, sizeof(number));
    } else if (edit == kCopyBlock) {
      const size_t to = BlockOf(input.Take<uint8_t>(), segment.size());
      std::memmove(&segment[to], &segment[place - place % kBlockBytes], kBlockBytes);
    }
  }
  if ((unsealed & 1) == 0) SealHeader(segment);
  for (size_t zone = 0; zone < kZones && (unsealed & 2) == 0; ++zone) {
    SealExtent(segment, BlockOf(zone, segment.size()));
  }
  if ((unsealed & 4) == 0) SealFooter(segment);
}

}  // namespace sluice
