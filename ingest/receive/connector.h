// Dials a source, and dials again when it is gone.
#ifndef INGEST_RECEIVE_CONNECTOR_H_
#define INGEST_RECEIVE_CONNECTOR_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "ingest/receive/socket_address.h"
#include "ingest/ring/ring.h"

namespace sluice {

// One connection at a time. Attempts that fail, and connections that brought nothing, are
// repeated after a pause that doubles from 100 ms to 10 s; one that brought bytes starts over at
// 100 ms. Owned by a track, on its lane's thread; destroyed when idle().
class Connector {
 public:
  static constexpr absl::Duration kPauseMin = absl::Milliseconds(100);
  static constexpr absl::Duration kPauseMax = absl::Seconds(10);

  Connector(Ring& ring, uint8_t track, const SocketAddress& source)
      : ring_(&ring), tag_{OpKind::kConnect, track, 0, 0}, source_(source) {}
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

  // Dials when it is time to; returns when to come again at the latest.
  absl::Duration OnTurn(absl::Duration now);
  // The connected socket, which the caller owns, or nothing.
  std::optional<int> OnConnect(const Completion& done, absl::Duration now);
  // The socket that OnConnect returned has been closed.
  void OnDisconnected(bool had_bytes, absl::Duration now);
  // Dials no more.
  void Stop();

  bool idle() const { return socket_ < 0; }  // no attempt is in the kernel
  uint64_t failures() const { return failures_; }

 private:
  void Pause(absl::Duration now);

  Ring* ring_;
  const OpTag tag_;
  const SocketAddress source_;
  int socket_ = -1;         // of the attempt in flight
  bool connected_ = false;  // the last attempt succeeded and its socket still lives
  bool stopped_ = false;
  absl::Duration next_attempt_;
  absl::Duration pause_ = kPauseMin;
  uint64_t failures_ = 0;
};

}  // namespace sluice

#endif  // INGEST_RECEIVE_CONNECTOR_H_
