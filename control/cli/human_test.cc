#include "control/cli/human.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(HumanTest, SizesKeepOneDecimalAboveBytes) {
  EXPECT_EQ(HumanSize({0}), "0B");
  EXPECT_EQ(HumanSize({1023}), "1023B");
  EXPECT_EQ(HumanSize({1024}), "1.0KiB");
  EXPECT_EQ(HumanSize({1536}), "1.5KiB");
  EXPECT_EQ(HumanSize({(1 << 20) - 1}), "1.0MiB");
  EXPECT_EQ(HumanSize(GiB(16)), "16.0GiB");
  EXPECT_EQ(HumanSize({UINT64_MAX}), "16384.0PiB");
}

TEST(HumanTest, Rates) {
  EXPECT_EQ(HumanRate(0), "0B/s");
  EXPECT_EQ(HumanRate(-1), "0B/s");
  EXPECT_EQ(HumanRate(812.3 * 1024 * 1024), "812.3MiB/s");
}

TEST(HumanTest, Durations) {
  EXPECT_EQ(HumanDuration(absl::ZeroDuration()), "0.0s");
  EXPECT_EQ(HumanDuration(absl::Seconds(-3)), "0.0s");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(12340)), "12.3s");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(59949)), "59.9s");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(59999)), "1m00s");
  EXPECT_EQ(HumanDuration(absl::Seconds(245)), "4m05s");
  EXPECT_EQ(HumanDuration(absl::Minutes(187)), "3h07m");
  EXPECT_EQ(HumanDuration(absl::Hours(291)), "12d03h");
  EXPECT_EQ(HumanDuration(absl::InfiniteDuration()), "-");
}

TEST(HumanTest, Times) {
  EXPECT_EQ(HumanTime(absl::UnixEpoch()), "-");
  EXPECT_EQ(HumanTime(absl::FromUnixSeconds(1)), "1970-01-01 00:00:01Z");
}

TEST(HumanTest, ControlCharactersDoNotReachTheTerminal) {
  EXPECT_EQ(Printable("a\x1b[2Jb\nc"), "a?[2Jb?c");
}

}  // namespace
}  // namespace sluice
