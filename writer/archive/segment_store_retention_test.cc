// The store with a real catalog, files in memory, and a clock that the test turns.
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/archive/segment_store.h"
#include "writer/archive/test_archive.h"
#include "writer/catalog/sqlite.h"
#include "writer/retention/policy_text.h"
#include "writer/segment/segment_codec.h"

namespace sluice {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class MemoryFiles final : public SlotFiles {
 public:
  int Descriptor(uint32_t slot) override { return static_cast<int>(slot); }
  absl::Status WriteHeader(uint32_t slot, const SegmentHeader& header) override {
    if (broken.contains(slot)) return absl::UnavailableError("EIO");
    headers[slot] = header;
    return absl::OkStatus();
  }
  absl::Status Sync(uint32_t /*slot*/) override { return absl::OkStatus(); }

  std::map<uint32_t, SegmentHeader> headers;
  std::set<uint32_t> broken;
};

constexpr uint32_t kSlots = 10;

// Recordings "a" (uid 1, being recorded) and "b" (uid 2, stopped).
class SegmentStoreRetentionTest : public testing::Test {
 protected:
  SegmentStoreRetentionTest() {
    path_ = FreshDirectory() + "/catalog.db";
    catalog_ = *Catalog::Open(path_, Catalog::Mode::kReadWrite);
    Put("a", 1, RecordingState::kRecording);
    Put("b", 2, RecordingState::kStopped);
    Open();
  }

