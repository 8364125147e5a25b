// Who writes an archive: a lock on DIR/LOCK, which also says whose it is.
#ifndef WRITER_ARCHIVE_ARCHIVE_LOCK_H_
#define WRITER_ARCHIVE_ARCHIVE_LOCK_H_

#include <string>

#include "absl/status/statusor.h"
#include "writer/archive/archive_codec.h"
#include "writer/segment/file_io.h"

namespace sluice {

// Held as long as the descriptor is open. FAILED_PRECONDITION names who has it.
absl::StatusOr<UniqueFd> LockArchive(const std::string& directory, const ArchiveHolder& holder);
// NOT_FOUND: nobody has it.
absl::StatusOr<ArchiveHolder> HolderOfLock(const std::string& directory);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_ARCHIVE_LOCK_H_
