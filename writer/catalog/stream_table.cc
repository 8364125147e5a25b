#include "writer/catalog/stream_table.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/catalog/span.h"

namespace sluice {

const char kSelectStream[] =
    "SELECT s.id, (SELECT id FROM recordings WHERE uid = s.recording_uid), s.recording_uid,"
    " s.peer, s.peer_port, s.peer_scope, s.local, s.local_port, s.local_scope,"
    " s.opened_ns, s.last_ns, s.\"begin\", s.durable, s.open, s.reason,"
    " (SELECT COALESCE(SUM(q.dropped), 0) FROM parts q WHERE q.stream_id = s.id) FROM streams s";

namespace {

constexpr size_t kIPv4Bytes = 4;

// Three columns from `column` on.
SocketAddress ReadAddress(const SqliteQuery& query, int column) {
  SocketAddress address;
  if (query.IsInt(column)) {
    address.family = 4;
    const auto number = static_cast<uint32_t>(query.Int(column));
    for (size_t i = 0; i < kIPv4Bytes; ++i) {
      address.bytes.at(i) = static_cast<uint8_t>(number >> (8 * (kIPv4Bytes - 1 - i)));
    }
  } else if (const auto bytes = query.Blob(column); bytes.size() == address.bytes.size()) {
    address.family = 6;
    std::transform(bytes.begin(), bytes.end(), address.bytes.begin(),
                   [](std::byte byte) { return static_cast<uint8_t>(byte); });
  }
  address.port = static_cast<uint16_t>(query.Int(column + 1));
  address.scope = static_cast<uint32_t>(query.Int(column + 2));
  return address;
}

void BindAddress(const SocketAddress& address, SqliteQuery& query) {
  query.Bind(AddressKey(address.family, address.bytes)).Bind(address.port).Bind(address.scope);
}

// An open stream has grown: by far the most frequent publication, and it touches no index.
absl::StatusOr<bool> Grow(SqliteDatabase& db, const StreamUpdate& stream) {
  SLUICE_ASSIGN_OR_RETURN(
      SqliteQuery query,
      db.Query("UPDATE streams SET last_ns = MAX(last_ns, ?2), "
               // Without a part, where it begins and ends were only placeholders.
               " \"begin\" = CASE WHEN EXISTS (SELECT 1 FROM parts p WHERE p.stream_id = ?1)"
               "   THEN MIN(\"begin\", ?3) ELSE ?3 END,"
               " durable = CASE WHEN EXISTS (SELECT 1 FROM parts p WHERE p.stream_id = ?1)"
               "   THEN MAX(durable, ?4) ELSE ?4 END"
               " WHERE id = ?1 AND open = 1"));
  SLUICE_RETURN_IF_ERROR(query.Bind(IdOf(stream.stream))
                             .Bind(stream.last_time.value)
                             .Bind(Signed(stream.begin.value))
                             .Bind(Signed(stream.end.value))
                             .Run());
  return db.changes() > 0;
}

// A part may come without the event that says who the stream is, when a refused write was
// repeated in the next segment; then another part knows.
absl::Status Introduce(SqliteDatabase& db, const StreamUpdate& stream) {
  if (stream.opened.value == 0) return absl::OkStatus();
  static const std::string* const kSql = new std::string(absl::StrCat(
      "UPDATE streams SET peer = ?2, peer_port = ?3, peer_scope = ?4, local = ?5, local_port = ?6,"
      " local_scope = ?7, opened_ns = ?8, span = CASE WHEN open = 1 THEN span ELSE ",
      SpanOfClosed("?8", "last_ns"), " END WHERE id = ?1 AND opened_ns = 0"));
  SLUICE_ASSIGN_OR_RETURN(SqliteQuery query, db.Query(*kSql));
  query.Bind(IdOf(stream.stream));
  BindAddress(stream.peer, query);
  BindAddress(stream.local, query);
  return query.Bind(stream.opened.value).Run();
}

// A stream that is new, closed, or both.
absl::Status Upsert(SqliteDatabase& db, const SegmentUpdate& update, const StreamUpdate& stream) {
  static const std::string* const kSql = new std::string(absl::StrCat(
      "INSERT INTO streams (id, recording_uid, peer, peer_port, peer_scope, local, local_port,"
      " local_scope, opened_ns, last_ns, \"begin\", durable, open, reason, span)"
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,"
      " CASE WHEN ?13 = 1 THEN ",
      kSpanOpen, " ELSE ", SpanOfClosed("?9", "?10"), " END)",
      " ON CONFLICT (id) DO UPDATE SET last_ns = MAX(last_ns, excluded.last_ns),"
      " \"begin\" = CASE WHEN EXISTS (SELECT 1 FROM parts p WHERE p.stream_id = excluded.id)"
      "   THEN MIN(\"begin\", excluded.\"begin\") ELSE excluded.\"begin\" END,"
      " durable = CASE WHEN EXISTS (SELECT 1 FROM parts p WHERE p.stream_id = excluded.id)"
      "   THEN MAX(durable, excluded.durable) ELSE excluded.durable END,"
      " open = MIN(open, excluded.open), reason = MAX(reason, excluded.reason),"
      " span = CASE WHEN MIN(open, excluded.open) = 1 THEN span ELSE ",
      SpanOfClosed("opened_ns", "MAX(last_ns, excluded.last_ns)"), " END"));
  SLUICE_ASSIGN_OR_RETURN(SqliteQuery query, db.Query(*kSql));
  query.Bind(IdOf(stream.stream)).Bind(Signed(update.track.recording_uid));
  BindAddress(stream.peer, query);
  BindAddress(stream.local, query);
  return query.Bind(stream.opened.value)
      .Bind(stream.last_time.value)
      .Bind(Signed(stream.begin.value))
      .Bind(Signed(stream.end.value))
      .Bind(stream.reason == CloseReason::kNone ? 1 : 0)
      .Bind(static_cast<int64_t>(stream.reason))
      .Run();
}

}  // namespace

SqliteValue AddressKey(uint16_t family, const std::array<uint8_t, 16>& bytes) {
  if (family == 4) {
    int64_t number = 0;
    for (size_t i = 0; i < kIPv4Bytes; ++i) number = number << 8 | bytes.at(i);
    return number;
  }
  if (family != 6) return std::monostate();
  const auto* const data = reinterpret_cast<const std::byte*>(bytes.data());
  return std::vector<std::byte>(data, data + bytes.size());
}

StreamRow ReadStream(const SqliteQuery& query) {
  StreamRow row;
  row.id = StreamId{Unsigned(query.Int(0))};
  row.recording = query.Text(1);
  row.recording_uid = Unsigned(query.Int(2));
  row.peer = ReadAddress(query, 3);
  row.local = ReadAddress(query, 6);
  row.opened = {query.Int(9)};
  row.last_time = {query.Int(10)};
  row.begin = {Unsigned(query.Int(11))};
  row.durable = {Unsigned(query.Int(12))};
  row.open = query.Int(13) != 0;
  row.reason = static_cast<CloseReason>(query.Int(14));
  row.dropped = {Unsigned(query.Int(15))};
  return row;
}

absl::Status PublishStream(SqliteDatabase& db, const SegmentUpdate& update,
                           const StreamUpdate& stream) {
  bool grown = false;
  if (stream.reason == CloseReason::kNone) {
    SLUICE_ASSIGN_OR_RETURN(grown, Grow(db, stream));
  }
  SLUICE_RETURN_IF_ERROR(Introduce(db, stream));
  if (!grown) SLUICE_RETURN_IF_ERROR(Upsert(db, update, stream));
  SLUICE_ASSIGN_OR_RETURN(
      SqliteQuery part,
      db.Query("INSERT INTO parts (stream_id, segment_id, \"begin\", \"end\", dropped)"
               " VALUES (?, ?, ?, ?, ?) ON CONFLICT (stream_id, segment_id) DO UPDATE SET"
               " \"begin\" = MIN(\"begin\", excluded.\"begin\"),"
               " \"end\" = MAX(\"end\", excluded.\"end\"),"
               " dropped = MAX(dropped, excluded.dropped)"));
  return part.Bind(IdOf(stream.stream))
      .Bind(IdOf(update.segment))
      .Bind(Signed(stream.begin.value))
      .Bind(Signed(stream.end.value))
      .Bind(Signed(stream.dropped.value))
      .Run();
}

absl::Status ForgetStreamsOf(SqliteDatabase& db, SegmentId segment) {
  for (const char* sql :
       {// By their ids, not by going through all that are closed: NOT INDEXED sees to that.
        "DELETE FROM streams NOT INDEXED WHERE open = 0"
        " AND id IN (SELECT stream_id FROM parts WHERE segment_id = ?1)"
        " AND NOT EXISTS (SELECT 1 FROM parts q WHERE q.stream_id = streams.id"
        "                 AND q.segment_id <> ?1)",
        "UPDATE streams NOT INDEXED SET \"begin\" = COALESCE((SELECT MIN(q.\"begin\") FROM parts q"
        "  WHERE q.stream_id = streams.id AND q.segment_id <> ?1), durable),"
        " durable = COALESCE((SELECT MAX(q.\"end\") FROM parts q"
        "  WHERE q.stream_id = streams.id AND q.segment_id <> ?1), durable)"
        " WHERE id IN (SELECT stream_id FROM parts WHERE segment_id = ?1)",
        "DELETE FROM parts WHERE segment_id = ?1"}) {
    SLUICE_ASSIGN_OR_RETURN(SqliteQuery query, db.Query(sql));
    SLUICE_RETURN_IF_ERROR(query.Bind(IdOf(segment)).Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> CloseOpenStreams(SqliteDatabase& db) {
  SLUICE_RETURN_IF_ERROR(
      db.Execute("DELETE FROM streams INDEXED BY streams_open WHERE open = 1"
                 " AND NOT EXISTS (SELECT 1 FROM parts p WHERE p.stream_id = streams.id)"));
  SLUICE_RETURN_IF_ERROR(db.Execute(
      absl::StrCat("UPDATE streams INDEXED BY streams_open SET open = 0, reason = ",
                   static_cast<int>(CloseReason::kInterrupted),
                   ", span = ", SpanOfClosed("opened_ns", "last_ns"), " WHERE open = 1")));
  return static_cast<uint32_t>(db.changes());
}

}  // namespace sluice
