// What a seed decides once, for all runs of the recorder.
#ifndef TESTS_SIM_RECORDER_PLAN_H_
#define TESTS_SIM_RECORDER_PLAN_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "ingest/ring/sim_ring.h"
#include "writer/back_pressure.h"
#include "writer/lane.h"
#include "writer/retention/policy.h"

namespace sluice {

struct RecorderPlan {
  uint32_t runs = 0;
  uint32_t lanes = 1;
  uint32_t recordings = 1;
  uint32_t slots = 0;
  ByteCount segment = MiB(1);
  ByteCount region;
  SimFaults faults;
  SimDevice device;
  uint32_t header_error = 0;   // one in so many
  uint32_t catalog_error = 0;  // one change in so many, and some after it
  uint32_t peers_max = 0;      // of a listener
  uint64_t peer_bytes_max = 0;
  uint64_t fuse_max = 0;  // ticks
  bool dial = false;
  std::optional<LaneQueueOptions> queue;
  SimQueue kernel;
  // A disk that stands still now and then, and recordings that may drop.
  uint32_t stalls = 0;  // one in so many steps begins one
  absl::Duration stall_max = absl::ZeroDuration();
  bool drops = false;
  absl::Duration lag_limit = kLagLimitDefault;
  // Rules, and people who hold. Each run may change the classes.
  bool retention = false;
  uint32_t holds = 0;         // one turn of the keeper in so many brings a change of them
  uint32_t policy_error = 0;  // one sync in so many

  // Whether something is refused that a later start has to make good.
  bool has_faults() const {
    return faults.write_error != 0 || faults.write_nothing != 0 || faults.sync_error != 0 ||
           header_error != 0 || catalog_error != 0;
  }
};

RecorderPlan MakeRecorderPlan(SimWorld& world);
// "default", and others by the names of kClassNames.
std::vector<RetentionClass> MakeClasses(SimWorld& world, uint32_t slots, ByteCount segment);
inline constexpr const char* kClassNames[] = {"", "short", "kept"};

}  // namespace sluice

#endif  // TESTS_SIM_RECORDER_PLAN_H_
