#include "writer/archive/replaced_segment.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string>

namespace sluice {

ReplacedSegment Replaced(const SegmentRow& row, const RemovalCause& why) {
  ReplacedSegment replaced;
  if (row.id == SegmentId{}) return replaced;
  replaced.segment_id = static_cast<uint64_t>(row.id);
  replaced.previous_segment_id = static_cast<uint64_t>(row.previous);
  replaced.recording_uid = row.recording_uid;
  replaced.epoch = row.epoch;
  replaced.lane = static_cast<uint16_t>(row.lane);
  replaced.reason = static_cast<uint8_t>(why.reason);
  replaced.payload_bytes = row.payload.value;
  replaced.removed_ns = why.time.value;
  replaced.footer_sha256 = row.footer_sha256;
  replaced.ledger = row.ledger;
  std::memcpy(replaced.recording, row.recording.data(),
              std::min(row.recording.size(), kRecordingNameBytesMax));
  return replaced;
}

RemovalRow RemovalOf(const ReplacedSegment& replaced) {
  RemovalRow row;
  row.recording_uid = replaced.recording_uid;
  row.recording =
      std::string(std::cbegin(replaced.recording),
                  std::find(std::cbegin(replaced.recording), std::cend(replaced.recording), '\0'));
  row.lane = LaneId{replaced.lane};
  row.first = row.last = SegmentId{replaced.segment_id};
  row.before = SegmentId{replaced.previous_segment_id};
  row.segments = 1;
  row.payload = {replaced.payload_bytes};
  row.reason = static_cast<RemovalReason>(replaced.reason);
  row.begun = row.ended = {replaced.removed_ns};
  row.first_epoch = row.last_epoch = replaced.epoch;
  row.ledger = replaced.ledger;
  row.footer_sha256 = replaced.footer_sha256;
  return row;
}

}  // namespace sluice
