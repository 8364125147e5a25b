#include "writer/catalog/catalog.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/catalog/audit.h"
#include "writer/catalog/migration.h"
#include "writer/catalog/removals.h"
#include "writer/catalog/schema.h"
#include "writer/catalog/sql_values.h"
#include "writer/catalog/sqlite.h"
#include "writer/catalog/stream_search.h"
#include "writer/catalog/stream_table.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

constexpr char kSelectRecording[] =
    "SELECT uid, id, source, state, created_ns, stopped_ns, failure,"
    " stream_count,"
    " (SELECT COALESCE(SUM(payload), 0) FROM segments WHERE recording_uid = uid),"
    " retention_class"
    " FROM recordings";

RecordingRow ReadRecording(const SqliteQuery& query) {
  RecordingRow row;
  row.uid = Unsigned(query.Int(0));
  row.id = query.Text(1);
  row.source = query.Text(2);
  row.state = static_cast<RecordingState>(query.Int(3));
  row.created = {query.Int(4)};
  row.stopped = {query.Int(5)};
  row.failure = query.Text(6);
  row.stream_count = Unsigned(query.Int(7));
  row.payload = {Unsigned(query.Int(8))};
  row.retention_class = query.Text(9);
  return row;
}

constexpr char kSelectSegment[] =
    "SELECT g.id, g.slot, g.recording_uid, r.id, g.lane, g.epoch, g.sealed, g.durable,"
    " g.first_ns, g.last_ns, g.payload, g.ledger, g.previous_id, g.footer_sha256"
    " FROM segments g LEFT JOIN recordings r ON r.uid = g.recording_uid";

SegmentRow ReadSegment(const SqliteQuery& query) {
  SegmentRow row;
  row.id = SegmentId{Unsigned(query.Int(0))};
  row.slot = static_cast<uint32_t>(query.Int(1));
  row.recording_uid = Unsigned(query.Int(2));
  row.recording = query.Text(3);
  row.lane = LaneId{static_cast<uint16_t>(query.Int(4))};
  row.epoch = static_cast<uint32_t>(query.Int(5));
  row.sealed = query.Int(6) != 0;
  row.durable = {Unsigned(query.Int(7))};
  row.first_time = {query.Int(8)};
  row.last_time = {query.Int(9)};
  row.payload = {Unsigned(query.Int(10))};
  row.ledger = FromBytes<Ledger>(query.Blob(11));
  row.previous = SegmentId{Unsigned(query.Int(12))};
  row.footer_sha256 = FromBytes<std::array<uint8_t, 32>>(query.Blob(13));
  return row;
}

RemovalRow RemovalOf(const SegmentRow& segment, const RemovalCause& why) {
  RemovalRow row;
  row.recording_uid = segment.recording_uid;
  row.recording = segment.recording;
  row.lane = segment.lane;
  row.first = row.last = segment.id;
  row.before = segment.previous;
  row.segments = 1;
  row.payload = segment.payload;
  row.reason = why.reason;
  row.detail = why.detail;
  row.begun = row.ended = why.time;
  row.first_epoch = row.last_epoch = segment.epoch;
  row.ledger = segment.ledger;
  row.footer_sha256 = segment.footer_sha256;
  return row;
}

constexpr char kSelectPart[] =
    "SELECT g.id, g.slot, g.sealed, g.durable, p.\"begin\", p.\"end\", p.stream_id,"
    " p.dropped"
    " FROM parts p JOIN segments g ON g.id = p.segment_id";

StreamPart ReadPart(const SqliteQuery& query) {
  StreamPart part;
  part.segment = SegmentId{Unsigned(query.Int(0))};
  part.slot = static_cast<uint32_t>(query.Int(1));
  part.sealed = query.Int(2) != 0;
  part.durable = {Unsigned(query.Int(3))};
  part.begin = {Unsigned(query.Int(4))};
  part.end = {Unsigned(query.Int(5))};
  part.stream = StreamId{Unsigned(query.Int(6))};
  part.dropped = {Unsigned(query.Int(7))};
  return part;
}

// About so much one row takes, with its share of indexes and of pages that are not full.
constexpr int64_t kRecordingBytes = 400;
constexpr int64_t kRemovalBytes = 600;
constexpr int64_t kAuditBytes = 250;
// SQLite goes back to the log's begin after about a thousand pages, when nobody reads.
constexpr int64_t kLogBytes = 6 << 20;

ByteCount BytesOfFile(const std::string& path) {
  struct stat info = {};
  return {stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0};
}

