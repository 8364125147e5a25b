#include "writer/retention/retention.h"

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/retention/rules.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr ByteCount kSegment = MiB(1);

RetentionClass Class(const std::string& name, int32_t priority) {
  RetentionClass rule;
  rule.name = name;
  rule.priority = priority;
  return rule;
}

Hold HoldOn(const std::string& id, const std::string& recording, ByteCount budget) {
  Hold hold;
  hold.id = id;
  hold.owner = "alice";
  hold.selector.recording = recording;
  hold.budget = budget;
  return hold;
}

// Ten slots; recordings "a" (uid 1) and "b" (uid 2). The segment with id n lives in second n.
class RetentionTest : public testing::Test {
 protected:
  RetentionTest() {
    retention_.SetRecording(1, "a", "low");
    retention_.SetRecording(2, "b", "high");
  }

  static UnixNanos Second(int64_t n) { return {n * 1'000'000'000}; }

  SegmentId Open(uint64_t uid) {
    RetentionSegment segment;
    segment.id = SegmentId{++last_id_};
    segment.recording_uid = uid;
    segment.recording = uid == 1 ? "a" : "b";
    retention_.Add(segment);
    return segment.id;
  }
  void Write(SegmentId id, bool sealed, std::vector<StreamUpdate> streams = {}) {
    SegmentUpdate update;
    update.segment = id;
    update.sealed = sealed;
    update.durable = {kSegment.value / 2};
    update.first_time = update.last_time = Second(static_cast<int64_t>(id));
    update.payload = {1000};
    update.streams = std::move(streams);
    retention_.Update(update);
  }
  static StreamUpdate Part(StreamId stream, CloseReason reason = CloseReason::kNone) {
    StreamUpdate part;
    part.stream = stream;
    part.reason = reason;
    return part;
  }
  SegmentId Record(uint64_t uid) {
    const SegmentId id = Open(uid);
    Write(id, /*sealed=*/true);
    return id;
  }
  void Fill(uint64_t uid, int n) {
    for (int i = 0; i < n; ++i) Record(uid);
  }
  // What a recording takes, and takes.
  std::optional<Removal> Take(uint64_t uid, int64_t now = 0) {
    const auto next = retention_.NextFor(uid, Second(now));
    if (next) retention_.Remove(next->segment);
    return next;
  }
  std::optional<Removal> Pressure(uint64_t id) {
    return Removal{SegmentId{id}, RetentionRule::kPressure};
  }

  Retention retention_{kSegment, 10};
  uint64_t last_id_ = 0;
};

TEST_F(RetentionTest, WithoutRulesItIsARing) {
  EXPECT_EQ(Take(1), std::nullopt);
  EXPECT_EQ(retention_.free(), 10u);
  Fill(1, 9);
  EXPECT_EQ(Take(1), std::nullopt);
  Record(1);
  EXPECT_EQ(Take(1), Pressure(1));
  Record(1);
  EXPECT_EQ(Take(2), Pressure(2));
  EXPECT_EQ(retention_.NextDue(kEndOfTime), std::nullopt);
}

TEST_F(RetentionTest, OpenSegmentsDoNotGo) {
  for (int i = 0; i < 9; ++i) Open(1);
  EXPECT_EQ(Record(2), SegmentId{10});
  EXPECT_EQ(Take(1), Pressure(10));
  Open(1);
  EXPECT_EQ(Take(1), std::nullopt);
  EXPECT_EQ(retention_.free(), 0u);
  EXPECT_EQ(retention_.WhyNothingMayGo(), "10 segments of 1 MiB: 10 are being written");
}

TEST_F(RetentionTest, TheLowestPriorityGoesFirst) {
  retention_.SetClasses({Class("high", 5), Class("low", 1)});
  Fill(2, 2);
  Fill(1, 8);
  for (uint64_t id = 3; id <= 10; ++id) {
    EXPECT_EQ(Take(2), Pressure(id));
    Record(2);
  }
  EXPECT_EQ(Take(1), Pressure(1));
}

TEST_F(RetentionTest, AReserveIsLeftToItsClass) {
  RetentionClass low = Class("low", 1);
  low.reserve = MiB(3);
  retention_.SetClasses({Class("high", 5), low});
  Fill(2, 2);
  Fill(1, 8);
  for (uint64_t id = 3; id <= 7; ++id) {  // 8 to 10 are reserved
    EXPECT_EQ(Take(2), Pressure(id));
    Record(2);
  }
  EXPECT_EQ(Take(2), Pressure(1));
  Record(2);
  EXPECT_EQ(Take(1), Pressure(8));  // its own
}

TEST_F(RetentionTest, AQuotaTakesTheClassesOwnOldest) {
  RetentionClass low = Class("low", 1);
  low.quota = MiB(4) + ByteCount{5};
  retention_.SetClasses({Class("high", 5), low});
  Fill(2, 1);
  Fill(1, 4);
  EXPECT_EQ(retention_.NextDue(kEndOfTime), std::nullopt);
  EXPECT_EQ(retention_.NextFor(2, Second(0)), std::nullopt);
  EXPECT_EQ(Take(1), (Removal{SegmentId{2}, RetentionRule::kQuota}));
  // More than that, because the quota came later.
  Fill(1, 3);
  EXPECT_EQ(retention_.NextDue(Second(0)), (Removal{SegmentId{3}, RetentionRule::kQuota}));
}

TEST_F(RetentionTest, WhatIsPastItsAgeIsDue) {
  RetentionClass low = Class("low", 1);
  low.max_age = absl::Seconds(10);
  retention_.SetClasses({Class("high", 5), low});
  EXPECT_EQ(retention_.NextTime(), kEndOfTime);
  Fill(2, 1);
  Fill(1, 3);
  EXPECT_EQ(retention_.NextTime(), Second(12));
  EXPECT_EQ(retention_.NextDue({Second(12).value - 1}), std::nullopt);
  EXPECT_EQ(retention_.NextDue(Second(12)), (Removal{SegmentId{2}, RetentionRule::kAge}));
  retention_.Remove(SegmentId{2});
  EXPECT_EQ(retention_.NextTime(), Second(13));
}

TEST_F(RetentionTest, ARecordingChangesItsClass) {
  RetentionClass low = Class("low", 1);
  low.max_age = absl::Seconds(10);
  retention_.SetClasses({Class("high", 5), low});
  Fill(1, 3);
  retention_.SetRecording(1, "a", "high");
  EXPECT_EQ(retention_.NextTime(), kEndOfTime);
  EXPECT_EQ(retention_.ClassOf(1), "high");
  retention_.SetRecording(1, "a", "nonsense");
  EXPECT_EQ(retention_.ClassOf(1), "default");
}

TEST_F(RetentionTest, ClassesThatPromiseTooMuchAreRefused) {
  RetentionClass low = Class("low", 1);
  low.reserve = MiB(7);
  EXPECT_TRUE(retention_.CheckClasses(std::vector{low}).ok());
  low.reserve = MiB(7) + ByteCount{1};
  const absl::Status refused = retention_.CheckClasses(std::vector{low});
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("reserve 8 MiB of an archive of 10 MiB"));
  EXPECT_TRUE(absl::IsInvalidArgument(
      retention_.CheckClasses(std::vector{Class("low", 1), Class("low", 2)})));
  RetentionClass small = Class("small", 1);
  small.quota = MiB(2);
  EXPECT_TRUE(absl::IsFailedPrecondition(retention_.CheckClasses(std::vector{small})));
  small.quota = MiB(3);
  EXPECT_TRUE(retention_.CheckClasses(std::vector{small}).ok());
  small.reserve = MiB(4);
  EXPECT_TRUE(absl::IsInvalidArgument(retention_.CheckClasses(std::vector{small})));
}

// ---- holds

TEST_F(RetentionTest, WhatIsHeldStaysUntilItIsReleased) {
  Fill(1, 2);
  Fill(2, 8);
  ASSERT_TRUE(retention_.AddHold(HoldOn("h", "a", {}), {}, false, Second(0)).ok());
  EXPECT_EQ(retention_.holds().at(0).budget, MiB(2));
  EXPECT_THAT(retention_.HoldsOf(1), ElementsAre("h"));
  EXPECT_THAT(retention_.HoldsOf(2), IsEmpty());
  for (uint64_t id = 3; id <= 10; ++id) {
    EXPECT_EQ(Take(2), Pressure(id));
    Record(2);
  }
  ASSERT_TRUE(retention_.RemoveHold("h").ok());
  EXPECT_EQ(Take(2), Pressure(1));
  EXPECT_TRUE(absl::IsNotFound(retention_.RemoveHold("h")));
}

TEST_F(RetentionTest, AHoldOfATime) {
  Fill(1, 10);
  Hold hold = HoldOn("h", "", {});
  hold.selector.from = Second(2);
  hold.selector.to = Second(4);
  ASSERT_TRUE(retention_.AddHold(hold, {}, true, Second(10)).ok());
  EXPECT_EQ(retention_.state().holds[0].segments, 2u);
  EXPECT_EQ(Take(1), Pressure(1));
  EXPECT_EQ(Take(1), std::nullopt);  // the slot of 1 is free
  Record(1);
  EXPECT_EQ(Take(1), Pressure(4));
}

TEST_F(RetentionTest, AHoldOfAStreamFollowsIt) {
  Fill(1, 3);
  const StreamId stream{77};
  Hold hold = HoldOn("h", "a", MiB(3));
  hold.selector.stream = stream;
  ASSERT_TRUE(retention_.AddHold(hold, {SegmentId{2}}, true, Second(0)).ok());
  EXPECT_TRUE(retention_.state().holds[0].grows);
  Write(Open(1), true, {Part(stream)});
  Write(Open(1), true, {Part(StreamId{78})});
  Write(Open(1), true, {Part(stream, CloseReason::kEndOfStream)});
  EXPECT_FALSE(retention_.state().holds[0].grows);
  std::vector<SegmentId> held;
  for (const RetentionSegment& segment : retention_.state().segments) {
    if (segment.held()) held.push_back(segment.id);
  }
  EXPECT_THAT(held, ElementsAre(SegmentId{2}, SegmentId{4}, SegmentId{6}));
}

TEST_F(RetentionTest, AHoldGrowsToItsBudgetAndSaysSoOnce) {
  ASSERT_TRUE(retention_.AddHold(HoldOn("h", "a", MiB(3)), {}, true, Second(0)).ok());
  Fill(1, 3);
  EXPECT_THAT(retention_.TakeFilled(), IsEmpty());
  Fill(1, 2);
  EXPECT_THAT(retention_.TakeFilled(), ElementsAre("h"));
  Fill(1, 2);
  EXPECT_THAT(retention_.TakeFilled(), IsEmpty());
  const RetentionState state = retention_.state();
  EXPECT_EQ(state.holds[0].segments, 3u);
  EXPECT_EQ(state.holds[0].refused, 4u);
  Fill(1, 3);
  EXPECT_EQ(Take(1), Pressure(4));  // the oldest are held, and stay so
}

TEST_F(RetentionTest, ABudgetThatIsTooSmallIsRefusedWithTheNumbers) {
  Fill(1, 5);
  const absl::Status refused = retention_.AddHold(HoldOn("h", "a", MiB(4)), {}, false, Second(0));
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("would hold 5 MiB now"), HasSubstr("budget of 4 MiB"),
                    HasSubstr("the archive has 10 MiB")));
  EXPECT_THAT(retention_.holds(), IsEmpty());
  Fill(1, 5);
  EXPECT_EQ(Take(1), Pressure(1));  // nothing is left of it
}

