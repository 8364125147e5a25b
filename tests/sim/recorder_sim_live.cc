// RecorderSim: lanes, peers, and the world that goes on around them.
#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ingest/check.h"
#include "tests/sim/recorder_sim.h"

namespace sluice {
namespace {

constexpr uint64_t kStepsMax = 300'000;  // of a run: more is no progress
constexpr absl::Duration kStepMax = absl::Microseconds(50);

std::string PeerBytes(SimWorld& world, uint64_t length) {
  std::string bytes(length, '\0');
  uint64_t state = world.Roll(UINT64_MAX);
  for (size_t i = 0; i < length; i += 8) {
    state = state * 6364136223846793005 + 1442695040888963407;
    const uint64_t word = state ^ state >> 29;
    std::memcpy(&bytes[i], &word, std::min<size_t>(8, length - i));
  }
  return bytes;
}

SimLies LiesOf(Mutant mutant) {
  SimLies lies;
  lies.sync_does_nothing = mutant == Mutant::kSyncDoesNothing ? 1 : 0;
  lies.write_misplaced = mutant == Mutant::kWriteMisplaced ? 10 : 0;
  lies.write_reported_early = mutant == Mutant::kWriteReportedEarly ? 2 : 0;
  lies.receive_lost = mutant == Mutant::kReceiveLost ? 20 : 0;
  lies.last_block_lost = mutant == Mutant::kFooterLost ? 4 : 0;
  return lies;
}

}  // namespace

// ---- recordings

// Some go on, some are new.
bool RecorderSim::StartRecordings() {
  const auto rows = catalog_->Recordings();
  if (!rows.ok()) return false;
  for (uint32_t i = 0; i < plan_.recordings; ++i) {
    Recording recording;
    if (world_.OneIn(2) && i < rows->size()) {
      recording.row = (*rows)[i];
    } else {
      recording.row.uid = ++last_uid_;
      recording.row.id = absl::StrCat("r", last_uid_);
      recording.row.created = world_.real_time();
    }
    recording.row.source = absl::StrCat("tcp://10.0.0.2:", 9000 + i);
    recording.row.state = RecordingState::kRecording;
    if (plan_.retention) recording.row.retention_class = kClassNames[world_.Roll(3)];
    if (plan_.drops) {
      constexpr BackPressure kPolicies[] = {BackPressure::kDropOldest, BackPressure::kDropNewest,
                                            BackPressure::kLossless};
      recording.back_pressure = kPolicies[world_.Roll(3)];
    }
    expectations_.SetChecksums(recording.row.uid, recording.row.uid % 4 != 0);
    expectations_.OnPuttingRecording(recording.row.uid);
    const absl::Status status = store_->PutRecording(recording.row);
    if (fuse_.blown()) return false;
    if (!status.ok()) return false;
    expectations_.OnPutRecording(recording.row);
    recordings_.push_back(std::move(recording));
  }
  return true;
}

void RecorderSim::OpenLanes() {
  for (uint32_t i = 0; i < plan_.lanes; ++i) {
    LaneOfSim& lane = lanes_.emplace_back();
    auto ring = std::make_unique<SimRing>(world_, disk_, plan_.faults, plan_.device);
    lane.ring = ring.get();
    lane.ring->queue() = plan_.kernel;
    lane.ring->lies() = LiesOf(mutant_);
    LaneOptions options;
    options.id = LaneId{static_cast<uint16_t>(i)};
    options.epoch = archive_.meta().epoch;
    if (mutant_ == Mutant::kEpochNotRaised) options.epoch = 1;
    options.region = plan_.region;
    options.segment = plan_.segment;
    options.geometry.memory_align = plan_.device.memory_align;
    options.geometry.offset_align = plan_.device.offset_align;
    options.geometry.virt_boundary = plan_.device.virt_boundary;
    options.geometry.write_bytes_max = plan_.device.write_bytes_max;
    options.geometry.ranges_max = plan_.device.ranges_max;
    options.queue = plan_.queue;
    auto opened = Lane::Open(options, std::move(ring), *keeper_);
    SLUICE_CHECK(opened.ok());
    lane.lane = *std::move(opened);
    for (size_t r = 0; r < recordings_.size(); ++r) {
      TrackOptions track;
      track.identity.recording = recordings_[r].row.id;
      track.identity.recording_uid = recordings_[r].row.uid;
      track.payload_crc = recordings_[r].row.uid % 4 != 0;
      track.flush_interval = absl::Microseconds(1 + world_.Roll(5000));
      track.sync_interval = absl::Microseconds(1 + world_.Roll(10000));
      track.back_pressure = recordings_[r].back_pressure;
      track.lag_limit = plan_.lag_limit;
      if (plan_.dial) {
        track.source.source = SocketAddress{4, 9000, 0, {10, 0, 0, 1}};
      } else {
        track.source.listener = lane.ring->AddListener();
      }
      AddPeers(lane, recordings_[r], track.source.listener);
      const auto number = lane.lane->AddTrack(track);
      SLUICE_CHECK(number.ok());
      lane.tracks[*number] = r;
    }
  }
}

void RecorderSim::AddPeers(LaneOfSim& lane, Recording& recording, int listener) {
  const uint64_t count = 1 + world_.Roll(plan_.peers_max);
  for (uint64_t i = 0; i < count; ++i) {
    std::string bytes = PeerBytes(world_, world_.Roll(plan_.peer_bytes_max));
    const auto end = world_.OneIn(4) ? SimRing::PeerEnd::kReset : SimRing::PeerEnd::kClose;
    const int peer = plan_.dial ? lane.ring->AddDialledPeer(bytes, end)
                                : lane.ring->AddPeer(listener, bytes, end);
    expectations_.Sent(peer, std::move(bytes));
    ++recording.peers;
  }
}

// ---- the world goes on

void RecorderSim::Live() {
  for (uint64_t step = 0; !journal_.failed() && !fuse_.blown(); ++step, ++counts_.steps) {
    if (step == kStepsMax) return DescribeHang();
    if (Supervise(step)) {
      finished_ = true;
      return;
    }
    if (world_.OneIn(plan_.stalls)) StallADisk();
    if (!Act()) PassTime();
    world_.Pass(absl::Nanoseconds(world_.Roll(absl::ToInt64Nanoseconds(kStepMax))));
    world_.RunTimers();
    fuse_.Tick();
  }
}

void RecorderSim::StallADisk() {
  const uint64_t most = static_cast<uint64_t>(absl::ToInt64Nanoseconds(plan_.stall_max));
  lanes_[world_.Roll(lanes_.size())].ring->StallDisk(absl::Nanoseconds(world_.Roll(most)));
}

void RecorderSim::DescribeHang() {
  journal_.Fail("no end after ", kStepsMax, " steps");
  for (const LaneOfSim& lane : lanes_) {
    for (const auto& [number, track] : lane.lane->status().tracks) {
      journal_.Fail("track ", number, ": finished ", track.finished, ", streams open ",
                    track.streams_open, " of ", track.streams_opened, ", refused ",
                    track.connections_refused, ", received ", track.ledger.received, ", written ",
                    track.ledger.written, ", durable ", track.writer.durable.value, ", lost ",
                    track.writer.lost.value, ", write errors ", track.writer.write_errors, ", ",
                    track.failure.ToString());
    }
  }
}

// One of those who can do something does it.
bool RecorderSim::Act() {
  const size_t actors = 2 * lanes_.size() + 1;
  const size_t first = world_.Roll(actors);
  for (size_t i = 0; i < actors; ++i) {
    const size_t actor = (first + i) % actors;
    if (actor == 2 * lanes_.size()) {
      if (!HasKeeperWork()) continue;
      TurnKeeper();
      return true;
    }
    LaneOfSim& lane = lanes_[actor / 2];
    if (actor % 2 == 0) {
      if (lane.ring->Step()) return true;
    } else if (lane.ring->WakesAt() <= world_.now()) {
      lane.lane->Turn();
      return true;
    }
  }
  return false;
}

void RecorderSim::TurnKeeper() {
  const auto turn = [this] {
    keeper_->Turn(world_.now());
    if (!plan_.retention || fuse_.blown()) return;
    expectations_.book().CheckHolds(store_->retention());
    TidyUp();
    if (!fuse_.blown() && world_.OneIn(plan_.holds)) ChangeHolds();
    if (!fuse_.blown()) expectations_.book().CheckHolds(store_->retention());
  };
  if (catalog_refuses_ == 0 && world_.OneIn(plan_.catalog_error)) {
    journal_.Note("the catalog's disk is full");
    catalog_refuses_ = 1 + world_.Roll(10);
    ++counts_.catalog_refusals;
  }
  if (catalog_refuses_ == 0) {
    turn();
  } else {
    --catalog_refuses_;
    const FullDisk full(archive_.catalog_files());
    turn();
  }
  if (fuse_.blown()) return;
  if (!store_->unpublished()) expectations_.OnCatalogKnows();
}

// Until somebody can do something again.
void RecorderSim::PassTime() {
  absl::Duration next = std::min(world_.next_timer(), keeper_->retry_at());
  if (plan_.retention) {
    const int64_t until = store_->tidy_time().value;
    if (until != kEndOfTime.value) {
      const int64_t left = std::max<int64_t>(until - retention_time().value, 0);
      next = std::min(next, world_.now() + absl::Nanoseconds(left));
    }
  }
  for (const LaneOfSim& lane : lanes_) next = std::min(next, lane.ring->WakesAt());
  if (next == absl::InfiniteDuration()) return journal_.Fail("nothing will ever happen again");
  world_.PassUntil(next);
}

// What the recorder's supervisor does: stops what is over or has failed. True: all have finished.
bool RecorderSim::Supervise(uint64_t step) {
  if (step == stop_at_) StopAll(world_.OneIn(3));
  if (step % 16 == 0) MakeRoom();
  if (step % 16 != 0) return false;
  bool all_finished = true;
  for (Recording& recording : recordings_) recording.opened = recording.open = 0;
  for (LaneOfSim& lane : lanes_) {
    const LaneStatus status = lane.lane->status();
    for (const auto& [number, recording] : lane.tracks) {
      const auto found = status.tracks.find(number);
      if (found == status.tracks.end()) return false;  // not told yet
      const TrackStatus& track = found->second;
      recordings_[recording].failed |= !track.failure.ok();
      recordings_[recording].opened += track.streams_opened;
      recordings_[recording].open += track.streams_open;
      all_finished &= track.finished;
    }
  }
  for (size_t r = 0; r < recordings_.size(); ++r) {
    const Recording& recording = recordings_[r];
    const bool is_over = recording.opened >= recording.peers && recording.open == 0;
    if (recording.failed || is_over) Stop(r, /*abort=*/recording.failed);
  }
  return all_finished;
}

void RecorderSim::Stop(size_t recording, bool abort) {
  if (std::exchange(recordings_[recording].stopping, true)) return;
  journal_.Note(abort ? "stops " : "drains ", recordings_[recording].row.id);
  for (LaneOfSim& lane : lanes_) {
    for (const auto& [number, of] : lane.tracks) {
      if (of == recording) lane.lane->StopTrack(number, abort);
    }
  }
}

void RecorderSim::StopAll(bool abort) {
  for (size_t r = 0; r < recordings_.size(); ++r) Stop(r, abort);
}

}  // namespace sluice
