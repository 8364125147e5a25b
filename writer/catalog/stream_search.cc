#include "writer/catalog/stream_search.h"

#include <algorithm>
#include <limits>
#include <list>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/catalog/span.h"
#include "writer/catalog/stream_table.h"

namespace sluice {
namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

// Conditions joined by AND.
class Conditions {
 public:
  Conditions& Add(std::string sql, std::vector<SqliteValue> values = {}) {
    absl::StrAppend(&sql_, sql_.empty() ? "" : " AND ", sql);
    for (SqliteValue& value : values) values_.push_back(std::move(value));
    return *this;
  }
  Conditions& Add(const Conditions& more) {
    return more.empty() ? *this : Add(more.sql_, more.values_);
  }
  Conditions& AddInterval(const std::string& column, const Interval& interval) {
    if (interval.everything()) return *this;
    return Add(absl::StrCat(column, " BETWEEN ? AND ?"), {interval.first, interval.last});
  }
  bool empty() const { return sql_.empty(); }
  const std::string& sql() const { return sql_; }
  const std::vector<SqliteValue>& values() const { return values_; }

 private:
  std::string sql_;
  std::vector<SqliteValue> values_;
};

SqlStatement Join(std::string sql, const Conditions& conditions, absl::string_view end) {
  if (!conditions.empty()) absl::StrAppend(&sql, " WHERE ", conditions.sql());
  absl::StrAppend(&sql, end);
  return {std::move(sql), conditions.values()};
}

// A part of the streams that an index finds.
struct Stretch {
  std::string index;  // empty: the table
  Conditions conditions;
};

// What a search may depend on.
enum Aspect : uint32_t {
  kRecording = 1,
  kPeer = 2,
  kPeerPort = 4,
  kLocalPort = 8,
  kOpen = 16,
  kReason = 32,
  kSize = 64,
  kOpened = 128,
  kEnd = 256,
};

// One way to find all that may match: those that meet one of the conditions, or simply all.
struct Way {
  std::string index;
  std::vector<Stretch> stretches;
  uint32_t settles = 0;  // the aspects that are settled by the index alone
};

class Planner {
 public:
  Planner(const StreamSearch& search, std::optional<int64_t> recording_uid)
      : search_(search),
        filter_(search.filter),
        recording_uid_(recording_uid),
        opened_(OpenedFromHere()) {}

  std::vector<Way> Ways() const;
  Way InOrder() const;
  // How many streams, counted up to one more than `limit`.
  static SqlStatement Count(const Stretch& stretch, size_t limit);
  StreamPlan Sorted(const Way& way) const;
  StreamPlan Ordered(const Way& way) const;
  bool SettledBy(const Way& way) const { return (Asked() & ~way.settles) == 0; }

