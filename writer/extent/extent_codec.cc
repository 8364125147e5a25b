#include "writer/extent/extent_codec.h"

#include <cstring>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "ingest/check.h"
#include "ingest/status_macros.h"
#include "writer/extent/crc32c.h"

namespace sluice {
namespace {

template <class... Parts>
absl::Status Damaged(const Parts&... parts) {
  return absl::DataLossError(absl::StrCat("extent header: ", parts...));
}

bool IsBlockMultiple(uint64_t bytes) { return bytes % kBlockBytes == 0; }
bool IsAddress(const SocketAddress& address) {
  return address.family == 0 || address.family == 4 || address.family == 6;
}

absl::Status CheckSizes(const ExtentHeader& header) {
  if (!IsBlockMultiple(header.header_bytes) || !IsBlockMultiple(header.extent_bytes) ||
      header.header_bytes < kBlockBytes || header.extent_bytes < header.header_bytes) {
    return Damaged("sizes of ", header.header_bytes, " and ", header.extent_bytes,
                   " bytes cannot be");
  }
  if (ExtentTableBytes(header.fragment_count, header.event_count) > header.header_bytes) {
    return Damaged(header.fragment_count, " fragments and ", header.event_count,
                   " events do not fit into ", header.header_bytes, " bytes");
  }
  return absl::OkStatus();
}

absl::Status CheckFragment(const ExtentHeader& header, const FragmentEntry& fragment, size_t i) {
  if (fragment.stream_id == 0) return Damaged("fragment ", i, " belongs to no stream");
  if (fragment.payload_offset < header.header_bytes ||
      uint64_t{fragment.payload_offset} + fragment.length > header.extent_bytes) {
    return Damaged("fragment ", i, " lies outside the extent: ", fragment.length, " bytes at ",
                   fragment.payload_offset);
  }
  if (fragment.stream_offset > std::numeric_limits<uint64_t>::max() - fragment.length) {
    return Damaged("fragment ", i, " ends beyond any stream");
  }
  return absl::OkStatus();
}

absl::Status CheckEvent(const StreamEvent& event, size_t i) {
  if (event.stream_id == 0) return Damaged("event ", i, " belongs to no stream");
  if (event.type < StreamEventType::kOpen || event.type > StreamEventType::kGap) {
    return Damaged("event ", i, " has type ", static_cast<int>(event.type));
  }
  if (event.reason > CloseReason::kInterrupted) {
    return Damaged("event ", i, " has reason ", static_cast<int>(event.reason));
  }
  if (event.type == StreamEventType::kGap) {
    if (event.cause < GapCause::kPolicy || event.cause > GapCause::kDisk) {
      return Damaged("event ", i, " is a gap of cause ", static_cast<int>(event.cause));
    }
    if (event.gap_bytes == 0) return Damaged("event ", i, " is a gap of no bytes");
    if (event.stream_offset > std::numeric_limits<uint64_t>::max() - event.gap_bytes) {
      return Damaged("event ", i, " is a gap that ends beyond any stream");
    }
  }
  if (!IsAddress(event.peer) || !IsAddress(event.local)) {
    return Damaged("event ", i, " has an address of no known family");
  }
  return absl::OkStatus();
}

template <class Entry>
std::vector<Entry> CopyEntries(absl::Span<const std::byte> bytes, uint64_t offset, size_t count) {
  std::vector<Entry> entries(count);
  if (count > 0) std::memcpy(entries.data(), bytes.data() + offset, count * sizeof(Entry));
  return entries;
}

}  // namespace

absl::StatusOr<ExtentHeader> ParseExtentHeader(absl::Span<const std::byte> first_block) {
  ExtentHeader header;
  if (first_block.size() < sizeof(header)) return absl::OutOfRangeError("too short for an extent");
  std::memcpy(&header, first_block.data(), sizeof(header));
  if (header.magic != kExtentMagic) return absl::OutOfRangeError("no extent begins here");
  if (header.version > kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat("extent of format version ", header.version,
                                                      "; this program reads up to ", kFormatVersion,
                                                      ": use a newer one"));
  }
  if (header.version == 0) return Damaged("version 0");
  if (header.kind < ExtentKind::kStream || header.kind > ExtentKind::kPacket) {
    return Damaged("kind ", static_cast<int>(header.kind));
  }
  SLUICE_RETURN_IF_ERROR(CheckSizes(header));
  return header;
}

absl::StatusOr<ExtentIndex> ParseExtentIndex(FileOffset at, absl::Span<const std::byte> header) {
  ExtentIndex index;
  index.at = at;
  SLUICE_ASSIGN_OR_RETURN(index.header, ParseExtentHeader(header));
  const ExtentHeader& fixed = index.header;
  if (header.size() != fixed.header_bytes) {
    return Damaged(header.size(), " bytes of ", fixed.header_bytes);
  }
  if (const uint32_t crc = ExtentHeaderCrc(header); crc != fixed.header_crc32c) {
    return Damaged("checksum ", absl::Hex(crc, absl::kZeroPad8), " where ",
                   absl::Hex(fixed.header_crc32c, absl::kZeroPad8), " is recorded");
  }
  index.fragments = CopyEntries<FragmentEntry>(header, sizeof(ExtentHeader), fixed.fragment_count);
  index.events = CopyEntries<StreamEvent>(header, ExtentTableBytes(fixed.fragment_count, 0),
                                          fixed.event_count);
  uint64_t payload_bytes = 0;
  for (size_t i = 0; i < index.fragments.size(); ++i) {
    SLUICE_RETURN_IF_ERROR(CheckFragment(fixed, index.fragments[i], i));
    payload_bytes += index.fragments[i].length;
  }
  if (payload_bytes != fixed.payload_bytes) {
    return Damaged(payload_bytes, " bytes in fragments, ", fixed.payload_bytes, " in the header");
  }
  for (size_t i = 0; i < index.events.size(); ++i) {
    SLUICE_RETURN_IF_ERROR(CheckEvent(index.events[i], i));
  }
  if (fixed.last_time_ns < fixed.first_time_ns) return Damaged("its last time is before its first");
  return index;
}

uint32_t ExtentHeaderCrc(absl::Span<const std::byte> header) {
  SLUICE_CHECK(header.size() >= sizeof(ExtentHeader));
  constexpr size_t kAt = offsetof(ExtentHeader, header_crc32c);
  constexpr std::byte kZeros[sizeof(uint32_t)] = {};
  uint32_t crc = ExtendCrc32c(0, header.subspan(0, kAt));
  crc = ExtendCrc32c(crc, kZeros);
  return ExtendCrc32c(crc, header.subspan(kAt + sizeof(uint32_t)));
}

void SealExtentHeader(absl::Span<std::byte> header) {
  const uint32_t crc = ExtentHeaderCrc(header);
  std::memcpy(header.data() + offsetof(ExtentHeader, header_crc32c), &crc, sizeof(crc));
}

}  // namespace sluice
