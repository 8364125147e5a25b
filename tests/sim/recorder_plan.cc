#include "tests/sim/recorder_plan.h"

namespace sluice {
namespace {

// One in 2 to `chances` + 1, or never.
uint32_t Maybe(SimWorld& world, uint32_t chances) {
  return world.Roll(2) == 0 ? 0 : 2 + static_cast<uint32_t>(world.Roll(chances));
}

uint32_t Below(SimWorld& world, uint32_t below) { return static_cast<uint32_t>(world.Roll(below)); }

}  // namespace

RecorderPlan MakeRecorderPlan(SimWorld& world) {
  RecorderPlan plan;
  plan.runs = 2 + Below(world, 3);
  plan.lanes = 1 + Below(world, 3);
  plan.dial = world.OneIn(8);
  plan.recordings = plan.dial ? 1 : 1 + Below(world, 2);
  const uint32_t tracks = plan.lanes * plan.recordings;
  // From hardly enough to plenty.
  plan.slots = 2 + 2 * tracks + Below(world, 2 * tracks + 4);
  plan.region = MiB(4 + plan.recordings);

  plan.faults.short_write = Maybe(world, 20);
  plan.faults.again = Maybe(world, 20);
  plan.faults.end_of_multishot = Maybe(world, 10);
  plan.faults.accept_error = Maybe(world, 10);
  plan.faults.slow = world.OneIn(3) ? 2 + Below(world, 30) : 0;
  plan.faults.write_error = world.OneIn(4) ? 10 + Below(world, 100) : 0;
  plan.faults.write_nothing = world.OneIn(16) ? 50 : 0;
  plan.faults.sync_error = world.OneIn(12) ? 5 + Below(world, 20) : 0;
  plan.header_error = world.OneIn(12) ? 3 + Below(world, 10) : 0;
  plan.catalog_error = world.OneIn(6) ? 5 + Below(world, 20) : 0;

  constexpr uint32_t kAligns[] = {4, 512, 4096};
  plan.device.memory_align = kAligns[world.Roll(3)];
  plan.device.offset_align = world.OneIn(2) ? 512 : 4096;
  plan.device.virt_boundary = world.OneIn(3) ? 4095 : 0;
  plan.device.write_bytes_max = (256u << 10) << world.Roll(4);
  plan.device.ranges_max = 32 + Below(world, 224);

  plan.peers_max = world.OneIn(6) ? 30 : 4;
  plan.peer_bytes_max = 1 + (uint64_t{1} << world.Roll(plan.peers_max > 4 ? 16 : 20));
  plan.fuse_max = uint64_t{1} << (4 + world.Roll(9));

  plan.drops = world.OneIn(3);
  if (plan.drops || world.OneIn(8)) {
    plan.stalls = 20 + Below(world, 200);
    plan.stall_max = absl::Microseconds(1 << (10 + world.Roll(8)));
  }
  // Nothing waits, and so nothing is dropped, before some extents have filled up.
  if (plan.drops) plan.peer_bytes_max = 1 + (uint64_t{1} << (15 + world.Roll(6)));
  plan.lag_limit = absl::Microseconds(1 + world.Roll(uint64_t{1} << world.Roll(18)));

  plan.retention = world.OneIn(2);
  if (plan.retention) {
    plan.slots += Below(world, 8);
    plan.holds = 1 + Below(world, 20);
    plan.policy_error = world.OneIn(8) ? 2 + Below(world, 6) : 0;
  }
  return plan;
}

std::vector<RetentionClass> MakeClasses(SimWorld& world, uint32_t slots, ByteCount segment) {
  const auto age = [&] {
    if (!world.OneIn(2)) return absl::InfiniteDuration();
    return absl::Microseconds(1 + world.Roll(uint64_t{1} << (10 + world.Roll(12))));
  };
  RetentionClass plain;
  RetentionClass brief;
  brief.name = kClassNames[1];
  brief.priority = static_cast<int32_t>(world.Roll(3)) - 1;
  brief.quota = segment * (world.OneIn(2) ? 3 + world.Roll(slots) : 0);
  brief.max_age = age();
  RetentionClass kept;
  kept.name = kClassNames[2];
  kept.priority = 1;
  kept.reserve = segment * world.Roll(slots / 2);
  if (world.OneIn(3)) plain.max_age = age();
  std::vector<RetentionClass> classes = {plain};
  if (!world.OneIn(4)) classes.push_back(brief);
  if (!world.OneIn(4)) classes.push_back(kept);
  return classes;
}

}  // namespace sluice