 private:
  uint32_t Asked() const;
  Interval OpenedFromHere() const;
  Conditions Filter() const;
  Conditions After() const;
  std::string OrderBy() const;
  std::vector<Stretch> ByTime(const std::string& index, const Conditions& prefix) const;
  const StreamSearch& search_;
  const StreamFilter& filter_;
  const std::optional<int64_t> recording_uid_;
  const Interval opened_;  // what is asked for, from where the page before ended
};

uint32_t Planner::Asked() const {
  uint32_t asked = 0;
  const auto ask = [&asked](Aspect aspect, bool is_asked) { asked |= is_asked ? aspect : 0U; };
  ask(kRecording, recording_uid_.has_value());
  ask(kPeer, filter_.peer.has_value());
  ask(kPeerPort, !filter_.peer_port.everything());
  ask(kLocalPort, !filter_.local_port.everything());
  ask(kOpen, filter_.open.has_value());
  ask(kReason, filter_.reason.has_value());
  ask(kSize, !filter_.size.everything());
  ask(kOpened, !filter_.opened.everything() || search_.order == StreamOrder::kOpened);
  ask(kEnd, !filter_.last.everything() || !filter_.ended.everything());
  return asked;
}

// Two bounds on one side would not do: SQLite seeks by one of them, perhaps not the better.
Interval Planner::OpenedFromHere() const {
  Interval opened = filter_.opened;
  if (search_.order != StreamOrder::kOpened || !search_.after) return opened;
  const int64_t here = search_.after->opened.value;
  if (search_.descending) {
    opened.last = std::min(opened.last, here);
  } else {
    opened.first = std::max(opened.first, here);
  }
  return opened;
}

Conditions Peer(const AddressRange& range) {
  return Conditions().Add("peer BETWEEN ? AND ?", {AddressKey(range.family, range.first),
                                                   AddressKey(range.family, range.last)});
}

Conditions Planner::Filter() const {
  Conditions all;
  if (recording_uid_) all.Add("recording_uid = ?", {*recording_uid_});
  if (filter_.peer) all.Add(Peer(*filter_.peer));
  all.AddInterval("peer_port", filter_.peer_port);
  all.AddInterval("local_port", filter_.local_port);
  if (filter_.open) all.Add(absl::StrCat("open = ", *filter_.open ? 1 : 0));
  if (filter_.reason) all.Add("reason = ?", {static_cast<int64_t>(*filter_.reason)});
  all.AddInterval("size", filter_.size);
  all.AddInterval("opened_ns", filter_.opened);
  all.AddInterval("last_ns", filter_.last);
  if (!filter_.ended.everything()) {
    const std::string in_time = "last_ns BETWEEN ? AND ?";
    all.Add(filter_.ended.last == kMax ? absl::StrCat("(open = 1 OR ", in_time, ")")
                                       : absl::StrCat("open = 0 AND ", in_time),
            {filter_.ended.first, filter_.ended.last});
  }
  return all;
}

// Behind the page before.
Conditions Planner::After() const {
  Conditions after;
  if (!search_.after) return after;
  const char* const beyond = search_.descending ? "<" : ">";
  const int64_t id = IdOf(search_.after->id);
  if (search_.order == StreamOrder::kId) {
    return after.Add(absl::StrCat("id ", beyond, " ?"), {id});
  }
  const int64_t opened = search_.after->opened.value;
  return after.Add(
      absl::StrCat("(opened_ns ", beyond, " ? OR (opened_ns = ? AND id ", beyond, " ?))"),
      {opened, opened, id});
}

std::string Planner::OrderBy() const {
  const char* const direction = search_.descending ? " DESC" : "";
  if (search_.order == StreamOrder::kId) return absl::StrCat(" ORDER BY id", direction);
  return absl::StrCat(" ORDER BY opened_ns", direction, ", id", direction);
}

// A stretch for each class of spans, from where one that is looked for may have been opened.
std::vector<Stretch> Planner::ByTime(const std::string& index, const Conditions& prefix) const {
  std::vector<Stretch> stretches;
  const int64_t alive_from = std::max(filter_.last.first, filter_.ended.first);
  for (int span = 0; span < kSpanCount; ++span) {
    const bool is_open = span == kSpanOpen;
    if (filter_.open.value_or(is_open) != is_open) continue;
    if (is_open && filter_.ended.last != kMax) continue;
    Interval opened = opened_;
    if (span < kSpanOther) {
      if (alive_from > kMin + SpanWidth(span)) {
        opened.first = std::max(opened.first, alive_from - SpanWidth(span));
      }
      opened.last = std::min({opened.last, filter_.last.last, filter_.ended.last});
    }
    Conditions conditions = prefix;
    conditions.Add(absl::StrCat("span = ", span)).AddInterval("opened_ns", opened);
    stretches.push_back({index, std::move(conditions)});
  }
  return stretches;
}

std::vector<Way> Planner::Ways() const {
  std::vector<Way> ways;
  const uint32_t asked = Asked();
  const auto add = [&ways](const std::string& index, const Conditions& conditions,
                           uint32_t settles) {
    ways.push_back({index, {{index, conditions}}, settles});
  };
  Conditions recording;
  if (recording_uid_) recording.Add("recording_uid = ?", {*recording_uid_});
  const Stretch open{"streams_open", Conditions().Add("open = 1")};

  if (filter_.open == true) ways.push_back({open.index, {open}, kOpen});
  if (filter_.peer) {
    add("streams_by_peer", Peer(*filter_.peer).AddInterval("opened_ns", opened_), kPeer | kOpened);
  }
  if ((asked & kPeerPort) != 0) {
    add("streams_by_peer_port", Conditions().AddInterval("peer_port", filter_.peer_port),
        kPeerPort);
  }
  if ((asked & kLocalPort) != 0) {
    add("streams_by_local_port", Conditions().AddInterval("local_port", filter_.local_port),
        kLocalPort);
  }
  if (filter_.reason && *filter_.reason > CloseReason::kEndOfStream) {
    add("streams_by_reason",
        Conditions().Add("reason > 1").Add("reason = ?", {static_cast<int64_t>(*filter_.reason)}),
        kReason);
  }
  if ((asked & kSize) != 0) {
    Way by_size{"streams_by_size", {}, 0};
    if (filter_.open != true) {
      by_size.stretches.push_back(
          {by_size.index, Conditions().Add("open = 0").AddInterval("size", filter_.size)});
    }
    if (filter_.open != false) by_size.stretches.push_back(open);
    ways.push_back(std::move(by_size));
  }
  if (!filter_.opened.everything() || (asked & kEnd) != 0) {
    const std::string index = recording_uid_ ? "streams_by_recording_time" : "streams_by_time";
    ways.push_back({index, ByTime(index, recording), kRecording | kOpened});
  }
  if (recording_uid_) add("streams_by_recording", recording, kRecording);
  return ways;
}

// The index that has the order which was asked for, narrowed down as far as it goes.
Way Planner::InOrder() const {
  Conditions recording;
  if (recording_uid_) recording.Add("recording_uid = ?", {*recording_uid_});
  if (search_.order == StreamOrder::kId) {
    if (filter_.open == true) {
      return {"streams_open", {{"streams_open", Conditions().Add("open = 1")}}, kOpen};
    }
    const std::string index = recording_uid_ ? "streams_by_recording" : "";
    return {index, {{index, recording}}, kRecording};
  }
  if (filter_.peer && filter_.peer->first == filter_.peer->last) {
    Conditions peer;
    peer.Add("peer = ?", {AddressKey(filter_.peer->family, filter_.peer->first)})
        .AddInterval("opened_ns", opened_);
    return {"streams_by_peer", {{"streams_by_peer", peer}}, kPeer | kOpened};
  }
  // Few that the classes of spans let through were not alive then, so that is settled too.
  const std::string index = recording_uid_ ? "streams_by_recording_time" : "streams_by_time";
  return {index, ByTime(index, recording), kRecording | kOpen | kOpened | kEnd};
}

std::string From(const std::string& index) {
  return absl::StrCat(" FROM streams", index.empty() ? " NOT INDEXED" : " INDEXED BY ", index);
}

SqlStatement Planner::Count(const Stretch& stretch, size_t limit) {
  return Join(absl::StrCat("SELECT COUNT(*) FROM (SELECT 1", From(stretch.index)),
              stretch.conditions, absl::StrCat(" LIMIT ", limit + 1, ")"));
}

StreamPlan Planner::Sorted(const Way& way) const {
  StreamPlan plan{way.index, true, {}};
  for (const Stretch& stretch : way.stretches) {
    Conditions conditions = stretch.conditions;
    conditions.Add(Filter()).Add(After());
    plan.statements.push_back(Join(absl::StrCat("SELECT opened_ns, id, 1", From(stretch.index)),
                                   conditions,
                                   absl::StrCat(OrderBy(), " LIMIT ", search_.limit + 1)));
  }
  return plan;
}

StreamPlan Planner::Ordered(const Way& way) const {
  StreamPlan plan{way.index, false, {}};
  const Conditions filter = Filter();
  for (const Stretch& stretch : way.stretches) {
    Conditions conditions = stretch.conditions;
    conditions.Add(After());
    SqlStatement statement =
        Join(absl::StrCat("SELECT opened_ns, id, ", filter.empty() ? "1" : filter.sql(),
                          From(stretch.index)),
             conditions, OrderBy());
    statement.values.insert(statement.values.begin(), filter.values().begin(),
                            filter.values().end());
    plan.statements.push_back(std::move(statement));
  }
  return plan;
}

absl::StatusOr<SqliteQuery> Prepare(SqliteDatabase& db, const SqlStatement& statement) {
  SLUICE_ASSIGN_OR_RETURN(SqliteQuery query, db.Query(statement.sql));
  for (const SqliteValue& value : statement.values) query.Bind(value);
  return query;
}

// At most `limit` + 1.
absl::StatusOr<size_t> CountUpTo(SqliteDatabase& db, const Way& way, size_t limit) {
  size_t count = 0;
  for (const Stretch& stretch : way.stretches) {
    SLUICE_ASSIGN_OR_RETURN(SqliteQuery query, Prepare(db, Planner::Count(stretch, limit - count)));
    SLUICE_RETURN_IF_ERROR(query.Step().status());
    count += static_cast<size_t>(query.Int(0));
    if (count > limit) return limit + 1;
  }
  return count;
}

// The rows of one statement, one at a time.
class Cursor {
 public:
  explicit Cursor(SqliteQuery query) : query_(std::move(query)) {}

