// The one seam between a lane and the world: network, disk and clock.
#ifndef INGEST_RING_RING_H_
#define INGEST_RING_RING_H_

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ingest/receive/socket_address.h"
#include "ingest/ring/op_tag.h"
#include "ingest/ring/zcrx_uapi.h"
#include "ingest/units.h"

namespace sluice {

// One completion, with what Linux puts into the flags of a CQE (linux/io_uring.h).
struct Completion {
  OpTag tag;
  int32_t result = 0;  // >= 0, or a negated errno
  uint32_t flags = 0;
  uint64_t area_offset = 0;  // of a zero-copy receive: where the bytes lie, with the area's number

  static constexpr uint32_t kHasBuffer = 1;    // IORING_CQE_F_BUFFER
  static constexpr uint32_t kMore = 2;         // IORING_CQE_F_MORE
  static constexpr uint32_t kBufferMore = 16;  // IORING_CQE_F_BUF_MORE
  static constexpr uint32_t kBufferShift = 16;

  bool more() const { return (flags & kMore) != 0; }  // the operation goes on
  bool has_buffer() const { return (flags & kHasBuffer) != 0; }
  bool buffer_more() const { return (flags & kBufferMore) != 0; }  // the buffer is still in use
  uint16_t buffer() const { return static_cast<uint16_t>(flags >> kBufferShift); }
};

using BufferGroup = uint16_t;

inline constexpr size_t kRangesMax = 1024;  // UIO_MAXIOV

// Where a ring receives without copies, and into what.
struct InterfaceQueueOptions {
  // Empty: device-less. Then the kernel copies what any socket has received into the area.
  std::string interface;
  uint32_t queue = 0;           // of the interface's receive queues
  std::span<std::byte> area;    // whole pages; stays valid as long as the ring
  uint32_t refill_entries = 0;  // a power of two, at most kRefillEntriesMax
  OpTag event_tag;              // of the kernel's events, where it has them
};

inline constexpr uint32_t kRefillEntriesMax = 32768;

// Buffers on their way back to the kernel, in memory shared with it. What the kernel has taken is
// below `head`, what it may take below `tail`; both count without end.
struct RefillRing {
  const std::atomic<uint32_t>* head = nullptr;
  std::atomic<uint32_t>* tail = nullptr;
  zcrx::RefillEntry* entries = nullptr;
  uint32_t size = 0;                             // a power of two
  const zcrx::Statistics* statistics = nullptr;  // where the kernel keeps any (Linux 7.2)
  bool needs_flush = false;  // device-less: the kernel takes buffers back only in FlushRefill()
  bool can_flush = false;    // Linux 7.2
};

// Implemented by UringRing over io_uring, and by SimRing for tests. Used by one thread, which
// also opens it; only Wake() may be called from others. Submitting cannot fail: a full submission
// queue is handed to the kernel first. Memory and descriptors that an operation names stay valid
// until its last completion.
class Ring {
 public:
  virtual ~Ring() = default;

  // -- Clock, read once a turn.
  virtual absl::Duration Monotonic() const = 0;
  virtual UnixNanos RealTime() const = 0;

  // -- Network.
  // A completion with a new socket for each connection, while more().
  virtual void AcceptMultishot(OpTag tag, int listener) = 0;
  virtual void Connect(OpTag tag, int socket, const SocketAddress& to) = 0;
  // A completion for each run of bytes, in a buffer of the group, while more(). The bytes follow
  // those that the last completion put into the same buffer. Ends with 0 at the end of the
  // stream, -ENOBUFS when the group is empty, -ECANCELED, or the socket's error.
  virtual void ReceiveMultishot(OpTag tag, int socket, BufferGroup group) = 0;
  // The same without a copy, from the queue that OpenInterfaceQueue() has bound: a completion for
  // each run of bytes, at `area_offset`, while more(). Each is one reference on the page there,
  // which goes back through the refill ring. Ends with 0 at the end of the stream, -ENOSPC when
  // the completion queue is full, -ENOMEM when the kernel must copy and the area has no free page
  // (neither loses anything), -EFAULT when the bytes lie in another queue's memory,
  // -EPROTONOSUPPORT for sockets that are not plain TCP, -ECANCELED, or the socket's error.
  virtual void ReceiveZeroCopy(OpTag tag, int socket) = 0;
  // `target` completes with -ECANCELED, unless it completes by itself first.
  virtual void Cancel(OpTag target) = 0;

  virtual absl::StatusOr<int> OpenSocket(const SocketAddress& towards) = 0;
  virtual SocketAddress PeerAddress(int socket) = 0;
  virtual SocketAddress LocalAddress(int socket) = 0;
  // What has arrived can still be received, then the stream ends.
  virtual void ShutdownReceive(int socket) = 0;
  virtual void CloseSocket(int socket) = 0;

  // -- Receive buffers: `entries` (a power of two) of them at most at a time.
  virtual absl::Status OpenBufferGroup(BufferGroup group, uint32_t entries) = 0;
  // The kernel fills buffers in the order in which they were provided.
  virtual void ProvideBuffer(BufferGroup group, uint16_t id, std::span<std::byte> memory) = 0;
  virtual void CloseBufferGroup(BufferGroup group) = 0;

  // -- Zero-copy receive. One queue a ring, for the ring's life: the kernel has no way to give it
  // back earlier. An error says in one sentence what is missing and what to do.
  virtual absl::StatusOr<RefillRing> OpenInterfaceQueue(const InterfaceQueueOptions& options) = 0;
  // The kernel takes what it finds in the refill ring, now. Only if can_flush.
  virtual void FlushRefill() = 0;
  // Lets the kernel send an event of this type once more. Only after one has come.
  virtual void ArmEvent(zcrx::Event type) = 0;
  // The NAPI instance (in effect: the receive queue) that last brought something for the socket;
  // 0: not known.
  virtual uint32_t IncomingNapi(int socket) = 0;

  // -- Disk.
  // Makes `memory` a registered buffer; writes from inside it need no page pinning. On failure
  // (RESOURCE_EXHAUSTED names the limit on locked memory) writes work all the same, slower.
  virtual absl::Status RegisterMemory(std::span<std::byte> memory) = 0;
  // One vectored write, of at most kRangesMax ranges. May complete short.
  virtual void Write(OpTag tag, int file, FileOffset at, std::span<const iovec> ranges) = 0;
  virtual void SyncData(OpTag tag, int file) = 0;

  // -- A turn: submits, then waits for a completion, Wake(), or `timeout`.
  virtual void SubmitAndWait(absl::Duration timeout) = 0;
  // What has completed; valid until the next call on the ring.
  virtual std::span<const Completion> Harvest() = 0;
  virtual void Wake() = 0;
};

}  // namespace sluice

#endif  // INGEST_RING_RING_H_
