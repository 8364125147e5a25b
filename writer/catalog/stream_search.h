// Finds streams by the catalog's indexes, in pages, in milliseconds however many there are.
#ifndef WRITER_CATALOG_STREAM_SEARCH_H_
#define WRITER_CATALOG_STREAM_SEARCH_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "writer/catalog/sqlite.h"
#include "writer/catalog/stream_row.h"

namespace sluice {

struct SqlStatement {
  std::string sql;
  std::vector<SqliteValue> values;  // its parameters, in order
};

// How a search is done: by statements that each yield streams in the order that was asked for,
// which are merged. A statement's rows are opened_ns, id, and whether the stream meets the filter.
//
// There are two ways. By a *condition*: when few streams meet one of the conditions, they are
// fetched by its index and sorted. In *order*: else, for then those that match are not far apart,
// streams are looked at in the order that was asked for, for one page not too many.
struct StreamPlan {
  std::string index;    // the condition's, or the order's; empty: the table itself
  bool sorted = false;  // by a condition, and sorted
  std::vector<SqlStatement> statements;
};

struct SearchLimits {
  size_t looks = 5000;  // in order, at so many streams for one page
  size_t sorts =
      65'536;  // so many are sorted for a page, when all that decides is in the index ...
  size_t fetches = 4096;  // ... and so many when each has to be looked up
};

// `recording_uid` stands for the filter's recording.
absl::StatusOr<StreamPlan> PlanStreamSearch(SqliteDatabase& db, const StreamSearch& search,
                                            std::optional<int64_t> recording_uid,
                                            const SearchLimits& limits = {});

// All plans that there are for the search. For tests, which ask SQLite how it goes about them.
std::vector<StreamPlan> AllPlans(const StreamSearch& search, std::optional<int64_t> recording_uid);

struct StreamsFound {
  std::vector<StreamId> ids;
  std::optional<StreamPosition> next;  // unset: there are no more
};
absl::StatusOr<StreamsFound> RunStreamSearch(SqliteDatabase& db, const StreamSearch& search,
                                             const StreamPlan& plan,
                                             const SearchLimits& limits = {});

}  // namespace sluice

#endif  // WRITER_CATALOG_STREAM_SEARCH_H_