  absl::Status Advance() {
    SLUICE_ASSIGN_OR_RETURN(at_row_, query_.Step());
    if (at_row_) position_ = {{query_.Int(0)}, StreamId{Unsigned(query_.Int(1))}};
    return absl::OkStatus();
  }
  bool at_row() const { return at_row_; }
  const StreamPosition& position() const { return position_; }
  bool matches() const { return query_.Int(2) != 0; }

 private:
  SqliteQuery query_;
  StreamPosition position_;
  bool at_row_ = false;
};

}  // namespace

absl::StatusOr<StreamPlan> PlanStreamSearch(SqliteDatabase& db, const StreamSearch& search,
                                            std::optional<int64_t> recording_uid,
                                            const SearchLimits& limits) {
  const Planner planner(search, recording_uid);
  const std::vector<Way> ways = planner.Ways();
  const Way in_order = planner.InOrder();
  if (planner.SettledBy(in_order)) return planner.Ordered(in_order);
  // What each would cost: a stream that is looked up counts as much as several that are not.
  size_t least = limits.sorts;
  const Way* best = nullptr;
  for (const Way& way : ways) {
    const size_t weight = planner.SettledBy(way) ? 1 : limits.sorts / limits.fetches;
    SLUICE_ASSIGN_OR_RETURN(const size_t count, CountUpTo(db, way, least / weight));
    if (count * weight > least || (best != nullptr && count * weight == least)) continue;
    least = count * weight;
    best = &way;
  }
  return best == nullptr ? planner.Ordered(in_order) : planner.Sorted(*best);
}