// All rows of `query`, each read by `read`.
template <class Row>
absl::StatusOr<std::vector<Row>> ReadAll(SqliteQuery& query, Row (*read)(const SqliteQuery&)) {
  std::vector<Row> rows;
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(const bool has_row, query.Step());
    if (!has_row) return rows;
    rows.push_back(read(query));
  }
}

class SqliteCatalog final : public Catalog {
 public:
  SqliteCatalog(std::unique_ptr<SqliteDatabase> db, int64_t version_found)
      : db_(std::move(db)), version_found_(version_found) {}

  std::string migration_note() const override {
    if (version_found_ == 0 || version_found_ == kCatalogVersion) return "";
    return absl::StrCat("the catalog was brought from version ", version_found_, " to ",
                        kCatalogVersion);
  }

  absl::StatusOr<std::vector<RecordingRow>> Recordings() override {
    SLUICE_ASSIGN_OR_RETURN(SqliteQuery query,
                            db_->Query(absl::StrCat(kSelectRecording, " ORDER BY id")));
    return ReadAll(query, ReadRecording);
  }

  absl::StatusOr<RecordingRow> Recording(const std::string& id) override {
    SLUICE_ASSIGN_OR_RETURN(SqliteQuery query,
                            db_->Query(absl::StrCat(kSelectRecording, " WHERE id = ?")));
    SLUICE_ASSIGN_OR_RETURN(const bool has_row, query.Bind(id).Step());
    if (!has_row) return absl::NotFoundError(absl::StrCat("no recording \"", id, "\""));
    return ReadRecording(query);
  }

  absl::StatusOr<StreamPage> FindStreams(const StreamSearch& search) override {
    StreamPage page;
    SLUICE_RETURN_IF_ERROR(db_->Snapshot([&]() -> absl::Status {
      std::optional<int64_t> recording_uid;
      if (search.filter.recording) {
        SLUICE_ASSIGN_OR_RETURN(SqliteQuery query,
                                db_->Query("SELECT uid FROM recordings WHERE id = ?"));
        SLUICE_ASSIGN_OR_RETURN(const bool known, query.Bind(*search.filter.recording).Step());
        if (!known) return absl::OkStatus();
        recording_uid = query.Int(0);
      }
      SLUICE_ASSIGN_OR_RETURN(const StreamPlan plan, PlanStreamSearch(*db_, search, recording_uid));
      SLUICE_ASSIGN_OR_RETURN(const StreamsFound found, RunStreamSearch(*db_, search, plan));
      for (const StreamId id : found.ids) {
        SLUICE_ASSIGN_OR_RETURN(StreamRow row, Stream(id));
        page.rows.push_back(std::move(row));
      }
      page.next = found.next;
      return absl::OkStatus();
    }));
    return page;
  }

  absl::StatusOr<StreamRow> Stream(StreamId id) override {
    SLUICE_ASSIGN_OR_RETURN(SqliteQuery query,
                            db_->Query(absl::StrCat(kSelectStream, " WHERE s.id = ?")));
    SLUICE_ASSIGN_OR_RETURN(const bool has_row, query.Bind(IdOf(id)).Step());
    if (!has_row) {
      return absl::NotFoundError(absl::StrCat("no stream ", StreamIdToString(id),
                                              ": it never was, or its segments were reused"));
    }
    return ReadStream(query);
  }

  absl::StatusOr<std::vector<StreamPart>> StreamParts(StreamId id) override {
    SLUICE_ASSIGN_OR_RETURN(
        SqliteQuery query,
        db_->Query(absl::StrCat(kSelectPart,
                                " WHERE p.stream_id = ? ORDER BY p.\"begin\", p.segment_id")));
    query.Bind(IdOf(id));
    return ReadAll(query, ReadPart);
  }

  absl::StatusOr<std::vector<StreamPart>> SegmentParts(SegmentId id) override {
    SLUICE_ASSIGN_OR_RETURN(
        SqliteQuery query,
        db_->Query(absl::StrCat(kSelectPart, " WHERE p.segment_id = ? ORDER BY p.stream_id")));
    query.Bind(IdOf(id));
    return ReadAll(query, ReadPart);
  }

  absl::StatusOr<std::vector<SegmentRow>> Segments() override {
    SLUICE_ASSIGN_OR_RETURN(SqliteQuery query,
                            db_->Query(absl::StrCat(kSelectSegment, " ORDER BY g.id")));
    return ReadAll(query, ReadSegment);
  }

