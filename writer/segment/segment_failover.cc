// What a SegmentWriter does when one of several disks fails.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ingest/check.h"
#include "writer/segment/segment_writer.h"

namespace sluice {

// Those that a stalled disk keeps do not hold up the others.
uint32_t SegmentWriter::WritesInFlight() const {
  uint32_t sum = 0;
  for (const Segment& segment : segments_) {
    if (!segment.avoided) sum += segment.writing;
  }
  return sum;
}

// Nothing more is written to the segment's disk, if there is another one, but what it takes to
// seal what it has.
void SegmentWriter::AvoidDisk(Segment& refused, const absl::Status& why) {
  if (!refused.loan->replaceable || refused.avoided) return;
  const uint32_t disk = refused.loan->disk;
  keeper_->ReportRefusal(refused.loan->id, why);
  const size_t known = segments_.size();  // MoveQueued() adds to them
  for (size_t i = 0; i < known; ++i) {
    Segment& segment = segments_[i];
    if (!segment.loan || segment.loan->disk != disk) continue;
    segment.avoided = true;
    MoveQueued(segment);
    Retire(segment);
  }
  // All of them: those that stay would follow on one that is gone.
  const bool any = std::any_of(spares_.begin(), spares_.end(),
                               [&](const SegmentLoan& spare) { return spare.disk == disk; });
  if (any) ReturnSpares(0);
}

bool SegmentWriter::Avoids(uint32_t disk) const {
  return std::any_of(segments_.begin(), segments_.end(), [&](const Segment& segment) {
    return segment.avoided && segment.loan->disk == disk;
  });
}

// The segment can neither be sealed nor synced.
void SegmentWriter::LoseSegment(Segment& segment, const absl::Status& why) {
  if (!segment.loan->replaceable || !failure().ok()) return LoseDisk(why);
  AvoidDisk(segment, why);
  if (last_sealed_ && last_sealed_->id == segment.loan->id) last_sealed_ = segment.previous;
  Abandon(segment);
}

// What the disk has made durable stays; from here on nothing is expected of it.
void SegmentWriter::Abandon(Segment& segment) {
  segment.abandoned = true;
  MoveQueued(segment);
  Retire(segment);
}

// After a failed sync nobody knows what the device's cache held, of whichever segment.
void SegmentWriter::AbandonDisk(uint32_t disk) {
  const size_t known = segments_.size();
  for (size_t i = 0; i < known; ++i) {
    Segment& segment = segments_[i];
    if (segment.loan && segment.loan->disk == disk && !segment.abandoned) Abandon(segment);
  }
}

void SegmentWriter::AvoidStalled() {
  for (size_t i = 0; i < segments_.size(); ++i) {
    Segment& segment = segments_[i];
    if (!segment.loan || !segment.loan->replaceable || segment.avoided) continue;
    std::optional<absl::Duration> since;
    if (segment.sync == Segment::kRunning || segment.seal == Segment::kFooterWriting) {
      since = segment.op_started;
    }
    for (const Placed& placed : segment.extents) {
      if (placed.state != Placed::kWriting) continue;
      since = std::min(since.value_or(placed.started), placed.started);
      break;  // they were started in their order
    }
    if (!since || now_ - *since < options_.stall_limit) continue;
    AvoidDisk(segment, absl::DeadlineExceededError(
                           absl::StrCat("segment ", static_cast<uint64_t>(segment.loan->id),
                                        " waits for a write or sync for more than ",
                                        absl::FormatDuration(options_.stall_limit))));
  }
}

// Bytes that were written, and whose memory is not held any more.
void SegmentWriter::CountLost(Segment& segment) {
  counters_.payload = counters_.payload - segment.unpublished;
  counters_.lost += segment.unpublished;
  counters_.taken_back += segment.unpublished;
  for (auto& [id, ranges] : segment.changed) {
    const StreamRecord* const record = segment.footer.Find(id);
    SLUICE_CHECK(record != nullptr);
    lost_.push_back({.stream = id,
                     .opened = {record->opened_ns},
                     .peer = record->peer,
                     .local = record->local,
                     .ranges = std::move(ranges),
                     .end = {record->end},
                     .reason = record->reason});
  }
}

// A sync that has failed covers nothing.
void SegmentWriter::Uncover(Segment& segment) {
  segment.unpublished += std::exchange(segment.covered_payload, ByteCount{});
  segment.covered = {};
  for (auto& [id, later] : segment.changed) {
    Ranges& ranges = segment.covered_changed[id];
    ranges.insert(ranges.end(), later.begin(), later.end());
  }
  segment.changed = std::exchange(segment.covered_changed, {});
}

}  // namespace sluice
