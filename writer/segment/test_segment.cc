#include "writer/segment/test_segment.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "ingest/check.h"
#include "writer/extent/crc32c.h"
#include "writer/extent/extent_codec.h"
#include "writer/segment/footer_hash.h"
#include "writer/segment/segment_codec.h"

namespace sluice {
namespace {

constexpr int64_t kOpenedNs = 1000;

SocketAddress Address(uint16_t port) {
  SocketAddress address;
  address.family = 4;
  address.port = port;
  address.bytes = {10, 0, 0, 1};
  return address;
}

StreamEvent Event(StreamId stream, StreamEventType type, uint64_t offset, int64_t time_ns) {
  StreamEvent event;
  event.stream_id = static_cast<uint64_t>(stream);
  event.time_ns = time_ns;
  event.stream_offset = offset;
  event.opened_ns = kOpenedNs;
  event.type = type;
  event.peer = Address(static_cast<uint16_t>(50000 + (event.stream_id & 0xFFF)));
  event.local = Address(9000);
  return event;
}

}  // namespace

TestSegment::TestSegment(const TestSegmentOptions& options, Ledger* ledger)
    : options_(options),
      image_(options.size.value),
      ledger_(ledger != nullptr ? ledger : &own_ledger_) {
  header_.lane = options.lane;
  header_.archive_uuid = options.uuid;
  header_.segment_id = static_cast<uint64_t>(options.id);
  header_.segment_bytes = options.size.value;
  header_.slot = options.slot;
  header_.epoch = options.epoch;
  header_.created_ns = kOpenedNs;
  header_.recording_uid = options.recording_uid;
  std::copy(options.recording.begin(), options.recording.end(), header_.recording);
  std::copy(options.retention_class.begin(), options.retention_class.end(),
            header_.retention_class);
  SealSegmentHeader(header_);
  std::memcpy(image_.data(), &header_, sizeof(header_));
}

StreamEvent TestSegment::Open(StreamId stream, int64_t time_ns) {
  return Event(stream, StreamEventType::kOpen, 0, time_ns);
}
StreamEvent TestSegment::Continued(StreamId stream, uint64_t offset, int64_t time_ns) {
  return Event(stream, StreamEventType::kContinued, offset, time_ns);
}
StreamEvent TestSegment::Close(StreamId stream, uint64_t length, int64_t time_ns,
                               CloseReason reason) {
  StreamEvent event = Event(stream, StreamEventType::kClose, length, time_ns);
  event.reason = reason;
  return event;
}

StreamEvent TestSegment::Gap(StreamId stream, uint64_t offset, uint64_t length, int64_t time_ns) {
  StreamEvent event = Event(stream, StreamEventType::kGap, offset, time_ns);
  event.cause = GapCause::kPolicy;
  event.gap_bytes = length;
  return event;
}

FileOffset TestSegment::Add(const std::vector<TestPiece>& pieces,
                            const std::vector<StreamEvent>& events, bool payload_crc,
                            FileOffset durable) {
  const FileOffset at = footer_.data_end();
  ExtentHeader header;
  header.segment_id = static_cast<uint64_t>(options_.id);
  header.sequence = sequence_++;
  header.fragment_count = static_cast<uint32_t>(pieces.size());
  header.event_count = static_cast<uint32_t>(events.size());
  header.header_bytes =
      static_cast<uint32_t>(RoundUp(ExtentTableBytes(pieces.size(), events.size()), kBlockBytes));
  header.first_time_ns = 1000 + header.sequence;
  header.last_time_ns = 2000 + header.sequence;
  header.durable_bytes = durable.value;
  header.flags = payload_crc ? kExtentHasPayloadCrc : 0;

  std::vector<FragmentEntry> fragments;
  uint64_t payload_at = header.header_bytes;
  for (const TestPiece& piece : pieces) {
    FragmentEntry fragment;
    fragment.stream_id = static_cast<uint64_t>(piece.stream);
    fragment.stream_offset = piece.offset;
    fragment.length = static_cast<uint32_t>(piece.bytes.size());
    fragment.payload_offset = static_cast<uint32_t>(payload_at);
    fragments.push_back(fragment);
    SLUICE_CHECK(at.value + payload_at + piece.bytes.size() < image_.size());
    std::memcpy(image_.data() + at.value + payload_at, piece.bytes.data(), piece.bytes.size());
    const absl::Span<const std::byte> bytes(reinterpret_cast<const std::byte*>(piece.bytes.data()),
                                            piece.bytes.size());
    if (payload_crc) header.payload_crc32c = ExtendCrc32c(header.payload_crc32c, bytes);
    header.payload_bytes += piece.bytes.size();
    payload_at = RoundUp(payload_at + piece.bytes.size(), kBlockBytes);
  }
  header.extent_bytes = static_cast<uint32_t>(payload_at);
  ledger_->received += header.payload_bytes;
  ledger_->written += header.payload_bytes;
  ledger_->copied += header.payload_bytes;
  for (const StreamEvent& event : events) {
    if (event.type != StreamEventType::kGap) continue;
    ledger_->received += event.gap_bytes;
    ledger_->dropped_policy += event.gap_bytes;
    ledger_->copied += event.gap_bytes;
  }
  header.ledger = *ledger_;

  std::byte* out = image_.data() + at.value;
  std::memcpy(out, &header, sizeof(header));
  out += sizeof(header);
  for (const FragmentEntry& fragment : fragments) {
    std::memcpy(out, &fragment, sizeof(fragment));
    out += sizeof(fragment);
  }
  for (const StreamEvent& event : events) {
    std::memcpy(out, &event, sizeof(event));
    out += sizeof(event);
  }
  Reseal(at, header.header_bytes);
  std::memcpy(&header, image_.data() + at.value, sizeof(header));
  footer_.Add(at, header, fragments, events);
  return at;
}

SegmentLink TestSegment::Seal(uint16_t flags, const SegmentLink& previous) {
  const AlignedBuffer footer =
      footer_.Build(options_.id, options_.size, flags, OriginOf(header_, previous));
  previous_ = previous;
  footer_sha256_ = FooterSha256(footer.span());
  std::memcpy(image_.data() + image_.size() - footer.size(), footer.span().data(), footer.size());
  return {options_.id, footer_sha256_};
}

void TestSegment::Reseal(FileOffset extent, uint32_t header_bytes) {
  SealExtentHeader(image_.span().subspan(extent.value, header_bytes));
}

void TestSegment::WriteTo(const std::string& path) const { WriteTo(path, options_.size); }

void TestSegment::WriteTo(const std::string& path, ByteCount first) const {
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
  SLUICE_CHECK(fd.get() >= 0);
  SLUICE_CHECK(WriteFully(fd.get(), path, {0}, image_.span().subspan(0, first.value)).ok());
}

SegmentUpdate TestSegment::Update(bool sealed) const {
  SegmentUpdate update;
  update.track = track();
  update.segment = options_.id;
  update.sealed = sealed;
  if (sealed) {
    update.previous = previous_;
    update.footer_sha256 = footer_sha256_;
  }
  update.durable = footer_.data_end();
  update.first_time = footer_.first_time();
  update.last_time = footer_.last_time();
  update.payload = footer_.payload();
  update.ledger = footer_.ledger();
  for (const StreamRecord& record : footer_.streams()) {
    update.streams.push_back({StreamId{record.stream_id},
                              {record.opened_ns},
                              {record.last_time_ns},
                              {record.begin},
                              {record.end},
                              record.reason,
                              record.peer,
                              record.local,
                              {record.dropped}});
  }
  return update;
}

TrackIdentity TestSegment::track() const {
  return {options_.recording, options_.recording_uid, LaneId{options_.lane}, ExtentKind::kStream};
}

}  // namespace sluice
