// The catalog's table of segments that left the archive.
#ifndef WRITER_CATALOG_REMOVALS_H_
#define WRITER_CATALOG_REMOVALS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "writer/catalog/removal.h"
#include "writer/catalog/sqlite.h"

namespace sluice {

// Adds a row, or lengthens the one that it goes on from: the one of the same track, reason and
// detail whose last segment is the one before this. Bounded: a track has at most
// kRemovalRowsMax rows (then the oldest neighbours are joined), and of recordings that do not
// exist any more the newest kRemovalRowsOfTheGoneMax rows are kept. The audit gets an event, unless
// the removal is known already. Inside a transaction.
absl::Status AddRemoval(SqliteDatabase& db, const RemovalRow& row,
                        const std::string& actor = "rules");

// By recording, lane and first segment.
absl::StatusOr<std::vector<RemovalRow>> ReadRemovals(SqliteDatabase& db);

inline constexpr int kRemovalRowsMax = 256;
inline constexpr int kRemovalRowsOfTheGoneMax = 10'000;

}  // namespace sluice

#endif  // WRITER_CATALOG_REMOVALS_H_
