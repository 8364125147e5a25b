#include "writer/catalog/sqlite.h"

#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

constexpr int kBusyTimeoutMs = 5000;
constexpr uint64_t kChunkMax = uint64_t{1} << 30;

absl::StatusCode CodeOf(int error) {
  switch (error & 0xFF) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
      return absl::StatusCode::kDataLoss;
    case SQLITE_FULL:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
    case SQLITE_PROTOCOL:
      return absl::StatusCode::kUnavailable;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::Status ErrorOf(sqlite3* db) {
  const int error = sqlite3_extended_errcode(db);
  const char* path = sqlite3_db_filename(db, "main");
  return absl::Status(CodeOf(error), absl::StrCat("catalog ", path != nullptr ? path : "", ": ",
                                                  sqlite3_errmsg(db), " (SQLite ", error, ")"));
}

// For a file: URI, in which these characters mean something.
std::string EscapeUri(const std::string& path) {
  std::string escaped;
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#') {
      absl::StrAppend(&escaped, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      escaped.push_back(c);
    }
  }
  return escaped;
}

}  // namespace

SqliteQuery::SqliteQuery(SqliteQuery&& from) noexcept
    : db_(from.db_),
      statement_(std::exchange(from.statement_, nullptr)),
      next_parameter_(from.next_parameter_) {}

SqliteQuery::~SqliteQuery() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);  // repeats the error of the last step, which Step() has reported
  sqlite3_clear_bindings(statement_);
}

// Binding fails only for a wrong parameter number or without memory, and then Step() fails.
SqliteQuery& SqliteQuery::Bind(int64_t value) {
  sqlite3_bind_int64(statement_, next_parameter_++, value);
  return *this;
}

SqliteQuery& SqliteQuery::Bind(const std::string& text) {
  sqlite3_bind_text(statement_, next_parameter_++, text.data(), static_cast<int>(text.size()),
                    SQLITE_TRANSIENT);
  return *this;
}

SqliteQuery& SqliteQuery::Bind(absl::Span<const std::byte> blob) {
  sqlite3_bind_blob(statement_, next_parameter_++, blob.data(), static_cast<int>(blob.size()),
                    SQLITE_TRANSIENT);
  return *this;
}

SqliteQuery& SqliteQuery::Bind(const SqliteValue& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return Bind(*number);
  if (const auto* blob = std::get_if<std::vector<std::byte>>(&value)) {
    return Bind(absl::MakeConstSpan(*blob));
  }
  sqlite3_bind_null(statement_, next_parameter_++);
  return *this;
}

absl::StatusOr<bool> SqliteQuery::Step() {
  switch (sqlite3_step(statement_)) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      return false;
    default:
      return ErrorOf(db_);
  }
}

absl::Status SqliteQuery::Run() { return Step().status(); }

int64_t SqliteQuery::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string SqliteQuery::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return text == nullptr ? std::string()
                         : std::string(text, sqlite3_column_bytes(statement_, column));
}

