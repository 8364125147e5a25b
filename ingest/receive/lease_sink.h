// What receivers deliver, and to whom.
#ifndef INGEST_RECEIVE_LEASE_SINK_H_
#define INGEST_RECEIVE_LEASE_SINK_H_

#include <cstdint>

#include "ingest/receive/socket_address.h"
#include "ingest/region/region_lease.h"
#include "ingest/units.h"

namespace sluice {

// A run of one stream's bytes in the region.
struct Fragment {
  StreamId stream{};
  StreamOffset stream_offset;
  RegionOffset at;
  ByteCount length;
  bool zero_copy = false;   // the device placed it; else the kernel copied it
  bool open_ended = false;  // the kernel may put more into the block in which it ends
};

struct StreamOpened {
  StreamId stream{};
  SocketAddress peer;
  SocketAddress local;
};

enum class StreamEnd : uint8_t { kEndOfStream, kReset, kError, kStopped };

// Declared by the receivers, implemented downstream (writer/track.h). Called on the lane's
// thread, in the order of events; for each stream: opened, fragments without a gap but for those
// that OnDiscarded tells of, closed.
class LeaseSink {
 public:
  virtual ~LeaseSink() = default;
  virtual void OnOpened(const StreamOpened& stream) = 0;
  // The bytes do not change while the lease lives.
  virtual void OnFragment(const Fragment& fragment, RegionLease lease) = 0;
  virtual void OnClosed(StreamId stream, StreamOffset length, StreamEnd how) = 0;
  // False asks the receiver to stop receiving until the sink says true again.
  virtual bool Accepts() const = 0;

  // Of receivers that never stop for want of memory (StreamReceiverOptions::chunks_kept). There is
  // none in which what has arrived could stay: true when some lease was given up for it, which may
  // be enough.
  virtual bool MakeRoom() { return false; }
  // Arrived, and thrown away because there was no room.
  virtual void OnDiscarded(const Fragment&) {}
};

}  // namespace sluice

#endif  // INGEST_RECEIVE_LEASE_SINK_H_