TEST_F(RetentionTest, AHoldThatLeavesTooLittleToRecordIsRefused) {
  Fill(1, 4);
  EXPECT_TRUE(
      absl::IsResourceExhausted(retention_.AddHold(HoldOn("h", "a", MiB(8)), {}, true, Second(0))));
  ASSERT_TRUE(retention_.AddHold(HoldOn("h", "a", MiB(7)), {}, true, Second(0)).ok());
  Hold second = HoldOn("h2", "b", MiB(1));
  const absl::Status refused = retention_.AddHold(second, {}, true, Second(0));
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("have 4 MiB of the archive's 10 MiB and may grow by 4 MiB"),
                    HasSubstr("recording needs 3 MiB")));
  // What is held already costs nothing more.
  EXPECT_TRUE(retention_.AddHold(HoldOn("h3", "a", {}), {}, false, Second(0)).ok());
}

TEST_F(RetentionTest, EachTrackNeedsItsSegments) {
  Fill(1, 4);
  Open(1);
  Open(2);
  EXPECT_TRUE(
      absl::IsResourceExhausted(retention_.AddHold(HoldOn("h", "a", MiB(5)), {}, true, Second(0))));
  EXPECT_TRUE(retention_.AddHold(HoldOn("h", "a", MiB(4)), {}, true, Second(0)).ok());
}

