// Reads a whole archive and says what does not hold.
#ifndef WRITER_ARCHIVE_VERIFY_H_
#define WRITER_ARCHIVE_VERIFY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ingest/units.h"
#include "writer/catalog/removal.h"
#include "writer/ledger.h"
#include "writer/segment/segment_link.h"

namespace sluice {

struct RemovedSum {
  uint64_t segments = 0;
  ByteCount payload;
};

// Where a recording's bytes are, over all the times that the archive was opened. What was
// received was written or dropped (the ledger); what was written is stored, was removed, was lost
// in a crash, or nothing here can say where it is.
struct VerifyAccount {
  std::string recording;
  uint64_t recording_uid = 0;
  Ledger ledger;
  uint64_t segments = 0;
  ByteCount stored;
  std::map<RemovalReason, RemovedSum> removed;
  ByteCount lost_in_crashes;  // known to have been written, and not durable

  ByteCount removed_bytes() const {
    ByteCount sum;
    for (const auto& [reason, removed_for] : removed) sum += removed_for.payload;
    return sum;
  }
  // Zero, unless segments are missing, or went before removals were recorded.
  ByteCount unexplained() const {
    const ByteCount known = stored + removed_bytes() + lost_in_crashes;
    return {ledger.written > known.value ? ledger.written - known.value : 0};
  }
};

struct VerifyReport {
  // What was checked and holds.
  uint32_t segments = 0;
  uint64_t extents = 0;
  uint64_t fragments = 0;
  uint64_t streams = 0;
  ByteCount payload;
  // Reused, or deleted, while they were read.
  uint32_t segments_skipped = 0;
  // Read in full before, and not again.
  uint32_t segments_known = 0;
  // On disks that are not there; each disk has its note.
  uint32_t segments_unavailable = 0;
  // How much does not hold. Each is one sentence in `findings`, of which the first
  // kVerifyFindingsMax are kept.
  uint64_t damaged = 0;
  std::vector<std::string> findings;
  // What is no damage, but worth knowing.
  std::vector<std::string> notes;
  std::vector<VerifyAccount> accounts;  // by recording

  bool ok() const { return damaged == 0; }
};

inline constexpr size_t kVerifyFindingsMax = 100;

struct VerifyOptions {
  // Headers, footers, chains and the catalog, but no extent: what a start of the recorder could
  // get wrong, and what was taken away or exchanged, in seconds. Payload is not read.
  bool fast = false;
  // How much is read in a second at most, so that recording is not disturbed; zero: no limit.
  ByteCount bytes_per_second;
  // Not read again, but for header and footer: sealed segments that were read in full before and
  // were whole, at any time (`since_last`) or less than `max_age` ago. Streams and accounts that
  // have a part in such a segment are not looked at for holes.
  bool since_last = false;
  absl::Duration max_age = absl::ZeroDuration();
  // Footers that were written down elsewhere: each segment has to be there with this hash, or its
  // removal has to be recorded.
  std::vector<SegmentLink> expected_heads;
};

// `done` grows to `total` as segments are read.
using VerifyProgress = std::function<void(ByteCount done, ByteCount total)>;

// Checks, of every segment, all of a sealed one and an open one up to its durable mark: header,
// footer and extents with all their checksums, that the footer says what the extents say, that
// every stream and every track's account goes on without a hole from where the archive still has
// it, that the accounts add up, and that the catalog says the same. And of every track, over all
// epochs, that each segment follows the one that it names, or that this one's removal is recorded.
//
// Only reads, and remembers in DIR/VERIFIED which segments were read in full and are whole, if it
// may. Another process may be recording into the archive; what it reuses meanwhile is
// skipped. An error means that there is no archive that could be checked.
absl::StatusOr<VerifyReport> VerifyArchive(const std::string& directory,
                                           const VerifyProgress& progress,
                                           const VerifyOptions& options = {});

}  // namespace sluice

#endif  // WRITER_ARCHIVE_VERIFY_H_
