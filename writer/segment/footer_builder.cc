#include "writer/segment/footer_builder.h"

#include <algorithm>
#include <cstring>

#include "ingest/check.h"
#include "writer/extent/crc32c.h"

namespace sluice {

void FooterBuilder::Clear() {
  extents_.clear();
  streams_.clear();
  index_.clear();
  data_end_ = {kBlockBytes};
  payload_ = {};
  first_time_ = {};
  last_time_ = {};
  ledger_ = {};
}

const StreamRecord* FooterBuilder::Find(StreamId stream) const {
  const auto at = index_.find(static_cast<uint64_t>(stream));
  return at == index_.end() ? nullptr : &streams_[at->second];
}

StreamRecord& FooterBuilder::RecordOf(uint64_t stream, uint64_t offset) {
  const auto [at, is_new] = index_.try_emplace(stream, static_cast<uint32_t>(streams_.size()));
  if (is_new) {
    StreamRecord& record = streams_.emplace_back();
    record.stream_id = stream;
    record.begin = record.end = offset;
    record.first_extent = static_cast<uint32_t>(extents_.size());
  }
  StreamRecord& record = streams_[at->second];
  record.last_extent = static_cast<uint32_t>(extents_.size());
  return record;
}

void FooterBuilder::Add(FileOffset at, const ExtentHeader& header,
                        absl::Span<const FragmentEntry> fragments,
                        absl::Span<const StreamEvent> events) {
  SLUICE_CHECK(at >= data_end_);
  // Events first: an open or continued one says where the stream's part begins.
  for (const StreamEvent& event : events) {
    StreamRecord& record = RecordOf(event.stream_id, event.stream_offset);
    record.opened_ns = event.opened_ns;
    record.last_time_ns = std::max(record.last_time_ns, event.time_ns);
    record.peer = event.peer;
    record.local = event.local;
    if (event.type == StreamEventType::kClose) record.reason = event.reason;
    if (event.type == StreamEventType::kGap) {
      record.begin = std::min(record.begin, event.stream_offset);
      record.end = std::max(record.end, event.stream_offset + event.gap_bytes);
      // Gaps do not overlap, unless somebody made them up.
      record.dropped += std::min(event.gap_bytes, record.end - record.begin - record.dropped);
    }
  }
  for (const FragmentEntry& fragment : fragments) {
    StreamRecord& record = RecordOf(fragment.stream_id, fragment.stream_offset);
    record.begin = std::min(record.begin, fragment.stream_offset);
    record.end = std::max(record.end, fragment.stream_offset + fragment.length);
    record.last_time_ns = std::max(record.last_time_ns,
                                   header.first_time_ns + int64_t{fragment.time_delta_us} * 1000);
  }
  ExtentRecord& extent = extents_.emplace_back();
  extent.offset = at.value;
  extent.sequence = header.sequence;
  extent.extent_bytes = header.extent_bytes;
  extent.header_bytes = header.header_bytes;
  extent.header_crc32c = header.header_crc32c;
  extent.payload_bytes = header.payload_bytes;
  extent.first_time_ns = header.first_time_ns;
  extent.last_time_ns = header.last_time_ns;

  first_time_ = extents_.size() == 1 ? UnixNanos{header.first_time_ns}
                                     : std::min(first_time_, UnixNanos{header.first_time_ns});
  last_time_ = std::max(last_time_, UnixNanos{header.last_time_ns});
  data_end_ = at + ByteCount{header.extent_bytes};
  payload_ += {header.payload_bytes};
  ledger_ = header.ledger;
}

AlignedBuffer FooterBuilder::Build(SegmentId id, ByteCount segment_bytes, uint16_t flags,
                                   const SegmentOrigin& origin) const {
  AlignedBuffer buffer(FooterBytes());
  BuildInto(id, segment_bytes, flags, origin, buffer.span());
  return buffer;
}

void FooterBuilder::BuildInto(SegmentId id, ByteCount segment_bytes, uint16_t flags,
                              const SegmentOrigin& origin, absl::Span<std::byte> out) const {
  const bool chained = origin.recording_uid != 0;
  SLUICE_CHECK(out.size() == FooterBytes());
  SLUICE_CHECK(data_end_.value + out.size() <= segment_bytes.value);
  const size_t extents_bytes = extents_.size() * sizeof(ExtentRecord);
  const size_t streams_bytes = streams_.size() * sizeof(StreamRecord);
  const size_t records_bytes = out.size() - sizeof(SegmentTrailer);
  std::memset(out.data(), 0, out.size());
  for (size_t i = 0; i < extents_.size(); ++i) {
    ExtentRecord extent = extents_[i];
    if (!chained) extent.header_crc32c = 0;
    std::memcpy(out.data() + i * sizeof(extent), &extent, sizeof(extent));
  }
  if (streams_bytes > 0) std::memcpy(out.data() + extents_bytes, streams_.data(), streams_bytes);

  SegmentTrailer trailer;
  trailer.flags = static_cast<uint16_t>(flags | (chained ? kChained : 0));
  if (chained) {
    trailer.previous_segment_id = static_cast<uint64_t>(origin.previous.id);
    trailer.previous_footer_sha256 = origin.previous.footer;
    trailer.archive_uuid = origin.archive_uuid;
    trailer.recording_uid = origin.recording_uid;
    trailer.epoch = origin.epoch;
    trailer.lane = static_cast<uint16_t>(origin.lane);
  }
  trailer.segment_id = static_cast<uint64_t>(id);
  trailer.footer_bytes = out.size();
  trailer.footer_offset = segment_bytes.value - out.size();
  trailer.extent_count = static_cast<uint32_t>(extents_.size());
  trailer.stream_count = static_cast<uint32_t>(streams_.size());
  trailer.data_end = data_end_.value;
  trailer.payload_bytes = payload_.value;
  trailer.first_time_ns = first_time_.value;
  trailer.last_time_ns = last_time_.value;
  trailer.ledger = ledger_;
  trailer.records_crc32c = Crc32c(out.subspan(0, records_bytes));
  SealSegmentTrailer(trailer);
  std::memcpy(out.data() + records_bytes, &trailer, sizeof(trailer));
}

}  // namespace sluice
