// Receives TCP streams: without a copy where the lane has a NIC queue, else with one.
#ifndef INGEST_RECEIVE_STREAM_RECEIVER_H_
#define INGEST_RECEIVE_STREAM_RECEIVER_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ingest/receive/lease_sink.h"
#include "ingest/receive/zero_copy_receiver.h"
#include "ingest/region/chunk_pool.h"
#include "ingest/region/region.h"
#include "ingest/ring/op_table.h"
#include "ingest/ring/ring.h"
#include "ingest/units.h"

namespace sluice {

struct StreamReceiverOptions {
  uint8_t track = 0;  // of the lane: also the number of its buffer group
  uint32_t connections_max = 16384;
  // Chunks in the kernel's hands at a time. Few of them stay in the processor's cache.
  uint32_t chunks_provided = 4;
  // Of more connections than those feed, as long as three quarters of all chunks are free: what
  // the kernel has been given it keeps. A power of two.
  uint32_t chunks_provided_max = 16;
  // Not 0: receiving never stops for want of memory. So many chunks in the kernel's hands are kept
  // free of bytes that somebody holds: what would take one of those and finds no other is thrown
  // away, and the chunk goes back to the kernel. Less than chunks_provided. (Until the pool has
  // given that many, receiving waits.)
  uint32_t chunks_kept = 0;
  // The lane's NIC queue; outlives the receiver. None: every connection is received by copying.
  InterfaceQueue* queue = nullptr;
};

// One multishot receive for each connection. With a NIC queue by RECV_ZC (ZeroCopyReceiver), if
// the queue carries the connection. Otherwise into one incremental buffer ring, on any kernel from
// 6.12: the kernel packs what arrives, whichever connection it came on, back to back into 1 MiB
// chunks. An idle connection costs a table slot and nothing else. When no chunk is free, receives
// end with -ENOBUFS and wait their turn in a line; the peers' TCP windows close, nothing is lost:
// unless the options say that receiving goes on and bytes are thrown away.
// Owned by a track, on its lane's thread; destroyed when idle().
class StreamReceiver {
 public:
  StreamReceiver(Ring& ring, Region& region, ChunkPool& chunks, LeaseSink& sink,
                 const StreamReceiverOptions& options);
  StreamReceiver(const StreamReceiver&) = delete;
  StreamReceiver& operator=(const StreamReceiver&) = delete;
  ~StreamReceiver();

  // Registers the buffer group and provides the first chunks.
  absl::Status Open();

  bool full() const { return connections_.full(); }
  // Takes over a connected socket and starts to receive. Not when full().
  void Add(int socket, StreamId stream);
  void OnReceive(const Completion& done);
  // Once a turn: provides free chunks, then lets waiting connections receive again. Returns when
  // to come again at the latest.
  absl::Duration OnTurn(absl::Duration now);
  // Receiving goes on only when leases come back: what is held should be written at once.
  bool WantsLeases() const {
    return zero_copy_ && (zero_copy_->starved() || zero_copy_->pressed());
  }

  // Receives what the kernel has, then ends every stream as kStopped.
  void Drain();
  // Ends them at once, with whatever the kernel still has.
  void Abort();

  uint32_t open_streams() const { return connections_.size(); }
  uint64_t buffer_waits() const { return buffer_waits_; }
  ZeroCopyCounters zero_copy() const {
    return zero_copy_ ? zero_copy_->counters() : ZeroCopyCounters{};
  }
  bool idle() const { return connections_.size() == 0; }

 private:
  struct Connection {
    int socket;
    StreamId stream;
    StreamOffset next;       // of the next byte that arrives
    bool zero_copy = false;  // received by RECV_ZC
    bool armed = false;      // a receive is in the kernel
    bool paused = false;     // it was cancelled because the sink had enough
  };
  // A chunk in the kernel's hands.
  struct Provided {
    uint32_t chunk = 0;
    uint64_t filled = 0;
    bool bound = false;  // it holds bytes that were delivered
  };

  void Arm(OpTag tag, Connection& connection);
  void TakeCopied(Connection& connection, const Completion& done);
  void TakeZeroCopy(Connection& connection, const Completion& done);
  void OnCopyEnded(OpTag tag, Connection& connection, int32_t result);
  void OnZeroCopyEnded(OpTag tag, Connection& connection, int32_t result);
  void Wait(OpTag tag, const Connection& connection);
  void Cancel(OpTag tag, const Connection& connection);
  void Close(OpTag tag, Connection& connection, StreamEnd how);
  uint32_t ChunksWanted() const;
  void ProvideChunks();
  bool ProvideChunk();
  void Provide(uint16_t id, uint32_t chunk);
  void TakeBack(uint16_t id);
  bool MayStay(Provided& buffer);
  bool PageMayStay();

  Ring* ring_;
  Region* region_;
  ChunkPool* chunks_;
  LeaseSink* sink_;
  const StreamReceiverOptions options_;
  std::optional<ZeroCopyReceiver> zero_copy_;
  OpTable<Connection> connections_;
  std::vector<Provided> buffers_;       // by buffer id
  std::vector<uint16_t> free_buffers_;  // ids
  uint32_t provided_ = 0;
  uint32_t unbound_ = 0;       // of those
  std::deque<OpTag> waiting_;  // for a chunk, in order; for pages they wait in zero_copy_
  uint64_t buffer_waits_ = 0;
  bool group_is_open_ = false;
  bool draining_ = false;
  bool aborting_ = false;
};

}  // namespace sluice

#endif  // INGEST_RECEIVE_STREAM_RECEIVER_H_