absl::Span<const std::byte> SqliteQuery::Blob(int column) const {
  const auto* blob = static_cast<const std::byte*>(sqlite3_column_blob(statement_, column));
  return {blob, static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

bool SqliteQuery::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

bool SqliteQuery::IsInt(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_INTEGER;
}

absl::StatusOr<std::unique_ptr<SqliteDatabase>> SqliteDatabase::Open(const std::string& path,
                                                                     Mode mode) {
  auto database = std::unique_ptr<SqliteDatabase>(new SqliteDatabase);
  database->path_ = path;
  if (mode == Mode::kReadOnly && access(path.c_str(), F_OK) != 0) {
    return absl::NotFoundError(absl::StrCat("catalog ", path, " does not exist"));
  }
  // Where the directory cannot be written, a database in WAL mode that nobody has open can be
  // read only by promising that nobody will write: true when there is no log beside it.
  const std::string directory = absl::StrCat("./", path.substr(0, path.rfind('/') + 1));
  const bool immutable =
      mode == Mode::kReadOnly &&
      access(path[0] == '/' ? directory.c_str() + 2 : directory.c_str(), W_OK) != 0 &&
      access((path + "-wal").c_str(), F_OK) != 0;
  const std::string uri = absl::StrCat("file:", EscapeUri(path), immutable ? "?immutable=1" : "");
  const int flags =
      SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
      (mode == Mode::kReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  if (sqlite3_open_v2(uri.c_str(), &database->db_, flags, nullptr) != SQLITE_OK) {
    if (database->db_ == nullptr) return absl::ResourceExhaustedError("SQLite: out of memory");
    return ErrorOf(database->db_);
  }
  sqlite3_busy_timeout(database->db_, kBusyTimeoutMs);
  return database;
}

SqliteDatabase::~SqliteDatabase() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

absl::StatusOr<SqliteQuery> SqliteDatabase::Query(const std::string& sql) {
  sqlite3_stmt*& statement = statements_[sql];
  if (statement == nullptr &&
      sqlite3_prepare_v3(db_, sql.c_str(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                         &statement, nullptr) != SQLITE_OK) {
    return ErrorOf(db_);
  }
  return SqliteQuery(db_, statement);
}

absl::Status SqliteDatabase::Execute(const std::string& sql) {
  if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return ErrorOf(db_);
  return absl::OkStatus();
}

absl::StatusOr<int64_t> SqliteDatabase::QueryInt(const std::string& sql) {
  SLUICE_ASSIGN_OR_RETURN(SqliteQuery query, Query(sql));
  SLUICE_ASSIGN_OR_RETURN(const bool has_row, query.Step());
  return has_row ? query.Int(0) : 0;
}

absl::Status SqliteDatabase::Transaction(const std::function<absl::Status()>& body) {
  // Not a savepoint of its own: SQLite keeps the pages of one in a list, and goes through the list
  // at the end of every statement within, which makes a large transaction quadratic.
  return in_transaction() ? body() : Bracket("BEGIN IMMEDIATE", body);
}

absl::Status SqliteDatabase::Snapshot(const std::function<absl::Status()>& body) {
  return in_transaction() ? body() : Bracket("BEGIN", body);
}

absl::Status SqliteDatabase::Bracket(const char* begin, const std::function<absl::Status()>& body) {
  SLUICE_RETURN_IF_ERROR(Execute(begin));
  absl::Status status = body();
  if (status.ok()) status = Execute("COMMIT");
  // A full disk may have rolled back already.
  if (!status.ok() && in_transaction()) {
    sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
  // SQLite looks after its log when something was committed. While the log can neither grow nor,
  // for a reader's sake, begin anew, nothing is; so it would stay full when the reader has gone.
  if (absl::IsResourceExhausted(status) || absl::IsUnavailable(status)) {
    sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  }
  return status;
}

absl::Status SqliteDatabase::SetAside(uint64_t bytes) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t page, QueryInt("PRAGMA page_size"));
  // SQLite cuts its file to a multiple of this, and takes no more than an int.
  int chunk = static_cast<int>(std::min<uint64_t>(bytes, kChunkMax));
  auto size = static_cast<int64_t>(bytes);
  sqlite3_file_control(db_, "main", SQLITE_FCNTL_CHUNK_SIZE, &chunk);
  const int error = sqlite3_file_control(db_, "main", SQLITE_FCNTL_SIZE_HINT, &size);
  SLUICE_RETURN_IF_ERROR(Execute(absl::StrCat(
      "PRAGMA max_page_count = ", static_cast<int64_t>(bytes) / std::max<int64_t>(page, 1))));
  if (error == SQLITE_OK) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the disk has no room to set aside ", bytes, " bytes for ", path_));
}

bool SqliteDatabase::in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }

int64_t SqliteDatabase::changes() const { return sqlite3_changes(db_); }

}  // namespace sluice