  absl::StatusOr<std::vector<RemovalRow>> Removals() override { return ReadRemovals(*db_); }

  absl::StatusOr<CatalogLoss> Loss() override {
    SLUICE_ASSIGN_OR_RETURN(SqliteQuery query,
                            db_->Query("SELECT lost_ns, lost_last_id FROM archive"));
    SLUICE_ASSIGN_OR_RETURN(const bool has_row, query.Step());
    if (!has_row) return CatalogLoss{};
    return CatalogLoss{{query.Int(0)}, SegmentId{Unsigned(query.Int(1))}};
  }

  absl::StatusOr<std::vector<AuditRow>> Audit(int64_t after, size_t limit) override {
    return ReadAudit(*db_, after, limit);
  }

  absl::StatusOr<AuditBounds> BoundsOfAudit() override { return ReadAuditBounds(*db_); }

  absl::StatusOr<std::string> Policy() override {
    SLUICE_ASSIGN_OR_RETURN(SqliteQuery query, db_->Query("SELECT policy FROM retention"));
    SLUICE_ASSIGN_OR_RETURN(const bool has_row, query.Step());
    return has_row ? query.Text(0) : "";
  }

  absl::StatusOr<SegmentId> LastSegmentId() override {
    SLUICE_ASSIGN_OR_RETURN(const int64_t last,
                            db_->QueryInt("SELECT last_segment_id FROM archive"));
    return SegmentId{Unsigned(last)};
  }

  absl::StatusOr<std::vector<uint64_t>> DeletedRecordings() override {
    SLUICE_ASSIGN_OR_RETURN(SqliteQuery query,
                            db_->Query("SELECT recording_uid FROM deletions ORDER BY 1"));
    return ReadAll<uint64_t>(query, [](const SqliteQuery& q) { return Unsigned(q.Int(0)); });
  }

  absl::StatusOr<CatalogSize> Size() override {
    CatalogSize size;
    SLUICE_RETURN_IF_ERROR(db_->Snapshot([&]() -> absl::Status {
      SLUICE_ASSIGN_OR_RETURN(size.used, Used());
      SLUICE_ASSIGN_OR_RETURN(const int64_t streams,
                              db_->QueryInt("SELECT SUM(stream_count) FROM recordings"));
      SLUICE_ASSIGN_OR_RETURN(
          const int64_t history,
          db_->QueryInt(absl::StrCat("SELECT (SELECT COUNT(*) FROM recordings) * ", kRecordingBytes,
                                     " + (SELECT COUNT(*) FROM removals) * ", kRemovalBytes,
                                     " + (SELECT COALESCE(MAX(id) - MIN(id) + 1, 0) FROM audit) * ",
                                     kAuditBytes)));
      size.history = {Unsigned(history)};
      size.streams = Unsigned(streams);
      return absl::OkStatus();
    }));
    size.file = BytesOfFile(db_->path());
    size.log = BytesOfFile(db_->path() + "-wal");
    return size;
  }

  absl::StatusOr<ByteCount> Used() override {
    SLUICE_ASSIGN_OR_RETURN(const int64_t page, db_->QueryInt("PRAGMA page_size"));
    SLUICE_ASSIGN_OR_RETURN(const int64_t pages, db_->QueryInt("PRAGMA page_count"));
    SLUICE_ASSIGN_OR_RETURN(const int64_t free, db_->QueryInt("PRAGMA freelist_count"));
    return ByteCount{Unsigned((pages - free) * page)};
  }

  absl::Status SetAside(ByteCount bound) override {
    SLUICE_RETURN_IF_ERROR(db_->SetAside(bound.value));
    // SQLite finds no frame in it and begins at its begin. It is not the file that SQLite's locks
    // are on, so it may be opened and closed here.
    const std::string log = db_->path() + "-wal";
    const int fd = open(log.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return absl::OkStatus();  // nothing was written yet
    const int error = posix_fallocate(fd, 0, kLogBytes);
    close(fd);
    if (error != ENOSPC) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat("the disk has no room to set aside ", kLogBytes, " bytes for ", log));
  }