TEST_F(RetentionTest, BadHoldsAreRefused) {
  Fill(1, 4);
  const auto add = [&](const Hold& hold, bool active = false) {
    return retention_.AddHold(hold, {}, active, Second(100));
  };
  EXPECT_TRUE(absl::IsFailedPrecondition(add(HoldOn("h", "b", {}))));     // it has no data
  EXPECT_TRUE(absl::IsInvalidArgument(add(HoldOn("h", "a", {}), true)));  // needs a budget
  Hold hold = HoldOn("h", "a", {});
  hold.until = Second(100);
  EXPECT_TRUE(absl::IsInvalidArgument(add(hold)));
  hold = HoldOn("h", "a", {});
  hold.selector.from = hold.selector.to = Second(2);
  EXPECT_TRUE(absl::IsInvalidArgument(add(hold)));
  EXPECT_TRUE(add(HoldOn("h", "a", {})).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(add(HoldOn("h", "a", {}))));
}

TEST_F(RetentionTest, AHoldEnds) {
  Fill(1, 4);
  Hold hold = HoldOn("h", "a", {});
  hold.until = Second(50);
  ASSERT_TRUE(retention_.AddHold(hold, {}, false, Second(10)).ok());
  EXPECT_EQ(retention_.NextTime(), Second(50));
  EXPECT_THAT(retention_.ExpiredHolds({Second(50).value - 1}), IsEmpty());
  EXPECT_THAT(retention_.ExpiredHolds(Second(50)), ElementsAre("h"));
}

