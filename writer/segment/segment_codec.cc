#include "writer/segment/segment_codec.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/extent/crc32c.h"

namespace sluice {
namespace {

template <class Plain>
absl::Span<const std::byte> BytesOf(const Plain& plain) {
  return {reinterpret_cast<const std::byte*>(&plain), sizeof(plain)};
}

// Both structs end with their checksum.
template <class Plain>
uint32_t CrcWithoutLastField(const Plain& plain) {
  constexpr std::byte kZeros[sizeof(uint32_t)] = {};
  const absl::Span<const std::byte> bytes = BytesOf(plain);
  return ExtendCrc32c(Crc32c(bytes.subspan(0, bytes.size() - sizeof(kZeros))), kZeros);
}

template <class... Parts>
absl::Status Damaged(const Parts&... parts) {
  return absl::DataLossError(absl::StrCat(parts...));
}

absl::Status CheckVersion(absl::string_view what, uint16_t version) {
  if (version == 0) return Damaged(what, ": version 0");
  if (version <= kFormatVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(what, " of format version ", version,
                                                    "; this program reads up to ", kFormatVersion,
                                                    ": use a newer one"));
}

bool IsAddress(const SocketAddress& address) {
  return address.family == 0 || address.family == 4 || address.family == 6;
}

absl::Status CheckTrailer(const SegmentTrailer& trailer, ByteCount segment_bytes) {
  const uint64_t records = uint64_t{trailer.extent_count} * sizeof(ExtentRecord) +
                           uint64_t{trailer.stream_count} * sizeof(StreamRecord);
  if (trailer.footer_offset % kBlockBytes != 0 || trailer.footer_offset < kBlockBytes ||
      trailer.footer_offset >= segment_bytes.value ||
      trailer.footer_bytes != segment_bytes.value - trailer.footer_offset) {
    return Damaged("segment trailer: a footer of ", trailer.footer_bytes, " bytes at ",
                   trailer.footer_offset, " does not end with the file at ", segment_bytes.value);
  }
  if (records + sizeof(SegmentTrailer) > trailer.footer_bytes) {
    return Damaged("segment trailer: ", trailer.extent_count, " extents and ", trailer.stream_count,
                   " streams do not fit into ", trailer.footer_bytes, " bytes");
  }
  if ((trailer.flags & kChained) != 0 &&
      (trailer.recording_uid == 0 || trailer.previous_segment_id >= trailer.segment_id)) {
    return Damaged("segment trailer: segment ", trailer.segment_id, " cannot follow ",
                   trailer.previous_segment_id, " in a recording");
  }
  if (trailer.data_end < kBlockBytes || trailer.data_end > trailer.footer_offset ||
      trailer.data_end % kBlockBytes != 0) {
    return Damaged("segment trailer: extents cannot end at ", trailer.data_end);
  }
  return absl::OkStatus();
}

absl::Status CheckExtents(const SegmentFooter& footer) {
  uint64_t end = kBlockBytes;
  uint64_t payload_bytes = 0;
  for (size_t i = 0; i < footer.extents.size(); ++i) {
    const ExtentRecord& extent = footer.extents[i];
    if (extent.offset < end || extent.offset % kBlockBytes != 0 ||
        extent.extent_bytes % kBlockBytes != 0 || extent.header_bytes % kBlockBytes != 0 ||
        extent.header_bytes < kBlockBytes || extent.header_bytes > extent.extent_bytes ||
        extent.offset > footer.trailer.data_end ||
        extent.extent_bytes > footer.trailer.data_end - extent.offset) {
      return Damaged("segment footer: extent record ", i, " says ", extent.extent_bytes,
                     " bytes at ", extent.offset);
    }
    if (i > 0 && extent.sequence <= footer.extents[i - 1].sequence) {
      return Damaged("segment footer: extent record ", i, " is out of sequence");
    }
    if (extent.payload_bytes > extent.extent_bytes) {
      return Damaged("segment footer: extent record ", i, " has more payload than bytes");
    }
    end = extent.offset + extent.extent_bytes;
    payload_bytes += extent.payload_bytes;
  }
  if (payload_bytes != footer.trailer.payload_bytes) {
    return Damaged("segment footer: ", payload_bytes, " bytes of payload in extents, ",
                   footer.trailer.payload_bytes, " in the trailer");
  }
  return absl::OkStatus();
}

absl::Status CheckStreams(const SegmentFooter& footer) {
  for (size_t i = 0; i < footer.streams.size(); ++i) {
    const StreamRecord& stream = footer.streams[i];
    if (stream.stream_id == 0 || stream.begin > stream.end ||
        stream.first_extent > stream.last_extent || stream.last_extent >= footer.extents.size() ||
        stream.dropped > stream.end - stream.begin || stream.reason > CloseReason::kInterrupted ||
        !IsAddress(stream.peer) || !IsAddress(stream.local)) {
      return Damaged("segment footer: stream record ", i, " cannot be");
    }
  }
  std::vector<uint64_t> ids;
  ids.reserve(footer.streams.size());
  for (const StreamRecord& stream : footer.streams) ids.push_back(stream.stream_id);
  std::sort(ids.begin(), ids.end());
  if (std::adjacent_find(ids.begin(), ids.end()) != ids.end()) {
    return Damaged("segment footer: two records of one stream");
  }
  return absl::OkStatus();
}

template <class Record>
std::vector<Record> CopyRecords(absl::Span<const std::byte> bytes, uint64_t offset, size_t count) {
  std::vector<Record> records(count);
  if (count > 0) std::memcpy(records.data(), bytes.data() + offset, count * sizeof(Record));
  return records;
}

}  // namespace

void SealSegmentHeader(SegmentHeader& header) {
  header.header_crc32c = CrcWithoutLastField(header);
}

absl::StatusOr<SegmentHeader> ParseSlotHeader(absl::Span<const std::byte> block) {
  SegmentHeader header;
  if (block.size() != sizeof(header)) return Damaged("segment header: ", block.size(), " bytes");
  std::memcpy(&header, block.data(), sizeof(header));
  if (header.magic == 0 && std::all_of(block.begin(), block.end(),
                                       [](std::byte byte) { return byte == std::byte{0}; })) {
    return absl::NotFoundError("the slot was never used");
  }
  if (header.magic != kSegmentMagic) return Damaged("segment header: not one");
  SLUICE_RETURN_IF_ERROR(CheckVersion("segment header", header.version));
  if (CrcWithoutLastField(header) != header.header_crc32c) {
    return Damaged("segment header: wrong checksum");
  }
  if (header.segment_id == 0 || header.kind < ExtentKind::kStream ||
      header.kind > ExtentKind::kPacket || header.segment_bytes < 3 * kBlockBytes ||
      header.segment_bytes % kBlockBytes != 0) {
    return Damaged("segment header: fields that cannot be");
  }
  const auto ends = [](const auto& name) {
    return std::find(std::begin(name), std::end(name), '\0') != std::end(name);
  };
  if (!ends(header.recording) || !ends(header.retention_class)) {
    return Damaged("segment header: a name does not end");
  }
  return header;
}

absl::StatusOr<SegmentHeader> ParseSegmentHeader(absl::Span<const std::byte> block) {
  SLUICE_ASSIGN_OR_RETURN(const SegmentHeader header, ParseSlotHeader(block));
  if (IsEmptySlot(header)) return absl::NotFoundError("the slot is empty");
  return header;
}

SegmentHeader EmptySlotHeader(const SegmentHeader& last) {
  SegmentHeader header;
  header.archive_uuid = last.archive_uuid;
  header.segment_id = last.segment_id;
  header.segment_bytes = last.segment_bytes;
  header.slot = last.slot;
  header.epoch = last.epoch;
  header.created_ns = last.created_ns;
  SealSegmentHeader(header);
  return header;
}

std::string RecordingName(const SegmentHeader& header) { return std::string(header.recording); }

void SealSegmentTrailer(SegmentTrailer& trailer) {
  trailer.trailer_crc32c = CrcWithoutLastField(trailer);
}

absl::StatusOr<SegmentTrailer> ParseSegmentTrailer(absl::Span<const std::byte> last_block,
                                                   SegmentId id, ByteCount segment_bytes) {
  SegmentTrailer trailer;
  if (last_block.size() < sizeof(trailer)) {
    return Damaged("segment trailer: ", last_block.size(), " bytes");
  }
  std::memcpy(&trailer, last_block.data() + last_block.size() - sizeof(trailer), sizeof(trailer));
  if (trailer.magic != kTrailerMagic || trailer.segment_id != static_cast<uint64_t>(id)) {
    return absl::NotFoundError("the segment is not sealed");
  }
  SLUICE_RETURN_IF_ERROR(CheckVersion("segment trailer", trailer.version));
  if (CrcWithoutLastField(trailer) != trailer.trailer_crc32c) {
    return Damaged("segment trailer: wrong checksum");
  }
  SLUICE_RETURN_IF_ERROR(CheckTrailer(trailer, segment_bytes));
  return trailer;
}

SegmentOrigin OriginOf(const SegmentTrailer& trailer) {
  if ((trailer.flags & kChained) == 0) return {};
  return {trailer.archive_uuid,
          trailer.recording_uid,
          trailer.epoch,
          LaneId{trailer.lane},
          {SegmentId{trailer.previous_segment_id}, trailer.previous_footer_sha256}};
}

SegmentOrigin OriginOf(const SegmentHeader& header, const SegmentLink& previous) {
  return {header.archive_uuid, header.recording_uid, header.epoch, LaneId{header.lane}, previous};
}

absl::StatusOr<SegmentFooter> ParseSegmentFooter(absl::Span<const std::byte> bytes, SegmentId id,
                                                 ByteCount segment_bytes) {
  SegmentFooter footer;
  SLUICE_ASSIGN_OR_RETURN(footer.trailer, ParseSegmentTrailer(bytes, id, segment_bytes));
  const SegmentTrailer& trailer = footer.trailer;
  if (bytes.size() != trailer.footer_bytes) {
    return Damaged("segment footer: ", bytes.size(), " bytes of ", trailer.footer_bytes);
  }
  if (Crc32c(bytes.subspan(0, bytes.size() - sizeof(trailer))) != trailer.records_crc32c) {
    return Damaged("segment footer: wrong checksum over its records");
  }
  footer.extents = CopyRecords<ExtentRecord>(bytes, 0, trailer.extent_count);
  footer.streams = CopyRecords<StreamRecord>(
      bytes, uint64_t{trailer.extent_count} * sizeof(ExtentRecord), trailer.stream_count);
  SLUICE_RETURN_IF_ERROR(CheckExtents(footer));
  SLUICE_RETURN_IF_ERROR(CheckStreams(footer));
  return footer;
}

}  // namespace sluice
