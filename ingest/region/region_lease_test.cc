#include "ingest/region/region_lease.h"

#include <map>
#include <type_traits>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

static_assert(!std::is_copy_constructible_v<RegionLease>);
static_assert(!std::is_copy_assignable_v<RegionLease>);
static_assert(std::is_nothrow_move_constructible_v<RegionLease>);
static_assert(std::is_nothrow_move_assignable_v<RegionLease>);

class CountingHome final : public LeaseHome {
 public:
  void Return(uint32_t buffer, uint32_t references) override {
    returned[buffer] += static_cast<int>(references);
  }
  std::map<uint32_t, int> returned;
};

using Counts = std::map<uint32_t, int>;

TEST(RegionLeaseTest, GoesHomeOnce) {
  CountingHome home;
  {
    RegionLease lease(home, 7);
    EXPECT_TRUE(home.returned.empty());
  }
  EXPECT_EQ(home.returned, (Counts{{7, 1}}));
}

TEST(RegionLeaseTest, AMovedLeaseGoesHomeOnceFromItsLastPlace) {
  CountingHome home;
  {
    RegionLease first(home, 7);
    {
      RegionLease second(std::move(first));
      RegionLease third(std::move(second));
      EXPECT_TRUE(home.returned.empty());
    }
    EXPECT_EQ(home.returned, (Counts{{7, 1}}));
  }
  EXPECT_EQ(home.returned, (Counts{{7, 1}}));
}

TEST(RegionLeaseTest, AssignmentReturnsWhatWasHeldAtOnce) {
  CountingHome home;
  {
    RegionLease to(home, 1);
    RegionLease from(home, 2);
    to = std::move(from);
    EXPECT_EQ(home.returned, (Counts{{1, 1}}));
    to = RegionLease(home, 3);
    EXPECT_EQ(home.returned, (Counts{{1, 1}, {2, 1}}));
  }
  EXPECT_EQ(home.returned, (Counts{{1, 1}, {2, 1}, {3, 1}}));
}

TEST(RegionLeaseTest, AssignmentAcrossHomes) {
  CountingHome one, two;
  {
    RegionLease to(one, 1);
    to = RegionLease(two, 2);
    EXPECT_EQ(one.returned, (Counts{{1, 1}}));
    EXPECT_TRUE(two.returned.empty());
  }
  EXPECT_EQ(two.returned, (Counts{{2, 1}}));
  EXPECT_EQ(one.returned, (Counts{{1, 1}}));
}

TEST(RegionLeaseTest, SelfMoveKeepsTheLease) {
  CountingHome home;
  {
    RegionLease lease(home, 1);
    RegionLease& same = lease;
    lease = std::move(same);
    EXPECT_TRUE(home.returned.empty());  // it is still held: its bytes must not change
  }
  EXPECT_EQ(home.returned, (Counts{{1, 1}}));
}

TEST(RegionLeaseTest, AssigningToAMovedFromLeaseReturnsNothing) {
  CountingHome home;
  {
    RegionLease lease(home, 1);
    RegionLease away(std::move(lease));
    lease = RegionLease(home, 2);
    EXPECT_TRUE(home.returned.empty());
  }
  EXPECT_EQ(home.returned, (Counts{{1, 1}, {2, 1}}));
}

TEST(RegionLeaseTest, ContainersKeepTheCount) {
  CountingHome home;
  std::vector<RegionLease> leases;
  for (uint32_t i = 0; i < 100; ++i) leases.emplace_back(home, i);  // grows: moves
  EXPECT_TRUE(home.returned.empty());
  leases.erase(leases.begin() + 10, leases.begin() + 20);  // moves over
  EXPECT_EQ(home.returned.size(), 10u);
  std::swap(leases.front(), leases.back());
  EXPECT_EQ(home.returned.size(), 10u);
  leases.clear();
  EXPECT_EQ(home.returned.size(), 100u);
  for (const auto& [buffer, count] : home.returned) EXPECT_EQ(count, 1) << buffer;
}

TEST(RegionLeaseTest, SharesABufferOnlyWithTheSameOneAtTheSameHome) {
  CountingHome one, two;
  RegionLease lease(one, 1);
  RegionLease same(one, 1);
  RegionLease other(one, 2);
  RegionLease elsewhere(two, 1);
  EXPECT_TRUE(lease.SharesBufferWith(same));
  EXPECT_FALSE(lease.SharesBufferWith(other));
  EXPECT_FALSE(lease.SharesBufferWith(elsewhere));
}

TEST(RegionLeaseTest, WhatWasAbsorbedGoesHomeWithTheOther) {
  CountingHome home;
  {
    RegionLease lease(home, 1);
    {
      RegionLease same(home, 1);
      RegionLease other(home, 2);
      EXPECT_TRUE(lease.Absorb(same));
      EXPECT_FALSE(lease.Absorb(other));
    }
    EXPECT_EQ(home.returned, (Counts{{2, 1}}));
    RegionLease moved(std::move(lease));
    EXPECT_EQ(home.returned, (Counts{{2, 1}}));
  }
  EXPECT_EQ(home.returned, (Counts{{1, 2}, {2, 1}}));
}

}  // namespace
}  // namespace sluice
