// What an archive does with directories and small files; each failure one sentence with a remedy.
#ifndef WRITER_ARCHIVE_ARCHIVE_FILES_H_
#define WRITER_ARCHIVE_ARCHIVE_FILES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "ingest/units.h"
#include "writer/segment/file_io.h"

namespace sluice {

// DIR/segments/000005.seg
std::string SlotPath(const std::string& directory, uint32_t slot);

// What failed on what, and what to do about it.
absl::Status Refused(absl::string_view what, const std::string& path, int error);

absl::StatusOr<UniqueFd> OpenFile(const std::string& path, int flags);
absl::Status MakeDirectory(const std::string& path);  // one level; it may be there already
absl::Status SyncDirectory(const std::string& path);
absl::Status SyncFile(const std::string& path);

// The first 8 KiB of a file; NOT_FOUND when there is none.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);
// Written beside, synced and renamed: there is always one whole file.
absl::Status ReplaceFile(const std::string& directory, const std::string& name,
                         absl::Span<const std::byte> bytes);

// A damaged catalog becomes PATH.damaged, and so do the files that belong to it. One that was there
// is replaced.
absl::Status MoveCatalogAside(const std::string& path);

// So large, and every block of it there: a write into it never meets ENOSPC. What the file
// holds already stays.
absl::Status Allocate(const std::string& path, ByteCount size);

// The files of slots [first, first + count), allocated and on stable storage. When that fails,
// those that it made are gone again.
absl::Status MakeSlots(const std::string& directory, uint32_t first, uint32_t count,
                       ByteCount segment);
// What an interrupted creation left in DIR/segments, in blocks that are already ours.
ByteCount AllocatedAlready(const std::string& directory);
// One more than the highest number that a segment file in the directory has.
uint32_t CountSlots(const std::string& directory);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_ARCHIVE_FILES_H_
