#include "ingest/probe/kernel_release.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(KernelReleaseTest, ComparesNumbers) {
  EXPECT_TRUE(IsAtLeast("6.18.44-1-amd64", 6, 18));
  EXPECT_TRUE(IsAtLeast("6.18.44-1-amd64", 6, 9));
  EXPECT_FALSE(IsAtLeast("6.18.44-1-amd64", 6, 19));
  EXPECT_FALSE(IsAtLeast("6.18.44-1-amd64", 7, 2));
  EXPECT_TRUE(IsAtLeast("7.2-rc1", 7, 2));
  EXPECT_TRUE(IsAtLeast("10.0", 7, 2));
}

TEST(KernelReleaseTest, WhatCannotBeReadIsNew) { EXPECT_TRUE(IsAtLeast("mainline", 7, 2)); }

TEST(KernelReleaseTest, ThisOneHasAVersion) {
  EXPECT_TRUE(IsAtLeast(KernelRelease(), 2, 6));
  EXPECT_FALSE(IsAtLeast(KernelRelease(), 1000, 0));
}

}  // namespace
}  // namespace sluice
