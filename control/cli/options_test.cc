#include "control/cli/options.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(OptionsTest, BytesAreSizesOrPlainNumbers) {
  EXPECT_EQ(ParseBytes("0")->value, 0u);
  EXPECT_EQ(ParseBytes("4096")->value, 4096u);
  EXPECT_EQ(*ParseBytes("1.5GiB"), MiB(1536));
  for (const char* wrong : {"", "-1", "x", "9223372036854775808", "1.5"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseBytes(wrong).status())) << wrong;
  }
}

TEST(OptionsTest, Durations) {
  EXPECT_EQ(*ParseDurationOption("500ms"), absl::Milliseconds(500));
  EXPECT_EQ(*ParseDurationOption("1m30s"), absl::Seconds(90));
  EXPECT_EQ(*ParseDurationOption("0"), absl::ZeroDuration());
  for (const char* wrong : {"", "5", "-1s", "inf", "1 s"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseDurationOption(wrong).status())) << wrong;
  }
}

TEST(OptionsTest, Bools) {
  for (const char* yes : {"true", "on", "yes", "1", "ON"}) EXPECT_TRUE(*ParseBool(yes)) << yes;
  for (const char* no : {"false", "off", "no", "0"}) EXPECT_FALSE(*ParseBool(no)) << no;
  EXPECT_TRUE(absl::IsInvalidArgument(ParseBool("maybe").status()));
}

}  // namespace
}  // namespace sluice
