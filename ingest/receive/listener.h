// Opens the socket on which a recording's senders arrive.
#ifndef INGEST_RECEIVE_LISTENER_H_
#define INGEST_RECEIVE_LISTENER_H_

#include <vector>

#include "absl/status/statusor.h"
#include "ingest/receive/socket_address.h"

namespace sluice {

// `count` listening TCP sockets on one address, among which the kernel spreads connections
// (SO_REUSEPORT) when there are several; one for each lane. "[::]" takes IPv4 too. Port 0 lets the
// system choose one port for all. The caller owns the descriptors; a failure leaves none open.
// UNAVAILABLE: the port is in use, and still is after half a second. PERMISSION_DENIED: a port
// below 1024. INVALID_ARGUMENT: not an address of this machine.
absl::StatusOr<std::vector<int>> Listen(const SocketAddress& address, uint32_t count);

// Where a socket listens: the port that the system chose.
SocketAddress ListeningAddress(int listener);

}  // namespace sluice

#endif  // INGEST_RECEIVE_LISTENER_H_
