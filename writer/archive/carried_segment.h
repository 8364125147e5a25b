// Sealed segments that are carried from one place to another, each in a file of its own.
#ifndef WRITER_ARCHIVE_CARRIED_SEGMENT_H_
#define WRITER_ARCHIVE_CARRIED_SEGMENT_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ingest/units.h"
#include "writer/archive/recovery.h"
#include "writer/segment/format.h"
#include "writer/segment/segment_link.h"

namespace sluice {

// What such a file is, as it says itself and as it was found to be true.
struct CarriedSegment {
  std::string path;
  SegmentHeader header;
  SegmentOrigin origin;
  Sha256 footer_sha256 = {};
  Sha256 file_sha256 = {};
  uint64_t streams = 0;
  ByteCount payload;
  UnixNanos first_time;
  UnixNanos last_time;
};

// Writes a sealed segment into a new file, after all of it was verified. The file has the
// segment's own bytes only: not what an earlier use left in the slot, nor what lay beside the
// payload in memory, both of which can be another recording's. It is sparse.
//
// NOT_FOUND: no such segment. FAILED_PRECONDITION: it is still being written. ALREADY_EXISTS: the
// file is there. DATA_LOSS: the segment does not hold. ABORTED: it was reused meanwhile.
absl::StatusOr<CarriedSegment> ExportSegment(const std::string& directory, SegmentId id,
                                             const std::string& path);

// Reads all of such a file. DATA_LOSS: it does not hold; says where and why.
absl::StatusOr<CarriedSegment> VerifyCarriedSegment(const std::string& path);

// Takes files that VerifyCarriedSegment() has found to hold into an archive, whose streams they
// then are like all others. The segment keeps its archive's uuid, its id and its footer; so it
// goes into its own archive, where a slot must be free, or into one that was made by importing,
// and grows with each import. When there is no archive in `directory` such a one is made;
// nothing can be recorded into it. All of them or, when one is refused, none.
//
// INVALID_ARGUMENT: they do not belong together. FAILED_PRECONDITION: they are another archive's.
// ALREADY_EXISTS: a segment is there. RESOURCE_EXHAUSTED: no slot is free.
absl::StatusOr<RecoveryReport> ImportSegments(const std::vector<CarriedSegment>& segments,
                                              const std::string& directory);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_CARRIED_SEGMENT_H_
