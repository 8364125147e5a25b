#include "writer/catalog/stream_search.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/catalog/catalog.h"
#include "writer/catalog/stream_table.h"

namespace sluice {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

constexpr int64_t kSecond = 1'000'000'000;
constexpr uint64_t kRecordings = 3;

bool Meets(const StreamFilter& filter, const StreamRow& row) {
  const bool ended =
      row.open ? filter.ended.last == Interval().last : filter.ended.Contains(row.last_time.value);
  return (!filter.recording || *filter.recording == row.recording) &&
         (!filter.peer || filter.peer->Contains(row.peer)) &&
         filter.peer_port.Contains(row.peer.port) && filter.local_port.Contains(row.local.port) &&
         (!filter.open || *filter.open == row.open) &&
         (!filter.reason || *filter.reason == row.reason) &&
         filter.size.Contains(Signed(row.size().value)) &&
         filter.opened.Contains(row.opened.value) && filter.last.Contains(row.last_time.value) &&
         ended;
}

class StreamSearchTest : public testing::Test {
 protected:
  StreamSearchTest() {
    for (const char* suffix : {"", "-wal", "-shm"}) std::remove((path_ + suffix).c_str());
    catalog_ = *Catalog::Open(path_, Catalog::Mode::kReadWrite);
    for (uint64_t uid = 1; uid <= kRecordings; ++uid) {
      RecordingRow row;
      row.uid = uid;
      row.id = absl::StrCat("r", uid);
      EXPECT_TRUE(catalog_->PutRecording(row).ok());
    }
    db_ = *SqliteDatabase::Open(path_, SqliteDatabase::Mode::kReadOnly);
  }

  int64_t Any(int64_t first, int64_t last) {
    return std::uniform_int_distribution<int64_t>(first, last)(random_);
  }

  // Of one recording; ids are unique, and their order is not that of time.
  void AddSegment(uint64_t id, size_t streams) {
    SegmentRow row;
    row.id = SegmentId{id};
    row.slot = static_cast<uint32_t>(id);
    row.recording_uid = 1 + id % kRecordings;
    row.durable = {4096};
    ASSERT_TRUE(catalog_->BeginSegment(row).ok());
    SegmentUpdate update;
    update.segment = row.id;
    update.track.recording_uid = row.recording_uid;
    for (size_t i = 0; i < streams; ++i) update.streams.push_back(AnyStream());
    ASSERT_TRUE(catalog_->Publish({&update, 1}).ok());
  }

  StreamUpdate AnyStream() {
    StreamUpdate stream;
    stream.stream = StreamId{static_cast<uint64_t>(Any(0, 3)) << 32 | next_id_++};
    stream.opened = {Any(0, 5) == 0 ? 500 * kSecond : Any(1, 1000) * kSecond};
    // All classes of lives, and some that end before they begin.
    stream.last_time = {stream.opened.value + (kSecond << Any(0, 20)) - 2 * kSecond};
    stream.begin = {0};
    stream.end = {static_cast<uint64_t>(Any(0, 20))};
    stream.reason = static_cast<CloseReason>(Any(0, 6));
    stream.peer.family = static_cast<uint16_t>(std::vector<int>{0, 4, 4, 6}[Any(0, 3)]);
    if (stream.peer.family != 0) {
      stream.peer.bytes = {10, static_cast<uint8_t>(Any(0, 3)), 0, static_cast<uint8_t>(Any(0, 9))};
      stream.peer.port = static_cast<uint16_t>(Any(1, 20));
    }
    stream.local = stream.peer;
    stream.local.port = static_cast<uint16_t>(Any(9000, 9003));
    return stream;
  }

  Interval AnyInterval(int64_t first, int64_t last) {
    Interval interval;
    if (Any(0, 2) != 0) interval.first = Any(first, last);
    if (Any(0, 2) != 0) interval.last = Any(std::max(first, interval.first), last);
    return interval;
  }

