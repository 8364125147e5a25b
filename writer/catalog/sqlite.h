// SQLite, as little of it as the catalog needs: a connection, prepared statements, transactions.
#ifndef WRITER_CATALOG_SQLITE_H_
#define WRITER_CATALOG_SQLITE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

struct sqlite3;
struct sqlite3_stmt;

namespace sluice {

// What a parameter can be: NULL, a number, a blob.
using SqliteValue = std::variant<std::monostate, int64_t, std::vector<std::byte>>;

// One execution of a prepared statement; resets it at the end. Does not outlive its database.
class SqliteQuery {
 public:
  SqliteQuery(sqlite3* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {}
  SqliteQuery(SqliteQuery&& from) noexcept;
  ~SqliteQuery();

  // Parameters, in order. Text and blobs are copied.
  SqliteQuery& Bind(int64_t value);
  SqliteQuery& Bind(const std::string& text);
  SqliteQuery& Bind(absl::Span<const std::byte> blob);
  SqliteQuery& Bind(const SqliteValue& value);

  // True: there is a row, whose columns can be read until the next step.
  absl::StatusOr<bool> Step();
  // For a statement without rows.
  absl::Status Run();

  int64_t Int(int column) const;
  std::string Text(int column) const;
  absl::Span<const std::byte> Blob(int column) const;
  bool IsNull(int column) const;
  bool IsInt(int column) const;

 private:
  sqlite3* db_;
  sqlite3_stmt* statement_;
  int next_parameter_ = 1;
};

// Thread-compatible. NOT_FOUND: no such file; DATA_LOSS: not a database, or a damaged one;
// RESOURCE_EXHAUSTED: the disk is full; UNAVAILABLE: others kept it locked, or it cannot be read.
class SqliteDatabase {
 public:
  enum class Mode { kReadOnly, kReadWrite };
  static absl::StatusOr<std::unique_ptr<SqliteDatabase>> Open(const std::string& path, Mode mode);
  ~SqliteDatabase();
  SqliteDatabase(const SqliteDatabase&) = delete;
  SqliteDatabase& operator=(const SqliteDatabase&) = delete;

  // Prepared the first time that it is asked for, kept from then on.
  absl::StatusOr<SqliteQuery> Query(const std::string& sql);
  // Any number of statements, without parameters; rows are ignored.
  absl::Status Execute(const std::string& sql);
  absl::StatusOr<int64_t> QueryInt(const std::string& sql);
  // All of `body` or, when it fails, nothing. Within another one, a part of that: when it fails
  // having written, that one must fail too.
  absl::Status Transaction(const std::function<absl::Status()>& body);
  // Everything that `body` reads belongs to one state of the database.
  absl::Status Snapshot(const std::function<absl::Status()>& body);

  // Gives the file this size on the disk, beyond what it uses, and keeps it at that when it could
  // be shorter. It uses no more than that from now on, unless it does already. What it cannot have
  // is RESOURCE_EXHAUSTED.
  absl::Status SetAside(uint64_t bytes);

  const std::string& path() const { return path_; }
  bool in_transaction() const;
  int64_t changes() const;  // rows that the last statement changed

 private:
  SqliteDatabase() = default;
  absl::Status Bracket(const char* begin, const std::function<absl::Status()>& body);

  std::string path_;
  sqlite3* db_ = nullptr;
  std::unordered_map<std::string, sqlite3_stmt*> statements_;
};

}  // namespace sluice

#endif  // WRITER_CATALOG_SQLITE_H_
