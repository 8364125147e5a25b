// A catalog whose rows, or whose very bytes, are anything.

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "ingest/check.h"
#include "tests/fuzz/fuzz_archive.h"
#include "tests/fuzz/spoiled_segment.h"

namespace sluice {
namespace {

// In the header of the file: how it is written. A file in memory has no write-ahead log.
constexpr size_t kJournalModes = 18;

// A database in memory, for the edits that SQLite itself makes.
class Database {
 public:
  explicit Database(std::vector<std::byte> bytes) : size_(bytes.size()) {
    std::memset(&bytes[kJournalModes], 1, 2);
    auto* const memory = static_cast<unsigned char*>(sqlite3_malloc64(size_));
    std::memcpy(memory, bytes.data(), size_);
    SLUICE_CHECK(sqlite3_open(":memory:", &db_) == SQLITE_OK);
    SLUICE_CHECK(sqlite3_deserialize(
                     db_, "main", memory, static_cast<sqlite3_int64>(size_),
                     static_cast<sqlite3_int64>(size_),
                     SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE) == SQLITE_OK);
  }
  ~Database() { sqlite3_close(db_); }

  std::vector<std::string> Texts(const std::string& sql) {
    std::vector<std::string> texts;
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr);
    while (statement != nullptr && sqlite3_step(statement) == SQLITE_ROW) {
      const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
      texts.emplace_back(text == nullptr ? "" : text);
    }
    sqlite3_finalize(statement);
    return texts;
  }

  // May fail, as where a column must not be null.
  void Run(const std::string& sql, FuzzInput& input) {
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr);
    if (sqlite3_bind_parameter_count(statement) == 1) Bind(statement, input);
    sqlite3_step(statement);
    sqlite3_finalize(statement);
  }

  std::vector<std::byte> Bytes() {
    sqlite3_int64 size = 0;
    unsigned char* const memory = sqlite3_serialize(db_, "main", &size, 0);
    const auto* const begin = reinterpret_cast<const std::byte*>(memory);
    std::vector<std::byte> bytes(begin, begin + size);
    sqlite3_free(memory);
    std::memset(&bytes[kJournalModes], 2, 2);
    return bytes;
  }

 private:
  static void Bind(sqlite3_stmt* statement, FuzzInput& input) {
    const uint8_t type = input.Take<uint8_t>();
    if (type % 8 == 0) sqlite3_bind_null(statement, 1);
    if (type % 8 == 1) sqlite3_bind_int64(statement, 1, input.Take<int8_t>());
    if (type % 8 == 2) sqlite3_bind_int64(statement, 1, input.Take<int64_t>());
    if (type % 8 == 3) sqlite3_bind_double(statement, 1, 1.5);
    if (type % 8 == 4) sqlite3_bind_int64(statement, 1, int64_t{1} << input.Take<uint8_t>() % 63);
    if (type % 8 <= 4) return;
    std::string bytes(input.Take<uint8_t>(), '\0');
    for (char& byte : bytes) byte = static_cast<char>(input.Take<uint8_t>());
    const int size = static_cast<int>(bytes.size());
    if (type % 8 == 5) sqlite3_bind_text(statement, 1, bytes.data(), size, SQLITE_TRANSIENT);
    if (type % 8 > 5) sqlite3_bind_blob(statement, 1, bytes.data(), size, SQLITE_TRANSIENT);
  }

  const size_t size_;
  sqlite3* db_ = nullptr;
};

std::string Pick(const std::vector<std::string>& of, uint8_t which) {
  return of.empty() ? "" : of[which % of.size()];
}

std::vector<std::byte> SpoilRows(FuzzInput& input, const std::vector<std::byte>& catalog) {
  Database database(catalog);
  static const std::vector<std::string> tables =
      database.Texts("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
  for (uint8_t edits = input.Take<uint8_t>() % 8; edits > 0 && !input.empty(); --edits) {
    const uint8_t edit = input.Take<uint8_t>() % 8;
    const std::string table = Pick(tables, input.Take<uint8_t>());
    const std::string where = " WHERE rowid = (SELECT rowid FROM " + table +
                              " ORDER BY rowid LIMIT 1 OFFSET " +
                              std::to_string(input.Take<uint8_t>() % 4) + ")";
    const std::string column =
        Pick(database.Texts("SELECT name FROM pragma_table_info('" + table + "')"),
             input.Take<uint8_t>());
    if (edit < 5) {
      database.Run("UPDATE " + table + " SET \"" + column + "\" = ?1" + where, input);
    } else if (edit == 5) {
      // Of tables without row ids too.
      database.Run("UPDATE OR IGNORE " + table + " SET \"" + column + "\" = ?1", input);
    } else if (edit == 6) {
      database.Run("DELETE FROM " + table + where, input);
    } else {
      database.Run("PRAGMA user_version = " + std::to_string(input.Take<uint8_t>()), input);
    }
  }
  return database.Bytes();
}

void SpoilBytes(FuzzInput& input, std::vector<std::byte>& catalog) {
  for (int edits = 0; edits < 16 && !input.empty(); ++edits) {
    const size_t at = input.Take<uint32_t>() % catalog.size();
    if (at % 13 == 12) {
      catalog.resize(at + 1);
      continue;
    }
    const size_t count = std::min<size_t>(1 + input.Take<uint8_t>() % 8, catalog.size() - at);
    for (size_t i = 0; i < count; ++i) catalog[at + i] = std::byte{input.Take<uint8_t>()};
  }
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static sluice::FuzzArchive& archive = *new sluice::FuzzArchive;
  sluice::FuzzInput input(data, size);
  std::vector<std::byte> catalog = sluice::SpoilRows(input, sluice::GoodCatalog());
  sluice::SpoilBytes(input, catalog);
  archive.Write(sluice::GoodSegments());
  archive.WriteCatalog(catalog);
  archive.Use();
  archive.Clear();
  return 0;
}