std::vector<StreamPlan> AllPlans(const StreamSearch& search, std::optional<int64_t> recording_uid) {
  const Planner planner(search, recording_uid);
  std::vector<StreamPlan> all = {planner.Ordered(planner.InOrder())};
  for (const Way& way : planner.Ways()) all.push_back(planner.Sorted(way));
  return all;
}

absl::StatusOr<StreamsFound> RunStreamSearch(SqliteDatabase& db, const StreamSearch& search,
                                             const StreamPlan& plan, const SearchLimits& limits) {
  const auto key = [&search](const StreamPosition& position) {
    const bool by_id = search.order == StreamOrder::kId;
    return std::make_tuple(by_id ? int64_t{0} : position.opened.value, IdOf(position.id));
  };
  std::list<Cursor> cursors;
  for (const SqlStatement& statement : plan.statements) {
    SLUICE_ASSIGN_OR_RETURN(SqliteQuery query, Prepare(db, statement));
    cursors.emplace_back(std::move(query));
    SLUICE_RETURN_IF_ERROR(cursors.back().Advance());
    if (!cursors.back().at_row()) cursors.pop_back();
  }
  StreamsFound found;
  std::optional<StreamPosition> last;  // of those that were looked at
  for (size_t looks = 0;; ++looks) {
    const auto next =
        std::min_element(cursors.begin(), cursors.end(), [&](const Cursor& a, const Cursor& b) {
          return search.descending ? key(b.position()) < key(a.position())
                                   : key(a.position()) < key(b.position());
        });
    if (next == cursors.end()) return found;
    const bool matches = next->matches();
    if ((matches && found.ids.size() == search.limit) || (!plan.sorted && looks == limits.looks)) {
      found.next = last;
      return found;
    }
    last = next->position();
    if (matches) found.ids.push_back(last->id);
    SLUICE_RETURN_IF_ERROR(next->Advance());
    if (!next->at_row()) cursors.erase(next);
  }
}

}  // namespace sluice