  absl::Status PutRecording(const RecordingRow& row) override {
    return DurableTransaction([&]() -> absl::Status {
      {
        SLUICE_ASSIGN_OR_RETURN(SqliteQuery query,
                                db_->Query("SELECT uid FROM recordings WHERE id = ?"));
        SLUICE_ASSIGN_OR_RETURN(const bool has_row, query.Bind(row.id).Step());
        if (has_row && Unsigned(query.Int(0)) != row.uid) {
          return absl::AlreadyExistsError(absl::StrCat("recording \"", row.id,
                                                       "\" exists already: choose another id, or ",
                                                       "delete it first"));
        }
      }
      SLUICE_ASSIGN_OR_RETURN(
          SqliteQuery query,
          db_->Query("INSERT INTO recordings"
                     " (uid, id, source, state, created_ns, stopped_ns, failure, retention_class,"
                     "  stream_count) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,"
                     "  (SELECT COUNT(*) FROM streams WHERE recording_uid = ?1))"
                     " ON CONFLICT (uid) DO UPDATE SET id = excluded.id, source = excluded.source,"
                     " state = excluded.state, created_ns = excluded.created_ns,"
                     " stopped_ns = excluded.stopped_ns, failure = excluded.failure,"
                     " retention_class = excluded.retention_class"));
      return query.Bind(Signed(row.uid))
          .Bind(row.id)
          .Bind(row.source)
          .Bind(static_cast<int64_t>(row.state))
          .Bind(row.created.value)
          .Bind(row.stopped.value)
          .Bind(row.failure)
          .Bind(row.retention_class)
          .Run();
    });
  }

  absl::Status DeleteRecording(const std::string& id, const RemovalCause& why) override {
    return DurableTransaction([&]() -> absl::Status {
      SLUICE_ASSIGN_OR_RETURN(const RecordingRow row, Recording(id));
      SLUICE_RETURN_IF_ERROR(Remember("g.recording_uid = ?", Signed(row.uid), why));
      // Parts go by their segments: streams and segments of a recording are only each other's.
      for (const char* sql :
           {"DELETE FROM parts WHERE segment_id IN"
            " (SELECT id FROM segments WHERE recording_uid = ?)",
            "DELETE FROM streams WHERE recording_uid = ?",
            "DELETE FROM segments WHERE recording_uid = ?", "DELETE FROM recordings WHERE uid = ?",
            "INSERT OR IGNORE INTO deletions (recording_uid) VALUES (?)"}) {
        SLUICE_ASSIGN_OR_RETURN(SqliteQuery query, db_->Query(sql));
        SLUICE_RETURN_IF_ERROR(query.Bind(Signed(row.uid)).Run());
      }
      return absl::OkStatus();
    });
  }

