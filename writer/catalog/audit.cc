#include "writer/catalog/audit.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"

namespace sluice {

absl::Status AddAudit(SqliteDatabase& db, absl::Span<const AuditRow> rows) {
  for (const AuditRow& row : rows) {
    SLUICE_ASSIGN_OR_RETURN(SqliteQuery query,
                            db.Query("INSERT INTO audit (time_ns, actor, action, object, detail)"
                                     " VALUES (?, ?, ?, ?, ?)"));
    query.Bind(row.time.value).Bind(row.actor).Bind(row.action).Bind(row.object).Bind(row.detail);
    SLUICE_RETURN_IF_ERROR(query.Run());
  }
  return db.Execute(
      absl::StrCat("DELETE FROM audit WHERE id <= (SELECT MAX(id) FROM audit) - ", kAuditRowsMax));
}

absl::StatusOr<std::vector<AuditRow>> ReadAudit(SqliteDatabase& db, int64_t after, size_t limit) {
  SLUICE_ASSIGN_OR_RETURN(SqliteQuery query,
                          db.Query("SELECT id, time_ns, actor, action, object, detail FROM audit"
                                   " WHERE id > ? ORDER BY id LIMIT ?"));
  query.Bind(after).Bind(static_cast<int64_t>(std::min<size_t>(limit, INT32_MAX)));
  std::vector<AuditRow> rows;
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(const bool has_row, query.Step());
    if (!has_row) return rows;
    rows.push_back(
        {query.Int(0), {query.Int(1)}, query.Text(2), query.Text(3), query.Text(4), query.Text(5)});
  }
}

}  // namespace sluice
