// A lane whose disk stands still, under each back-pressure policy, from one seed: `--seed=N` on the
// command line runs that one, `--seeds=N` the first N of them.
#include <cstdint>
#include <random>

#include "gtest/gtest.h"
#include "tests/sim/lane_sim.h"
#include "tests/sim/seeds.h"

namespace sluice {
namespace {

Seeds seeds{150};

LanePlan MakePlan(uint64_t seed, BackPressure back_pressure) {
  std::mt19937_64 dice(seed * 15485863 + static_cast<uint64_t>(back_pressure));
  const auto roll = [&dice](uint64_t below) { return dice() % below; };
  LanePlan plan;
  plan.back_pressure = back_pressure;
  plan.lag_limit = absl::Microseconds(1 + roll(uint64_t{1} << roll(20)));
  plan.stalls = 1 + static_cast<uint32_t>(roll(50));
  plan.stall_max = absl::Microseconds(1 + roll(uint64_t{1} << roll(17)));
  // What the others must be able to do: receive everything without a disk.
  plan.stall_until_received = back_pressure != BackPressure::kLossless && roll(3) == 0;

  plan.faults.short_write = roll(2) == 0 ? 0 : 5;
  plan.faults.end_of_multishot = roll(2) == 0 ? 0 : 2 + static_cast<uint32_t>(roll(10));
  plan.faults.write_error = roll(4) == 0 ? 50 + static_cast<uint32_t>(roll(200)) : 0;
  plan.faults.sync_error = roll(16) == 0 ? 10 : 0;
  plan.device.memory_align = roll(2) == 0 ? 4 : 512;
  plan.device.write_bytes_max = (256u << 10) << roll(4);
  plan.tracks = 1 + static_cast<uint32_t>(roll(2));
  plan.slots = 24 + static_cast<uint32_t>(roll(60));
  plan.peers = 1 + static_cast<uint32_t>(roll(roll(4) == 0 ? 100 : 12));
  plan.peer_bytes_max = 1 + (1u << roll(21));
  plan.stop_early = roll(4) == 0;
  plan.abort = plan.stop_early && roll(3) == 0;
  plan.region = MiB(9);
  // Who may not drop must wait, now and then: for much that comes while the disk stands still.
  if (back_pressure == BackPressure::kLossless && roll(12) == 0) {
    plan.peers = 60;
    plan.peer_bytes_max = 1 << 20;
    plan.stall_max = absl::Milliseconds(100);
  }
  if (roll(3) != 0) return plan;

  plan.region = MiB(16);
  plan.queue.emplace();
  if (roll(3) != 0) plan.queue->interface = "eth0";
  plan.queue->area = KiB(256) * (1 + roll(16));
  plan.faults.queue_full = roll(2) == 0 ? 0 : 20;
  plan.faults.linear = roll(2) == 0 ? 0 : 10;
  return plan;
}

LaneSimCounts RunAll(BackPressure back_pressure) {
  LaneSimCounts counts;
  LaneSim sim(counts);
  seeds.RunAll([&](uint64_t seed) { sim.Run(seed, MakePlan(seed, back_pressure)); });
  return counts;
}

TEST(BackPressureSimTest, LosslessLosesNothing) {
  const LaneSimCounts counts = RunAll(BackPressure::kLossless);
  EXPECT_EQ(counts.dropped, 0u);
  if (seeds.only || HasFailure()) return;
  EXPECT_GT(counts.waits, 0u);
}

// Every byte that was received is in the archive or in one gap, and the ledger says the same.
TEST(BackPressureSimTest, DropNewestLosesWhatTheGapsSay) {
  const LaneSimCounts counts = RunAll(BackPressure::kDropNewest);
  if (seeds.only || HasFailure()) return;
  EXPECT_GT(counts.gaps, 100u);
  EXPECT_GT(counts.dropped, uint64_t{1} << 20);
  EXPECT_GT(counts.failed, 0u);
  EXPECT_GT(counts.placed, 0u);
}

TEST(BackPressureSimTest, DropOldestLosesWhatTheGapsSay) {
  const LaneSimCounts counts = RunAll(BackPressure::kDropOldest);
  if (seeds.only || HasFailure()) return;
  EXPECT_GT(counts.gaps, 100u);
  EXPECT_GT(counts.dropped, uint64_t{1} << 20);
  EXPECT_GT(counts.failed, 0u);
  EXPECT_GT(counts.placed, 0u);
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::RunSimTests(argc, argv, sluice::seeds); }
