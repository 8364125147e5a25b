#include "tests/sim/recorder_sim.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ingest/check.h"
#include "writer/archive/verify.h"

namespace sluice {
RecorderSimCounts& RecorderSimCounts::operator+=(const RecorderSimCounts& more) {
  clean_stops += more.clean_stops;
  power_losses += more.power_losses;
  process_deaths += more.process_deaths;
  deaths_in_recovery += more.deaths_in_recovery;
  catalogs_lost += more.catalogs_lost;
  rebuilt += more.rebuilt;
  sealed += more.sealed;
  indexed += more.indexed;
  reused += more.reused;
  deletions += more.deletions;
  removed += more.removed;
  holds += more.holds;
  holds_refused += more.holds_refused;
  deletions_refused += more.deletions_refused;
  exhausted += more.exhausted;
  failed += more.failed;
  refused += more.refused;
  catalog_refusals += more.catalog_refusals;
  waits += more.waits;
  dropped += more.dropped;
  steps += more.steps;
  return *this;
}

RecorderSim::RecorderSim(uint64_t seed, Mutant mutant, bool tracing, std::string directory)
    : world_(seed),
      journal_(world_, tracing),
      plan_(MakeRecorderPlan(world_)),
      mutant_(mutant),
      disk_(world_),
      archive_({&world_, &disk_, &fuse_, &journal_, mutant}, std::move(directory), plan_.segment,
               plan_.slots),
      expectations_(disk_, plan_.segment, journal_) {
  expectations_.may_have_holes = plan_.has_faults();
  archive_.on_header = [this](uint32_t slot, const SegmentHeader& header) {
    expectations_.OnHeader(slot, header);
  };
  archive_.on_header_synced = [this](uint32_t slot) {
    expectations_.OnLent(slot);
    exhausted_ = 0;
  };
  archive_.header_error = plan_.header_error;
  archive_.policy_error = plan_.policy_error;
}

RecorderSim::~RecorderSim() = default;

void RecorderSim::Run() {
  journal_.Note(plan_.lanes, " lanes, ", plan_.slots, " slots, writes refused one in ",
                plan_.faults.write_error, ", nothing written ", plan_.faults.write_nothing,
                ", syncs ", plan_.faults.sync_error, ", headers ", plan_.header_error, ", catalog ",
                plan_.catalog_error, plan_.drops ? ", drops" : "",
                plan_.retention ? ", retention" : "");
  for (uint32_t run = 0; run < plan_.runs && !journal_.failed(); ++run) {
    journal_.Note("run ", run);
    if (StartUp()) Record();
    EndRun();
  }
  // What is left is checked once more, and nothing happens meanwhile.
  if (!journal_.failed()) {
    StartUp();
    EndRun();
  }
}

// ---- death

void RecorderSim::ArmFuse(uint64_t ticks) {
  fuse_.Arm(ticks, [this, power = world_.OneIn(2)] { Die(power); });
}

void RecorderSim::Die(bool power_loss) {
  journal_.Note(power_loss ? "the power fails" : "the process dies");
  ++(power_loss ? counts_.power_losses : counts_.process_deaths);
  was_power_loss_ = power_loss;
  for (LaneOfSim& lane : lanes_) lane.ring->Die();
  archive_.Die(power_loss);
  if (power_loss) expectations_.OnCatalogLoss(/*all=*/false);
  if (power_loss) expectations_.book().OnPowerLoss();
  catalog_is_true_ &= !power_loss;
  if (keeper_ != nullptr) keeper_->Die();
}

// ---- a run of the program

// False when it died in the attempt, or something is wrong.
bool RecorderSim::StartUp() {
  if (catalog_is_true_ && last_uid_ > 0 && world_.OneIn(4)) Verify("before recovery");
  if (last_uid_ > 0 && world_.OneIn(8) && !deletes_) HarmCatalog();
  if (last_uid_ > 0 && world_.OneIn(3)) ArmFuse(world_.Roll(uint64_t{1} << world_.Roll(6)));
  const absl::Status status = archive_.Start();
  fuse_.Disarm();
  if (fuse_.blown()) {
    ++counts_.deaths_in_recovery;
    return false;
  }
  if (!status.ok()) {
    journal_.Fail("start: ", status.ToString());
    return false;
  }
  catalog_is_true_ = !plan_.has_faults();
  deletes_ = false;
  const RecoveryReport& recovery = archive_.recovery();
  counts_.rebuilt += recovery.catalog_rebuilt ? 1 : 0;
  counts_.sealed += recovery.segments_sealed;
  counts_.indexed += recovery.segments_indexed;
  journal_.Note("recovered: ", recovery.segments_sealed, " sealed, ", recovery.segments_indexed,
                " indexed, ", recovery.segments_forgotten, " forgotten");
  for (const std::string& note : recovery.notes) journal_.Note(note);
  if (recovery.segments_damaged != 0) {
    // A header that was torn while it was written over was nobody's any more.
    journal_.Note(recovery.segments_damaged, " damaged");
  }
  return OpenStore();
}

void RecorderSim::HarmCatalog() {
  ++counts_.catalogs_lost;
  catalog_is_true_ = false;
  expectations_.OnCatalogLoss(/*all=*/true);
  if (world_.OneIn(2)) {
    journal_.Note("the catalog is gone");
    archive_.catalog_files().Remove();
  } else {
    journal_.Note("the catalog is damaged");
    archive_.catalog_files().Damage();
  }
}

bool RecorderSim::OpenStore() {
  auto catalog = Catalog::Open(archive_.catalog_path(), Catalog::Mode::kReadWrite);
  if (!catalog.ok()) {
    journal_.Fail("open the catalog: ", catalog.status().ToString());
    return false;
  }
  catalog_ = *std::move(catalog);
  if (mutant_ == Mutant::kRemovalNotRecorded) ForgetRemovals();
  std::vector<int> files;
  for (uint32_t slot = 0; slot < archive_.slots(); ++slot) files.push_back(archive_.file(slot));
  expectations_.SetSlots(files);
  expectations_.CheckRecovered(*catalog_);
  Verify("after recovery");
  expectations_.CheckReading(archive_.directory(), *catalog_, 6);
  if (journal_.failed()) return false;

  auto policy = archive_.policy();
  if (!policy.ok()) {
    journal_.Fail("read the policy: ", policy.status().ToString());
    return false;
  }
  SegmentStoreOptions options;
  options.policy = *policy;
  if (mutant_ == Mutant::kHoldForgotten) options.policy.holds.clear();
  options.save_policy = [this](const RetentionPolicy& changed) { return SavePolicy(changed); };
  options.directory = archive_.directory();
  options.meta = archive_.meta();
  options.last_segment_id = static_cast<uint64_t>(archive_.recovery().last_segment_id);
  if (mutant_ == Mutant::kIdsFromTheStart) options.last_segment_id = 0;
  options.kept_out = archive_.recovery().slots_kept_out;
  options.clock = [this] { return retention_time(); };
  options.ahead_share = 2;  // of the few that there are, so that tracks have more than one ready
  auto store = SegmentStore::Open(std::move(options), archive_, *catalog_);
  if (!store.ok()) {
    journal_.Fail("open the store: ", store.status().ToString());
    return false;
  }
  store_ = *std::move(store);
  keeper_ = std::make_unique<StoreKeeper>(*store_, fuse_);
  keeper_->on_publish = [this](SegmentUpdate& update) { return OnPublish(update); };
  keeper_->on_return = [this](SegmentId segment) { expectations_.OnReturned(segment); };
  keeper_->on_told = [this] { expectations_.book().OnTold(); };
  keeper_->on_exhausted = [this](const TrackIdentity& track) {
    ++counts_.exhausted;
    ++exhausted_;
    expectations_.book().OnExhausted(track.recording_uid, store_->retention().state().slots);
  };
  expectations_.book().CheckPolicy(*policy);
  expectations_.book().CheckHolds(store_->retention());
  keeper_->instead = [this](const TrackIdentity& track) { return LendAgain(track); };
  return true;
}

void RecorderSim::Record() {
  ArmFuse(world_.OneIn(4) ? UINT64_MAX : world_.Roll(plan_.fuse_max));
  stop_at_ = world_.OneIn(3) ? 1 + world_.Roll(2000) : UINT64_MAX;
  if (plan_.retention && world_.OneIn(2)) ChangeClasses();
  if (!fuse_.blown()) DeleteOne();
  if (!fuse_.blown() && StartRecordings()) {
    OpenLanes();
    Live();
  }
  if (!fuse_.blown() && finished_ && !journal_.failed()) Finish();
  stop_at_ = 0;
}

void RecorderSim::EndRun() {
  fuse_.Disarm();
  if (!lanes_.empty()) TakeDown();
  keeper_.reset();
  store_.reset();
  const bool died = fuse_.blown();
  // Nothing more happens to it, but the power may fail all the same.
  if (!died && !journal_.failed() && catalog_ != nullptr && world_.OneIn(3)) {
    ArmFuse(0);
    fuse_.Tick();
  }
  catalog_.reset();
  archive_.Close();
  if (fuse_.blown()) archive_.Reboot();
  if (stopped_well_ && !fuse_.blown() && !journal_.failed()) Verify("after a stop");
  fuse_.Reset();
  recordings_.clear();
  finished_ = stopped_well_ = false;
  exhausted_ = 0;
  catalog_refuses_ = 0;
}

void RecorderSim::DeleteOne() {
  if (!world_.OneIn(4)) return;
  const auto rows = catalog_->Recordings();
  if (!rows.ok() || rows->empty()) return;
  const RecordingRow& row = (*rows)[world_.Roll(rows->size())];
  journal_.Note("deletes ", row.id);
  deletes_ = true;
  const bool is_held = expectations_.book().IsHeld(row.uid);
  const absl::Status status = store_->DeleteRecording(row.id);
  if (fuse_.blown() && is_held) return;
  if (is_held != absl::IsFailedPrecondition(status)) {
    journal_.Fail("recording ", row.id, is_held ? " is held, " : " is not held, ",
                  "and its deletion says ", status.ToString());
  }
  if (is_held) {
    ++counts_.deletions_refused;
    return;
  }
  ++counts_.deletions;
  expectations_.OnDeletion(row.uid, status.ok() && !fuse_.blown());
}

// ---- the end of a run

// Everybody has finished. What the kernel has delivered is written, or counted.
void RecorderSim::Finish() {
  bool any_failed = false;
  for (LaneOfSim& lane : lanes_) {
    uint64_t received = 0;
    for (const auto& [number, recording] : std::exchange(lane.tracks, {})) {
      const TrackStatus last = lane.lane->RemoveTrack(number);
      received += last.ledger.received;
      if (last.ledger.received != last.ledger.written + last.ledger.dropped()) {
        journal_.Fail("a track received ", last.ledger.received, " bytes, wrote ",
                      last.ledger.written, " and dropped ", last.ledger.dropped());
      }
      any_failed |= !last.failure.ok();
      // When none may go: see RetentionBook::OnExhausted.
      if (!last.failure.ok() && !plan_.has_faults() && !absl::IsResourceExhausted(last.failure)) {
        journal_.Fail("a track failed, and nothing was refused: ", last.failure.ToString());
      }
      const bool may_drop = recordings_[recording].back_pressure != BackPressure::kLossless;
      const uint64_t by_policy = may_drop ? last.ledger.dropped_policy : 0;
      if (last.failure.ok() && last.ledger.dropped() != by_policy) {
        journal_.Fail(last.ledger.dropped(), " bytes were dropped");
      }
      if (last.failure.ok() && last.writer.durable != last.writer.payload) {
        journal_.Fail("a track stopped with ", last.writer.durable.value, " of ",
                      last.writer.payload.value, " bytes durable");
      }
      counts_.failed += last.failure.ok() ? 0 : 1;
      counts_.refused += last.writer.write_errors;
      counts_.waits += last.buffer_waits;
      counts_.dropped += last.ledger.dropped_policy;
    }
    if (received != lane.ring->delivered()) {
      journal_.Fail("the kernel delivered ", lane.ring->delivered(), " bytes, the ledger has ",
                    received);
    }
    for (const std::string& what : lane.ring->violations()) journal_.Fail(what);
  }
  while (!fuse_.blown() && HasKeeperWork()) TurnKeeper();
  const bool published = !store_->unpublished();
  for (Recording& recording : recordings_) {
    recording.row.state = recording.failed ? RecordingState::kFailed : RecordingState::kStopped;
    recording.row.stopped = world_.real_time();
    store_->PutRecording(recording.row).IgnoreError();
  }
  if (fuse_.blown()) return;
  if (!published && plan_.catalog_error == 0) journal_.Fail("the catalog does not know it all");
  ++counts_.clean_stops;
  stopped_well_ = published && !any_failed;
  if (!stopped_well_) return;
  std::map<int, uint64_t> delivered;
  for (const LaneOfSim& lane : lanes_) delivered.merge(lane.ring->delivered_by_peer());
  expectations_.Delivered(delivered);
  expectations_.CheckDelivered(*catalog_, delivered);
  expectations_.CheckRemovals(*catalog_);
  expectations_.CheckReading(archive_.directory(), *catalog_, 6);
}

// The lanes of a machine that died, or that is not needed any more.
void RecorderSim::TakeDown() {
  for (LaneOfSim& lane : lanes_) {
    lane.ring->Die();
    lane.ring->StallDisk(absl::ZeroDuration());
    expectations_.Delivered(lane.ring->delivered_by_peer());
  }
  keeper_->Die();
  bool finished = false;
  for (int turn = 0; !finished; ++turn) {
    SLUICE_CHECK(turn < 100'000);
    finished = true;
    for (LaneOfSim& lane : lanes_) {
      while (lane.ring->Step()) {
      }
      lane.lane->Turn();
      const LaneStatus status = lane.lane->status();
      for (auto at = lane.tracks.begin(); at != lane.tracks.end();) {
        const auto found = status.tracks.find(at->first);
        const bool is_over = found != status.tracks.end() && found->second.finished;
        if (!is_over && turn == 0) lane.lane->StopTrack(at->first, /*abort=*/true);
        if (is_over) lane.lane->RemoveTrack(at->first);
        at = is_over ? lane.tracks.erase(at) : std::next(at);
      }
      finished &= lane.tracks.empty();
    }
    world_.Pass(absl::Milliseconds(30));
    world_.RunTimers();
  }
  lanes_.clear();
}

// ---- checks and mistakes

void RecorderSim::Verify(const char* when) {
  const auto report = VerifyArchive(archive_.directory(), nullptr);
  if (!report.ok()) return journal_.Fail("verify ", when, ": ", report.status().ToString());
  for (const std::string& finding : report->findings) {
    // A catalog that was lost had the removals; a slot's header tells of the last one only.
    const bool was_told = finding.find("no removal is recorded") != std::string::npos;
    if (was_told && counts_.catalogs_lost > 0) continue;
    journal_.Fail("verify ", when, ": ", finding);
  }
}

bool RecorderSim::OnPublish(SegmentUpdate& update) {
  if (fuse_.blown()) return false;
  if (mutant_ == Mutant::kMarkTooHigh && !update.sealed && world_.OneIn(4)) {
    update.durable = update.durable + ByteCount{kBlockBytes};
  }
  expectations_.OnPublish(update);
  if (mutant_ == Mutant::kGapNotTold) {
    for (StreamUpdate& stream : update.streams) stream.dropped = {};
  }
  return mutant_ != Mutant::kPublicationLost || !world_.OneIn(10);
}

// A mistake: a segment that somebody else is writing.
std::optional<SegmentLoan> RecorderSim::LendAgain(const TrackIdentity&) {
  if (mutant_ != Mutant::kOpenSegmentLent || !world_.OneIn(4)) return std::nullopt;
  return expectations_.AnyOpenSegment(plan_.segment);
}

}  // namespace sluice
