#include "control/config/age.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(AgeTest, DaysAndWhatAbseilReads) {
  EXPECT_EQ(*ParseAge("30d"), absl::Hours(720));
  EXPECT_EQ(*ParseAge("0.5d"), absl::Hours(12));
  EXPECT_EQ(*ParseAge("1h30m"), absl::Minutes(90));
}

TEST(AgeTest, WhatIsNone) {
  for (const char* text :
       {"", "d", "0d", "-1d", "nand", "infd", "1e9d", "7 days", "0", "-3s", "inf", "12"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseAge(text).status())) << text;
  }
}

}  // namespace
}  // namespace sluice
