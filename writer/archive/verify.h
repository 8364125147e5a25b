// Reads a whole archive and says what does not hold.
#ifndef WRITER_ARCHIVE_VERIFY_H_
#define WRITER_ARCHIVE_VERIFY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ingest/units.h"

namespace sluice {

struct VerifyReport {
  // What was checked and holds.
  uint32_t segments = 0;
  uint64_t extents = 0;
  uint64_t fragments = 0;
  uint64_t streams = 0;
  ByteCount payload;
  // Reused, or deleted, while they were read.
  uint32_t segments_skipped = 0;
  // On disks that are not there; each disk has its note.
  uint32_t segments_unavailable = 0;
  // How much does not hold. Each is one sentence in `findings`, of which the first
  // kVerifyFindingsMax are kept.
  uint64_t damaged = 0;
  std::vector<std::string> findings;
  // What is no damage, but worth knowing.
  std::vector<std::string> notes;

  bool ok() const { return damaged == 0; }
};

inline constexpr size_t kVerifyFindingsMax = 100;

// `done` grows to `total` as segments are read.
using VerifyProgress = std::function<void(ByteCount done, ByteCount total)>;

// Checks, of every segment, all of a sealed one and an open one up to its durable mark: header,
// footer and extents with all their checksums, that the footer says what the extents say, that
// every stream and every track's account goes on without a hole from where the archive still has
// it, that the accounts add up, and that the catalog says the same.
//
// Only reads. Another process may be recording into the archive; what it reuses meanwhile is
// skipped. An error means that there is no archive that could be checked.
absl::StatusOr<VerifyReport> VerifyArchive(const std::string& directory,
                                           const VerifyProgress& progress);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_VERIFY_H_
