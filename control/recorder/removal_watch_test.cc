#include "control/recorder/removal_watch.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::Eq;
using ::testing::Optional;

constexpr absl::Time kBegin = absl::UnixEpoch();

TEST(RemovalWatchTest, SaysTheFirstAtOnceThenTheSumOfAMinute) {
  RemovalWatch watch;
  RemovalCounts removed;
  EXPECT_EQ(watch.Look(removed, kBegin), std::nullopt);
  removed.quota = 1;
  EXPECT_THAT(watch.Look(removed, kBegin), Optional(Eq("retention removed 1 segment: 1 by quota")));
  // One each second, as a quota does that is reached.
  for (int second = 1; second < 60; ++second) {
    ++removed.quota;
    EXPECT_EQ(watch.Look(removed, kBegin + absl::Seconds(second)), std::nullopt) << second;
  }
  ++removed.quota;
  EXPECT_THAT(watch.Look(removed, kBegin + absl::Seconds(60)),
              Optional(Eq("retention removed 60 segments: 60 by quota")));
}

TEST(RemovalWatchTest, NamesOnlyReasonsThatThereAre) {
  RemovalWatch watch;
  EXPECT_THAT(
      watch.Look({.age = 2, .quota = 0, .pressure = 9, .catalog = 3}, kBegin),
      Optional(Eq("retention removed 5 segments: 2 by age, 3 because the catalog was full")));
}

TEST(RemovalWatchTest, HasNothingToSayOfTheRingThatGoesRound) {
  RemovalWatch watch;
  EXPECT_EQ(watch.Look({.pressure = 1000}, kBegin), std::nullopt);
  EXPECT_EQ(watch.Rest({.pressure = 2000}), std::nullopt);
}

TEST(RemovalWatchTest, SilenceCostsNoMinute) {
  RemovalWatch watch;
  EXPECT_TRUE(watch.Look({.age = 1}, kBegin).has_value());
  EXPECT_EQ(watch.Look({.age = 1}, kBegin + absl::Hours(1)), std::nullopt);
  EXPECT_TRUE(watch.Look({.age = 2}, kBegin + absl::Hours(1) + absl::Seconds(1)).has_value());
}

TEST(RemovalWatchTest, TheEndDoesNotWait) {
  RemovalWatch watch;
  EXPECT_TRUE(watch.Look({.age = 1}, kBegin).has_value());
  EXPECT_EQ(watch.Look({.age = 4}, kBegin + absl::Seconds(1)), std::nullopt);
  EXPECT_THAT(watch.Rest({.age = 4}), Optional(Eq("retention removed 3 segments: 3 by age")));
  EXPECT_EQ(watch.Rest({.age = 4}), std::nullopt);
}

}  // namespace
}  // namespace sluice
