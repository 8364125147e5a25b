// What RECV_ZC's completions mean: bytes in the area, a pause, an end, or another way to receive.
#ifndef INGEST_RECEIVE_ZERO_COPY_RECEIVER_H_
#define INGEST_RECEIVE_ZERO_COPY_RECEIVER_H_

#include <cstdint>
#include <deque>

#include "absl/time/time.h"
#include "ingest/receive/interface_queue.h"
#include "ingest/receive/lease_sink.h"
#include "ingest/ring/ring.h"

namespace sluice {

struct ZeroCopyCounters {
  uint64_t completions = 0;     // with data
  uint64_t queue_full = 0;      // receives that ended because the completion queue was (-ENOSPC)
  uint64_t area_exhausted = 0;  // ... because the area was (-ENOMEM)
  uint64_t handed_to_copy = 0;  // connections that the copying receiver went on with
  uint64_t steered_away = 0;    // of them: their packets came to another queue (-EFAULT)

  bool operator==(const ZeroCopyCounters&) const = default;
  ZeroCopyCounters& operator+=(const ZeroCopyCounters& more) {
    completions += more.completions;
    queue_full += more.queue_full;
    area_exhausted += more.area_exhausted;
    handed_to_copy += more.handed_to_copy;
    steered_away += more.steered_away;
    return *this;
  }
};

// Multishot RECV_ZC for connections whose table is StreamReceiver's. A receive that ends for want
// of room waits its turn in a line here: nothing is lost, the peers' TCP windows close. Owned by a
// track, on its lane's thread.
class ZeroCopyReceiver {
 public:
  ZeroCopyReceiver(Ring& ring, InterfaceQueue& queue) : ring_(&ring), queue_(&queue) {}
  ZeroCopyReceiver(const ZeroCopyReceiver&) = delete;
  ZeroCopyReceiver& operator=(const ZeroCopyReceiver&) = delete;

  // The tag of a connection's RECV_ZC, and the connection's tag in its table.
  static OpTag TagFor(OpTag connection) {
    connection.kind = OpKind::kReceiveZeroCopy;
    return connection;
  }
  static OpTag ConnectionOf(OpTag tag) {
    tag.kind = OpKind::kReceive;
    return tag;
  }

  bool Carries(int socket) const { return queue_->Carries(socket); }
  void Arm(OpTag connection, int socket) { ring_->ReceiveZeroCopy(TagFor(connection), socket); }

  // The lease first: whatever becomes of the bytes, their page goes home once.
  RegionLease Lease(const Completion& done) {
    ++counters_.completions;
    return queue_->Lease(done.area_offset);
  }
  // Where the bytes of a data completion lie; `fragment` knows its stream already.
  void Place(const Completion& done, Fragment& fragment) {
    fragment.at = queue_->At(done.area_offset);
    fragment.length = {static_cast<uint64_t>(done.result)};
    fragment.zero_copy = queue_->WasPlaced(done.area_offset, fragment.length.value);
  }

  enum class Verdict { kEnded, kWaits, kCopyInstead };
  // Of a completion without more(); of a kWaits connection, Wait() is next.
  Verdict Judge(int32_t result);

  void Wait(OpTag connection) { waiting_.push_back(connection); }
  void StopWaiting() { waiting_.clear(); }
  // Calls rearm(OpTag) for connections that may try again; returns when to come at the latest.
  template <class Rearm>
  absl::Duration OnTurn(absl::Duration now, Rearm rearm) {
    for (size_t left = MayTry(now); left > 0 && !waiting_.empty(); --left) {
      const OpTag connection = waiting_.front();
      waiting_.pop_front();
      rearm(connection);
    }
    if (waiting_.empty()) return absl::InfiniteDuration();
    return starved_ ? try_at_ - now : absl::ZeroDuration();
  }
  bool starved() const { return starved_ && !waiting_.empty(); }
  bool pressed() const { return queue_->pressed(); }

  const ZeroCopyCounters& counters() const { return counters_; }

 private:
  size_t MayTry(absl::Duration now);

  Ring* ring_;
  InterfaceQueue* queue_;
  std::deque<OpTag> waiting_;  // connections, in order
  bool starved_ = false;       // the last one that came wanted a page
  uint64_t returned_ = 0;      // pages, when connections were last let go
  absl::Duration try_at_;      // again, whether or not one has come back
  ZeroCopyCounters counters_;
};

}  // namespace sluice

#endif  // INGEST_RECEIVE_ZERO_COPY_RECEIVER_H_
