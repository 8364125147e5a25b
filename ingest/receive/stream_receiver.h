// Receives TCP streams on any kernel from 6.12: one kernel copy, into chunks of the region.
#ifndef INGEST_RECEIVE_STREAM_RECEIVER_H_
#define INGEST_RECEIVE_STREAM_RECEIVER_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/status/status.h"
#include "ingest/receive/lease_sink.h"
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
  uint32_t chunks_provided_max = 4;
};

// One multishot receive for each connection, all of them into one incremental buffer ring: the
// kernel packs what arrives, whichever connection it came on, back to back into 1 MiB chunks.
// An idle connection costs a table slot and nothing else. When no chunk is free, receives end
// with -ENOBUFS and wait their turn in a line; the peers' TCP windows close, nothing is lost.
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
  // Once a turn: provides free chunks, then lets waiting connections receive again.
  void OnTurn();
  // True while a connection waits that OnTurn() could serve at once.
  bool HasWork() const { return !waiting_.empty() && sink_->Accepts() && provided_ > 0; }

  // Receives what the kernel has, then ends every stream as kStopped.
  void Drain();
  // Ends them at once, with whatever the kernel still has.
  void Abort();

  uint32_t open_streams() const { return connections_.size(); }
  uint64_t buffer_waits() const { return buffer_waits_; }
  bool idle() const { return connections_.size() == 0; }

 private:
  struct Connection {
    int socket;
    StreamId stream;
    StreamOffset next;    // of the next byte that arrives
    bool armed = false;   // a receive is in the kernel
    bool paused = false;  // it was cancelled because the sink had enough
  };
  // A chunk in the kernel's hands.
  struct Provided {
    uint32_t chunk = 0;
    uint64_t filled = 0;
  };

  void Arm(OpTag tag, Connection& connection);
  void Take(Connection& connection, const Completion& done);
  void Wait(OpTag tag) { waiting_.push_back(tag); }
  void Close(OpTag tag, Connection& connection, StreamEnd how);
  void ProvideChunks();

  Ring* ring_;
  Region* region_;
  ChunkPool* chunks_;
  LeaseSink* sink_;
  const StreamReceiverOptions options_;
  OpTable<Connection> connections_;
  std::vector<Provided> buffers_;       // by buffer id
  std::vector<uint16_t> free_buffers_;  // ids
  uint32_t provided_ = 0;
  std::deque<OpTag> waiting_;  // connections that want to receive and may not yet, in order
  uint64_t buffer_waits_ = 0;
  bool group_is_open_ = false;
  bool draining_ = false;
  bool aborting_ = false;
};

}  // namespace sluice

#endif  // INGEST_RECEIVE_STREAM_RECEIVER_H_
