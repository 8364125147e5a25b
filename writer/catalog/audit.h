// Who did what to the archive's data, and what its rules did by themselves.
#ifndef WRITER_CATALOG_AUDIT_H_
#define WRITER_CATALOG_AUDIT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ingest/units.h"
#include "writer/catalog/sqlite.h"

namespace sluice {

struct AuditRow {
  int64_t id = 0;  // counts up
  UnixNanos time;
  std::string actor;   // "user 1000 (alice)", "api", "rules"
  std::string action;  // "hold created"
  std::string object;  // a resource's name: "holds/case-17"
  std::string detail;  // one sentence
};

// The newest so many are kept.
inline constexpr int kAuditRowsMax = 100'000;

// Inside a transaction.
absl::Status AddAudit(SqliteDatabase& db, absl::Span<const AuditRow> rows);
absl::StatusOr<std::vector<AuditRow>> ReadAudit(SqliteDatabase& db, int64_t after, size_t limit);

}  // namespace sluice

#endif  // WRITER_CATALOG_AUDIT_H_
