#include "writer/segment/segment_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ingest/check.h"
#include "writer/segment/footer_hash.h"

namespace sluice {
namespace {

// What a write's completion means. Decided here once; above this nobody reads errno.
enum class Verdict { kFinished, kContinue, kRetry, kRefused };

Verdict JudgeWrite(uint64_t left, int32_t result) {
  if (result > 0) {
    SLUICE_CHECK(static_cast<uint64_t>(result) <= left);
    return static_cast<uint64_t>(result) == left ? Verdict::kFinished : Verdict::kContinue;
  }
  if (result == -EINTR || result == -EAGAIN) return Verdict::kRetry;
  return Verdict::kRefused;  // 0 too: no progress and no reason; never spin
}

uint64_t TotalBytes(std::span<const iovec> ranges) {
  uint64_t sum = 0;
  for (const iovec& range : ranges) sum += range.iov_len;
  return sum;
}

// Forgets the first `bytes` of the ranges.
template <class Ranges>
void Advance(Ranges& ranges, uint64_t bytes) {
  auto first = ranges.begin();
  while (first != ranges.end() && bytes >= first->iov_len) bytes -= (first++)->iov_len;
  ranges.erase(ranges.begin(), first);
  if (bytes == 0) return;
  ranges.front().iov_base = static_cast<std::byte*>(ranges.front().iov_base) + bytes;
  ranges.front().iov_len -= bytes;
}

// The most streams that an extent can add to its segment's footer.
uint64_t StreamsAtMost(const ExtentHeader& header) {
  return uint64_t{header.fragment_count} + header.event_count;
}

}  // namespace

SegmentWriter::SegmentWriter(Ring& ring, SegmentKeeper& keeper, TrackIdentity identity,
                             SegmentKeeper::Ready on_ready, const SegmentWriterOptions& options)
    : ring_(&ring),
      keeper_(&keeper),
      identity_(std::move(identity)),
      on_ready_(std::move(on_ready)),
      options_(options),
      // Once more for those that a disk keeps that stalls.
      writes_(OpKind::kWrite, options.track, 2 * options.writes_in_flight_max + kSyncsMax),
      syncs_(OpKind::kSync, options.track, kSyncsMax) {}

SegmentWriter::~SegmentWriter() {
  SLUICE_CHECK(idle());
  ReturnSpares(0);
}

// ---- extents come in

void SegmentWriter::Append(SealedExtent extent) {
  if (!failure().ok()) return DropExtent(extent);
  Place(std::move(extent), 0);
}

size_t SegmentWriter::unwritten() const {
  size_t unwritten = WritesInFlight();
  for (const Segment& segment : segments_) {
    unwritten += segment.extents.size() - segment.queued_at;
  }
  return unwritten;
}

void SegmentWriter::Place(SealedExtent extent, uint32_t attempts) {
  if (segments_.empty() || segments_.back().closed) segments_.emplace_back();
  Segment& segment = segments_.back();
  const ByteCount bytes{extent.header().extent_bytes};
  segment.streams_reserved += StreamsAtMost(extent.header());
  segment.extents.push_back({std::move(extent), segment.end, segment.next_sequence++, attempts});
  segment.end = segment.end + bytes;
  segment.extents.back().appended = now_;
  if (!segment.waiting_since) segment.waiting_since = now_;
  if (!HasRoom(segment)) Close(segment);
}

// Whether one more extent of any size, and the footer after it, is sure to fit.
bool SegmentWriter::HasRoom(const Segment& segment) const {
  const uint64_t footer = segment.footer.FooterBytesAfter(
      1 + segment.extents.size(), options_.entries_max + segment.streams_reserved);
  return segment.end + ByteCount{options_.extent_bytes_max + footer} <=
         FileOffset{options_.segment.value};
}

void SegmentWriter::Close(Segment& segment) {
  if (segment.closed) return;
  segment.closed = true;
  if (&segment != &segments_.back()) return;
  ++segment_number_;
  if (filled_at_ != absl::ZeroDuration()) fill_time_ = now_ - filled_at_;
  filled_at_ = now_;
}

void SegmentWriter::Finish() { finishing_ = true; }

// ---- segments to put them into

// Gives the spare segments to the first that have none.
void SegmentWriter::AssignSpares() {
  for (Segment& segment : segments_) {
    if (segment.loan || spares_.empty()) continue;
    segment.loan = std::move(spares_.front());
    spares_.pop_front();
  }
}

// As many as would be filled in a while, at the speed of the last one: so a track that writes
// slowly has none lying idle, and what a fast one has is never more than a moment of its past.
size_t SegmentWriter::SparesWanted() const {
  const int64_t filled = kReadyFor / std::max(fill_time_, absl::Milliseconds(1));
  return 1 + std::min<size_t>(static_cast<size_t>(filled), ahead_);
}

// The last one first, so that the keeper knows again which one comes before the next.
void SegmentWriter::ReturnSpares(size_t keep) {
  for (; spares_.size() > keep; spares_.pop_back()) keeper_->ReturnSegment(spares_.back().id);
}

// Others may need what this track does not any more. Returns when to come again.
absl::Duration SegmentWriter::ReturnIdleSpares(absl::Duration now) {
  if (spares_.size() <= 1) return absl::InfiniteDuration();
  const absl::Duration due = filled_at_ + kReadyKeptFor;
  if (now < due) return due - now;
  fill_time_ = absl::InfiniteDuration();
  ReturnSpares(1);
  return absl::InfiniteDuration();
}

void SegmentWriter::RequestLoan(absl::Duration now) {
  AssignSpares();
  const size_t most = SparesWanted();
  if (loan_requested_ || spares_.size() >= most || !failure().ok() || now < next_request_) return;
  bool wanted = false;
  for (const Segment& segment : segments_) wanted |= !segment.loan;
  // The next one is asked for when this one is half full, so that nobody waits for it; by who
  // writes fast, sooner.
  if (!wanted && !finishing_ && !segments_.empty()) {
    wanted = most > 1 || segments_.back().end.value > options_.segment.value / 2;
  }
  if (!wanted) return;
  loan_requested_ = true;
  keeper_->RequestSegment(identity_, on_ready_);
}

void SegmentWriter::OnSegmentReady(absl::StatusOr<SegmentLoan> loan) {
  SLUICE_CHECK(loan_requested_);
  loan_requested_ = false;
  if (!loan.ok()) {
    if (absl::IsResourceExhausted(loan.status())) {
      // None may go. One may when another track seals it, or a hold is released; until then what
      // was received waits, and with it the senders.
      refusal_ = loan.status();
      next_request_ = now_ + kRequestAgain;
    } else {
      LoseDisk(loan.status());
    }
    return;
  }
  SLUICE_CHECK(loan->size == options_.segment);
  counters_.loans.in_line.Add(loan->took.in_line);
  counters_.loans.catalog.Add(loan->took.catalog);
  counters_.loans.disk.Add(loan->took.disk);
  // It was lent before the keeper knew.
  if (loan->replaceable && Avoids(loan->disk)) return keeper_->ReturnSegment(loan->id);
  refusal_ = absl::OkStatus();
  ahead_ = loan->ahead;
  spares_.push_back(*std::move(loan));
  AssignSpares();
}

absl::Status SegmentWriter::waiting() const {
  for (const Segment& segment : segments_) {
    if (!segment.loan) return refusal_;
  }
  return absl::OkStatus();
}

void SegmentWriter::GiveUpWaiting() {
  const absl::Status why = waiting();
  if (why.ok() || !failure().ok()) return;
  given_up_ = absl::Status(
      why.code(), absl::StrCat("what was received last is lost, because no segment was to be had ",
                               "when the recording stopped: ", why.message()));
  for (Segment& segment : segments_) {
    if (segment.loan) continue;
    DropQueued(segment);
    Close(segment);
    Retire(segment);
  }
}

// ---- writes

void SegmentWriter::StartWrites(Segment& segment) {
  while (segment.loan && segment.queued_at < segment.extents.size() &&
         WritesInFlight() < options_.writes_in_flight_max && !writes_.full()) {
    Placed& placed = segment.extents[segment.queued_at++];
    PlaceExtent(placed.extent, segment.loan->id, placed.sequence, segment.mark.durable());
    placed.state = Placed::kWriting;
    placed.started = now_;
    ++segment.writing;
    segment.touched = true;
    OpTag tag;
    WriteOp* op = writes_.Start({&segment, &placed, placed.extent.ranges, placed.at}, &tag);
    ring_->Write(tag, segment.loan->fd, op->at, op->ranges);
  }
}

// After what can be started was: what is left either waits for the disk or for a segment.
void SegmentWriter::NoteWait() {
  bool lacks = false;
  if (WritesInFlight() < options_.writes_in_flight_max) {
    for (const Segment& segment : segments_) {
      lacks |= !segment.loan && segment.queued_at < segment.extents.size();
    }
  }
  if (lacks == lacks_segment_since_.has_value()) return;
  if (lacks) {
    lacks_segment_since_ = now_;
  } else {
    counters_.segment_waits.Add(now_ - *std::exchange(lacks_segment_since_, std::nullopt));
  }
}

void SegmentWriter::OnWrite(const Completion& done) {
  WriteOp* const op = writes_.Find(done.tag);
  SLUICE_CHECK(op != nullptr);
  Segment& segment = *op->segment;
  const uint64_t left = TotalBytes(op->ranges);
  Verdict verdict = JudgeWrite(left, done.result);
  if (verdict == Verdict::kContinue) {
    op->stalls = static_cast<uint64_t>(done.result) < kBlockBytes ? op->stalls + 1 : 0;
    if (op->stalls == kStallsMax) verdict = Verdict::kRefused;
  }
  if (verdict == Verdict::kContinue || verdict == Verdict::kRetry) {
    // Goes on at a whole block, so that the rest is as aligned as it was.
    const uint64_t progress =
        RoundDown(static_cast<uint64_t>(std::max(done.result, 0)), kBlockBytes);
    Advance(op->ranges, progress);
    op->at = op->at + ByteCount{progress};
    ring_->Write(done.tag, segment.loan->fd, op->at, op->ranges);
    return;
  }

  Placed* const placed = op->placed;
  const uint64_t end = op->at.value + left;
  writes_.Finish(done.tag);
  --segment.writing;
  if (verdict == Verdict::kRefused) {
    ++counters_.write_errors;
    const absl::Status why = absl::ErrnoToStatus(
        done.result < 0 ? -done.result : EIO,
        absl::StrCat("write to segment ", static_cast<uint64_t>(segment.loan->id), " up to offset ",
                     end));
    if (placed == nullptr) return LoseSegment(segment, why);
    return OnExtentRefused(segment, *placed, why);
  }
  if (placed != nullptr && segment.abandoned && failure().ok()) {
    // Its memory is still held: it is as good as refused.
    placed->state = Placed::kMoved;
    Place(std::move(placed->extent), placed->attempts);
    return Retire(segment);
  }
  if (placed == nullptr) {
    counters_.disk += ByteCount{segment.footer_bytes.size()};
    segment.seal = Segment::kFooterWritten;
    return;
  }
  counters_.longest_write = std::max(counters_.longest_write, ring_->Monotonic() - placed->started);
  counters_.disk += ByteCount{placed->extent.header().extent_bytes};
  counters_.payload += ByteCount{placed->extent.header().payload_bytes};
  ++counters_.extents;
  placed->extent.leases.clear();  // from here on the memory may be filled again
  placed->state = Placed::kWritten;
  Retire(segment);
}

void SegmentWriter::OnExtentRefused(Segment& segment, Placed& placed, const absl::Status& why) {
  // There are only so many disks that can be replaced.
  const bool last_attempt = placed.attempts + 1 >= kAttemptsMax && !segment.loan->replaceable;
  if (!failure().ok() || last_attempt) {
    placed.state = Placed::kMoved;
    DropExtent(placed.extent);
    Retire(segment);
    if (failure().ok()) LoseDisk(why);
    return;
  }
  Close(segment);
  // This extent and those that still stand in line go to the segment after this one.
  placed.state = Placed::kMoved;
  Place(std::move(placed.extent), placed.attempts + 1);
  MoveQueued(segment);
  Retire(segment);
  AvoidDisk(segment, why);
}

void SegmentWriter::MoveQueued(Segment& segment) {
  Close(segment);
  for (; segment.queued_at < segment.extents.size(); ++segment.queued_at) {
    Placed& queued = segment.extents[segment.queued_at];
    queued.state = Placed::kMoved;
    Place(std::move(queued.extent), queued.attempts);
  }
}

// Lets go of extents at the front that are done with. Their slots go back to the slab.
void SegmentWriter::Retire(Segment& segment) {
  while (!segment.extents.empty() && segment.extents.front().state >= Placed::kWritten) {
    const Placed& placed = segment.extents.front();
    if (placed.state == Placed::kWritten) {
      Fold(segment, placed);
    } else {
      segment.has_hole = true;  // the mark stays here until the footer tells of the hole
    }
    segment.extents.pop_front();
    --segment.queued_at;
  }
}

void SegmentWriter::Fold(Segment& segment, const Placed& placed) {
  const ExtentHeader& header = placed.extent.header();
  segment.footer.Add(placed.at, header, placed.extent.fragments(), placed.extent.events());
  segment.streams_reserved -= StreamsAtMost(header);
  segment.lacks_crc |= (header.flags & kExtentHasPayloadCrc) == 0;
  segment.payload += ByteCount{header.payload_bytes};
  segment.unpublished += ByteCount{header.payload_bytes};
  const auto change = [&segment](uint64_t stream, uint64_t begin, uint64_t length) {
    Ranges& ranges = segment.changed[StreamId{stream}];
    const LostPart::Range range{{begin}, {begin + length}};
    if (length == 0) return;
    if (!ranges.empty() && ranges.back().end == range.begin) {
      ranges.back().end = range.end;
    } else {
      ranges.push_back(range);
    }
  };
  for (const FragmentEntry& entry : placed.extent.fragments()) {
    change(entry.stream_id, entry.stream_offset, entry.length);
  }
  for (const StreamEvent& event : placed.extent.events()) {
    const bool is_gap = event.type == StreamEventType::kGap;
    change(event.stream_id, event.stream_offset, is_gap ? event.gap_bytes : 0);
  }
  if (!segment.has_hole) {
    segment.mark.OnWrittenUpTo(placed.at + ByteCount{header.extent_bytes});
  }
}

// ---- durability

// Whether every segment before it in the line has its footer, which this one's repeats the hash
// of. Footers are only built in order; they are written and synced side by side.
bool SegmentWriter::IsNextOfChain(const Segment& segment) const {
  for (const Segment& earlier : segments_) {
    if (&earlier == &segment) return true;
    const bool has_none = earlier.seal < Segment::kFooterWriting;
    if (has_none && !earlier.abandoned && !IsUnused(earlier)) return false;
  }
  return true;
}

void SegmentWriter::StartFooter(Segment& segment) {
  SegmentOrigin origin = segment.loan->origin;
  if (last_sealed_) origin.previous = *last_sealed_;
  AlignedBuffer& bytes = segment.footer_bytes;
  bytes = segment.footer.Build(segment.loan->id, options_.segment, /*flags=*/0, origin);
  segment.previous = origin.previous;
  segment.footer_sha256 = FooterSha256(bytes.span());
  last_sealed_ = SegmentLink{segment.loan->id, segment.footer_sha256};
  segment.seal = Segment::kFooterWriting;
  segment.op_started = now_;
  ++segment.writing;
  OpTag tag;
  WriteOp* op = writes_.Start(
      {&segment, nullptr, {}, FileOffset{options_.segment.value - bytes.size()}}, &tag);
  op->ranges.push_back({bytes.data(), bytes.size()});
  ring_->Write(tag, segment.loan->fd, op->at, op->ranges);
}

// Before a footer says that they are there.
void SegmentWriter::SyncExtents(Segment& segment) {
  if (!segment.has_hole && segment.mark.durable() == segment.mark.written()) {
    segment.seal = Segment::kExtentsSynced;
    return;
  }
  if (syncs_.full()) return;
  segment.seal = Segment::kExtentsSyncing;
  // The first in line can be published at once, others only when it is their turn, and what lies
  // beyond a hole only with the footer.
  if (&segment == &segments_.front() && !segment.has_hole) return StartSync(segment);
  segment.mark.OnSyncStarted();
  SubmitSync(segment);
}

void SegmentWriter::StartSync(Segment& segment) {
  segment.mark.OnSyncStarted();
  segment.covered = Describe(segment);
  segment.covered_changed = std::exchange(segment.changed, {});
  segment.covered_payload = std::exchange(segment.unpublished, ByteCount{});
  segment.covered_since = segment.waiting_since;
  segment.waiting_since.reset();
  if (!segment.extents.empty()) segment.waiting_since = segment.extents.front().appended;
  SubmitSync(segment);
}

void SegmentWriter::SubmitSync(Segment& segment) {
  segment.sync = Segment::kRunning;
  segment.op_started = now_;
  OpTag tag;
  SLUICE_CHECK(syncs_.Start({&segment}, &tag) != nullptr);
  ring_->SyncData(tag, segment.loan->fd);
}

// What a sync that starts now will make durable.
SegmentUpdate SegmentWriter::Describe(const Segment& segment) const {
  SegmentUpdate update;
  update.track = identity_;
  update.segment = segment.loan->id;
  update.sealed = segment.seal == Segment::kFooterWritten;
  if (update.sealed) {
    update.previous = segment.previous;
    update.footer_sha256 = segment.footer_sha256;
  }
  update.mark_must_last = segment.lacks_crc && !update.sealed;
  update.durable = update.sealed ? segment.footer.data_end() : segment.mark.written();
  update.first_time = segment.footer.first_time();
  update.last_time = segment.footer.last_time();
  update.payload = segment.payload;
  update.ledger = segment.footer.ledger();
  update.streams.reserve(segment.changed.size());
  for (const auto& [id, ranges] : segment.changed) {
    const StreamRecord* record = segment.footer.Find(id);
    SLUICE_CHECK(record != nullptr);
    update.streams.push_back({id,
                              {record->opened_ns},
                              {record->last_time_ns},
                              {record->begin},
                              {record->end},
                              record->reason,
                              record->peer,
                              record->local,
                              {record->dropped}});
  }
  return update;
}

void SegmentWriter::OnSync(const Completion& done) {
  SyncOp* const op = syncs_.Find(done.tag);
  SLUICE_CHECK(op != nullptr);
  Segment& segment = *op->segment;
  if (done.result == -EINTR || done.result == -EAGAIN) {
    return ring_->SyncData(done.tag, segment.loan->fd);
  }
  syncs_.Finish(done.tag);
  if (done.result < 0 || segment.abandoned) {
    // What the device's cache held is in doubt from here on: nothing more is called durable.
    segment.sync = Segment::kNone;
    Uncover(segment);
    if (done.result >= 0) return;
    const absl::Status why = absl::ErrnoToStatus(
        -done.result,
        absl::StrCat("fdatasync of segment ", static_cast<uint64_t>(segment.loan->id)));
    if (!segment.loan->replaceable || !failure().ok()) return LoseDisk(why);
    AvoidDisk(segment, why);
    return AbandonDisk(segment.loan->disk);
  }
  segment.mark.OnSynced();
  segment.sync = segment.covered.segment == SegmentId{} ? Segment::kNone : Segment::kFinished;
  if (segment.seal == Segment::kExtentsSyncing) segment.seal = Segment::kExtentsSynced;
}

// Tells the keeper, in the order of the line. Sealed segments leave it.
void SegmentWriter::PublishSynced() {
  while (!segments_.empty()) {
    Segment& first = segments_.front();
    if (IsUnused(first)) {
      if (first.loan) keeper_->ReturnSegment(first.loan->id);
      segments_.pop_front();
      continue;
    }
    if (first.abandoned && first.sync == Segment::kNone) {
      if (!first.extents.empty() || first.writing > 0) return;
      CountLost(first);
      segments_.pop_front();
      continue;
    }
    if (first.sync != Segment::kFinished) return;
    const bool sealed = first.covered.sealed;
    counters_.durable += first.covered_payload;
    for (const StreamUpdate& stream : first.covered.streams) {
      if (stream.reason != CloseReason::kNone) ++counters_.streams_closed;
    }
    first.sync = Segment::kNone;
    first.covered_since.reset();
    first.covered_payload = {};
    first.covered_changed.clear();
    keeper_->Publish(std::exchange(first.covered, {}));
    if (!sealed && first.abandoned) continue;
    if (!sealed) return Seal(first);
    segments_.pop_front();
  }
}

std::optional<absl::Duration> SegmentWriter::undurable_since() const {
  for (const Segment& segment : segments_) {
    if (segment.covered_since) return segment.covered_since;
    if (segment.waiting_since) return segment.waiting_since;
  }
  return std::nullopt;
}

// ---- the turn

absl::Duration SegmentWriter::OnTurn(absl::Duration now) {
  now_ = now;
  if (failure_.ok()) AvoidStalled();
  // Refused extents may have opened one more segment after the last one was closed.
  if (finishing_ && !segments_.empty()) Close(segments_.back());
  RequestLoan(now);
  for (Segment& segment : segments_) StartWrites(segment);
  NoteWait();

  if (!failure_.ok()) return SweepLost();
  for (Segment& segment : segments_) Seal(segment);
  PublishSynced();
  absl::Duration next = SyncIfDue(now);
  if (next_request_ > now) next = std::min(next, next_request_ - now);
  return std::min(next, ReturnIdleSpares(now));
}

// Takes a segment that is full one step further: sync, footer, sync.
void SegmentWriter::Seal(Segment& segment) {
  if (segment.abandoned) return;
  const bool settled = segment.closed && segment.extents.empty() && segment.writing == 0 &&
                       segment.sync == Segment::kNone;
  if (!settled || IsUnused(segment)) return;
  if (segment.seal == Segment::kOpen) SyncExtents(segment);
  if (segment.seal == Segment::kExtentsSynced && !writes_.full() && IsNextOfChain(segment)) {
    StartFooter(segment);
  }
  if (segment.seal == Segment::kFooterWritten && !syncs_.full()) StartSync(segment);
}

// Everything that was placed here has been refused by the disk.
bool SegmentWriter::IsUnused(const Segment& segment) const {
  return segment.closed && segment.extents.empty() && segment.writing == 0 &&
         segment.footer.empty();
}

// Makes durable what the segment that is being filled holds, now and then.
absl::Duration SegmentWriter::SyncIfDue(absl::Duration now) {
  if (segments_.empty()) return absl::InfiniteDuration();
  Segment& first = segments_.front();
  const bool sync_would_help =
      !first.closed && first.sync == Segment::kNone && first.mark.written() > first.mark.durable();
  if (!sync_would_help) return absl::InfiniteDuration();
  const bool all_written = first.extents.empty() && first.writing == 0;
  const absl::Duration due =
      hurried_ && all_written
          ? last_sync_ + std::min(options_.sync_interval, kHurriedInterval)
          : std::max(last_sync_, first.waiting_since.value_or(now)) + options_.sync_interval;
  if (now < due) return due - now;
  last_sync_ = now;
  hurried_ = false;
  StartSync(first);
  return absl::InfiniteDuration();
}

// ---- the disk is lost

void SegmentWriter::DropExtent(SealedExtent& extent) {
  counters_.lost += ByteCount{extent.header().payload_bytes};
  extent.leases.clear();
}

void SegmentWriter::LoseDisk(absl::Status why) {
  if (!failure_.ok()) return;
  failure_ = std::move(why);
  for (Segment& segment : segments_) {
    DropQueued(segment);
    Close(segment);
    Retire(segment);
  }
}

void SegmentWriter::DropQueued(Segment& segment) {
  for (; segment.queued_at < segment.extents.size(); ++segment.queued_at) {
    Placed& queued = segment.extents[segment.queued_at];
    queued.state = Placed::kMoved;
    DropExtent(queued.extent);
  }
}

// Segments leave the line when the kernel is done with them; recovery will look at those that it
// has touched.
absl::Duration SegmentWriter::SweepLost() {
  while (!segments_.empty() && segments_.front().writing == 0 &&
         segments_.front().sync != Segment::kRunning && segments_.front().extents.empty()) {
    const Segment& first = segments_.front();
    if (first.loan && !first.touched) keeper_->ReturnSegment(first.loan->id);
    segments_.pop_front();
  }
  return absl::InfiniteDuration();
}

}  // namespace sluice
