// A lane that receives without copies, on a simulated NIC queue, network and disk, from one seed:
// `--seed=N` on the command line runs that one, `--seeds=N` the first N of them.
#include <algorithm>
#include <cstdint>
#include <random>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tests/sim/lane_sim.h"
#include "tests/sim/seeds.h"

namespace sluice {
namespace {

Seeds seeds{300};
constexpr uint32_t kNapi = 7;

class Dice {
 public:
  explicit Dice(uint64_t seed) : dice_(seed) {}
  uint64_t Roll(uint64_t below) { return dice_() % below; }
  bool OneIn(uint64_t chances) { return Roll(chances) == 0; }
  // One in 2 to `chances` + 1, or never.
  uint32_t Maybe(uint32_t chances) {
    return Roll(2) == 0 ? 0 : 2 + static_cast<uint32_t>(Roll(chances));
  }

 private:
  std::mt19937_64 dice_;
};

SimFaults MakeFaults(Dice& dice) {
  SimFaults faults;
  faults.short_write = dice.Maybe(20);
  faults.again = dice.Maybe(20);
  faults.end_of_multishot = dice.Maybe(10);
  faults.accept_error = dice.Maybe(10);
  faults.write_error = dice.OneIn(6) ? 20 + static_cast<uint32_t>(dice.Roll(200)) : 0;
  faults.write_nothing = dice.OneIn(16) ? 50 : 0;
  faults.sync_error = dice.OneIn(16) ? 10 : 0;
  faults.queue_full = dice.Maybe(50);
  faults.no_page = dice.Maybe(50);
  faults.linear = dice.Maybe(20);
  faults.not_placed = dice.Maybe(20);
  faults.foreign = dice.OneIn(4) ? 20 + static_cast<uint32_t>(dice.Roll(200)) : 0;
  faults.foreign_readable = static_cast<uint32_t>(dice.Roll(3));
  return faults;
}

// Most peers' packets come through the lane's queue; of some that is not known.
SimRoute MakeRoute(Dice& dice) {
  SimRoute route;
  route.steered = !dice.OneIn(5);
  route.napi = route.steered ? kNapi : kNapi + 1;
  if (dice.OneIn(4)) route.napi = 0;
  route.plain_tcp = !dice.OneIn(10);
  return route;
}

LanePlan MakePlan(uint64_t seed) {
  Dice dice(seed * 104729);
  LanePlan plan;
  plan.faults = MakeFaults(dice);
  constexpr uint32_t kAligns[] = {4, 512, 4096};
  plan.device.memory_align = kAligns[dice.Roll(3)];
  plan.device.offset_align = dice.Roll(2) == 0 ? 512 : 4096;
  plan.device.virt_boundary = dice.OneIn(3) ? 4095 : 0;
  plan.device.write_bytes_max = (256u << 10) << dice.Roll(4);
  plan.device.ranges_max = 32 + static_cast<uint32_t>(dice.Roll(224));
  plan.peers = 1 + static_cast<uint32_t>(dice.Roll(dice.OneIn(4) ? 200 : 12));
  plan.peer_bytes_max = 1 + (1u << dice.Roll(20));
  plan.slots = 6 + static_cast<uint32_t>(dice.OneIn(4) ? 0 : dice.Roll(30));
  plan.payload_crc = !dice.OneIn(4);
  plan.dial = dice.OneIn(8);
  plan.stop_early = dice.OneIn(3);
  plan.abort = plan.stop_early && dice.OneIn(3);
  plan.some_stay = plan.stop_early;

  plan.tracks = dice.OneIn(3) ? 2 + static_cast<uint32_t>(dice.Roll(2)) : 1;
  plan.slots += 6 * (plan.tracks - 1);
  plan.region = MiB(16);
  plan.queue.emplace();
  if (!dice.OneIn(3)) plan.queue->interface = "eth0";
  if (!dice.OneIn(4)) plan.queue->napi = kNapi;
  // From hardly any page to many.
  plan.queue->area = KiB(64) * (1 + dice.Roll(uint64_t{1} << dice.Roll(6)));
  // What many sockets hold of a small area is a crawl: right, and slow to watch.
  if (plan.peers > 20 && plan.queue->area < MiB(1)) {
    plan.peer_bytes_max = std::min<uint64_t>(plan.peer_bytes_max, 64 << 10);
  }
  plan.queue->required = dice.OneIn(2);
  const bool new_kernel = plan.queue->interface.empty() || !dice.OneIn(3);
  plan.kernel.has_events = new_kernel;
  plan.kernel.can_flush = new_kernel;
  if (dice.OneIn(3)) plan.kernel.completions_max = 1 + static_cast<uint32_t>(dice.Roll(20));
  if (!plan.queue->required && dice.OneIn(8)) {
    plan.kernel.refusal = absl::PermissionDeniedError("a kernel that refuses");
  }
  if (dice.OneIn(2)) {
    for (uint32_t i = 0; i < plan.peers; ++i) plan.routes.push_back(MakeRoute(dice));
  }
  return plan;
}

TEST(ZeroCopySimTest, NothingDurableIsLostAndEveryPageComesHome) {
  LaneSimCounts counts;
  LaneSim sim(counts);
  if (!seeds.RunAll([&sim](uint64_t seed) { sim.Run(seed, MakePlan(seed)); })) return;
  if (HasFailure()) return;
  // The seeds must have been where it hurts.
  EXPECT_GT(counts.reused, 0u);
  EXPECT_GT(counts.failed, 0u);
  EXPECT_GT(counts.refused, 0u);
  EXPECT_GT(counts.packed, 0u);
  EXPECT_GT(counts.placed, 0u);
  EXPECT_GT(counts.copied, 0u);
  EXPECT_GT(counts.zero_copy.queue_full, 0u);
  EXPECT_GT(counts.zero_copy.area_exhausted, 0u);
  EXPECT_GT(counts.zero_copy.steered_away, 0u);
  EXPECT_GT(counts.zero_copy.handed_to_copy, counts.zero_copy.steered_away);
  EXPECT_GT(counts.without_queue, 0u);
  EXPECT_GT(counts.cut_short, 0u);
}

// Two tracks once held every chunk beside the queue, for connections that needed none; the third
// track's connections waited for one for ever.
TEST(ZeroCopySimTest, NoTrackKeepsTheChunksOfAnother) {
  LaneSimCounts counts;
  LaneSim sim(counts);
  sim.Run(1447, MakePlan(1447));
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::RunSimTests(argc, argv, sluice::seeds); }
