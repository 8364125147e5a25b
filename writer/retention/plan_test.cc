#include "writer/retention/plan.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr ByteCount kSegment = MiB(1);

UnixNanos Second(double n) { return {static_cast<int64_t>(n * 1e9)}; }

// Ten slots. Recording "a" (uid 1) fills a segment every ten seconds, from second 1000 on; "b"
// (uid 2) has ended.
class PlanTest : public testing::Test {
 protected:
  PlanTest() {
    retention_.SetRecording(1, "a", "low");
    retention_.SetRecording(2, "b", "high");
  }
  void Add(uint64_t uid, bool sealed = true) {
    RetentionSegment segment;
    segment.id = SegmentId{++last_id_};
    segment.recording_uid = uid;
    segment.recording = uid == 1 ? "a" : "b";
    segment.sealed = sealed;
    segment.written = {sealed ? kSegment.value : kSegment.value / 2};
    segment.first_time = {seconds_ * 1'000'000'000};
    if (uid == 1) seconds_ += sealed ? 10 : 5;
    segment.last_time = {seconds_ * 1'000'000'000 - 1};
    retention_.Add(segment);
  }
  void Add(uint64_t uid, int n) {
    for (int i = 0; i < n; ++i) Add(uid);
  }
  RetentionPlan Plan(size_t limit = 100) {
    return PlanRetention(retention_, {seconds_ * 1'000'000'000}, limit);
  }
  static std::vector<uint64_t> Ids(const RetentionPlan& plan) {
    std::vector<uint64_t> ids;
    for (const PlannedRemoval& one : plan.removals) {
      ids.push_back(static_cast<uint64_t>(one.segment.id));
    }
    return ids;
  }

  Retention retention_{kSegment, 10};
  uint64_t last_id_ = 0;
  int64_t seconds_ = 1000;
};

TEST_F(PlanTest, NothingRecordsAndNothingGoes) {
  Add(2, 5);
  const RetentionPlan plan = Plan();
  EXPECT_THAT(plan.removals, IsEmpty());
  EXPECT_EQ(plan.bytes_per_second, 0);
  EXPECT_FALSE(plan.exhausted.has_value());
}

TEST_F(PlanTest, TheRingGoesRoundAtThePresentRate) {
  Add(1, 7);
  Add(1, /*sealed=*/false);  // half full, at 1075
  const RetentionPlan plan = Plan();
  EXPECT_NEAR(plan.bytes_per_second, static_cast<double>(kSegment.value) / 10, 1);
  // Now and in ten seconds it takes the two that are free.
  EXPECT_THAT(Ids(plan), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  for (size_t i = 0; i < plan.removals.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(plan.removals[i].when.value) / 1e9,
                1075.0 + 20.0 + 10.0 * static_cast<double>(i), 0.1);
    EXPECT_EQ(plan.removals[i].rule, RetentionRule::kPressure);
  }
  EXPECT_FALSE(plan.exhausted.has_value());
  EXPECT_THAT(Ids(Plan(3)), ElementsAre(1, 2, 3));
}

TEST_F(PlanTest, AgeQuotaAndPressureInTheirTime) {
  RetentionClass high;
  high.name = "high";
  high.priority = 5;
  high.max_age = absl::Seconds(100);
  RetentionClass low;
  low.name = "low";
  low.quota = MiB(5);
  retention_.SetClasses({high, low});
  Add(2, 2);                 // 1 and 2, until 1100
  Add(1, 4);                 // 3 to 6
  Add(1, /*sealed=*/false);  // 7
  const RetentionPlan plan = Plan();
  ASSERT_GE(plan.removals.size(), 4u);
  EXPECT_EQ(plan.removals[0].segment.id, SegmentId{3});
  EXPECT_EQ(plan.removals[0].rule, RetentionRule::kQuota);
  bool aged = false;
  for (const PlannedRemoval& one : plan.removals) {
    if (one.segment.id != SegmentId{1}) continue;
    aged = true;
    EXPECT_EQ(one.rule, RetentionRule::kAge);
    EXPECT_NEAR(static_cast<double>(one.when.value) / 1e9, 1100, 0.1);
  }
  EXPECT_TRUE(aged);
}

TEST_F(PlanTest, WhatIsHeldIsNotInIt) {
  Add(2, 3);
  Add(1, 6);
  Add(1, /*sealed=*/false);
  Hold hold;
  hold.id = "h";
  hold.owner = "alice";
  hold.selector.recording = "b";
  ASSERT_TRUE(retention_.AddHold(hold, {}, false, Second(2000)).ok());
  EXPECT_THAT(Ids(Plan()), ElementsAre(4, 5, 6, 7, 8, 9, 10));
}

TEST_F(PlanTest, AHoldThatEndsLetsGo) {
  Add(2, 3);
  Add(1, 6);
  Add(1, /*sealed=*/false);
  Hold hold;
  hold.id = "h";
  hold.selector.recording = "b";
  hold.until = Second(1100);
  ASSERT_TRUE(retention_.AddHold(hold, {}, false, Second(1065)).ok());
  // Four of a's go before it ends, then b's, which are older than a's others.
  EXPECT_THAT(Ids(Plan()), ElementsAre(4, 5, 6, 7, 1, 2, 3, 8, 9, 10));
}

TEST_F(PlanTest, SaysWhenTheArchiveIsExhausted) {
  Hold hold;
  hold.id = "everything";
  hold.owner = "alice";
  hold.selector.recording = "a";
  hold.budget = MiB(10);  // as if the archive had been larger once
  retention_.RestoreHold(hold, {}, true);
  Add(1, 4);
  Add(1, /*sealed=*/false);
  const RetentionPlan plan = Plan();
  EXPECT_THAT(plan.removals, IsEmpty());
  ASSERT_TRUE(plan.exhausted.has_value());
  // Five free ones at ten seconds each.
  EXPECT_NEAR(static_cast<double>(plan.exhausted->value) / 1e9, 1045 + 50, 0.1);
  EXPECT_THAT(plan.exhausted_why, HasSubstr("hold \"everything\" of alice has"));
}

// What the plan says is what happens when tracks ask as they do.
TEST_F(PlanTest, TheOrderIsTheOneInWhichThingsGo) {
  RetentionClass low;
  low.name = "low";
  low.reserve = MiB(2);
  RetentionClass high;
  high.name = "high";
  high.priority = 1;
  retention_.SetClasses({low, high});
  Add(2, 3);
  Add(1, 6);
  Add(1, /*sealed=*/false);
  const std::vector<uint64_t> planned = Ids(Plan());
  std::vector<uint64_t> gone;
  SegmentId open{last_id_};
  while (gone.size() < planned.size()) {
    if (const auto goes = retention_.NextFor(1, Second(0))) {
      if (static_cast<uint64_t>(goes->segment) <= 10) {
        gone.push_back(static_cast<uint64_t>(goes->segment));
      }
      retention_.Remove(goes->segment);
    }
    const SegmentId before = std::exchange(open, SegmentId{last_id_ + 1});
    Add(1, /*sealed=*/false);
    SegmentUpdate update;
    update.segment = before;
    update.sealed = true;
    update.first_time = update.last_time = {seconds_ * 1'000'000'000};
    retention_.Update(update);
  }
  EXPECT_EQ(gone, planned);
}

}  // namespace
}  // namespace sluice