  // As a start would.
  void Open() {
    SegmentStoreOptions options;
    options.directory = "/archive";
    options.meta.segment = MiB(1);
    options.meta.segment_count = kSlots;
    options.last_segment_id = static_cast<uint64_t>(*catalog_->LastSegmentId());
    options.clock = [this] { return UnixNanos{now_}; };
    options.policy = saved_;
    options.save_policy = [this](const RetentionPolicy& policy) {
      if (save_fails_) return absl::UnavailableError("disk full");
      saved_ = policy;
      return absl::OkStatus();
    };
    auto store = SegmentStore::Open(std::move(options), files_, *catalog_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  void Put(const std::string& id, uint64_t uid, RecordingState state,
           const std::string& retention_class = "") {
    RecordingRow row;
    row.id = id;
    row.uid = uid;
    row.state = state;
    row.retention_class = retention_class;
    ASSERT_TRUE((store_ == nullptr ? catalog_->PutRecording(row) : store_->PutRecording(row)).ok());
  }
  absl::StatusOr<SegmentLoan> Lend(uint64_t uid) {
    return store_->Lend({uid == 1 ? "a" : "b", uid, LaneId{0}, ExtentKind::kStream});
  }
  SegmentUpdate Update(SegmentId id, uint64_t uid, uint64_t stream, bool sealed) {
    SegmentUpdate update;
    update.track = {uid == 1 ? "a" : "b", uid, LaneId{0}, ExtentKind::kStream};
    update.segment = id;
    update.sealed = sealed;
    update.previous.id = last_[uid];
    if (sealed) last_[uid] = id;
    update.durable = {8192};
    update.first_time = update.last_time = {now_};
    update.payload = {100};
    update.streams.emplace_back();
    update.streams[0].stream = StreamId{stream};
    update.streams[0].opened = {now_};
    update.streams[0].end = {100};
    return update;
  }
  void Publish(SegmentId id, uint64_t uid, uint64_t stream, bool sealed) {
    store_->Publish({Update(id, uid, stream, sealed)});
  }
  SegmentId Record(uint64_t uid, uint64_t stream = 5) {
    now_ += 1'000'000'000;
    const auto loan = Lend(uid);
    EXPECT_TRUE(loan.ok()) << loan.status();
    if (!loan.ok()) return {};
    Publish(loan->id, uid, 100 * uid + stream, /*sealed=*/true);
    return loan->id;
  }
  uint32_t AheadOf(uint64_t uid) {
    const auto loan = Lend(uid);
    EXPECT_TRUE(loan.ok()) << loan.status();
    store_->Return(loan->id);
    return loan->ahead;
  }
  void Fill(uint64_t uid, int n) {
    for (int i = 0; i < n; ++i) Record(uid);
  }
  std::vector<uint64_t> Stored() {
    std::vector<uint64_t> ids;
    const auto rows = catalog_->Segments();
    for (const SegmentRow& row : *rows) ids.push_back(static_cast<uint64_t>(row.id));
    return ids;
  }
  std::vector<std::string> Actions() {
    std::vector<std::string> actions;
    const auto rows = catalog_->Audit(0, 1000);
    for (const AuditRow& row : *rows) {
      if (row.removed || absl::StartsWith(row.action, "recording ")) continue;
      actions.push_back(absl::StrCat(row.action, " ", row.object, " by ", row.actor));
    }
    return actions;
  }
  static Hold HoldOn(const std::string& recording, ByteCount budget = {}) {
    Hold hold;
    hold.id = "h";
    hold.owner = "alice";
    hold.reason = "why not";
    hold.selector.recording = recording;
    hold.budget = budget;
    return hold;
  }

  std::string path_;
  std::unique_ptr<Catalog> catalog_;
  MemoryFiles files_;
  int64_t now_ = 1'000'000'000'000;
  std::map<uint64_t, SegmentId> last_;  // sealed, by recording
  RetentionPolicy saved_;
  bool save_fails_ = false;
  std::unique_ptr<SegmentStore> store_;
};

TEST_F(SegmentStoreRetentionTest, AHoldOutlivesTheRingAndARestart) {
  Fill(2, 3);
  const auto held = store_->CreateHold(HoldOn("b"), "api");
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_EQ(held->segments, 3u);
  EXPECT_EQ(held->hold.budget, MiB(3));
  EXPECT_EQ(held->hold.created.value, now_);
  Fill(1, 20);
  EXPECT_THAT(Stored(), ElementsAre(1, 2, 3, 17, 18, 19, 20, 21, 22, 23));
  Open();
  Fill(1, 20);
  EXPECT_THAT(Stored(), ElementsAre(1, 2, 3, 37, 38, 39, 40, 41, 42, 43));
  const absl::Status refused = store_->DeleteRecording("b");
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("is held by \"h\""));

  ASSERT_TRUE(store_->ReleaseHold("h", "user 1000").ok());
  Fill(1, 3);
  EXPECT_THAT(Stored(), ElementsAre(37, 38, 39, 40, 41, 42, 43, 44, 45, 46));
  EXPECT_TRUE(absl::IsNotFound(store_->ReleaseHold("h", "api").status()));
  EXPECT_THAT(saved_.holds, IsEmpty());
  EXPECT_THAT(Actions(),
              ElementsAre("hold created holds/h by api", "hold released holds/h by user 1000"));
}

TEST_F(SegmentStoreRetentionTest, ThePolicyIsSavedTwice) {
  Fill(2, 1);
  ASSERT_TRUE(store_->CreateHold(HoldOn("b"), "api").ok());
  EXPECT_EQ(*ParsePolicy(*catalog_->Policy()), saved_);
  EXPECT_EQ(saved_.generation, 1u);
  ASSERT_THAT(saved_.holds, SizeIs(1));
}

TEST_F(SegmentStoreRetentionTest, WhatCannotBeSavedDoesNotHappen) {
  Fill(2, 2);
  save_fails_ = true;
  EXPECT_TRUE(absl::IsUnavailable(store_->CreateHold(HoldOn("b"), "api").status()));
  EXPECT_THAT(store_->retention().holds(), IsEmpty());
  RetentionClass rule;
  rule.name = "x";
  EXPECT_TRUE(absl::IsUnavailable(store_->SetRetentionClasses({rule}, "api")));
  EXPECT_FALSE(store_->retention().HasClass("x"));
  save_fails_ = false;
  ASSERT_TRUE(store_->CreateHold(HoldOn("b"), "api").ok());
  save_fails_ = true;
  EXPECT_TRUE(absl::IsUnavailable(store_->ReleaseHold("h", "api").status()));
  Fill(1, 20);
  EXPECT_THAT(Stored(), Contains(1));
  EXPECT_THAT(Actions(), ElementsAre("hold refused holds/h by api", "hold created holds/h by api"));
}

TEST_F(SegmentStoreRetentionTest, HoldsOfNothingAreNotFound) {
  EXPECT_TRUE(absl::IsNotFound(store_->CreateHold(HoldOn("c"), "api").status()));
  Record(1, 7);
  Hold hold = HoldOn("b");
  hold.selector.stream = StreamId{107};  // it is a's
  EXPECT_TRUE(absl::IsNotFound(store_->CreateHold(hold, "api").status()));
  hold.selector.stream = StreamId{999};
  EXPECT_TRUE(absl::IsNotFound(store_->CreateHold(hold, "api").status()));
}

TEST_F(SegmentStoreRetentionTest, AHoldOfAStream) {
  Record(1, 7);
  Record(1, 8);
  Record(1, 7);
  Hold hold = HoldOn("a", MiB(4));
  hold.id = "";
  hold.selector.stream = StreamId{107};
  const auto held = store_->CreateHold(hold, "api");
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_EQ(held->hold.id, "hold-1");
  EXPECT_EQ(held->segments, 2u);
  Record(1, 8);
  Record(1, 7);
  for (int i = 0; i < 20; ++i) Record(1, 8);
  const std::vector<uint64_t> stored = Stored();
  EXPECT_THAT(std::vector(stored.begin(), stored.begin() + 3), ElementsAre(1, 3, 5));
  EXPECT_GT(stored.at(3), 15u);
}

TEST_F(SegmentStoreRetentionTest, AFullHoldIsInTheAudit) {
  ASSERT_TRUE(store_->CreateHold(HoldOn("a", MiB(2)), "api").ok());
  Fill(1, 5);
  EXPECT_THAT(Actions(), ElementsAre("hold created holds/h by api", "hold full holds/h by rules"));
  Fill(1, 20);
  EXPECT_THAT(Stored(), testing::IsSupersetOf({1, 2}));
  EXPECT_THAT(Actions(), SizeIs(2));
}

// Of two segments that are open the younger is published first, and uses the budget up.
TEST_F(SegmentStoreRetentionTest, AFullHoldHasTheSameAfterARestart) {
  const SegmentId older = Lend(1)->id;
  const SegmentId younger = Lend(1)->id;
  ASSERT_TRUE(store_->CreateHold(HoldOn("a", MiB(1)), "api").ok());
  Publish(younger, 1, 105, /*sealed=*/true);
  Publish(older, 1, 105, /*sealed=*/true);
  EXPECT_TRUE(store_->retention().IsHeld(younger));
  EXPECT_THAT(saved_.holds.at(0).segments, ElementsAre(younger));
  EXPECT_EQ(*ParsePolicy(*catalog_->Policy()), saved_);
  Open();
  EXPECT_TRUE(store_->retention().IsHeld(younger));
  EXPECT_FALSE(store_->retention().IsHeld(older));
  Fill(1, 20);
  EXPECT_THAT(Stored(), Contains(static_cast<uint64_t>(younger)));
}

TEST_F(SegmentStoreRetentionTest, WhatAFullHoldHasIsSavedAgainAfterAFailure) {
  ASSERT_TRUE(store_->CreateHold(HoldOn("a", MiB(1)), "api").ok());
  save_fails_ = true;
  const SegmentId held = Record(1);
  EXPECT_THAT(saved_.holds.at(0).segments, IsEmpty());
  EXPECT_THAT(Actions(), Contains("holds not saved  by rules"));
  save_fails_ = false;
  now_ += 1'000'000'000;
  store_->Publish({});
  EXPECT_THAT(saved_.holds.at(0).segments, ElementsAre(held));
}

TEST_F(SegmentStoreRetentionTest, AHoldEndsWithItsTime) {
  Fill(2, 2);
  Hold hold = HoldOn("b");
  hold.until = {now_ + 5'000'000'000};
  ASSERT_TRUE(store_->CreateHold(hold, "api").ok());
  EXPECT_EQ(store_->tidy_time(), hold.until);
  now_ = hold.until.value - 1;
  store_->Tidy(1);
  EXPECT_THAT(store_->retention().holds(), SizeIs(1));
  now_ = hold.until.value;
  store_->Tidy(1);
  EXPECT_THAT(store_->retention().holds(), IsEmpty());
  EXPECT_THAT(saved_.holds, IsEmpty());
  EXPECT_THAT(Actions(), Contains("hold ended holds/h by rules"));
  EXPECT_EQ(store_->tidy_time(), kEndOfTime);
}

// However soon after it was published: the catalog has to hear of it first.
TEST_F(SegmentStoreRetentionTest, WhatGoesIsRememberedWithAllThatItHeld) {
  RetentionClass old;
  old.name = "old";
  old.max_age = absl::Seconds(10);
  ASSERT_TRUE(store_->SetRetentionClasses({old}, "config").ok());
  Put("a", 1, RecordingState::kRecording, "old");
  const SegmentId id = Lend(1)->id;
  store_->Note({Update(id, 1, 5, /*sealed=*/true)});
  now_ += 20'000'000'000;
  ASSERT_THAT(store_->Tidy(9), SizeIs(1));
  const auto removals = catalog_->Removals();
  ASSERT_TRUE(removals.ok()) << removals.status();
  ASSERT_THAT(*removals, SizeIs(1));
  EXPECT_EQ(removals->front().first, id);
  EXPECT_EQ(removals->front().payload.value, 100u);
}

TEST_F(SegmentStoreRetentionTest, AgeRemovesByItself) {
  RetentionClass old;
  old.name = "old";
  old.max_age = absl::Seconds(10);
  ASSERT_TRUE(store_->SetRetentionClasses({old}, "config").ok());
  Fill(1, 1);
  Put("b", 2, RecordingState::kStopped, "old");
  Fill(2, 3);
  const int64_t due = now_ + 8'000'000'000;
  EXPECT_EQ(store_->tidy_time().value, due);
  EXPECT_THAT(store_->Tidy(9), IsEmpty());
  now_ = due + 1'000'000'000;
  EXPECT_EQ(store_->tidy_time().value, now_);
  EXPECT_THAT(store_->Tidy(1), SizeIs(1));
  const auto second = store_->Tidy(9);
  ASSERT_THAT(second, SizeIs(1));
  EXPECT_EQ(second[0].row.id, SegmentId{3});
  EXPECT_EQ(second[0].row.payload.value, 100u);
  EXPECT_EQ(second[0].rule, RetentionRule::kAge);
  EXPECT_THAT(Stored(), ElementsAre(1, 4));
  EXPECT_TRUE(IsEmptySlot(files_.headers.at(1)));
  EXPECT_TRUE(IsEmptySlot(files_.headers.at(2)));
  EXPECT_EQ(files_.headers.at(2).replaced.segment_id, 3u);  // so that a rebuild knows of it
  EXPECT_EQ(store_->retention().free(), kSlots - 2);
  EXPECT_EQ(store_->removals().age, 2u);
  const auto removals = *catalog_->Removals();
  ASSERT_THAT(removals, SizeIs(1));
  EXPECT_EQ(removals[0].reason, RemovalReason::kRetention);
  EXPECT_EQ(removals[0].detail, "age");
  EXPECT_EQ(removals[0].segments, 2u);
}

TEST_F(SegmentStoreRetentionTest, AQuotaReusesItsOwn) {
  RetentionClass small;
  small.name = "small";
  small.quota = MiB(4);
  small.priority = 5;
  ASSERT_TRUE(store_->SetRetentionClasses({small}, "config").ok());
  Put("a", 1, RecordingState::kRecording, "small");
  Fill(2, 2);
  Fill(1, 10);
  EXPECT_THAT(Stored(), ElementsAre(1, 2, 9, 10, 11, 12));
  EXPECT_EQ(store_->removals().quota, 6u);
  const auto removals = catalog_->Removals();
  for (const RemovalRow& row : *removals) {
    EXPECT_EQ(row.detail, "quota");
    EXPECT_EQ(row.recording, "a");
  }
  // The header says which class it is of.
  EXPECT_STREQ(files_.headers.at(2).retention_class, "small");
  EXPECT_STREQ(files_.headers.at(0).retention_class, "");
}

TEST_F(SegmentStoreRetentionTest, ACatalogThatRefusesDelaysWhatIsDue) {
  RetentionClass old;
  old.max_age = absl::Seconds(10);
  ASSERT_TRUE(store_->SetRetentionClasses({old}, "config").ok());
  Fill(1, 2);
  now_ += 60'000'000'000;
  const auto other = SqliteDatabase::Open(path_, SqliteDatabase::Mode::kReadWrite);
  ASSERT_TRUE((*other)
                  ->Execute("CREATE TRIGGER full BEFORE DELETE ON segments BEGIN"
                            " SELECT RAISE(ABORT, 'disk full'); END")
                  .ok());
  EXPECT_THAT(store_->Tidy(9), IsEmpty());
  EXPECT_FALSE(IsEmptySlot(files_.headers.at(0)));
  EXPECT_GT(store_->tidy_time().value, now_);
  ASSERT_TRUE((*other)->Execute("DROP TRIGGER full").ok());
  now_ = store_->tidy_time().value;
  EXPECT_THAT(store_->Tidy(9), SizeIs(2));
}

// Three rounds of the ring of which the catalog learns nothing until they are over.
TEST_F(SegmentStoreRetentionTest, WhatTheCatalogNeverKnewIsRememberedAsRemoved) {
  Fill(1, kSlots);
  const auto other = SqliteDatabase::Open(path_, SqliteDatabase::Mode::kReadWrite);
  ASSERT_TRUE((*other)
                  ->Execute("CREATE TRIGGER full BEFORE INSERT ON segments BEGIN"
                            " SELECT RAISE(ABORT, 'disk full'); END")
                  .ok());
  Fill(1, 3 * kSlots);
  EXPECT_TRUE(store_->unpublished());
  ASSERT_TRUE((*other)->Execute("DROP TRIGGER full").ok());
  store_->Publish({});
  EXPECT_FALSE(store_->unpublished());
  uint64_t removed = 0;
  const auto rows = catalog_->Removals();
  for (const RemovalRow& row : *rows) removed += row.segments;
  EXPECT_EQ(removed, 3 * kSlots);
  EXPECT_THAT(Stored(), SizeIs(kSlots));
}

TEST_F(SegmentStoreRetentionTest, WhenNothingMayGoTheAuditSaysSoAndWho) {
  Fill(2, 7);
  ASSERT_TRUE(store_->CreateHold(HoldOn("b"), "api").ok());
  SegmentId last{};
  for (int i = 0; i < 3; ++i) last = Lend(1)->id;
  for (int i = 0; i < 5; ++i) {
    const absl::Status none = Lend(1).status();
    EXPECT_TRUE(absl::IsResourceExhausted(none)) << none;
    EXPECT_THAT(std::string(none.message()),
                HasSubstr("10 segments of 1 MiB: 3 are being written, "
                          "hold \"h\" of alice has 7. Release a hold"));
  }
  Publish(last, 1, 101, /*sealed=*/true);
  EXPECT_TRUE(Lend(1).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(Lend(1).status()));  // within a minute: not said again
  ASSERT_TRUE(store_->ReleaseHold("h", "api").ok());
  EXPECT_TRUE(Lend(1).ok());
  EXPECT_THAT(Actions(),
              ElementsAre("hold created holds/h by api", "archive exhausted  by rules",
                          "archive available  by rules", "hold released holds/h by api"));
}

TEST_F(SegmentStoreRetentionTest, ABrokenSlotIsLost) {
  Fill(1, 10);
  files_.broken = {0, 1, 2};
  Fill(1, 10);
  EXPECT_THAT(Stored(), SizeIs(7));
  EXPECT_EQ(store_->retention().state().slots, 7u);
}

// What the store takes is what the rules say, through a history of its own making.
TEST_F(SegmentStoreRetentionTest, GoesByTheRules) {
  RetentionClass low;
  low.name = "low";
  low.priority = -1;
  low.reserve = MiB(2);
  ASSERT_TRUE(store_->SetRetentionClasses({low}, "config").ok());
  Put("b", 2, RecordingState::kStopped, "low");
  Fill(2, 4);
  ASSERT_TRUE(store_->CreateHold(HoldOn("a", MiB(3)), "api").ok());
  for (uint64_t i = 0; i < 60; ++i) {
    const uint64_t uid = i % 7 == 0 ? 2 : 1;
    const RetentionState state = store_->retention().state();
    const auto asking = static_cast<uint32_t>(state.classes[0].name == "low" ? uid == 1 : uid != 1);
    const auto goes = NextFor(state, asking, {now_ + 1'000'000'000});
    const std::vector<uint64_t> before = Stored();
    const auto added = static_cast<uint64_t>(Record(uid));
    std::vector<uint64_t> expected = before;
    if (goes) std::erase(expected, static_cast<uint64_t>(goes->segment));
    expected.push_back(added);
    EXPECT_EQ(Stored(), expected);
  }
}

// While it lives, the catalog's disk is full.
class FullCatalog {
 public:
  FullCatalog() {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = 0;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullCatalog() { setrlimit(RLIMIT_FSIZE, &before_); }
  FullCatalog(const FullCatalog&) = delete;
  FullCatalog& operator=(const FullCatalog&) = delete;

 private:
  rlimit before_;
};

// The segment that the loan has replaced is gone from the disk, so it must go from the catalog too.
TEST_F(SegmentStoreRetentionTest, ALoanThatTheCatalogRefusedAndThatCameBackHasReplacedASegment) {
  Fill(1, kSlots);
  {
    const FullCatalog full;
    const auto loan = Lend(1);
    ASSERT_TRUE(loan.ok()) << loan.status();
    store_->Return(loan->id);
    EXPECT_THAT(Stored(), Contains(1));
    EXPECT_TRUE(store_->unpublished());
    store_->Publish({});
    EXPECT_TRUE(store_->unpublished());
  }
  store_->Publish({});
  EXPECT_FALSE(store_->unpublished());
  EXPECT_THAT(Stored(), SizeIs(kSlots - 1));
  EXPECT_THAT(Stored(), Not(Contains(1)));
  EXPECT_THAT(*catalog_->Removals(), SizeIs(1));
  Fill(1, 3);
  EXPECT_THAT(Stored(), SizeIs(kSlots));
}

TEST_F(SegmentStoreRetentionTest, ASlotThatIsLentAgainHasNothingMoreToSayOfItsLastLoan) {
  Fill(1, kSlots);
  {
    const FullCatalog full;
    store_->Return(Lend(1)->id);
  }
  const SegmentId next = Record(1);
  EXPECT_FALSE(store_->unpublished());
  EXPECT_THAT(Stored(), Contains(static_cast<uint64_t>(next)));
  EXPECT_THAT(Stored(), SizeIs(kSlots));
  EXPECT_THAT(Stored(), Not(Contains(1)));
}

// What is lent before it is needed is an eighth, at most, of what can be had.
TEST_F(SegmentStoreRetentionTest, FewAreLentAhead) {
  EXPECT_EQ(AheadOf(1), 1u);
  const auto open = Lend(2);
  EXPECT_EQ(AheadOf(1), 0u) << "two tracks share it";
  Publish(open->id, 2, 5, /*sealed=*/true);
  EXPECT_EQ(AheadOf(1), 1u) << "nobody else is writing";
  RetentionClass small;
  small.name = "small";
  small.quota = MiB(4);
  ASSERT_TRUE(store_->SetRetentionClasses({small}, "test").ok());
  Put("a", 1, RecordingState::kRecording, "small");
  EXPECT_EQ(AheadOf(1), 0u) << "not more than an eighth of its quota";
}

}  // namespace
}  // namespace sluice
