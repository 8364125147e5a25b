// Who did what to the archive's data, and what its rules did by themselves: the archive's events.
#ifndef WRITER_CATALOG_AUDIT_H_
#define WRITER_CATALOG_AUDIT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ingest/units.h"
#include "writer/catalog/removal.h"
#include "writer/catalog/sqlite.h"

namespace sluice {

// Segments that left the archive, neighbours in their track.
struct RemovedPart {
  LaneId lane{};
  SegmentId first{};
  SegmentId last{};
  uint64_t segments = 0;
  ByteCount payload;
  RemovalReason reason = RemovalReason::kNone;
  std::string retention_class;  // that their recording had; empty: not known
};

struct AuditRow {
  int64_t id = 0;  // ascends, with holes
  UnixNanos time;
  std::string actor;   // "user:alice(1000)", "configuration", "rules", "recovery"
  std::string action;  // "hold created"
  std::string object;  // a resource's name: "holds/case-17"
  std::string detail;  // one sentence
  std::optional<RemovedPart> removed = std::nullopt;  // of kRemovedAction
};

inline constexpr char kRemovedAction[] = "removed";

// The newest so many are kept, of removals and of everything else; of removals a few more. So a
// ring that goes round fast does not take away what people did.
inline constexpr int kAuditRowsMax = 100'000;
inline constexpr int kRemovalEventsMax = 100'000;

// Ids of one run of a writer begin here. What a loss of power, or of the whole catalog, takes away
// is so never followed by other events under the same ids.
constexpr int64_t FirstAuditId(uint32_t epoch) { return int64_t{epoch} << 20; }

struct AuditBounds {
  int64_t last = 0;                // no id is higher
  int64_t forgotten_removals = 0;  // of these, what has this id or a lower one is not kept any more
  int64_t forgotten_others = 0;    // likewise
};

// Inside a transaction.
absl::Status AddAudit(SqliteDatabase& db, absl::Span<const AuditRow> rows);
absl::Status AddRemovalEvent(SqliteDatabase& db, const RemovalRow& row, const std::string& actor);
// Ids that are given from now on are higher than `last`.
absl::Status BeginAudit(SqliteDatabase& db, int64_t last);

absl::StatusOr<std::vector<AuditRow>> ReadAudit(SqliteDatabase& db, int64_t after, size_t limit);
absl::StatusOr<AuditBounds> ReadAuditBounds(SqliteDatabase& db);

}  // namespace sluice

#endif  // WRITER_CATALOG_AUDIT_H_
