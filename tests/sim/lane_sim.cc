#include "tests/sim/lane_sim.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/sim/segment_check.h"

namespace sluice {
namespace {

std::string PeerBytes(SimRing& ring, uint64_t length) {
  std::string bytes(length, '\0');
  for (size_t i = 0; i < length; i += 8) {
    const uint64_t word = ring.Roll(UINT64_MAX);
    std::memcpy(&bytes[i], &word, std::min<size_t>(8, length - i));
  }
  return bytes;
}

}  // namespace

LaneOptions LaneSim::OptionsOf(const LanePlan& plan) const {
  LaneOptions options;
  options.epoch = 1;
  options.segment = plan.segment;
  options.region = plan.region;
  options.geometry.memory_align = plan.device.memory_align;
  options.geometry.offset_align = plan.device.offset_align;
  options.geometry.virt_boundary = plan.device.virt_boundary;
  options.geometry.write_bytes_max = plan.device.write_bytes_max;
  options.geometry.ranges_max = plan.device.ranges_max;
  options.queue = plan.queue;
  return options;
}

void LaneSim::Run(uint64_t seed, const LanePlan& plan) {
  plan_ = plan;
  auto owned_ring = std::make_unique<SimRing>(seed, plan_.faults, plan_.device);
  ring_ = owned_ring.get();
  ring_->queue() = plan_.kernel;
  SimKeeper keeper(*ring_, plan_.segment, plan_.slots);
  keeper_ = &keeper;
  sent_.assign(1, "");
  auto lane = Lane::Open(OptionsOf(plan_), std::move(owned_ring), keeper);
  ASSERT_TRUE(lane.ok()) << lane.status();

  AddTracks(**lane);
  Turn(**lane);

  LaneStatus finished;
  for (const uint8_t track : tracks_) finished.tracks[track] = (*lane)->RemoveTrack(track);
  const TrackStatus last = Sum(finished);
  CheckFinal(last);
  if (ring_->area() != nullptr) CheckArea(**lane);
  for (const std::string& what : ring_->violations()) ADD_FAILURE() << what;
  for (const std::string& what : keeper.mistakes()) ADD_FAILURE() << what;
  Count(last);
}

void LaneSim::AddTracks(Lane& lane) {
  std::vector<TrackOptions> tracks(plan_.tracks);
  for (TrackOptions& track : tracks) {
    track.identity.recording_uid = static_cast<uint64_t>(&track - tracks.data()) + 1;
    track.payload_crc = plan_.payload_crc;
    track.flush_interval = absl::Microseconds(1 + ring_->Roll(5000));
    track.sync_interval = absl::Microseconds(1 + ring_->Roll(10000));
    track.back_pressure = plan_.back_pressure;
    track.lag_limit = plan_.lag_limit;
  }
  AddPeers(tracks);
  tracks_.clear();
  for (const TrackOptions& track : tracks) {
    const auto number = lane.AddTrack(track);
    ASSERT_TRUE(number.ok()) << number.status();
    tracks_.push_back(*number);
  }
}

// All tracks as one.
TrackStatus LaneSim::Sum(const LaneStatus& lane) const {
  TrackStatus sum;
  sum.finished = true;
  for (const uint8_t track : tracks_) {
    const TrackStatus& one = lane.tracks.at(track);
    sum.finished &= one.finished;
    sum.failure.Update(one.failure);
    sum.ledger += one.ledger;
    sum.writer.payload += one.writer.payload;
    sum.writer.durable += one.writer.durable;
    sum.writer.lost += one.writer.lost;
    sum.writer.write_errors += one.writer.write_errors;
    sum.streams_open += one.streams_open;
    sum.streams_opened += one.streams_opened;
    sum.buffer_waits += one.buffer_waits;
    sum.zero_copy += one.zero_copy;
  }
  return sum;
}

// Until the tracks have finished.
void LaneSim::Turn(Lane& lane) {
  bool stopped = false;
  bool finished = false;
  const uint64_t stop_at = plan_.stop_early ? ring_->Roll(400) : UINT64_MAX;
  uint64_t next_crash = ring_->Roll(200);
  stalled_ = plan_.stall_until_received;
  if (stalled_) ring_->StallDisk(absl::InfiniteDuration());
  for (uint64_t turn = 0; !finished; ++turn) {
    Stall(stopped);
    lane.Turn();
    CheckLag(lane.status());
    const TrackStatus now = Sum(lane.status());
    if (turn == 1'000'000u) Hang(now, stopped);
    EXPECT_GE(now.ledger.received, now.ledger.written + now.ledger.dropped());
    // One that has lost its disk has stopped by itself.
    if (!stopped && (turn >= stop_at || EverythingArrived(now) || !now.failure.ok())) {
      stopped = true;
      for (const auto& [track, status] : lane.status().tracks) {
        if (status.failure.ok()) lane.StopTrack(track, plan_.abort);
      }
    }
    if (turn == next_crash) {
      next_crash += 1 + ring_->Roll(400);
      CheckAfterPowerLoss();
      if (::testing::Test::HasFailure()) Hang(now, stopped);
    }
    finished = stopped && now.finished;
  }
  CheckAfterPowerLoss();
}

void LaneSim::Stall(bool stopped) {
  if (stalled_) {
    if (!stopped && !EverythingReceived()) return;
    stalled_ = false;
    ring_->StallDisk(absl::ZeroDuration());
  }
  if (plan_.stalls == 0 || ring_->Roll(plan_.stalls) != 0) return;
  ring_->StallDisk(absl::Nanoseconds(ring_->Roll(absl::ToInt64Nanoseconds(plan_.stall_max))));
}

bool LaneSim::EverythingReceived() const {
  for (int peer = 1; peer < static_cast<int>(sent_.size()); ++peer) {
    if (ring_->Delivered(peer) < MustReach(peer)) return false;
  }
  return true;
}

// What waits is never older than it may be, where the oldest goes.
void LaneSim::CheckLag(const LaneStatus& lane) const {
  if (plan_.back_pressure != BackPressure::kDropOldest) return;
  for (const auto& [number, track] : lane.tracks) {
    EXPECT_LE(track.waiting_lag, plan_.lag_limit);
  }
}

// A lane that hangs, or must be left in the middle, cannot be destroyed either.
void LaneSim::Hang(const TrackStatus& now, bool stopped) const {
  for (const std::string& what : ring_->violations()) std::fprintf(stderr, "%s\n", what.c_str());
  std::fprintf(stderr,
               "the lane is left: stopped %d, %llu streams open, received %llu, written %llu, lost "
               "%llu, durable %llu, waits %llu, write errors %llu, failure '%s'\n",
               stopped, (unsigned long long)now.streams_open,
               (unsigned long long)now.ledger.received, (unsigned long long)now.ledger.written,
               (unsigned long long)now.writer.lost.value,
               (unsigned long long)now.writer.durable.value, (unsigned long long)now.buffer_waits,
               (unsigned long long)now.writer.write_errors, now.failure.ToString().c_str());
  if (const SimArea* area = ring_->area()) {
    std::fprintf(stderr,
                 "%u of %u pages free, %llu completions, %llu returned; receives ended by a full "
                 "queue %llu times, by the area %llu times\n",
                 area->free_pages(), area->pages(), (unsigned long long)area->completions(),
                 (unsigned long long)area->returned(), (unsigned long long)now.zero_copy.queue_full,
                 (unsigned long long)now.zero_copy.area_exhausted);
  }
  std::abort();
}

void LaneSim::AddPeers(std::vector<TrackOptions>& tracks) {
  for (TrackOptions& track : tracks) {
    if (plan_.dial) {
      track.source.source = SocketAddress{4, 9000, 0, {10, 0, 0, 1}};
    } else {
      track.source.listener = ring_->AddListener();
    }
  }
  for (uint32_t i = 0; i < plan_.peers; ++i) {
    sent_.push_back(PeerBytes(*ring_, ring_->Roll(plan_.peer_bytes_max)));
    auto end = ring_->Roll(4) == 0 ? SimRing::PeerEnd::kReset : SimRing::PeerEnd::kClose;
    if (plan_.some_stay && i % 3 == 0) end = SimRing::PeerEnd::kStay;
    const int listener = tracks[i % tracks.size()].source.listener;
    const int peer = plan_.dial ? ring_->AddDialledPeer(sent_.back(), end)
                                : ring_->AddPeer(listener, sent_.back(), end);
    ASSERT_EQ(peer, static_cast<int>(sent_.size()) - 1);
    if (!plan_.routes.empty()) ring_->route(peer) = plan_.routes[i % plan_.routes.size()];
  }
}

bool LaneSim::EverythingArrived(const TrackStatus& now) const {
  return now.streams_opened >= plan_.peers && now.streams_open == 0;
}

// Nothing that was published is lost or altered, whatever happened to the rest.
void LaneSim::CheckAfterPowerLoss() {
  for (const auto& [id, segment] : keeper_->segments()) {
    const std::string image = ring_->CrashImage(segment.file);
    // Whoever finds a footer takes the segment for whole, told so or not.
    SegmentCheck check(image, id, sent_, plan_.has_refusals());
    if (check.HasFooter()) {
      SCOPED_TRACE(absl::StrCat("segment ", static_cast<uint64_t>(id), ", which has a footer"));
      check.WalkFooter();
    }
    if (segment.durable.value == 0) continue;
    CheckSegment(image, id, segment);
  }
}

void LaneSim::CheckSegment(const std::string& image, SegmentId id,
                           const SimKeeper::Published& segment) {
  SCOPED_TRACE(absl::StrCat("segment ", static_cast<uint64_t>(id), segment.sealed ? ", sealed" : "",
                            ", durable to ", segment.durable.value));
  SegmentCheck check(image, id, sent_, plan_.has_refusals());
  if (segment.sealed) {
    check.WalkFooter();
  } else {
    check.WalkTo(segment.durable);
  }
  // An extent that was refused has moved to a later segment, and leaves a hole here.
  for (const auto& [stream, update] : segment.streams) {
    EXPECT_TRUE(check.LiesWithin(stream, update.begin, update.end));
    EXPECT_TRUE(plan_.has_refusals() || check.Covers(stream, update.begin, update.end));
  }
}

// Every delivered byte is in the archive, unless the disk was lost or the segment reused.
void LaneSim::CheckFinal(const TrackStatus& last) {
  uint64_t delivered = 0;
  for (size_t peer = 1; peer < sent_.size(); ++peer) {
    delivered += ring_->Delivered(static_cast<int>(peer));
  }
  EXPECT_EQ(last.ledger.received, delivered);
  EXPECT_EQ(last.ledger.received, last.ledger.zero_copy + last.ledger.copied);
  EXPECT_EQ(last.ledger.received, last.ledger.written + last.ledger.dropped());
  if (!last.failure.ok()) return;
  EXPECT_EQ(last.ledger.dropped(), last.ledger.dropped_policy);
  if (plan_.back_pressure == BackPressure::kLossless) {
    EXPECT_EQ(last.ledger.dropped(), 0u);
  }
  EXPECT_EQ(last.writer.durable, last.writer.payload);
  if (keeper_->reused() == 0) CheckStreams(last);
}

// What the footers list, byte for byte, whichever segment it has ended up in.
void LaneSim::CheckStreams(const TrackStatus& last) {
  std::map<uint64_t, std::map<uint64_t, uint64_t>> by_stream;
  uint64_t dropped = 0;
  std::map<uint64_t, uint16_t> peers;
  std::map<uint16_t, CloseReason> closed;
  for (const auto& [id, segment] : keeper_->segments()) {
    EXPECT_TRUE(segment.sealed || segment.streams.empty());
    for (const auto& [stream, update] : segment.streams) {
      if (update.reason != CloseReason::kNone) closed[update.peer.port] = update.reason;
    }
    if (!segment.sealed) continue;
    SegmentCheck check(ring_->FileBytes(segment.file), id, sent_, plan_.has_refusals());
    check.WalkFooter();
    peers.insert(check.peers().begin(), check.peers().end());
    for (const auto& [stream, gaps] : check.gaps()) {
      for (const auto& [from, to] : gaps) {
        const bool is_first = by_stream[stream].emplace(from, to).second;
        EXPECT_TRUE(is_first) << "the gap at " << from << " is recorded twice, or is no gap";
        dropped += to - from;
        ++counts_.gaps;
      }
    }
    for (const auto& [stream, part] : check.parts()) {
      for (const auto& [from, to] : part) {
        uint64_t& end = by_stream[stream][from];
        end = std::max(end, to);
      }
    }
  }
  EXPECT_EQ(dropped, last.ledger.dropped_policy);
  std::map<uint16_t, std::map<uint64_t, uint64_t>> parts;  // by peer
  for (auto& [stream, part] : by_stream) {
    EXPECT_TRUE(peers.contains(stream)) << "stream " << stream << " is introduced nowhere";
    parts[peers[stream]] = std::move(part);
  }
  for (uint16_t peer = 1; peer < sent_.size(); ++peer) {
    uint64_t reached = 0;
    for (const auto& [from, to] : parts[peer]) {
      EXPECT_EQ(from, reached) << "a hole in peer " << peer << ", or bytes that are there twice";
      reached = std::max(reached, to);
    }
    EXPECT_EQ(reached, ring_->Delivered(peer)) << "peer " << peer;
    if (ring_->Gone(peer)) {
      EXPECT_TRUE(closed.contains(peer)) << "peer " << peer;
    }
    if (!plan_.stop_early) {
      EXPECT_EQ(reached, MustReach(peer)) << "peer " << peer;
    }
    if (!plan_.stop_early && MustReach(peer) < sent_[peer].size()) {
      EXPECT_EQ(closed[peer], CloseReason::kError) << "peer " << peer;
      ++counts_.cut_short;
    }
  }
}

// Where another queue's memory begins, a stream ends if nobody can read that.
uint64_t LaneSim::MustReach(int peer) const {
  const SimRoute& route = ring_->route(peer);
  const uint64_t size = sent_[static_cast<size_t>(peer)].size();
  return route.foreign_is_readable ? size : std::min(size, route.foreign_from);
}

void LaneSim::CheckArea(Lane& lane) {
  // What came back last is in the lane's hands until it turns; then in the refill ring.
  const SimArea& area = *ring_->area();
  for (int turn = 0; turn < 1000 && area.returned() < area.completions(); ++turn) {
    ring_->After(absl::ZeroDuration(), [this] { ring_->Wake(); });
    lane.Turn();
    ring_->TakeRefill();
  }
  EXPECT_EQ(area.returned(), area.completions());
  EXPECT_EQ(area.free_pages(), area.pages());
}

void LaneSim::Count(const TrackStatus& last) {
  counts_.reused += keeper_->reused();
  counts_.failed += last.failure.ok() ? 0 : 1;
  counts_.refused += last.writer.write_errors;
  counts_.waits += last.buffer_waits;
  counts_.zero_copy += last.zero_copy;
  counts_.packed += last.ledger.packed;
  counts_.dropped += last.ledger.dropped_policy;
  const SimArea* area = ring_->area();
  if (area == nullptr) {
    counts_.without_queue += plan_.queue ? 1 : 0;
    return;
  }
  counts_.placed += area->placed_bytes();
  counts_.copied += area->copied_bytes();
}

}  // namespace sluice
