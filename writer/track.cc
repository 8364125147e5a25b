#include "writer/track.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "ingest/check.h"

namespace sluice {
namespace {

CloseReason ReasonFor(StreamEnd end) {
  switch (end) {
    case StreamEnd::kEndOfStream:
      return CloseReason::kEndOfStream;
    case StreamEnd::kReset:
      return CloseReason::kReset;
    case StreamEnd::kError:
      return CloseReason::kError;
    case StreamEnd::kStopped:
      return CloseReason::kStopped;
  }
  return CloseReason::kError;
}

ExtentBuilderOptions BuilderOptions(const LaneParts& parts, const TrackOptions& options) {
  ExtentBuilderOptions builder = parts.extent;
  builder.payload_crc = options.payload_crc;
  builder.ledger = options.ledger;
  return builder;
}

StreamReceiverOptions ReceiverOptions(uint8_t number, const LaneParts& parts,
                                      BackPressure back_pressure) {
  StreamReceiverOptions receiver;
  receiver.track = number;
  receiver.queue = parts.queue;
  // Beside a queue there are few chunks, and few connections that need them.
  if (parts.queue != nullptr) receiver.chunks_provided = receiver.chunks_provided_max = 1;
  if (back_pressure != BackPressure::kLossless) {
    receiver.chunks_kept = parts.queue != nullptr ? 1 : 2;
    receiver.chunks_provided = receiver.chunks_provided_max = 2 * receiver.chunks_kept;
  }
  return receiver;
}

SegmentWriterOptions WriterOptions(uint8_t number, const LaneParts& parts,
                                   const TrackOptions& options) {
  SegmentWriterOptions writer;
  writer.track = number;
  writer.segment = parts.segment;
  writer.extent_bytes_max = parts.extent.extent_bytes_max;
  writer.entries_max = parts.extent.entries_max;
  writer.sync_interval = options.sync_interval;
  writer.stall_limit = options.stall_limit;
  return writer;
}

}  // namespace

Track::Track(uint8_t number, const LaneParts& parts, const TrackOptions& options,
             SegmentKeeper::Ready on_segment_ready)
    : parts_(parts),
      options_(options),
      accept_tag_{OpKind::kAccept, number, 0, 0},
      receiver_(*parts.ring, *parts.region, *parts.chunks, *this,
                ReceiverOptions(number, parts, options.back_pressure)),
      builder_(*parts.region, *parts.slab, BuilderOptions(parts, options)),
      writer_(*parts.ring, *parts.keeper, options.identity, std::move(on_segment_ready),
              WriterOptions(number, parts, options)),
      line_max_(lossless() ? kLineMax : kLineMaxOfDroppers),
      // Most of the memory is for what may still be dropped.
      unwritten_max_(std::clamp<size_t>(parts.chunks->count() / 6, 2, 8)) {
  if (options.source.source) connector_.emplace(*parts.ring, number, *options.source.source);
}

Track::~Track() {
  SLUICE_CHECK(line_.empty() && builder_.empty());
  if (opened_ && options_.source.listener >= 0) parts_.ring->CloseSocket(options_.source.listener);
}

absl::Status Track::Open() {
  absl::Status opened = receiver_.Open();
  if (!opened.ok()) return opened;
  opened_ = true;
  if (options_.source.listener >= 0) ArmAccept();
  return absl::OkStatus();
}

// ---- streams come and go

void Track::ArmAccept() {
  accepting_ = true;
  accept_again_ = absl::InfiniteDuration();
  parts_.ring->AcceptMultishot(accept_tag_, options_.source.listener);
}

void Track::OnAccept(const Completion& done) {
  if (!done.more()) accepting_ = false;
  if (done.result >= 0) {
    AddStream(done.result);
  } else if (done.result == -EMFILE || done.result == -ENFILE || done.result == -ENOBUFS ||
             done.result == -ENOMEM) {
    // The connection stays in the backlog; asking again at once would spin.
    ++connections_refused_;
    if (!stopping_) accept_again_ = now_ + kAcceptAgain;
    return;
  }
  accepted_ = true;
  if (!accepting_ && !backlog_is_empty_) ArmAccept();
}

// Before the first receive: what has been placed into a queue's memory, only its lane can read.
void Track::AddStream(int socket) {
  if (parts_.queue != nullptr && options_.hand_over && !parts_.queue->Carries(socket) &&
      options_.hand_over(socket, parts_.ring->IncomingNapi(socket))) {
    ++handed_over_;
    return;
  }
  Adopt(socket);
}

void Track::Adopt(int socket) {
  if (receiver_.full() || aborting_) {
    ++connections_refused_;
    parts_.ring->CloseSocket(socket);
    return;
  }
  ++streams_opened_;
  receiver_.Add(socket, parts_.next_stream());
}

void Track::Stop(bool abort) {
  if (!stopping_) {
    stopping_ = true;
    accept_again_ = absl::InfiniteDuration();
    accepted_ = true;  // perhaps: the next turn tells
    if (connector_) connector_->Stop();
    if (!abort) receiver_.Drain();
  }
  if (abort && !aborting_) {
    aborting_ = true;
    EndAccepting();
  }
  if (abort) receiver_.Abort();
}

// What waits in the listener's backlog has been acknowledged by the kernel, and its bytes too: a
// stop takes connections until a turn brings none.
void Track::EndAccepting() {
  if (backlog_is_empty_) return;
  backlog_is_empty_ = true;
  if (accepting_) parts_.ring->Cancel(accept_tag_);
}

bool Track::finished() const {
  return sealing_ && !accepting_ && (!connector_ || connector_->idle()) && lost_.empty() &&
         builder_.empty() && writer_.idle();
}

// ---- bytes go through

void Track::OnOpened(const StreamOpened& stream) { Arrive(stream); }

void Track::OnFragment(const Fragment& fragment, RegionLease lease) {
  received_ += fragment.length.value;
  if (fragment.zero_copy) zero_copy_ += fragment.length.value;
  if (!lossless() && !MayWait()) return Drop(fragment);
  Arrive(Received{fragment, std::move(lease)});
}

void Track::OnClosed(StreamId stream, StreamOffset length, StreamEnd how) {
  const CloseReason reason = writer_.failure().ok() ? ReasonFor(how) : CloseReason::kDiskLost;
  Arrive(StreamClosed{stream, length, reason});
  if (connector_) connector_->OnDisconnected(length.value > 0, now_);
}

void Track::Arrive(Arrival arrival) {
  if (!line_.empty() || !TryAdd(arrival)) line_.Push(std::move(arrival), now_);
}

// ---- and some are dropped

// Whether what arrives now may be kept, which can cost the oldest its place. Not if lossless.
bool Track::MayWait() {
  if (options_.back_pressure == BackPressure::kDropOldest) {
    if (line_.size() >= kBytesLineMax) MakeRoom();
    return true;
  }
  if (!dropping_ && line_.since()) {
    dropping_ = now_ - *line_.since() > options_.lag_limit || line_.size() >= kBytesLineMax;
  }
  return !dropping_;
}

bool Track::MakeRoom() {
  if (options_.back_pressure != BackPressure::kDropOldest) return false;
  const ByteCount dropped = line_.DropOldest();
  dropped_ += dropped.value;
  return dropped.value > 0;
}

void Track::OnDiscarded(const Fragment& fragment) {
  received_ += fragment.length.value;
  if (fragment.zero_copy) zero_copy_ += fragment.length.value;
  Drop(fragment);
}

void Track::Drop(const Fragment& fragment) {
  dropping_ = options_.back_pressure == BackPressure::kDropNewest;
  dropped_ += fragment.length.value;
  line_.PushDropped({fragment.stream, fragment.stream_offset, fragment.length,
                     fragment.zero_copy ? fragment.length : ByteCount{}},
                    now_);
}

// A disk has lost bytes that had been written to it: they are missing, and somebody has to say so.
void Track::TakeLost() {
  for (const LostPart& part : writer_.TakeLost()) {
    StreamEvent event;
    event.stream_id = static_cast<uint64_t>(part.stream);
    event.opened_ns = part.opened.value;
    event.peer = part.peer;
    event.local = part.local;
    event.type = StreamEventType::kGap;
    event.cause = GapCause::kDisk;
    for (const LostPart::Range& range : part.ranges) {
      event.stream_offset = range.begin.value;
      event.gap_bytes = (range.end - range.begin).value;
      lost_.push_back(event);
    }
    if (part.reason == CloseReason::kNone) continue;
    event.type = StreamEventType::kClose;
    event.cause = GapCause::kNone;
    event.reason = part.reason;
    event.stream_offset = part.end.value;
    event.gap_bytes = 0;
    lost_.push_back(event);
  }
  const uint64_t lost = writer_.counters().taken_back.value - lost_told_;
  builder_.TakeBack({lost});
  lost_told_ += lost;
}

void Track::TellLost() {
  while (!lost_.empty() && (!builder_.MustSealBeforeEvent() || TrySeal())) {
    builder_.AddEvent(lost_.front(), wall_, writer_.segment_number());
    lost_.pop_front();
  }
  if (!builder_.empty()) flush_at_ = std::min(flush_at_, now_ + options_.flush_interval);
}

// False, and nothing done, when the extent in hand is full and there is no slot to seal it into.
bool Track::TryAdd(Arrival& arrival) {
  if (auto* received = std::get_if<Received>(&arrival)) {
    const Fragment& fragment = received->fragment;
    if (builder_.MustSealBefore(fragment) && !TrySeal()) return false;
    builder_.Add(fragment, std::move(received->lease), wall_, writer_.segment_number());
    // A whole chunk has been filled: off it goes, and the chunk comes back in one piece.
    const ByteCount filled = (fragment.at + fragment.length) - parts_.region->area_begin();
    if (filled.value % parts_.chunks->chunk_size().value == 0) TrySeal();
  } else {
    if (builder_.MustSealBeforeEvent() && !TrySeal()) return false;
    if (const auto* opened = std::get_if<StreamOpened>(&arrival)) {
      builder_.AddOpened(*opened, wall_, writer_.segment_number());
    } else if (const auto* gap = std::get_if<DroppedBytes>(&arrival)) {
      builder_.AddGap(*gap, wall_, writer_.segment_number());
    } else {
      const StreamClosed& closed = std::get<StreamClosed>(arrival);
      builder_.AddClosed(closed.stream, closed.length, closed.how, wall_);
    }
  }
  if (!builder_.empty() && flush_at_ == absl::InfiniteDuration()) {
    flush_at_ = now_ + options_.flush_interval;
  }
  return true;
}

// What is sealed is not dropped any more. So where bytes may be, only what the disk takes at once
// is.
bool Track::CanSeal() const {
  return !parts_.slab->empty() &&
         (lossless() || !writer_.failure().ok() || writer_.unwritten() < unwritten_max_);
}

bool Track::TrySeal() {
  if (!CanSeal()) return false;
  writer_.Append(builder_.Seal());
  flush_at_ = absl::InfiniteDuration();
  return true;
}

// ---- turns

void Track::OnCompletion(const Completion& done, absl::Duration now, UnixNanos wall) {
  now_ = now;
  wall_ = wall;
  switch (done.tag.kind) {
    case OpKind::kAccept:
      return OnAccept(done);
    case OpKind::kConnect:
      if (const std::optional<int> socket = connector_->OnConnect(done, now)) AddStream(*socket);
      return;
    case OpKind::kReceive:
    case OpKind::kReceiveZeroCopy:
      return receiver_.OnReceive(done);
    case OpKind::kWrite:
      return writer_.OnWrite(done);
    case OpKind::kSync:
      return writer_.OnSync(done);
    case OpKind::kQueueEvent:
    case OpKind::kNone:
      break;
  }
  SLUICE_CHECK(!"a completion of no known kind");
}

absl::Duration Track::OnTurn(absl::Duration now, UnixNanos wall) {
  now_ = now;
  wall_ = wall;
  if (!writer_.failure().ok()) Stop(/*abort=*/true);
  if (aborting_) writer_.GiveUpWaiting();

  TakeLost();
  TellLost();
  while (!line_.empty() && TryAdd(line_.front())) line_.Pop();
  if (line_.empty()) dropping_ = false;
  if (options_.back_pressure == BackPressure::kDropOldest) {
    dropped_ += line_.DropBefore(now - options_.lag_limit).value;
  }
  if (stopping_ && !std::exchange(accepted_, false)) EndAccepting();
  const bool quiet = receiver_.idle() && line_.empty();
  const bool streams_are_over = stopping_ && !accepting_ && backlog_is_empty_ && quiet;
  const bool seal = !builder_.empty() && (now >= flush_at_ || quiet || receiver_.WantsLeases());
  if (seal && TrySeal() && quiet) writer_.Hurry();
  if (streams_are_over && builder_.empty() && !sealing_) {
    sealing_ = true;
    writer_.Finish();
  }

  absl::Duration next = writer_.OnTurn(now);
  next = std::min(next, receiver_.OnTurn(now));
  if (connector_) next = std::min(next, connector_->OnTurn(now));
  if (now >= accept_again_) ArmAccept();
  if (stopping_ && !backlog_is_empty_) return absl::ZeroDuration();
  if (writer_.has_lost()) return absl::ZeroDuration();
  // Without a slot there is nothing to come back for: a completion frees one, and that wakes us.
  if (CanSeal()) next = std::min(next, flush_at_ - now);
  if (options_.back_pressure == BackPressure::kDropOldest && line_.since()) {
    next = std::min(next, *line_.since() + options_.lag_limit - now + absl::Nanoseconds(1));
  }
  return std::min(next, accept_again_ - now);
}

TrackStatus Track::status(absl::Duration now) const {
  TrackStatus status;
  status.finished = finished();
  status.failure = writer_.failure();
  status.waiting = writer_.waiting();
  status.writer = writer_.counters();
  status.ledger.received = received_;
  status.ledger.written = status.writer.payload.value;
  status.ledger.dropped_policy = dropped_;
  status.ledger.dropped_disk = status.writer.lost.value;
  status.ledger.zero_copy = zero_copy_;
  status.ledger.copied = received_ - zero_copy_;
  status.ledger.packed = builder_.ledger().packed - options_.ledger.packed;
  status.streams_open = receiver_.open_streams();
  status.streams_opened = streams_opened_;
  status.connections_refused = connections_refused_;
  status.connect_failures = connector_ ? connector_->failures() : 0;
  status.buffer_waits = receiver_.buffer_waits();
  status.handed_over = handed_over_;
  status.zero_copy = receiver_.zero_copy();
  if (const auto since = writer_.undurable_since()) status.durable_lag = now - *since;
  if (const auto since = line_.since()) status.waiting_lag = now - *since;
  return status;
}

}  // namespace sluice
