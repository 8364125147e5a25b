#include "ingest/receive/stream_receiver.h"

#include <cerrno>

#include "ingest/check.h"

namespace sluice {
namespace {

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
  sink_->OnOpened({stream, ring_->PeerAddress(socket), ring_->LocalAddress(socket)});
  if (draining_) ring_->ShutdownReceive(socket);
  Arm(tag, *connection);
}

void StreamReceiver::Arm(OpTag tag, Connection& connection) {
  connection.armed = true;
  connection.paused = false;
  ring_->ReceiveMultishot(tag, connection.socket, options_.track);
}

void StreamReceiver::OnReceive(const Completion& done) {
  Connection* const connection = connections_.Find(done.tag);
  SLUICE_CHECK(connection != nullptr);  // a connection is in the table until its last completion
  if (done.has_buffer()) Take(*connection, done);
  if (done.more()) {
    if (!sink_->Accepts() && !connection->paused) {
      connection->paused = true;
      ring_->Cancel(done.tag);
    }
    return;
  }

  connection->armed = false;
  if (done.result > 0 && !aborting_) return Wait(done.tag);
  switch (-done.result) {
    case ENOBUFS:
      ++buffer_waits_;
      [[fallthrough]];
    case EINTR:
    case EAGAIN:
      break;
    case ECANCELED:
      if (connection->paused && !aborting_) break;
      [[fallthrough]];
    default:
      Close(done.tag, *connection, draining_ ? StreamEnd::kStopped : JudgeEnd(done.result));
      return;
  }
  if (aborting_) return Close(done.tag, *connection, StreamEnd::kStopped);
  Wait(done.tag);
}

void StreamReceiver::Take(Connection& connection, const Completion& done) {
  Provided& buffer = buffers_[done.buffer()];
  const ByteCount length{done.result > 0 ? static_cast<uint64_t>(done.result) : 0};
  // The first line that handles a completion makes the lease.
  RegionLease lease = chunks_->Lease(buffer.chunk);
  const RegionOffset at = chunks_->Begin(buffer.chunk) + ByteCount{buffer.filled};
  buffer.filled += length.value;
  SLUICE_CHECK(buffer.filled <= chunks_->chunk_size().value);

  if (!done.buffer_more()) {
    chunks_->Return(buffer.chunk);
    free_buffers_.push_back(done.buffer());
    --provided_;
  }
  if (length.value == 0) return;
  const Fragment fragment{connection.stream, connection.next, at, length};
  connection.next = connection.next + length;
  sink_->OnFragment(fragment, std::move(lease));
}

void StreamReceiver::Close(OpTag tag, Connection& connection, StreamEnd how) {
  sink_->OnClosed(connection.stream, connection.next, how);
  ring_->CloseSocket(connection.socket);
  connections_.Finish(tag);
}

void StreamReceiver::ProvideChunks() {
  // A track that waits for its first stream keeps one chunk, not a share that others could use.
  const uint32_t wanted = idle() ? 1 : options_.chunks_provided_max;
  while (provided_ < wanted) {
    const std::optional<uint32_t> chunk = chunks_->Take();
    if (!chunk) return;
    const uint16_t id = free_buffers_.back();
    free_buffers_.pop_back();
    buffers_[id] = {*chunk, 0};
    ++provided_;
    ring_->ProvideBuffer(options_.track, id,
                         region_->Span(chunks_->Begin(*chunk), chunks_->chunk_size()));
  }
}

void StreamReceiver::OnTurn() {
  ProvideChunks();
  if (!sink_->Accepts()) return;
  // Few at a time: a thousand connections let loose on one free chunk would all but one be back
  // in the line.
  constexpr uint32_t kArmedPerChunk = 16;
  for (uint32_t left = provided_ * kArmedPerChunk; left > 0 && !waiting_.empty(); --left) {
    const OpTag tag = waiting_.front();
    waiting_.pop_front();
    // A waiting connection is in the table: only Abort() takes it out, and empties the line.
    Arm(tag, *connections_.Find(tag));
  }
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
  connections_.ForEach([this](OpTag tag, Connection& connection) {
    if (connection.armed) {
      ring_->Cancel(tag);
    } else {
      Close(tag, connection, StreamEnd::kStopped);
    }
  });
}

}  // namespace sluice
