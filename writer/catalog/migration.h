// Brings a catalog's tables to the version that this program knows.
#ifndef WRITER_CATALOG_MIGRATION_H_
#define WRITER_CATALOG_MIGRATION_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "writer/catalog/sqlite.h"

namespace sluice {

// Takes the steps (schema.h) that the database lacks, each in a transaction of its own, the last
// of which is on stable storage when this returns. A new database lacks all of them. Returns the
// version that was found; 0: it was new.
//
// DATA_LOSS: it is not a catalog, or a damaged one, and the segments have to say again what it
// held. FAILED_PRECONDITION: made by a newer program. After an error the database has the
// version that the last finished step gave it.
absl::StatusOr<int64_t> MigrateCatalog(SqliteDatabase& db, const std::string& path,
                                       absl::Span<const char* const> steps);

// The same for a reader, who changes nothing: FAILED_PRECONDITION when a step is lacking.
absl::Status CheckCatalog(SqliteDatabase& db, const std::string& path, int64_t version);

// "catalog PATH: WHY; what it held is in the segments ...".
absl::Status NotACatalog(const std::string& path, absl::string_view why);

}  // namespace sluice

#endif  // WRITER_CATALOG_MIGRATION_H_
