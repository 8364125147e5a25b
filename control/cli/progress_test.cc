#include "control/cli/progress.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

const ProgressFigures kHalf = {MiB(512), GiB(1), 256.0 * 1024 * 1024};

TEST(ProgressTest, ShowsEverythingWhereThereIsRoom) {
  EXPECT_EQ(FormatProgress("export", kHalf, 80),
            "export  [==========>          ]   50%  512.0MiB of 1.0GiB  256.0MiB/s  2.0s left");
  EXPECT_EQ(FormatProgress("export", kHalf, 200),
            "export  [===============>              ]   50%  512.0MiB of 1.0GiB  256.0MiB/s  "
            "2.0s left");
}

TEST(ProgressTest, NeverWiderThanAsked) {
  for (size_t width = 1; width < 120; ++width) {
    EXPECT_LE(FormatProgress("export", kHalf, width).size(), width);
    EXPECT_LE(FormatProgress("export", {GiB(3), {0}, 1}, width).size(), width);
  }
}

TEST(ProgressTest, GivesUpTheBarFirstThenTheRight) {
  EXPECT_EQ(FormatProgress("export", kHalf, 60),
            "export   50%  512.0MiB of 1.0GiB  256.0MiB/s  2.0s left");
  EXPECT_EQ(FormatProgress("export", kHalf, 40), "export   50%  512.0MiB of 1.0GiB");
  EXPECT_EQ(FormatProgress("export", kHalf, 12), "export   50%");
  EXPECT_EQ(FormatProgress("export", kHalf, 3), "exp");
}

TEST(ProgressTest, WithoutATotal) {
  EXPECT_EQ(FormatProgress("export", {MiB(3), {0}, 1024}, 80), "export  3.0MiB  1.0KiB/s");
}

TEST(ProgressTest, MoreThanAll) {
  EXPECT_EQ(FormatProgress("x", {MiB(3), MiB(2), 0}, 50),
            "x  [===============]  100%  3.0MiB of 2.0MiB  0B/s");
}

TEST(RateMeterTest, FollowsTheRateAndForgets) {
  absl::Time now = absl::UnixEpoch();
  RateMeter meter(now, 0);
  uint64_t count = 0;
  for (int i = 0; i < 100; ++i) {
    now += absl::Milliseconds(100);
    meter.Update(now, count += 100);
  }
  EXPECT_NEAR(meter.per_second(), 1000, 1);
  now += absl::Seconds(20);
  meter.Update(now, count);
  EXPECT_NEAR(meter.per_second(), 0, 1);
}

TEST(RateMeterTest, ACounterThatGoesBackIsNoRate) {
  RateMeter meter(absl::UnixEpoch(), 100);
  meter.Update(absl::FromUnixSeconds(1), 10);
  EXPECT_EQ(meter.per_second(), 0);
}

}  // namespace
}  // namespace sluice
