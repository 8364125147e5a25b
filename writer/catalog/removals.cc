#include "writer/catalog/removals.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/catalog/audit.h"
#include "writer/catalog/sql_values.h"

namespace sluice {
namespace {

SegmentId Id(int64_t value) { return SegmentId{static_cast<uint64_t>(value)}; }

constexpr char kSelect[] =
    "SELECT recording_uid, recording, lane, first_id, last_id, before_id, segments, payload,"
    " reason, detail, begun_ns, ended_ns, first_epoch, last_epoch, ledger, earlier_epochs,"
    " footer_sha256 FROM removals";

RemovalRow ReadRow(const SqliteQuery& query) {
  RemovalRow row;
  row.recording_uid = static_cast<uint64_t>(query.Int(0));
  row.recording = query.Text(1);
  row.lane = LaneId{static_cast<uint16_t>(query.Int(2))};
  row.first = Id(query.Int(3));
  row.last = Id(query.Int(4));
  row.before = Id(query.Int(5));
  row.segments = static_cast<uint64_t>(query.Int(6));
  row.payload = {static_cast<uint64_t>(query.Int(7))};
  row.reason = static_cast<RemovalReason>(query.Int(8));
  row.detail = query.Text(9);
  row.begun = {query.Int(10)};
  row.ended = {query.Int(11)};
  row.first_epoch = static_cast<uint32_t>(query.Int(12));
  row.last_epoch = static_cast<uint32_t>(query.Int(13));
  row.ledger = FromBytes<Ledger>(query.Blob(14));
  row.earlier_epochs = FromBytes<Ledger>(query.Blob(15));
  row.footer_sha256 = FromBytes<std::array<uint8_t, 32>>(query.Blob(16));
  return row;
}

absl::StatusOr<std::vector<RemovalRow>> ReadRows(SqliteQuery& query) {
  std::vector<RemovalRow> rows;
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(const bool has_row, query.Step());
    if (!has_row) return rows;
    rows.push_back(ReadRow(query));
  }
}

absl::StatusOr<std::vector<RemovalRow>> OfTrack(SqliteDatabase& db, const RemovalRow& track) {
  SLUICE_ASSIGN_OR_RETURN(
      SqliteQuery query,
      db.Query(absl::StrCat(kSelect, " WHERE recording_uid = ? AND lane = ? ORDER BY first_id")));
  query.Bind(Signed(track.recording_uid)).Bind(static_cast<int64_t>(track.lane));
  return ReadRows(query);
}

absl::Status Put(SqliteDatabase& db, const RemovalRow& row) {
  SLUICE_ASSIGN_OR_RETURN(
      SqliteQuery query,
      db.Query("INSERT OR REPLACE INTO removals (recording_uid, recording, lane, first_id, last_id,"
               " before_id, segments, payload, reason, detail, begun_ns, ended_ns, first_epoch,"
               " last_epoch, ledger, earlier_epochs, footer_sha256)"
               " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  return query.Bind(Signed(row.recording_uid))
      .Bind(row.recording)
      .Bind(static_cast<int64_t>(row.lane))
      .Bind(IdOf(row.first))
      .Bind(IdOf(row.last))
      .Bind(IdOf(row.before))
      .Bind(Signed(row.segments))
      .Bind(Signed(row.payload.value))
      .Bind(static_cast<int64_t>(row.reason))
      .Bind(row.detail)
      .Bind(row.begun.value)
      .Bind(row.ended.value)
      .Bind(row.first_epoch)
      .Bind(row.last_epoch)
      .Bind(BytesOf(row.ledger))
      .Bind(BytesOf(row.earlier_epochs))
      .Bind(BytesOf(row.footer_sha256))
      .Run();
}

absl::Status Delete(SqliteDatabase& db, const RemovalRow& row) {
  SLUICE_ASSIGN_OR_RETURN(
      SqliteQuery query,
      db.Query("DELETE FROM removals WHERE recording_uid = ? AND lane = ? AND first_id = ?"));
  return query.Bind(Signed(row.recording_uid))
      .Bind(static_cast<int64_t>(row.lane))
      .Bind(IdOf(row.first))
      .Run();
}

bool GoesOnFrom(const RemovalRow& older, const RemovalRow& newer) {
  return newer.before != SegmentId{} && newer.before == older.last;
}

// Makes one of the oldest two rows that are neighbours.
absl::Status ShortenTrack(SqliteDatabase& db, const std::vector<RemovalRow>& rows) {
  for (size_t i = 1; i < rows.size(); ++i) {
    if (!GoesOnFrom(rows[i - 1], rows[i])) continue;
    SLUICE_RETURN_IF_ERROR(Delete(db, rows[i]));
    return Put(db, Join(rows[i - 1], rows[i]));
  }
  return absl::OkStatus();
}

absl::Status ForgetTheGone(SqliteDatabase& db) {
  return db.Execute(
      absl::StrCat("DELETE FROM removals WHERE recording_uid NOT IN (SELECT uid FROM recordings)"
                   " AND ended_ns < (SELECT ended_ns FROM removals"
                   "  WHERE recording_uid NOT IN (SELECT uid FROM recordings)"
                   "  ORDER BY ended_ns DESC LIMIT 1 OFFSET ",
                   kRemovalRowsOfTheGoneMax - 1, ")"));
}

}  // namespace

absl::Status AddRemoval(SqliteDatabase& db, const RemovalRow& row, const std::string& actor) {
  SLUICE_ASSIGN_OR_RETURN(std::vector<RemovalRow> rows, OfTrack(db, row));
  for (const RemovalRow& known : rows) {
    if (known.first <= row.first && row.last <= known.last) return absl::OkStatus();  // said again
  }
  SLUICE_RETURN_IF_ERROR(AddRemovalEvent(db, row, actor));
  for (const RemovalRow& known : rows) {
    const bool same = known.reason == row.reason && known.detail == row.detail;
    if (same && GoesOnFrom(known, row)) return Put(db, Join(known, row));
  }
  SLUICE_RETURN_IF_ERROR(Put(db, row));
  if (rows.size() >= kRemovalRowsMax) {
    rows.push_back(row);
    std::sort(rows.begin(), rows.end(),
              [](const RemovalRow& a, const RemovalRow& b) { return a.first < b.first; });
    SLUICE_RETURN_IF_ERROR(ShortenTrack(db, rows));
  }
  return row.reason == RemovalReason::kRecordingDeleted ? ForgetTheGone(db) : absl::OkStatus();
}

absl::StatusOr<std::vector<RemovalRow>> ReadRemovals(SqliteDatabase& db) {
  SLUICE_ASSIGN_OR_RETURN(
      SqliteQuery query,
      db.Query(absl::StrCat(kSelect, " ORDER BY recording_uid, lane, first_id")));
  return ReadRows(query);
}

}  // namespace sluice