  StreamSearch AnySearch() {
    StreamSearch search;
    StreamFilter& filter = search.filter;
    if (Any(0, 3) == 0) filter.recording = absl::StrCat("r", Any(1, kRecordings));
    if (Any(0, 3) == 0) {
      filter.peer = *AddressRange::Parse(
          std::vector<std::string>{"10.0.0.0/8", "10.1.0.0/16", "10.0.0.3", "::/0", "a01::/16",
                                   "0.0.0.0/0"}[static_cast<size_t>(Any(0, 5))]);
    }
    if (Any(0, 5) == 0) filter.peer_port = AnyInterval(1, 20);
    if (Any(0, 5) == 0) filter.local_port = AnyInterval(9000, 9003);
    if (Any(0, 5) == 0) filter.open = Any(0, 1) == 0;
    if (Any(0, 5) == 0) filter.reason = static_cast<CloseReason>(Any(0, 6));
    if (Any(0, 5) == 0) filter.size = AnyInterval(0, 20);
    if (Any(0, 3) == 0) filter.opened = AnyInterval(0, 1000 * kSecond);
    if (Any(0, 3) == 0) filter.ended = AnyInterval(0, 1500 * kSecond);
    if (Any(0, 5) == 0) filter.last = AnyInterval(0, 1500 * kSecond);
    search.order = Any(0, 1) == 0 ? StreamOrder::kId : StreamOrder::kOpened;
    search.descending = Any(0, 1) == 0;
    search.limit = static_cast<size_t>(Any(1, 30));
    return search;
  }

  std::optional<int64_t> UidOf(const StreamFilter& filter) const {
    if (!filter.recording) return std::nullopt;
    return filter.recording->back() - '0';
  }

  std::vector<StreamRow> All() {
    StreamSearch search;
    search.limit = 1'000'000;
    return catalog_->FindStreams(search)->rows;
  }

  // Says the same as going through all of them.
  std::vector<StreamId> Expected(const StreamSearch& search, std::vector<StreamRow> rows) {
    std::erase_if(rows, [&](const StreamRow& row) { return !Meets(search.filter, row); });
    const auto key = [&](const StreamRow& row) {
      return std::make_pair(search.order == StreamOrder::kId ? 0 : row.opened.value, row.id);
    };
    std::sort(rows.begin(), rows.end(), [&](const StreamRow& a, const StreamRow& b) {
      return search.descending ? key(b) < key(a) : key(a) < key(b);
    });
    std::vector<StreamId> ids;
    for (const StreamRow& row : rows) ids.push_back(row.id);
    return ids;
  }

