#include "writer/catalog/catalog_integrity.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/catalog/schema.h"
#include "writer/catalog/sqlite.h"

namespace sluice {

absl::Status CheckCatalogIntegrity(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<SqliteDatabase> db,
                          SqliteDatabase::Open(path, SqliteDatabase::Mode::kReadOnly));
  SLUICE_ASSIGN_OR_RETURN(const int64_t application, db->QueryInt("PRAGMA application_id"));
  SLUICE_ASSIGN_OR_RETURN(const int64_t version, db->QueryInt("PRAGMA user_version"));
  if (application != kCatalogApplicationId) {
    return absl::DataLossError(absl::StrCat(path, " is not a catalog"));
  }
  if (version > kCatalogVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("catalog ", path, " has version ", version, ": use a newer sluice"));
  }
  SLUICE_ASSIGN_OR_RETURN(SqliteQuery check, db->Query("PRAGMA integrity_check(1)"));
  SLUICE_ASSIGN_OR_RETURN(const bool any, check.Step());
  const std::string found = any ? check.Text(0) : "nothing";
  if (found == "ok") return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("catalog ", path, " is damaged: ", found));
}

}  // namespace sluice
