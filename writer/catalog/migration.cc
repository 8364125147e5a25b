#include "writer/catalog/migration.h"

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/catalog/schema.h"

namespace sluice {
namespace {

// 0: there is nothing in it.
absl::StatusOr<int64_t> VersionOf(SqliteDatabase& db, const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t tables, db.QueryInt("SELECT COUNT(*) FROM sqlite_schema"));
  if (tables == 0) return 0;
  SLUICE_ASSIGN_OR_RETURN(const int64_t application, db.QueryInt("PRAGMA application_id"));
  if (application != kCatalogApplicationId) return NotACatalog(path, "it is not a catalog");
  SLUICE_ASSIGN_OR_RETURN(const int64_t version, db.QueryInt("PRAGMA user_version"));
  if (version <= 0) return NotACatalog(path, absl::StrCat("it has version ", version));
  return version;
}

absl::Status TooNew(const std::string& path, int64_t version, int64_t known) {
  return absl::FailedPreconditionError(absl::StrCat("catalog ", path, " has version ", version,
                                                    "; this program knows up to ", known,
                                                    ": use a newer one"));
}

}  // namespace

absl::Status NotACatalog(const std::string& path, absl::string_view why) {
  return absl::DataLossError(absl::StrCat(
      "catalog ", path, ": ", why,
      "; what it held is in the segments: run \"sluice archive rebuild\" on the archive"));
}

absl::StatusOr<int64_t> MigrateCatalog(SqliteDatabase& db, const std::string& path,
                                       absl::Span<const char* const> steps) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t found, VersionOf(db, path));
  const auto known = static_cast<int64_t>(steps.size());
  if (found > known) return TooNew(path, found, known);
  if (found == known) return found;
  SLUICE_RETURN_IF_ERROR(db.Execute("PRAGMA synchronous = FULL"));
  for (int64_t version = found + 1; version <= known; ++version) {
    const absl::Status status = db.Transaction([&] {
      return db.Execute(absl::StrCat(steps[static_cast<size_t>(version - 1)],
                                     "; PRAGMA application_id = ", kCatalogApplicationId,
                                     "; PRAGMA user_version = ", version));
    });
    if (!status.ok()) {
      return absl::Status(status.code(), absl::StrCat("bring it from version ", version - 1, " to ",
                                                      version, ": ", status.message()));
    }
  }
  SLUICE_RETURN_IF_ERROR(db.Execute("PRAGMA synchronous = NORMAL"));
  return found;
}

absl::Status CheckCatalog(SqliteDatabase& db, const std::string& path, int64_t version) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t found, VersionOf(db, path));
  if (found == version) return absl::OkStatus();
  if (found == 0) {
    return absl::NotFoundError(absl::StrCat("catalog ", path, " is empty: what it held is in the ",
                                            "segments: run \"sluice archive rebuild\" on the ",
                                            "archive"));
  }
  if (found > version) return TooNew(path, found, version);
  return absl::FailedPreconditionError(
      absl::StrCat("catalog ", path, " has version ", found, ", and this program reads version ",
                   version, ": open the archive for writing once, which brings it up to date (",
                   "\"sluice record\", \"sluice serve\" or \"sluice archive rebuild\")"));
}

}  // namespace sluice
