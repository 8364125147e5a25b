// Reads a segment file: header, footer, extents. Trusts nothing that it reads.
#ifndef WRITER_SEGMENT_SEGMENT_READER_H_
#define WRITER_SEGMENT_SEGMENT_READER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ingest/units.h"
#include "writer/extent/extent_codec.h"
#include "writer/extent/format.h"
#include "writer/segment/file_io.h"
#include "writer/segment/format.h"
#include "writer/segment/segment_codec.h"
#include "writer/segment/segment_link.h"

namespace sluice {

// Read-only; opens the file by itself, O_DIRECT where possible so that reading leaves the page
// cache alone. Thread-compatible. A segment may be reused while it is read: every extent carries
// the segment's id, and StillHolds() tells after a read that the bytes were this segment's.
class SegmentReader {
 public:
  // NOT_FOUND: the slot is empty, or there is no such file. DATA_LOSS: a damaged header, or a file
  // shorter than it says. FAILED_PRECONDITION: a newer format version.
  static absl::StatusOr<std::unique_ptr<SegmentReader>> Open(const std::string& path);
  SegmentReader(const SegmentReader&) = delete;
  SegmentReader& operator=(const SegmentReader&) = delete;

  const std::string& path() const { return path_; }
  const SegmentHeader& header() const { return header_; }
  SegmentId id() const { return SegmentId{header_.segment_id}; }

  // NOT_FOUND: the segment is not sealed. DATA_LOSS: damaged.
  // With `hash`, also the footer's FooterSha256().
  absl::StatusOr<SegmentFooter> ReadFooter(Sha256* hash = nullptr);
  // The extent at `at`, which carries this segment's id. OUT_OF_RANGE: no extent of this segment
  // begins there (free space, or what an earlier use left). DATA_LOSS: damaged.
  absl::StatusOr<ExtentIndex> ReadExtentIndex(FileOffset at);
  // Bytes of the file as they are. Fastest when place, length and memory are multiples of
  // kBlockBytes: then they are read where they are wanted.
  absl::Status Read(FileOffset at, absl::Span<std::byte> out);
  // The CRC over an extent's payload, compared with its header's; OK when it carries none.
  absl::Status CheckPayload(const ExtentIndex& extent);
  // False when the file has been given to another segment since it was opened.
  bool StillHolds();

 private:
  SegmentReader() = default;
  absl::Status Annotate(FileOffset at, const absl::Status& status) const;

  UniqueFd fd_;
  std::string path_;
  SegmentHeader header_;
  AlignedBuffer bounce_;  // for reads that are not aligned
};

}  // namespace sluice

#endif  // WRITER_SEGMENT_SEGMENT_READER_H_
