#include "writer/catalog/audit.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/catalog/sql_values.h"
#include "writer/readable.h"

namespace sluice {
namespace {

// Removals come at the rate of segments: they are not counted each time.
constexpr int64_t kLookAtRemovalsEvery = 256;

absl::Status Insert(SqliteDatabase& db, const AuditRow& row) {
  SLUICE_ASSIGN_OR_RETURN(
      SqliteQuery query,
      db.Query("INSERT INTO audit (time_ns, actor, action, object, detail, lane, first_id, last_id,"
               " segments, payload, reason, retention_class)"
               " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  const RemovedPart removed = row.removed.value_or(RemovedPart());
  return query.Bind(row.time.value)
      .Bind(row.actor)
      .Bind(row.action)
      .Bind(row.object)
      .Bind(row.detail)
      .Bind(static_cast<int64_t>(removed.lane))
      .Bind(IdOf(removed.first))
      .Bind(IdOf(removed.last))
      .Bind(Signed(removed.segments))
      .Bind(Signed(removed.payload.value))
      .Bind(static_cast<int64_t>(removed.reason))
      .Bind(removed.retention_class)
      .Run();
}

// `rows` is "segments > 0" or "segments = 0", each of which has an index and a mark.
absl::Status ForgetOldest(SqliteDatabase& db, const char* rows, const char* index, const char* mark,
                          int kept) {
  int64_t last = 0;
  {
    SLUICE_ASSIGN_OR_RETURN(
        SqliteQuery query,
        db.Query(absl::StrCat("SELECT id FROM audit INDEXED BY ", index, " WHERE ", rows,
                              " ORDER BY id DESC LIMIT 1 OFFSET ", kept)));
    SLUICE_ASSIGN_OR_RETURN(const bool has_row, query.Step());
    if (!has_row) return absl::OkStatus();
    last = query.Int(0);
  }
  return db.Execute(absl::StrCat("DELETE FROM audit INDEXED BY ", index, " WHERE ", rows,
                                 " AND id <= ", last, "; UPDATE audit_forgotten SET ", mark, " = ",
                                 last, ";"));
}

std::optional<RemovedPart> ReadRemoved(const SqliteQuery& query) {
  if (query.Int(9) == 0) return std::nullopt;
  RemovedPart removed;
  removed.lane = LaneId{static_cast<uint16_t>(query.Int(6))};
  removed.first = SegmentId{Unsigned(query.Int(7))};
  removed.last = SegmentId{Unsigned(query.Int(8))};
  removed.segments = Unsigned(query.Int(9));
  removed.payload = {Unsigned(query.Int(10))};
  removed.reason = static_cast<RemovalReason>(query.Int(11));
  removed.retention_class = query.Text(12);
  return removed;
}

// For people: "1 segment of lane 0 (17, 1.0 MiB of payload): retention, age".
std::string DetailOf(const RemovalRow& row) {
  const auto first = static_cast<uint64_t>(row.first);
  const auto last = static_cast<uint64_t>(row.last);
  return absl::StrCat(row.segments, row.segments == 1 ? " segment" : " segments", " of lane ",
                      static_cast<int>(row.lane), " (", first,
                      first == last ? "" : absl::StrCat(" to ", last), ", ", Readable(row.payload),
                      " of payload): ", RemovalReasonName(row.reason),
                      row.detail.empty() ? "" : ", ", row.detail);
}

absl::StatusOr<std::string> ClassOf(SqliteDatabase& db, uint64_t recording_uid) {
  SLUICE_ASSIGN_OR_RETURN(SqliteQuery query,
                          db.Query("SELECT retention_class FROM recordings WHERE uid = ?"));
  SLUICE_ASSIGN_OR_RETURN(const bool has_row, query.Bind(Signed(recording_uid)).Step());
  if (!has_row) return "";
  const std::string name = query.Text(0);
  return name.empty() ? "default" : name;
}

}  // namespace

absl::Status AddAudit(SqliteDatabase& db, absl::Span<const AuditRow> rows) {
  for (const AuditRow& row : rows) SLUICE_RETURN_IF_ERROR(Insert(db, row));
  return ForgetOldest(db, "segments = 0", "audit_others", "others", kAuditRowsMax);
}

absl::Status AddRemovalEvent(SqliteDatabase& db, const RemovalRow& row, const std::string& actor) {
  AuditRow event;
  event.time = row.ended;
  event.actor = actor;
  event.action = kRemovedAction;
  event.object = absl::StrCat("recordings/", row.recording);
  event.detail = DetailOf(row);
  event.removed = {row.lane,    row.first,  row.last, std::max<uint64_t>(row.segments, 1),
                   row.payload, row.reason, ""};
  SLUICE_ASSIGN_OR_RETURN(event.removed->retention_class, ClassOf(db, row.recording_uid));
  SLUICE_RETURN_IF_ERROR(Insert(db, event));
  SLUICE_ASSIGN_OR_RETURN(const int64_t id, db.QueryInt("SELECT last_insert_rowid()"));
  if (id % kLookAtRemovalsEvery != 0) return absl::OkStatus();
  return ForgetOldest(db, "segments > 0", "audit_removals", "removals", kRemovalEventsMax);
}

absl::Status BeginAudit(SqliteDatabase& db, int64_t last) {
  return db.Execute(
      absl::StrCat("INSERT INTO sqlite_sequence (name, seq) SELECT 'audit', 0"
                   " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'audit');"
                   "UPDATE sqlite_sequence SET seq = MAX(seq, ",
                   last, ") WHERE name = 'audit';"));
}

absl::StatusOr<std::vector<AuditRow>> ReadAudit(SqliteDatabase& db, int64_t after, size_t limit) {
  SLUICE_ASSIGN_OR_RETURN(
      SqliteQuery query,
      db.Query("SELECT id, time_ns, actor, action, object, detail, lane, first_id, last_id,"
               " segments, payload, reason, retention_class FROM audit"
               " WHERE id > ? ORDER BY id LIMIT ?"));
  query.Bind(after).Bind(static_cast<int64_t>(std::min<size_t>(limit, INT32_MAX)));
  std::vector<AuditRow> rows;
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(const bool has_row, query.Step());
    if (!has_row) return rows;
    rows.push_back({query.Int(0),
                    {query.Int(1)},
                    query.Text(2),
                    query.Text(3),
                    query.Text(4),
                    query.Text(5),
                    ReadRemoved(query)});
  }
}

absl::StatusOr<AuditBounds> ReadAuditBounds(SqliteDatabase& db) {
  SLUICE_ASSIGN_OR_RETURN(
      SqliteQuery query,
      db.Query("SELECT (SELECT MAX(seq) FROM sqlite_sequence WHERE name = 'audit'), removals,"
               " others FROM audit_forgotten"));
  SLUICE_ASSIGN_OR_RETURN(const bool has_row, query.Step());
  if (!has_row) return AuditBounds();
  return AuditBounds{query.Int(0), query.Int(1), query.Int(2)};
}

}  // namespace sluice