TEST_F(RetentionTest, WhatIsHeldHasABudgetOfItsOwn) {
  RetentionClass low = Class("low", 1);
  low.quota = MiB(3);
  retention_.SetClasses({low});
  Fill(1, 3);
  ASSERT_TRUE(retention_.AddHold(HoldOn("h", "a", {}), {}, false, Second(0)).ok());
  Fill(1, 3);  // beside it, the class has its quota
  EXPECT_EQ(retention_.NextDue(Second(0)), std::nullopt);
  EXPECT_EQ(Take(1), (Removal{SegmentId{4}, RetentionRule::kQuota}));
}

TEST_F(RetentionTest, WhoHasWhatIsSaidWhenNothingMayGo) {
  RetentionClass high = Class("high", 1);
  high.reserve = MiB(3);
  retention_.SetClasses({high});
  Fill(1, 4);
  ASSERT_TRUE(retention_.AddHold(HoldOn("case-17", "a", {}), {}, false, Second(0)).ok());
  Fill(2, 3);
  for (int i = 0; i < 3; ++i) Open(1);
  EXPECT_EQ(Take(1), std::nullopt);
  EXPECT_EQ(retention_.WhyNothingMayGo(),
            "10 segments of 1 MiB: 3 are being written, hold \"case-17\" of alice has 4, "
            "3 are reserved for class \"high\"");
}