  const std::string path_ = testing::TempDir() + "/stream_search_test.db";
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<SqliteDatabase> db_;
  std::mt19937_64 random_{7};
  uint32_t next_id_ = 1;
};

// Every plan, in pages of any size.
TEST_F(StreamSearchTest, EveryPlanFindsWhatThereIs) {
  for (uint64_t segment = 1; segment <= 6; ++segment) AddSegment(segment, 100);
  const std::vector<StreamRow> rows = All();
  ASSERT_EQ(rows.size(), 600u);
  size_t matches = 0;
  for (int round = 0; round < 150; ++round) {
    StreamSearch search = AnySearch();
    const std::vector<StreamId> expected = Expected(search, rows);
    matches += expected.size();
    const size_t plans = AllPlans(search, UidOf(search.filter)).size();
    const SearchLimits limits{static_cast<size_t>(Any(5, 100)), 1, 1};
    for (size_t i = 0; i < plans; ++i) {
      std::vector<StreamId> found;
      search.after.reset();
      do {
        // The plan says where to go on.
        const StreamPlan plan = AllPlans(search, UidOf(search.filter)).at(i);
        SCOPED_TRACE(absl::StrCat("round ", round, ", plan ", i, ": ", plan.index));
        const auto page = RunStreamSearch(*db_, search, plan, limits);
        ASSERT_TRUE(page.ok()) << page.status();
        ASSERT_LE(page->ids.size(), search.limit);
        found.insert(found.end(), page->ids.begin(), page->ids.end());
        search.after = page->next;
        ASSERT_LE(found.size(), expected.size());
      } while (search.after);
      ASSERT_EQ(found, expected) << "round " << round << ", plan " << i << " of " << plans;
    }
  }
  EXPECT_GT(matches, 1000u);
}

// Which plan is chosen is a matter of time only, and the catalog's.
TEST_F(StreamSearchTest, ThePlanThatLooksAtFewestIsChosen) {
  for (uint64_t segment = 1; segment <= 6; ++segment) AddSegment(segment, 100);
  StreamSearch search;
  const auto index = [&](const SearchLimits& limits = {}) {
    return PlanStreamSearch(*db_, search, UidOf(search.filter), limits)->index;
  };
  EXPECT_EQ(index(), "");
  search.filter.recording = "r1";
  EXPECT_EQ(index(), "streams_by_recording");
  search.filter.peer = *AddressRange::Parse("10.0.0.3");
  EXPECT_EQ(index(), "streams_by_peer");
  search.filter.peer = *AddressRange::Parse("0.0.0.0/0");
  search.filter.peer_port = {3, 3};
  EXPECT_EQ(index(), "streams_by_peer_port");
  EXPECT_EQ(index({100, 1, 1}),
            "streams_by_recording");  // in order: all conditions let many through
  search.order = StreamOrder::kOpened;
  EXPECT_EQ(index({100, 1, 1}), "streams_by_recording_time");
}

// Nothing but a walk in the order that was asked for goes through a table or a whole index, and
// that walk has an end; nor is anything sorted that has the order already.
TEST_F(StreamSearchTest, NoPlanScansTheTable) {
  for (uint64_t segment = 1; segment <= 3; ++segment) AddSegment(segment, 50);
  for (int round = 0; round < 500; ++round) {
    StreamSearch search = AnySearch();
    if (Any(0, 1) == 0) search.after = {{Any(0, 1000) * kSecond}, StreamId{5}};
    for (const StreamPlan& plan : AllPlans(search, UidOf(search.filter))) {
      for (const SqlStatement& statement : plan.statements) {
        auto query = db_->Query("EXPLAIN QUERY PLAN " + statement.sql);
        ASSERT_TRUE(query.ok()) << query.status() << "\n" << statement.sql;
        std::string text;
        while (*query->Step()) absl::StrAppend(&text, query->Text(3), "\n");
        SCOPED_TRACE(absl::StrCat(statement.sql, "\n", text));
        if (plan.sorted) {
          EXPECT_THAT(text, AnyOf(HasSubstr("SEARCH streams USING"), HasSubstr("streams_open")));
        } else {
          EXPECT_THAT(text, Not(HasSubstr("TEMP B-TREE")));
        }
        if (!plan.index.empty()) {
          EXPECT_THAT(text, AnyOf(HasSubstr(plan.index), HasSubstr("streams_open")));
        }
        // Where the page before ended, the next one begins, without going there once more.
        if (search.after && !plan.sorted) {
          EXPECT_THAT(text, Not(HasSubstr("SCAN streams\n")));
        }
        ASSERT_FALSE(HasFailure());
      }
    }
  }
}

// A writer that adds streams, closes them and removes segments, between any two pages.
TEST_F(StreamSearchTest, PagesAreStableWhileStreamsComeAndGo) {
  for (int round = 0; round < 30; ++round) {
    uint64_t next_segment = 1;
    for (; next_segment <= 5; ++next_segment) AddSegment(next_segment, 60);
    StreamSearch search = AnySearch();
    search.filter.open.reset();  // what is changed here
    search.filter.reason.reset();
    search.filter.size = search.filter.ended = search.filter.last = Interval();
    search.limit = static_cast<size_t>(Any(1, 20));
    std::vector<StreamId> throughout = Expected(search, All());
    std::vector<StreamId> listed;
    for (int pages = 1;; ++pages) {
      const auto page = catalog_->FindStreams(search);
      ASSERT_TRUE(page.ok()) << page.status();
      for (const StreamRow& row : page->rows) listed.push_back(row.id);
      search.after = page->next;
      if (!search.after) break;
      if (pages > 20) continue;  // else a list could grow as fast as it is read
      // Now the writer.
      if (Any(0, 1) == 0) AddSegment(next_segment++, 10);
      if (Any(0, 3) == 0) {
        ASSERT_TRUE(
            catalog_->ForgetSegment(SegmentId{next_segment - static_cast<uint64_t>(Any(1, 6))})
                .ok());
      }
      if (Any(0, 9) == 0) {
        ASSERT_TRUE(catalog_->CloseInterrupted({1}).ok());
      }
      const std::vector<StreamRow> rows = All();
      std::erase_if(throughout, [&](StreamId id) {
        return std::none_of(rows.begin(), rows.end(),
                            [id](const StreamRow& row) { return row.id == id; });
      });
    }
    EXPECT_EQ(std::set<StreamId>(listed.begin(), listed.end()).size(), listed.size());
    for (const StreamId id : throughout) {
      EXPECT_THAT(listed, testing::Contains(id)) << "round " << round;
    }
    ASSERT_TRUE(catalog_->Clear().ok());
  }
}

}  // namespace
}  // namespace sluice
