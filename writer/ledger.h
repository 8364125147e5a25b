// The account of a track's bytes: what came in is what was written plus what was dropped.
#ifndef WRITER_LEDGER_H_
#define WRITER_LEDGER_H_

#include <cstdint>

namespace sluice {

// Bytes of payload, cumulative since the track started. Plain data of 80 bytes, stored in every
// extent header as it is (writer/FORMAT.md).
struct Ledger {
  uint64_t received = 0;  // handed over by the network
  uint64_t written = 0;   // placed into extents, up to and including this one
  // Dropped, by cause.
  uint64_t dropped_policy = 0;     // a back-pressure policy said so
  uint64_t dropped_socket = 0;     // the kernel's socket buffer was full (datagrams)
  uint64_t dropped_device = 0;     // the network device had no buffer
  uint64_t dropped_truncated = 0;  // a datagram was longer than its buffer
  uint64_t dropped_disk = 0;       // the disk was lost
  // How the written bytes came into the extents; zero_copy + copied == received.
  uint64_t zero_copy = 0;  // placed by the network device where the disk read them
  uint64_t copied = 0;     // copied once, by the kernel, into registered memory
  uint64_t packed = 0;     // of `written`: copied once more, by us, to fill a block

  bool operator==(const Ledger&) const = default;
  uint64_t dropped() const {
    return dropped_policy + dropped_socket + dropped_device + dropped_truncated + dropped_disk;
  }
  Ledger& operator+=(const Ledger& more) {
    received += more.received;
    written += more.written;
    dropped_policy += more.dropped_policy;
    dropped_socket += more.dropped_socket;
    dropped_device += more.dropped_device;
    dropped_truncated += more.dropped_truncated;
    dropped_disk += more.dropped_disk;
    zero_copy += more.zero_copy;
    copied += more.copied;
    packed += more.packed;
    return *this;
  }
};
static_assert(sizeof(Ledger) == 80);

}  // namespace sluice

#endif  // WRITER_LEDGER_H_
