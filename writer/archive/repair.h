// Mends what can be mended in an archive, and says what cannot.
#ifndef WRITER_ARCHIVE_REPAIR_H_
#define WRITER_ARCHIVE_REPAIR_H_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ingest/units.h"
#include "writer/archive/recovery.h"

namespace sluice {

struct RepairOptions {
  // Only finds out what would be done. Takes the archive's lock all the same.
  bool dry_run = true;
  // Also reads every extent, to say which do not hold.
  bool read_payload = true;
  ByteCount bytes_per_second;  // that are read at most; zero: no limit
  std::string actor;           // who asked, for the audit
};

struct RepairReport {
  // In the order in which they are done. A dry run says the same as the real one after it, but that
  // extents of a segment whose header or footer is lost are read only when it has one again.
  std::vector<RecoveryStep> steps;
  std::vector<std::string> notes;  // what is no damage, but worth knowing
  bool done = false;               // something was mended

  size_t mendable() const;
  size_t left() const { return steps.size() - mendable(); }
};

// `done` grows to `total` while extents are read.
using RepairProgress = std::function<void(ByteCount done, ByteCount total)>;

// What a start of the recorder would do (recovery.h), and more: leftover temporary files are
// removed, SQLite is asked whether the catalog is sound, and each of the catalog's rows is compared
// with its segment. A damaged catalog is kept under another name.
//
// Never writes over a byte that can be read: extents that do not hold are named and stay, a segment
// that is another's is left alone. What was done is in the audit.
//
// FAILED_PRECONDITION: somebody has the archive open, or something in it is of a newer version.
absl::StatusOr<RepairReport> RepairArchive(const std::string& directory,
                                           const RepairOptions& options,
                                           const RepairProgress& progress = {});

}  // namespace sluice

#endif  // WRITER_ARCHIVE_REPAIR_H_
