// The bytes of an extent, as writer/FORMAT.md specifies them. Little-endian, fixed width.
#ifndef WRITER_EXTENT_FORMAT_H_
#define WRITER_EXTENT_FORMAT_H_

#include <bit>
#include <cstddef>
#include <cstdint>

#include "ingest/receive/socket_address.h"
#include "writer/ledger.h"

namespace sluice {

static_assert(std::endian::native == std::endian::little,
              "the on-disk structures are used in place");

// Everything in a segment begins and ends on a multiple of this, whatever the device asks for.
inline constexpr uint64_t kBlockBytes = 4096;

inline constexpr uint16_t kFormatVersion = 1;

enum class ExtentKind : uint16_t { kStream = 1, kDatagram = 2, kPacket = 3 };

inline constexpr uint64_t kExtentMagic = 0x31545845'43494C53;  // "SLICEXT1"

// An extent is [header | payload ranges | pad]. The header is this struct, then
// `fragment_count` Fragment entries, then `event_count` StreamEvent entries, then zeros up to
// `header_bytes`.
struct ExtentHeader {
  uint64_t magic = kExtentMagic;
  uint16_t version = kFormatVersion;
  ExtentKind kind = ExtentKind::kStream;
  uint32_t header_bytes = 0;  // a multiple of kBlockBytes
  // With `sequence`, the guard against extents that an earlier use of the segment left behind.
  uint64_t segment_id = 0;
  uint32_t sequence = 0;      // in the segment, from 0, without a hole
  uint32_t extent_bytes = 0;  // header, ranges and pad; a multiple of kBlockBytes
  uint32_t fragment_count = 0;
  uint32_t event_count = 0;
  uint64_t payload_bytes = 0;  // the sum of the fragments' lengths
  int64_t first_time_ns = 0;   // Unix time of the first and last fragment or event
  int64_t last_time_ns = 0;
  uint64_t durable_bytes =
      0;               // of this segment, known to be on stable storage when this was sealed
  Ledger ledger;       // cumulative, this extent included
  uint32_t flags = 0;  // kExtentHasPayloadCrc
  uint32_t payload_crc32c = 0;  // over the fragments' payload in table order
  uint8_t reserved[92] = {};
  uint32_t header_crc32c = 0;  // over header_bytes with this field zero
};
static_assert(sizeof(ExtentHeader) == 256);
static_assert(offsetof(ExtentHeader, header_crc32c) == 252);

inline constexpr uint32_t kExtentHasPayloadCrc = 1;

// Where a run of one stream's bytes lies in the extent.
struct FragmentEntry {
  uint64_t stream_id = 0;
  uint64_t stream_offset = 0;
  uint32_t time_delta_us = 0;  // after first_time_ns
  uint32_t length = 0;
  uint32_t payload_offset = 0;  // from the start of the extent
  uint32_t flags = 0;
};
static_assert(sizeof(FragmentEntry) == 32);

enum class StreamEventType : uint8_t {
  kOpen = 1,       // the connection was accepted
  kContinued = 2,  // the stream's first appearance in this segment; it was opened in an earlier one
  kClose = 3,      // nothing more will come
  kGap = 4,        // bytes that were received and are missing, before what comes next
};

enum class CloseReason : uint8_t {
  kNone = 0,         // not closed
  kEndOfStream = 1,  // the sender said so
  kReset = 2,        // the connection was reset
  kError = 3,        // the socket failed otherwise
  kStopped = 4,      // the recording was stopped
  kDiskLost = 5,     // no disk to write to
  kInterrupted = 6,  // the recorder died; given by recovery, never written by a lane
};

// Why bytes are missing: the ledger's causes, in its order.
enum class GapCause : uint8_t {
  kNone = 0,       // no gap
  kPolicy = 1,     // a back-pressure policy said so
  kSocket = 2,     // the kernel's socket buffer was full
  kDevice = 3,     // the network device had no buffer
  kTruncated = 4,  // a datagram was longer than its buffer
  kDisk = 5,       // the disk was lost
};

// What happened to a stream, so that a segment describes its streams by itself.
struct StreamEvent {
  uint64_t stream_id = 0;
  int64_t time_ns = 0;
  // open: 0; continued: where this segment goes on; close: the length; gap: where it begins.
  uint64_t stream_offset = 0;
  int64_t opened_ns = 0;
  StreamEventType type = StreamEventType::kOpen;
  CloseReason reason = CloseReason::kNone;
  GapCause cause = GapCause::kNone;  // of a gap
  uint8_t reserved0[5] = {};
  SocketAddress peer;
  SocketAddress local;
  uint64_t gap_bytes = 0;  // of a gap: its length
  uint8_t reserved[32] = {};
};
static_assert(sizeof(StreamEvent) == 128);
static_assert(offsetof(StreamEvent, gap_bytes) == 88);

}  // namespace sluice

#endif  // WRITER_EXTENT_FORMAT_H_