  absl::Status BeginSegment(const SegmentRow& row, const RemovalCause& why) override {
    return db_->Transaction([&]() -> absl::Status {
      std::vector<int64_t> earlier;
      {
        SLUICE_ASSIGN_OR_RETURN(SqliteQuery query,
                                db_->Query("SELECT id FROM segments WHERE slot = ? OR id = ?"));
        query.Bind(row.slot).Bind(IdOf(row.id));
        SLUICE_ASSIGN_OR_RETURN(
            earlier, ReadAll<int64_t>(query, [](const SqliteQuery& q) { return q.Int(0); }));
      }
      for (const int64_t id : earlier) SLUICE_RETURN_IF_ERROR(Forget(id, why));
      SLUICE_ASSIGN_OR_RETURN(
          SqliteQuery insert,
          db_->Query("INSERT INTO segments (id, slot, recording_uid, lane, epoch, sealed, durable,"
                     " first_ns, last_ns, payload, ledger, previous_id)"
                     " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
      SLUICE_RETURN_IF_ERROR(insert.Bind(IdOf(row.id))
                                 .Bind(row.slot)
                                 .Bind(Signed(row.recording_uid))
                                 .Bind(static_cast<int64_t>(row.lane))
                                 .Bind(row.epoch)
                                 .Bind(row.sealed ? 1 : 0)
                                 .Bind(Signed(row.durable.value))
                                 .Bind(row.first_time.value)
                                 .Bind(row.last_time.value)
                                 .Bind(Signed(row.payload.value))
                                 .Bind(BytesOf(row.ledger))
                                 .Bind(IdOf(row.previous))
                                 .Run());
      SLUICE_ASSIGN_OR_RETURN(
          SqliteQuery last,
          db_->Query("UPDATE archive SET last_segment_id = MAX(last_segment_id, ?)"));
      return last.Bind(IdOf(row.id)).Run();
    });
  }

  absl::Status ForgetSegment(SegmentId id, const RemovalCause& why) override {
    return db_->Transaction([&] { return Forget(IdOf(id), why); });
  }

  absl::Status RecordRemoval(const RemovalRow& row) override {
    return db_->Transaction([&] { return AddRemoval(*db_, row, "recovery"); });
  }

  absl::Status PutLoss(const CatalogLoss& loss) override {
    return db_->Transaction([&]() -> absl::Status {
      SLUICE_ASSIGN_OR_RETURN(SqliteQuery query,
                              db_->Query("UPDATE archive SET lost_ns = ?, lost_last_id = ?"));
      return query.Bind(loss.time.value).Bind(IdOf(loss.last)).Run();
    });
  }

  absl::Status AddAudit(absl::Span<const AuditRow> rows) override {
    return db_->Transaction([&] { return ::sluice::AddAudit(*db_, rows); });
  }

  absl::Status BeginAudit(int64_t last) override {
    return db_->Transaction([&] { return ::sluice::BeginAudit(*db_, last); });
  }

  absl::Status PutPolicy(const std::string& text) override {
    return DurableTransaction([&]() -> absl::Status {
      SLUICE_ASSIGN_OR_RETURN(
          SqliteQuery query,
          db_->Query("INSERT OR REPLACE INTO retention (one, policy) VALUES (1, ?)"));
      return query.Bind(text).Run();
    });
  }

  absl::Status Publish(absl::Span<const SegmentUpdate> updates) override {
    const bool must_last =
        std::any_of(updates.begin(), updates.end(),
                    [](const SegmentUpdate& update) { return update.mark_must_last; });
    const auto publish = [&]() -> absl::Status {
      for (const SegmentUpdate& update : updates) {
        SLUICE_RETURN_IF_ERROR(PublishSegment(update));
        for (const StreamUpdate& stream : update.streams) {
          SLUICE_RETURN_IF_ERROR(PublishStream(*db_, update, stream));
        }
      }
      return absl::OkStatus();
    };
    return must_last ? DurableTransaction(publish) : db_->Transaction(publish);
  }

  absl::Status ForgetDeletions() override { return db_->Execute("DELETE FROM deletions"); }

  absl::StatusOr<uint32_t> CloseInterrupted(UnixNanos now) override {
    uint32_t streams = 0;
    SLUICE_RETURN_IF_ERROR(db_->Transaction([&]() -> absl::Status {
      SLUICE_ASSIGN_OR_RETURN(streams, CloseOpenStreams(*db_));
      SLUICE_RETURN_IF_ERROR(AuditInterrupted(now));
      return db_->Execute(absl::StrCat(
          "UPDATE recordings SET state = ", static_cast<int>(RecordingState::kInterrupted),
          ", stopped_ns = COALESCE((SELECT NULLIF(MAX(last_ns), 0) FROM segments"
          " WHERE recording_uid = uid), ",
          now.value, ") WHERE state = ", static_cast<int>(RecordingState::kRecording)));
    }));
    return streams;
  }

  absl::Status Atomically(const std::function<absl::Status()>& body) override {
    return DurableTransaction(body);
  }

  absl::Status Clear() override {
    return db_->Transaction([&] {
      return db_->Execute("DELETE FROM parts; DELETE FROM streams; DELETE FROM segments;");
    });
  }

 private:
  // A transaction that is on stable storage when it returns, or part of one that will be.
  absl::Status DurableTransaction(const std::function<absl::Status()>& body) {
    if (db_->in_transaction()) return db_->Transaction(body);
    SLUICE_RETURN_IF_ERROR(db_->Execute("PRAGMA synchronous = FULL"));
    const absl::Status status = db_->Transaction(body);
    SLUICE_RETURN_IF_ERROR(db_->Execute("PRAGMA synchronous = NORMAL"));
    return status;
  }

  // As removals, the segments that held anything and for which `condition` holds.
  absl::Status Remember(const std::string& condition, int64_t value, const RemovalCause& why) {
    if (why.reason == RemovalReason::kNone) return absl::OkStatus();
    std::vector<SegmentRow> rows;
    {
      SLUICE_ASSIGN_OR_RETURN(
          SqliteQuery query,
          db_->Query(absl::StrCat(kSelectSegment, " WHERE (g.sealed = 1 OR g.durable > ",
                                  kBlockBytes, ") AND ", condition, " ORDER BY g.id")));
      query.Bind(value);
      SLUICE_ASSIGN_OR_RETURN(rows, ReadAll(query, ReadSegment));
    }
    for (const SegmentRow& row : rows) {
      SLUICE_RETURN_IF_ERROR(AddRemoval(*db_, RemovalOf(row, why), why.actor));
    }
    return absl::OkStatus();
  }

  absl::Status AuditInterrupted(UnixNanos now) {
    std::vector<AuditRow> events;
    SLUICE_ASSIGN_OR_RETURN(const std::vector<RecordingRow> recordings, Recordings());
    for (const RecordingRow& row : recordings) {
      if (row.state != RecordingState::kRecording) continue;
      events.push_back({0, now, "recovery", "recording interrupted",
                        absl::StrCat("recordings/", row.id),
                        "its recorder ended without stopping it"});
    }
    return ::sluice::AddAudit(*db_, events);
  }

  absl::Status Forget(int64_t segment, const RemovalCause& why) {
    SLUICE_RETURN_IF_ERROR(Remember("g.id = ?", segment, why));
    SLUICE_RETURN_IF_ERROR(ForgetStreamsOf(*db_, SegmentId{Unsigned(segment)}));
    SLUICE_ASSIGN_OR_RETURN(SqliteQuery query, db_->Query("DELETE FROM segments WHERE id = ?"));
    return query.Bind(segment).Run();
  }

  absl::Status PublishSegment(const SegmentUpdate& update) {
    SLUICE_ASSIGN_OR_RETURN(
        SqliteQuery query,
        db_->Query("UPDATE segments SET sealed = MAX(sealed, ?2), durable = MAX(durable, ?3),"
                   " first_ns = ?4, last_ns = ?5, payload = ?6, ledger = ?7,"
                   " previous_id = CASE WHEN ?2 = 1 THEN ?8 ELSE previous_id END,"
                   " footer_sha256 = CASE WHEN ?2 = 1 THEN ?9 ELSE footer_sha256 END"
                   " WHERE id = ?1"));
    SLUICE_RETURN_IF_ERROR(query.Bind(IdOf(update.segment))
                               .Bind(update.sealed ? 1 : 0)
                               .Bind(Signed(update.durable.value))
                               .Bind(update.first_time.value)
                               .Bind(update.last_time.value)
                               .Bind(Signed(update.payload.value))
                               .Bind(BytesOf(update.ledger))
                               .Bind(IdOf(update.previous.id))
                               .Bind(BytesOf(update.footer_sha256))
                               .Run());
    if (db_->changes() == 0) {
      return absl::FailedPreconditionError(absl::StrCat("publish segment ",
                                                        static_cast<uint64_t>(update.segment),
                                                        ": the catalog does not know it"));
    }
    return absl::OkStatus();
  }

  const std::unique_ptr<SqliteDatabase> db_;
  const int64_t version_found_;
};

absl::StatusOr<std::unique_ptr<SqliteDatabase>> OpenDatabase(const std::string& path,
                                                             Catalog::Mode mode) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<SqliteDatabase> db,
                          SqliteDatabase::Open(path, mode == Catalog::Mode::kReadOnly
                                                         ? SqliteDatabase::Mode::kReadOnly
                                                         : SqliteDatabase::Mode::kReadWrite));
  if (mode == Catalog::Mode::kReadWrite) {
    // NORMAL: after a loss of power the last transactions may be missing, nothing else.
    // secure_delete: what is deleted is overwritten where that costs no write of its own.
    SLUICE_RETURN_IF_ERROR(db->Execute(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = "
        "67108864; PRAGMA secure_delete = FAST"));
  }
  SLUICE_RETURN_IF_ERROR(db->Execute("PRAGMA temp_store = MEMORY"));
  return db;
}

absl::StatusOr<std::unique_ptr<Catalog>> OpenCatalog(const std::string& path, Catalog::Mode mode) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<SqliteDatabase> db, OpenDatabase(path, mode));
  int64_t found = kCatalogVersion;
  if (mode == Catalog::Mode::kReadWrite) {
    SLUICE_ASSIGN_OR_RETURN(found, MigrateCatalog(*db, path, kCatalogSteps));
  } else {
    SLUICE_RETURN_IF_ERROR(CheckCatalog(*db, path, kCatalogVersion));
  }
  return std::make_unique<SqliteCatalog>(std::move(db), found);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Catalog>> Catalog::Open(const std::string& path, Mode mode) {
  absl::StatusOr<std::unique_ptr<Catalog>> catalog = OpenCatalog(path, mode);
  if (absl::IsDataLoss(catalog.status()) &&
      !absl::StrContains(catalog.status().message(), "rebuild")) {
    return NotACatalog(path, catalog.status().message());
  }
  return catalog;
}

}  // namespace sluice
