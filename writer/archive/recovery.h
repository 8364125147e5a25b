// Makes catalog and segments agree again: after a crash, after the catalog was lost.
#ifndef WRITER_ARCHIVE_RECOVERY_H_
#define WRITER_ARCHIVE_RECOVERY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ingest/units.h"
#include "writer/archive/archive.h"
#include "writer/catalog/catalog.h"

namespace sluice {

// One thing that was not as it should be.
struct RecoveryStep {
  std::string place;    // a file, or a segment
  std::string finding;  // what is wrong with it
  std::string action;   // what is done about it; empty: it is left as it is

  bool operator==(const RecoveryStep&) const = default;
};

struct RecoveryReport {
  uint32_t segments_sealed = 0;       // had been open: scanned, and sealed where they hold
  uint32_t segments_indexed = 0;      // sealed, but unknown to the catalog
  uint32_t segments_forgotten = 0;    // known to the catalog, but not there any more
  uint32_t segments_damaged = 0;      // unreadable header or footer
  uint32_t segments_unavailable = 0;  // known to the catalog, on a disk that is not in use
  ByteCount payload_recovered;        // in the segments that were sealed here
  uint32_t streams_interrupted = 0;
  bool catalog_rebuilt = false;    // it was missing or damaged
  std::vector<std::string> notes;  // one sentence for each thing out of the ordinary
  // What was found and what became of it, in the order in which it was done; of a rebuild, only
  // what does not hold.
  std::vector<RecoveryStep> steps;
  // For the keeper.
  SegmentId last_segment_id{};           // ids go on after this one
  std::vector<uint32_t> slots_kept_out;  // must not be written to
};

struct RecoveryOptions {
  bool rebuild = false;  // empties the catalog first
  // Also reads every footer, and compares what the catalog says of each sealed segment with it.
  bool compare_catalog = false;
  // Finds out what would be done, and changes neither segments nor the catalog.
  bool dry_run = false;
  // Called after each slot, on the caller's thread; may be empty.
  std::function<void(uint32_t done, uint32_t of)> progress = {};
};

// Reads every slot's header and trailer. Open segments (no trailer of the same id) are scanned
// forward up to the first extent that fails magic, id, sequence or CRC; what holds gets a footer.
// Without payload CRCs, only extents that the durable mark covered are kept: the catalog's mark
// or one carried by a later extent.
//
// A sealed segment is whole on the disk, so nothing of it is given up that can be read: a header
// that is lost is made anew from what the catalog says; when the footer is lost, extents are
// looked for behind those that do not hold, too.
//
// The catalog changes in one transaction, at the end: whoever reads meanwhile, or after a crash in
// the midst of it, sees what it said before.
//
// What the catalog says of disks that are not in use stays, for when they come back; after a
// rebuild it says nothing of them.
//
// FAILED_PRECONDITION: a segment is of a newer format. Otherwise damage is noted and left behind;
// an error is one of the catalog's.
absl::StatusOr<RecoveryReport> Recover(Archive& archive, Catalog& catalog,
                                       const RecoveryOptions& options);
inline absl::StatusOr<RecoveryReport> Recover(Archive& archive, Catalog& catalog, bool rebuild) {
  RecoveryOptions options;
  options.rebuild = rebuild;
  return Recover(archive, catalog, options);
}

}  // namespace sluice

#endif  // WRITER_ARCHIVE_RECOVERY_H_
