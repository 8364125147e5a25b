// The bytes of a segment around its extents, as writer/FORMAT.md specifies them.
#ifndef WRITER_SEGMENT_FORMAT_H_
#define WRITER_SEGMENT_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "ingest/receive/socket_address.h"
#include "writer/extent/format.h"
#include "writer/ledger.h"

namespace sluice {

// A segment file of fixed size: [SegmentHeader | extents ... | free | footer].
// The footer ends with the file: [ExtentRecord... | StreamRecord... | zeros | SegmentTrailer].

inline constexpr uint64_t kSegmentMagic = 0x31474553'43494C53;  // "SLICSEG1"
inline constexpr uint64_t kTrailerMagic = 0x31444E45'43494C53;  // "SLICEND1"

inline constexpr size_t kRecordingNameBytesMax = 63;

// The segment that was in the slot before, so that a catalog that is made anew can tell why it is
// gone.
struct ReplacedSegment {
  uint64_t segment_id = 0;  // 0: nothing is said
  uint64_t previous_segment_id = 0;
  uint64_t recording_uid = 0;
  uint32_t epoch = 0;
  uint16_t lane = 0;
  uint8_t reason = 0;  // a RemovalReason (writer/catalog/removal.h)
  uint8_t reserved0 = 0;
  uint64_t payload_bytes = 0;
  int64_t removed_ns = 0;
  std::array<uint8_t, 32> footer_sha256 = {};
  Ledger ledger;  // its last extent's
  char recording[kRecordingNameBytesMax + 1] = {};
  uint8_t reserved[32] = {};
};
static_assert(sizeof(ReplacedSegment) == 256);

// The first block. Written and synced before the segment is handed to a track, so that what an
// earlier use left behind is never taken for this segment's.
struct SegmentHeader {
  uint64_t magic = kSegmentMagic;
  uint16_t version = kFormatVersion;
  ExtentKind kind = ExtentKind::kStream;
  uint16_t lane = 0;
  uint16_t reserved0 = 0;
  std::array<uint8_t, 16> archive_uuid = {};
  uint64_t segment_id = 0;
  uint64_t previous_segment_id = 0;  // of the same track in this epoch; 0 is none
  uint64_t segment_bytes = 0;        // the file's size
  uint32_t slot = 0;                 // the file's number
  uint32_t epoch = 0;                // how often the archive had been opened for writing
  int64_t created_ns = 0;
  uint64_t recording_uid = 0;  // tells recordings apart that were given the same name
  char recording[kRecordingNameBytesMax + 1] = {};        // its id, zero-terminated
  char retention_class[kRecordingNameBytesMax + 1] = {};  // likewise; empty is "default"
  ReplacedSegment replaced;
  uint8_t reserved[kBlockBytes - 212 - sizeof(ReplacedSegment)] = {};
  uint32_t header_crc32c = 0;  // over the block with this field zero
};
static_assert(sizeof(SegmentHeader) == kBlockBytes);
static_assert(offsetof(SegmentHeader, replaced) == 208);
static_assert(offsetof(SegmentHeader, header_crc32c) == kBlockBytes - 4);

struct ExtentRecord {
  uint64_t offset = 0;  // in the file
  uint32_t sequence = 0;
  uint32_t extent_bytes = 0;
  uint32_t header_bytes = 0;
  uint32_t header_crc32c = 0;  // the extent's; zero unless kChained
  uint64_t payload_bytes = 0;
  int64_t first_time_ns = 0;
  int64_t last_time_ns = 0;
};
static_assert(sizeof(ExtentRecord) == 48);

// One stream's part in this segment.
struct StreamRecord {
  uint64_t stream_id = 0;
  int64_t opened_ns = 0;
  int64_t last_time_ns = 0;  // of its last fragment or event here
  // Stream offsets: this segment holds [begin, end), but for gaps that its events tell of.
  uint64_t begin = 0;
  uint64_t end = 0;
  uint32_t first_extent = 0;  // index into the extent records
  uint32_t last_extent = 0;
  CloseReason reason = CloseReason::kNone;  // kNone: not closed in this segment
  uint8_t reserved0[7] = {};
  SocketAddress peer;
  SocketAddress local;
  uint64_t dropped = 0;  // the sum of those gaps
  uint8_t reserved[16] = {};
};
static_assert(sizeof(StreamRecord) == 128);

struct SegmentTrailer {
  uint64_t magic = kTrailerMagic;
  uint16_t version = kFormatVersion;
  uint16_t flags = 0;  // kSealedByRecovery, kChained
  uint32_t reserved0 = 0;
  uint64_t segment_id = 0;
  uint64_t footer_offset = 0;  // in the file; a multiple of kBlockBytes
  uint64_t footer_bytes = 0;   // to the end of the file, the trailer included
  uint32_t extent_count = 0;
  uint32_t stream_count = 0;
  uint64_t data_end = 0;  // in the file: after the last extent
  uint64_t payload_bytes = 0;
  int64_t first_time_ns = 0;
  int64_t last_time_ns = 0;
  Ledger ledger;  // the last extent's
  // The rest only with kChained: whose the segment is, and what came before it in its track, in
  // earlier epochs too.
  uint64_t previous_segment_id = 0;                     // 0: none
  std::array<uint8_t, 32> previous_footer_sha256 = {};  // zeros: not known
  std::array<uint8_t, 16> archive_uuid = {};
  uint64_t recording_uid = 0;
  uint32_t epoch = 0;
  uint16_t lane = 0;
  uint8_t reserved[18] = {};
  uint32_t records_crc32c = 0;  // over the footer before the trailer
  uint32_t trailer_crc32c = 0;  // over the trailer with this field zero
};
static_assert(sizeof(SegmentTrailer) == 256);
static_assert(offsetof(SegmentTrailer, trailer_crc32c) == 252);  // no padding: all of it is covered

static_assert(offsetof(SegmentTrailer, previous_segment_id) == 160);
static_assert(offsetof(SegmentTrailer, records_crc32c) == 248);

inline constexpr uint16_t kSealedByRecovery = 1;
inline constexpr uint16_t kChained = 2;

}  // namespace sluice

#endif  // WRITER_SEGMENT_FORMAT_H_
