// The whole recorder on one thread, from one seed: lanes, rings, disk, clock, archive, catalog.
#ifndef TESTS_SIM_RECORDER_SIM_H_
#define TESTS_SIM_RECORDER_SIM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ingest/ring/sim_disk.h"
#include "ingest/ring/sim_ring.h"
#include "ingest/ring/sim_world.h"
#include "tests/sim/expectations.h"
#include "tests/sim/fuse.h"
#include "tests/sim/journal.h"
#include "tests/sim/mutant.h"
#include "tests/sim/recorder_plan.h"
#include "tests/sim/sim_archive.h"
#include "tests/sim/store_keeper.h"
#include "writer/archive/segment_store.h"
#include "writer/back_pressure.h"
#include "writer/catalog/catalog.h"
#include "writer/lane.h"

namespace sluice {

// Over all seeds: what they have provoked.
struct RecorderSimCounts {
  uint64_t clean_stops = 0;
  uint64_t power_losses = 0;
  uint64_t process_deaths = 0;
  uint64_t deaths_in_recovery = 0;
  uint64_t catalogs_lost = 0;
  uint64_t rebuilt = 0;    // catalogs
  uint64_t sealed = 0;     // segments, by recovery
  uint64_t indexed = 0;    // likewise
  uint64_t reused = 0;     // slots
  uint64_t deletions = 0;  // of recordings
  uint64_t removed = 0;    // segments, by rules that nobody asked
  uint64_t holds = 0;
  uint64_t holds_refused = 0;
  uint64_t deletions_refused = 0;
  uint64_t exhausted = 0;  // requests, because no segment might go
  uint64_t failed = 0;     // tracks that lost their disk
  uint64_t refused = 0;    // writes
  uint64_t catalog_refusals = 0;
  uint64_t waits = 0;    // for a buffer
  uint64_t dropped = 0;  // bytes, by policy
  uint64_t steps = 0;

  RecorderSimCounts& operator+=(const RecorderSimCounts& more);
};

// One seed. Several runs of the recorder on one archive: in each the peers send, the lanes record,
// and it ends in good order, or the process dies, or the power fails, at any moment between two
// things that the world can see; the next start, and what it recovers, is such a time too. After
// each: see Expectations, and everything is verified.
class RecorderSim {
 public:
  RecorderSim(uint64_t seed, Mutant mutant, bool tracing, std::string directory);
  ~RecorderSim();

  // Until something is wrong, or every run is over.
  void Run();

  const Journal& journal() const { return journal_; }
  const RecorderSimCounts& counts() const { return counts_; }

 private:
  struct Recording {
    RecordingRow row;
    uint64_t peers = 0;
    uint64_t opened = 0;  // streams
    uint64_t open = 0;
    bool stopping = false;
    bool failed = false;
    BackPressure back_pressure = BackPressure::kLossless;
  };
  struct LaneOfSim {
    SimRing* ring = nullptr;
    std::unique_ptr<Lane> lane;
    std::map<uint8_t, size_t> tracks;  // to recordings
  };

  // -- A run of the program.
  bool StartUp();
  bool OpenStore();
  void HarmCatalog();
  void Record();
  void DeleteOne();
  bool StartRecordings();
  void OpenLanes();
  void AddPeers(LaneOfSim& lane, Recording& recording, int listener);
  void Live();
  void StallADisk();
  void DescribeHang();
  bool Act();
  void TurnKeeper();
  void PassTime();
  bool Supervise(uint64_t step);
  void Stop(size_t recording, bool abort);
  void StopAll(bool abort);
  void Finish();
  void TakeDown();
  void EndRun();

  // -- Retention: rules, and people.
  absl::Status SavePolicy(const RetentionPolicy& policy);
  void ChangeClasses();
  void ChangeHolds();
  Hold MakeHold();
  void CreateHold(Hold hold);
  void ReleaseHold(const std::string& id);
  void ReleaseAnyHold();
  UnixNanos retention_time() const;
  void TidyUp();
  void MakeRoom();
  void ForgetRemovals();
  bool HasKeeperWork() const;

  // -- Death.
  void ArmFuse(uint64_t ticks);
  void Die(bool power_loss);

  void Verify(const char* when);
  std::optional<SegmentLoan> LendAgain(const TrackIdentity& track);
  bool OnPublish(SegmentUpdate& update);

  SimWorld world_;
  Journal journal_;
  const RecorderPlan plan_;
  const Mutant mutant_;
  Fuse fuse_;
  SimDisk disk_;
  SimArchive archive_;
  Expectations expectations_;
  RecorderSimCounts counts_;

  uint64_t last_uid_ = 0;
  std::vector<Recording> recordings_;  // of this run
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<SegmentStore> store_;
  std::unique_ptr<StoreKeeper> keeper_;
  std::vector<LaneOfSim> lanes_;
  uint64_t stop_at_ = 0;
  bool finished_ = false;
  uint64_t last_hold_ = 0;
  uint32_t exhausted_ = 0;  // requests in a row
  bool stopped_well_ = false;
  bool was_power_loss_ = false;
  bool deletes_ = false;          // since the last recovery
  bool catalog_is_true_ = true;   // nobody has taken anything from it
  uint64_t catalog_refuses_ = 0;  // for so many turns of the keeper
};

}  // namespace sluice

#endif  // TESTS_SIM_RECORDER_SIM_H_
