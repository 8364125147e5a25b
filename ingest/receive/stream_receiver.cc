#include "ingest/receive/stream_receiver.h"

#include <cerrno>

#include "ingest/check.h"

namespace sluice {
namespace {

// Few connections at a time: a thousand let loose on one free chunk would all but one be back in
// the line.
constexpr uint32_t kArmedPerChunk = 16;

StreamEnd JudgeEnd(int32_t result) {
  switch (-result) {
    case 0:
      return StreamEnd::kEndOfStream;
    case ECANCELED:
      return StreamEnd::kStopped;
    case ECONNRESET:
    case EPIPE:
      return StreamEnd::kReset;
    default:
      return StreamEnd::kError;
  }
}

}  // namespace

StreamReceiver::StreamReceiver(Ring& ring, Region& region, ChunkPool& chunks, LeaseSink& sink,
                               const StreamReceiverOptions& options)
    : ring_(&ring),
      region_(&region),
      chunks_(&chunks),
      sink_(&sink),
      options_(options),
      connections_(OpKind::kReceive, options.track, options.connections_max),
      buffers_(options.chunks_provided_max) {
  for (uint32_t id = options.chunks_provided_max; id-- > 0;) {
    free_buffers_.push_back(static_cast<uint16_t>(id));
  }
  if (options.queue != nullptr) zero_copy_.emplace(ring, *options.queue);
  SLUICE_CHECK(options.chunks_kept == 0 || options.chunks_kept < options.chunks_provided);
}

StreamReceiver::~StreamReceiver() {
  SLUICE_CHECK(idle());
  if (!group_is_open_) return;
  ring_->CloseBufferGroup(options_.track);
  // From here on the kernel fills nothing: the chunks that it had go home.
  for (const uint16_t id : free_buffers_) buffers_[id].chunk = UINT32_MAX;
  for (const Provided& buffer : buffers_) {
    if (buffer.chunk != UINT32_MAX) chunks_->Return(buffer.chunk);
  }
}

absl::Status StreamReceiver::Open() {
  absl::Status opened = ring_->OpenBufferGroup(options_.track, options_.chunks_provided_max);
  if (!opened.ok()) return opened;
  group_is_open_ = true;
  ProvideChunks();
  return absl::OkStatus();
}

void StreamReceiver::Add(int socket, StreamId stream) {
  OpTag tag;
  Connection* connection = connections_.Start({socket, stream, StreamOffset{}}, &tag);
  SLUICE_CHECK(connection != nullptr);
  connection->zero_copy = zero_copy_ && zero_copy_->Carries(socket);
  sink_->OnOpened({stream, ring_->PeerAddress(socket), ring_->LocalAddress(socket)});
  if (draining_) ring_->ShutdownReceive(socket);
  Arm(tag, *connection);
}

void StreamReceiver::Arm(OpTag tag, Connection& connection) {
  connection.armed = true;
  connection.paused = false;
  if (connection.zero_copy) {
    zero_copy_->Arm(tag, connection.socket);
  } else {
    ring_->ReceiveMultishot(tag, connection.socket, options_.track);
  }
}

void StreamReceiver::Wait(OpTag tag, const Connection& connection) {
  if (connection.zero_copy) {
    zero_copy_->Wait(tag);
  } else {
    waiting_.push_back(tag);
  }
}

void StreamReceiver::Cancel(OpTag tag, const Connection& connection) {
  ring_->Cancel(connection.zero_copy ? ZeroCopyReceiver::TagFor(tag) : tag);
}

void StreamReceiver::OnReceive(const Completion& done) {
  const OpTag tag = ZeroCopyReceiver::ConnectionOf(done.tag);
  Connection* const connection = connections_.Find(tag);
  SLUICE_CHECK(connection != nullptr);  // a connection is in the table until its last completion
  if (connection->zero_copy) {
    if (done.result > 0) TakeZeroCopy(*connection, done);
  } else if (done.has_buffer()) {
    TakeCopied(*connection, done);
  }
  if (done.more()) {
    if (!sink_->Accepts() && !connection->paused) {
      connection->paused = true;
      Cancel(tag, *connection);
    }
    return;
  }

  connection->armed = false;
  if (aborting_) return Close(tag, *connection, StreamEnd::kStopped);
  if (done.result == -ECANCELED && connection->paused) return Wait(tag, *connection);
  if (connection->zero_copy) return OnZeroCopyEnded(tag, *connection, done.result);
  OnCopyEnded(tag, *connection, done.result);
}

void StreamReceiver::OnCopyEnded(OpTag tag, Connection& connection, int32_t result) {
  if (result == -ENOBUFS) ++buffer_waits_;
  if (result > 0 || result == -ENOBUFS || result == -EINTR || result == -EAGAIN) {
    return Wait(tag, connection);
  }
  Close(tag, connection, draining_ ? StreamEnd::kStopped : JudgeEnd(result));
}

void StreamReceiver::OnZeroCopyEnded(OpTag tag, Connection& connection, int32_t result) {
  switch (zero_copy_->Judge(result)) {
    case ZeroCopyReceiver::Verdict::kCopyInstead:
      // Nothing is lost where the bytes are in the kernel's memory; where they are in a device's,
      // the copying receive says -EFAULT, and the stream ends there with an error.
      connection.zero_copy = false;
      [[fallthrough]];
    case ZeroCopyReceiver::Verdict::kWaits:
      return Wait(tag, connection);
    case ZeroCopyReceiver::Verdict::kEnded:
      return Close(tag, connection, draining_ ? StreamEnd::kStopped : JudgeEnd(result));
  }
}

void StreamReceiver::TakeZeroCopy(Connection& connection, const Completion& done) {
  // The first line that handles a completion makes the lease.
  RegionLease lease = zero_copy_->Lease(done);
  Fragment fragment{connection.stream, connection.next, {}, {}};
  zero_copy_->Place(done, fragment);
  connection.next = connection.next + fragment.length;
  if (options_.chunks_kept > 0 && !PageMayStay()) return sink_->OnDiscarded(fragment);
  sink_->OnFragment(fragment, std::move(lease));
}

// The area's other half is for the NIC, and for what waits in sockets.
bool StreamReceiver::PageMayStay() {
  while (zero_copy_->pressed()) {
    if (!sink_->MakeRoom()) return false;
  }
  return true;
}

void StreamReceiver::TakeCopied(Connection& connection, const Completion& done) {
  Provided& buffer = buffers_[done.buffer()];
  const ByteCount length{done.result > 0 ? static_cast<uint64_t>(done.result) : 0};
  // The first line that handles a completion makes the lease.
  RegionLease lease = chunks_->Lease(buffer.chunk);
  const RegionOffset at = chunks_->Begin(buffer.chunk) + ByteCount{buffer.filled};
  buffer.filled += length.value;
  SLUICE_CHECK(buffer.filled <= chunks_->chunk_size().value);

  const bool stays = length.value > 0 && (buffer.bound || MayStay(buffer));
  if (!done.buffer_more()) TakeBack(done.buffer());
  if (length.value == 0) return;
  Fragment fragment{connection.stream, connection.next, at, length};
  fragment.open_ended = true;
  connection.next = connection.next + length;
  if (!stays) return sink_->OnDiscarded(fragment);
  sink_->OnFragment(fragment, std::move(lease));
}

// The first bytes that stay in a chunk bind it to the disk. As many others as are to be kept must
// be in the kernel's hands then, or receiving would have to stop.
bool StreamReceiver::MayStay(Provided& buffer) {
  while (options_.chunks_kept > 0 && unbound_ <= options_.chunks_kept) {
    if (free_buffers_.empty()) return false;
    if (!ProvideChunk() && !sink_->MakeRoom()) return false;
  }
  buffer.bound = true;
  --unbound_;
  return true;
}

// The kernel is done with a chunk.
void StreamReceiver::TakeBack(uint16_t id) {
  const Provided& buffer = buffers_[id];
  const uint32_t chunk = buffer.chunk;
  --provided_;
  if (!buffer.bound) {
    --unbound_;
    // All that it held was thrown away.
    if (options_.chunks_kept > 0) return Provide(id, chunk);
  }
  chunks_->Return(chunk);
  free_buffers_.push_back(id);
}

void StreamReceiver::Close(OpTag tag, Connection& connection, StreamEnd how) {
  sink_->OnClosed(connection.stream, connection.next, how);
  ring_->CloseSocket(connection.socket);
  connections_.Finish(tag);
}

uint32_t StreamReceiver::ChunksWanted() const {
  // A track that waits for its first stream keeps one chunk, not a share that others could use.
  if (idle()) return options_.chunks_kept + 1;
  const bool many = connections_.size() > options_.chunks_provided * kArmedPerChunk;
  const bool plenty = chunks_->free_count() * 4 > chunks_->count() * 3;
  return many && plenty ? options_.chunks_provided_max : options_.chunks_provided;
}

void StreamReceiver::ProvideChunks() {
  while (provided_ < ChunksWanted() && ProvideChunk()) {
  }
}

// False: none is free.
bool StreamReceiver::ProvideChunk() {
  const std::optional<uint32_t> chunk = chunks_->Take();
  if (!chunk) return false;
  const uint16_t id = free_buffers_.back();
  free_buffers_.pop_back();
  Provide(id, *chunk);
  return true;
}

void StreamReceiver::Provide(uint16_t id, uint32_t chunk) {
  buffers_[id] = {chunk, 0};
  ++provided_;
  ++unbound_;
  ring_->ProvideBuffer(options_.track, id,
                       region_->Span(chunks_->Begin(chunk), chunks_->chunk_size()));
}

absl::Duration StreamReceiver::OnTurn(absl::Duration now) {
  ProvideChunks();
  if (!sink_->Accepts()) return absl::InfiniteDuration();
  // A waiting connection is in the table: only Abort() takes it out, and empties the lines.
  const auto rearm = [this](OpTag tag) { Arm(tag, *connections_.Find(tag)); };
  absl::Duration next = absl::InfiniteDuration();
  if (zero_copy_) next = zero_copy_->OnTurn(now, rearm);
  for (uint32_t left = provided_ * kArmedPerChunk; left > 0 && !waiting_.empty(); --left) {
    const OpTag tag = waiting_.front();
    waiting_.pop_front();
    rearm(tag);
  }
  return !waiting_.empty() && provided_ > 0 ? absl::ZeroDuration() : next;
}

void StreamReceiver::Drain() {
  draining_ = true;
  connections_.ForEach(
      [this](OpTag, Connection& connection) { ring_->ShutdownReceive(connection.socket); });
}

void StreamReceiver::Abort() {
  if (aborting_) return;
  draining_ = true;
  aborting_ = true;
  waiting_.clear();
  if (zero_copy_) zero_copy_->StopWaiting();
  connections_.ForEach([this](OpTag tag, Connection& connection) {
    if (connection.armed) {
      Cancel(tag, connection);
    } else {
      Close(tag, connection, StreamEnd::kStopped);
    }
  });
}

}  // namespace sluice
