#include "ingest/region/region.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>

#include "gtest/gtest.h"

#ifndef __has_feature
#define __has_feature(feature) 0
#endif

namespace sluice {
namespace {

constexpr uint64_t kHuge = 2 << 20;

std::unique_ptr<Region> MapOrDie(ByteCount slab, ByteCount area) {
  auto region = Region::Map(slab, area);
  EXPECT_TRUE(region.ok()) << region.status();
  return *std::move(region);
}

TEST(RegionTest, IsAlignedAndRoundedUp) {
  for (const auto& [slab, area] :
       {std::pair(MiB(2), MiB(2)), std::pair(KiB(4), KiB(4)), std::pair(MiB(4), KiB(68)),
        std::pair(KiB(2048 - 4), KiB(8)), std::pair(ByteCount{0}, ByteCount{1})}) {
    const auto region = MapOrDie(slab, area);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(region->memory().data()) % kHuge, 0u);
    EXPECT_EQ(region->memory().size(), RoundUp(slab.value + area.value, kHuge));
    EXPECT_EQ(region->slab_begin(), RegionOffset{0});
    EXPECT_EQ(region->area_begin(), RegionOffset{slab.value});
    EXPECT_GE(region->area(), area);
    EXPECT_EQ(region->area_begin() + region->area(), RegionOffset{region->memory().size()});
  }
}

TEST(RegionTest, AllOfItIsZeroAndCanBeUsed) {
  const auto region = MapOrDie(MiB(1), MiB(5));
  const auto memory = region->memory();
  EXPECT_TRUE(
      std::all_of(memory.begin(), memory.end(), [](std::byte b) { return b == std::byte{}; }));
  std::memset(memory.data(), 0x5A, memory.size());
  EXPECT_EQ(memory.front(), std::byte{0x5A});
  EXPECT_EQ(memory.back(), std::byte{0x5A});
}

// No page fault while recording: every page is there before the first use.
#if !__has_feature(thread_sanitizer)  // whose own memory faults as ours is touched
TEST(RegionTest, IsTouchedBeforeUse) {
  const auto region = MapOrDie(MiB(2), MiB(6));
  const auto memory = region->memory();
  rusage before = {}, after = {};
  getrusage(RUSAGE_THREAD, &before);
  for (size_t at = 0; at < memory.size(); at += 4096) memory[at] = std::byte{1};
  getrusage(RUSAGE_THREAD, &after);
  EXPECT_LT(after.ru_minflt - before.ru_minflt, static_cast<int64_t>(memory.size() / 4096 / 8));
}
#endif

TEST(RegionTest, ManyDoNotOverlap) {
  std::unique_ptr<Region> regions[8];
  for (auto& region : regions) region = MapOrDie(KiB(64), MiB(3));
  for (int i = 0; i < 8; ++i) {
    std::memset(regions[i]->memory().data(), i + 1, regions[i]->memory().size());
  }
  regions[3].reset();
  for (int i = 0; i < 8; ++i) {
    if (i == 3) continue;
    EXPECT_EQ(regions[i]->memory().front(), static_cast<std::byte>(i + 1));
    EXPECT_EQ(regions[i]->memory().back(), static_cast<std::byte>(i + 1));
  }
}

TEST(RegionTest, PlacesAreInsideTheMapping) {
  const auto region = MapOrDie(MiB(1), MiB(1));
  EXPECT_EQ(region->At({0}), region->memory().data());
  EXPECT_EQ(region->At({kHuge - 1}), region->memory().data() + kHuge - 1);
  const auto span = region->Span({kHuge - 10}, {10});
  EXPECT_EQ(span.size(), 10u);
  EXPECT_EQ(span.data() + 10, region->memory().data() + kHuge);
  EXPECT_TRUE(region->Span({kHuge}, {0}).empty());
}

TEST(RegionDeathTest, PlacesOutsideDie) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto region = MapOrDie(MiB(1), MiB(1));
  EXPECT_DEATH(region->At({kHuge}), "memory_.size");
  EXPECT_DEATH((void)region->Span({kHuge - 10}, {11}), "memory_.size");
  EXPECT_DEATH((void)region->Span({kHuge + 1}, {0}), "memory_.size");
  // Sums that wrap around.
  EXPECT_DEATH((void)region->Span({1}, {UINT64_MAX}), "memory_.size");
  EXPECT_DEATH((void)region->Span({UINT64_MAX}, {1}), "memory_.size");
}

// Runs in a child, which answers by how it exits.
template <class Work>
int ExitStatusOf(Work work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

int IsRefusedWithAReason(ByteCount area) {
  const auto region = Region::Map(MiB(2), area);
  if (region.ok()) return 1;
  if (region.status().code() != absl::StatusCode::kResourceExhausted) return 2;
  const absl::string_view message = region.status().message();
  const std::string size = std::to_string((area.value >> 20) + 2) + " MiB";
  if (message.find(size) == absl::string_view::npos) return 3;
  if (message.find("Cannot allocate memory") == absl::string_view::npos) return 4;
  return message.find("smaller region") == absl::string_view::npos ? 5 : 0;
}

TEST(RegionTest, TooMuchForTheLimitIsRefused) {
  EXPECT_EQ(ExitStatusOf([] {
              const rlimit limit = {256 << 20, 256 << 20};
              if (setrlimit(RLIMIT_AS, &limit) != 0) return 9;
              return IsRefusedWithAReason(MiB(512));
            }),
            0);
}

// Refused when it is mapped, not killed when it is touched.
TEST(RegionTest, MoreThanTheMachineHasIsRefused) {
  int overcommit = 0;
  std::ifstream("/proc/sys/vm/overcommit_memory") >> overcommit;
  if (overcommit == 1) GTEST_SKIP() << "vm.overcommit_memory = 1: the kernel refuses nothing";
  const uint64_t machine = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * 4096;
  EXPECT_EQ(ExitStatusOf([machine] {
              // If somebody must be killed, then this child.
              std::ofstream("/proc/self/oom_score_adj") << 1000;
              return IsRefusedWithAReason({RoundUp(machine * 4, kHuge)});
            }),
            0);
}

}  // namespace
}  // namespace sluice