// ---- the rules, at random

// One history of everything that can happen, from one seed.
class RandomHistory {
 public:
  explicit RandomHistory(uint64_t seed) : random_(seed), retention_(kSegment, 6 + Roll(20)) {
    Classes();
    for (uint64_t uid = 1; uid <= 4; ++uid) Recording(uid);
  }

  Retention& retention() { return retention_; }
  UnixNanos now() const { return now_; }
  uint64_t Roll(uint64_t n) { return random_() % n; }

  void Step() {
    now_.value += static_cast<int64_t>(Roll(2'000'000'000));
    switch (Roll(14)) {
      case 13:  // is there room in the catalog?
        return retention_.SetCatalog({100 * Roll(2)}, {50});
      case 12:
        return Strand();
      case 0:
        return Classes();
      case 1:
        return Recording(1 + Roll(4));
      case 2:
        return AddHold();
      case 3:
        return RemoveHold();
      case 4:
        if (const auto due = retention_.NextDue(now_)) retention_.Remove(due->segment);
        return;
      case 5:
      case 6:
      case 7:
        return Lend(1 + Roll(4));
      default:
        return Write();
    }
  }

 private:
  void Classes() {
    std::vector<RetentionClass> classes;
    for (const char* name : {"default", "x", "y", "z"}) {
      if (Roll(4) == 0) continue;
      RetentionClass rule = Class(name, static_cast<int32_t>(Roll(3)) - 1);
      if (Roll(2) == 0) rule.quota = {MiB(3).value + Roll(MiB(6).value)};
      if (Roll(3) == 0) rule.reserve = {Roll(MiB(4).value)};
      if (Roll(2) == 0) rule.max_age = absl::Milliseconds(Roll(60000));
      classes.push_back(rule);
    }
    if (retention_.CheckClasses(classes).ok()) retention_.SetClasses(classes);
  }
  void Recording(uint64_t uid) {
    static constexpr const char* kNames[] = {"default", "x", "y", "z", "unknown"};
    retention_.SetRecording(uid, absl::StrCat("r", uid), kNames[Roll(5)]);
  }
  void AddHold() {
    Hold hold = HoldOn(absl::StrCat("h", ++holds_), "", {Roll(MiB(6).value)});
    if (Roll(3) != 0) hold.selector.recording = absl::StrCat("r", 1 + Roll(4));
    if (Roll(2) == 0) hold.selector.from = {now_.value - static_cast<int64_t>(Roll(9'000'000'000))};
    if (Roll(2) == 0) hold.selector.to = {now_.value + static_cast<int64_t>(Roll(9'000'000'000))};
    retention_.AddHold(hold, {}, Roll(2) == 0, now_).IgnoreError();
  }
  void RemoveHold() {
    const std::vector<Hold> holds = retention_.holds();
    if (holds.empty()) return;
    ASSERT_TRUE(retention_.RemoveHold(holds[Roll(holds.size())].id).ok());
  }
  void Lend(uint64_t uid) {
    if (const auto next = retention_.NextFor(uid, now_)) {
      retention_.Remove(next->segment);
    } else if (retention_.free() == 0) {
      return;
    }
    RetentionSegment segment;
    segment.id = SegmentId{++last_id_};
    segment.recording_uid = uid;
    segment.recording = absl::StrCat("r", uid);
    retention_.Add(segment);
    open_.push_back({segment.id, now_});
  }
  // Seldom, or nothing is left.
  void Strand() {
    const RetentionState state = retention_.state();
    if (state.slots <= 6 || state.segments.empty() || Roll(4) != 0) return;
    const RetentionSegment& segment = state.segments[Roll(state.segments.size())];
    if (!segment.stranded) retention_.Strand(segment.id);
  }
  void Write() {
    if (open_.empty()) return;
    const size_t i = Roll(open_.size());
    SegmentUpdate update;
    update.segment = open_[i].first;
    update.sealed = Roll(2) == 0;
    update.first_time = open_[i].second;
    update.last_time = now_;
    retention_.Update(update);
    if (update.sealed) open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
  }

  std::mt19937_64 random_;
  Retention retention_;
  UnixNanos now_{1'000'000'000'000};
  uint64_t last_id_ = 0;
  int holds_ = 0;
  std::vector<std::pair<SegmentId, UnixNanos>> open_;
};

void CheckAgainstTheRules(const Retention& retention, UnixNanos now) {
  const RetentionState state = retention.state();
  EXPECT_EQ(retention.NextDue(now), NextDue(state, now));
  EXPECT_EQ(retention.free(), state.free());
  for (uint64_t uid = 1; uid <= 4; ++uid) {
    const std::string name = retention.ClassOf(uid);
    const auto of = std::find_if(state.classes.begin(), state.classes.end(),
                                 [&](const RetentionClass& rule) { return rule.name == name; });
    const auto asking = static_cast<uint32_t>(of - state.classes.begin());
    const auto next = retention.NextFor(uid, now);
    EXPECT_EQ(next, NextFor(state, asking, now));
    if (!next) continue;
    const auto goes =
        std::find_if(state.segments.begin(), state.segments.end(),
                     [&](const RetentionSegment& segment) { return segment.id == next->segment; });
    ASSERT_NE(goes, state.segments.end());
    EXPECT_TRUE(goes->sealed && !goes->held() && !goes->stranded);
    if (next->rule != RetentionRule::kPressure || goes->class_index == asking) continue;
    // What is left of the other class is at least its reserve.
    uint64_t left = 0;
    for (const RetentionSegment& segment : state.segments) {
      const bool counts = !segment.stranded && segment.id != goes->id;
      if (counts && segment.class_index == goes->class_index) ++left;
    }
    EXPECT_GE((kSegment * left).value, state.classes[goes->class_index].reserve.value);
  }
}

TEST(RetentionRulesTest, TheIndexAnswersAsTheRulesDo) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    RandomHistory history(seed);
    for (int step = 0; step < 150; ++step) {
      history.Step();
      CheckAgainstTheRules(history.retention(), history.now());
      for (const HoldState& hold : history.retention().state().holds) {
        EXPECT_LE((kSegment * hold.segments).value, hold.hold.budget.value);
      }
      if (testing::Test::HasFailure()) return;
    }
  }
}

// A hold, once it has a segment, keeps it through everything but its own end.
TEST(RetentionRulesTest, WhatIsHeldNeverGoes) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    RandomHistory history(seed);
    std::map<std::string, std::vector<SegmentId>> before;
    for (int step = 0; step < 150; ++step) {
      history.Step();
      const RetentionState state = history.retention().state();
      std::map<std::string, std::vector<SegmentId>> after;
      for (const HoldState& hold : state.holds) after[hold.hold.id] = {};
      for (const RetentionSegment& segment : state.segments) {
        for (const uint32_t hold : segment.holds) {
          after[state.holds[hold].hold.id].push_back(segment.id);
        }
      }
      for (const auto& [id, segments] : before) {
        if (!after.contains(id)) continue;  // released
        EXPECT_TRUE(
            std::includes(after[id].begin(), after[id].end(), segments.begin(), segments.end()))
            << id;
      }
      before = std::move(after);
      if (testing::Test::HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace sluice
