// A lane on a simulated network and disk, from one seed: `--seed=N` on the command line runs that
// one, `--seeds=N` the first N of them instead of a few hundred.
#include "tests/sim/lane_sim.h"

#include <cstdint>
#include <random>

#include "gtest/gtest.h"
#include "tests/sim/seeds.h"

namespace sluice {
namespace {

Seeds seeds{400};

LanePlan MakePlan(uint64_t seed) {
  std::mt19937_64 dice(seed * 7919);
  const auto roll = [&dice](uint64_t below) { return dice() % below; };
  const auto maybe = [&roll](uint32_t chances) -> uint32_t {
    return roll(2) == 0 ? 0 : 2 + static_cast<uint32_t>(roll(chances));
  };
  LanePlan plan;
  plan.faults.short_write = maybe(20);
  plan.faults.again = maybe(20);
  plan.faults.end_of_multishot = maybe(10);
  plan.faults.accept_error = maybe(10);
  plan.faults.write_error = roll(4) == 0 ? 20 + static_cast<uint32_t>(roll(200)) : 0;
  plan.faults.write_nothing = roll(16) == 0 ? 50 : 0;
  plan.faults.sync_error = roll(16) == 0 ? 10 : 0;
  constexpr uint32_t kAligns[] = {4, 512, 4096};
  plan.device.memory_align = kAligns[roll(3)];
  plan.device.offset_align = roll(2) == 0 ? 512 : 4096;
  plan.device.virt_boundary = roll(3) == 0 ? 4095 : 0;
  plan.device.write_bytes_max = (256u << 10) << roll(4);
  plan.device.ranges_max = 32 + static_cast<uint32_t>(roll(224));
  plan.peers = 1 + static_cast<uint32_t>(roll(roll(4) == 0 ? 200 : 12));
  plan.peer_bytes_max = 1 + (1u << roll(20));
  plan.slots = 6 + static_cast<uint32_t>(roll(30));
  plan.payload_crc = roll(4) != 0;
  plan.dial = roll(8) == 0;
  plan.stop_early = roll(3) == 0;
  plan.abort = plan.stop_early && roll(3) == 0;
  return plan;
}

TEST(LaneSimTest, NothingDurableIsEverLost) {
  LaneSimCounts counts;
  LaneSim sim(counts);
  if (!seeds.RunAll([&sim](uint64_t seed) { sim.Run(seed, MakePlan(seed)); })) return;
  if (HasFailure()) return;
  // The seeds must have been where it hurts.
  EXPECT_GT(counts.reused, 0u);
  EXPECT_GT(counts.failed, 0u);
  EXPECT_GT(counts.refused, 0u);
  EXPECT_GT(counts.waits, 0u);
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::RunSimTests(argc, argv, sluice::seeds); }
