// A lane on a simulated network and disk, from one seed, and what must hold whatever happens.
#ifndef TESTS_SIM_LANE_SIM_H_
#define TESTS_SIM_LANE_SIM_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ingest/ring/sim_ring.h"
#include "tests/sim/sim_keeper.h"
#include "writer/back_pressure.h"
#include "writer/lane.h"

namespace sluice {

// What a seed decides.
struct LanePlan {
  SimFaults faults;
  SimDevice device;
  ByteCount segment = MiB(1);
  ByteCount region = MiB(5);
  uint32_t slots = 24;
  uint32_t tracks = 1;
  uint32_t peers = 0;
  uint64_t peer_bytes_max = 0;
  bool payload_crc = true;
  bool dial = false;
  bool stop_early = false;
  bool abort = false;
  bool some_stay = false;  // peers: only a stop ends their streams
  // Zero-copy receive.
  std::optional<LaneQueueOptions> queue;
  SimQueue kernel;
  std::vector<SimRoute> routes;  // of peers, in turn; empty: as they come
  // A disk that stands still now and then, and what the tracks do about it.
  BackPressure back_pressure = BackPressure::kLossless;
  absl::Duration lag_limit = kLagLimitDefault;
  uint32_t stalls = 0;  // one in so many turns begins one
  absl::Duration stall_max = absl::ZeroDuration();
  bool stall_until_received = false;  // one more, as long as there is something to receive

  bool has_refusals() const { return faults.write_error != 0 || faults.write_nothing != 0; }
};

// Over all seeds: what they have provoked.
struct LaneSimCounts {
  uint64_t reused = 0;   // segments
  uint64_t failed = 0;   // lanes that lost their disk
  uint64_t refused = 0;  // writes
  uint64_t waits = 0;    // for a buffer
  ZeroCopyCounters zero_copy;
  InterfaceQueueCounters queue;
  uint64_t placed = 0;  // bytes, by the device
  uint64_t copied = 0;  // into the area
  uint64_t packed = 0;
  uint64_t without_queue = 0;  // lanes whose kernel refused one
  uint64_t cut_short = 0;      // streams that lay in another queue's memory
  uint64_t dropped = 0;        // bytes, by policy
  uint64_t gaps = 0;           // of streams that were looked at
};

// Peers send, the lane records, the power fails now and then. Nothing that was published is lost
// or altered; at the end every delivered byte is in the archive, unless the disk was lost or the
// segment reused, or in a gap that is recorded, once; and every page of a zero-copy area has come
// home, each reference once.
class LaneSim {
 public:
  explicit LaneSim(LaneSimCounts& counts) : counts_(counts) {}
  void Run(uint64_t seed, const LanePlan& plan);

 private:
  LaneOptions OptionsOf(const LanePlan& plan) const;
  void AddTracks(Lane& lane);
  void Turn(Lane& lane);
  void Stall(bool stopped);
  bool EverythingReceived() const;
  void CheckLag(const LaneStatus& lane) const;
  void Hang(const TrackStatus& now, bool stopped) const;
  void AddPeers(std::vector<TrackOptions>& tracks);
  TrackStatus Sum(const LaneStatus& lane) const;
  bool EverythingArrived(const TrackStatus& now) const;
  void CheckAfterPowerLoss();
  void CheckSegment(const std::string& image, SegmentId id, const SimKeeper::Published& segment);
  void CheckFinal(const TrackStatus& last);
  void CheckStreams(const TrackStatus& last);
  void CheckArea(Lane& lane);
  uint64_t MustReach(int peer) const;
  void Count(const TrackStatus& last);

  LaneSimCounts& counts_;
  LanePlan plan_;
  SimRing* ring_ = nullptr;
  SimKeeper* keeper_ = nullptr;
  std::vector<uint8_t> tracks_;
  std::vector<std::string> sent_;  // by peer number
  bool stalled_ = false;           // until everything is received
};

}  // namespace sluice

#endif  // TESTS_SIM_LANE_SIM_H_
