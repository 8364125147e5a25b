// DIR/VERIFIED: when each sealed segment was last read in full with nothing wrong in it.
#ifndef WRITER_ARCHIVE_VERIFIED_FILE_H_
#define WRITER_ARCHIVE_VERIFIED_FILE_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ingest/units.h"
#include "writer/segment/segment_link.h"

namespace sluice {

struct VerifiedStamp {
  UnixNanos time;
  uint64_t footer = 0;  // the begin of its footer's hash: another footer is another segment

  bool operator==(const VerifiedStamp&) const = default;
};
VerifiedStamp StampOf(const Sha256& footer, UnixNanos time);

// By segment id.
using VerifiedSegments = std::map<uint64_t, VerifiedStamp>;

// The time of the stamp if it is of a segment with this footer; else 0.
UnixNanos VerifiedAt(const VerifiedSegments& all, SegmentId id, const Sha256& footer);

std::string EncodeVerified(const VerifiedSegments& segments);
// DATA_LOSS: damaged. FAILED_PRECONDITION: of a newer version.
absl::StatusOr<VerifiedSegments> ParseVerified(absl::string_view text);

// NOT_FOUND: there is none. Else as ParseVerified.
absl::StatusOr<VerifiedSegments> ReadVerified(const std::string& directory);
// Adds to what is there; of what was there, keeps the segments that `keep` has and those after the
// last one in it. A damaged file is replaced. Several processes may do this at the same time.
absl::Status AddVerified(const std::string& directory, const VerifiedSegments& more,
                         const std::set<uint64_t>& keep);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_VERIFIED_FILE_H_
