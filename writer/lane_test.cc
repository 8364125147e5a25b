#include "writer/lane.h"

#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ingest/ring/sim_ring.h"
#include "writer/segment/segment_codec.h"

namespace sluice {
namespace {

LaneOptions Options() {
  LaneOptions options;
  options.epoch = 1;
  options.segment = MiB(64);
  return options;
}

// ---- PlanLane

// What every plan promises.
void ExpectSound(const LaneOptions& options, const LaneSizes& sizes, bool huge_pages) {
  SCOPED_TRACE(absl::StrCat("write ", options.geometry.write_bytes_max, ", ranges ",
                            options.geometry.ranges_max, ", segment ", options.segment.value >> 10,
                            " KiB, region ", options.region.value >> 10, " KiB, huge ",
                            huge_pages));
  const ExtentBuilderOptions& extent = sizes.extent;
  // One extent is one write of the device's: in bytes, and in ranges with header, tail and pad.
  // What takes less than this is served too, with writes that are split.
  EXPECT_LE(extent.extent_bytes_max, std::max(options.geometry.write_bytes_max, KiB(128).value));
  EXPECT_LE(extent.ranges_max + 3, std::max(options.geometry.ranges_max, 11u));
  if (!huge_pages) {
    EXPECT_LE(extent.extent_bytes_max,
              std::max(uint64_t{options.geometry.ranges_max} * 4096, KiB(128).value));
  }
  // Any mix of entries fits into a header, and with it a whole chunk that begins in mid-block.
  const uint64_t header =
      RoundUp(sizeof(ExtentHeader) + extent.entries_max * sizeof(StreamEvent), kBlockBytes);
  EXPECT_LE(header, kExtentHeaderMax.value);
  EXPECT_GE(extent.extent_bytes_max, header + sizes.chunk.value + kBlockBytes);
  EXPECT_GE(extent.entries_max, 2u);
  // A fresh segment takes an extent of any size, and the footer after it.
  EXPECT_LE(kBlockBytes + extent.extent_bytes_max + FooterBytes(1, extent.entries_max),
            options.segment.value);
  // The parts lie inside the region, side by side.
  EXPECT_GE(sizes.slab, ExtentSlab::SizeFor(sizes.slots));
  EXPECT_EQ(sizes.slab.value % kBlockBytes, 0u);
  EXPECT_EQ(sizes.chunk.value % kBlockBytes, 0u);
  EXPECT_LE(sizes.slab + sizes.chunk * sizes.chunks, options.region);
  EXPECT_GE(sizes.chunks, 8u);
  EXPECT_GE(sizes.tracks_max, 1u);
  EXPECT_LE(sizes.tracks_max, sizes.chunks / 2);
  EXPECT_LE(sizes.tracks_max, 255u);
  EXPECT_EQ(kBlockBytes % extent.align, 0u);
  EXPECT_EQ(extent.align % options.geometry.memory_align, 0u);
  if (options.geometry.virt_boundary != 0) {
    EXPECT_EQ(extent.align % (options.geometry.virt_boundary + 1), 0u);
  }
}

TEST(PlanLaneTest, PlansAreSoundForAnyDisk) {
  uint64_t planned = 0;
  for (const bool huge_pages : {false, true}) {
    for (uint64_t write = KiB(4).value; write <= MiB(8).value; write *= 2) {
      for (const uint32_t ranges : {1u, 4u, 16u, 17u, 32u, 127u, 128u, 256u, 1024u}) {
        for (const ByteCount segment : {MiB(1), MiB(4), MiB(64), GiB(1)}) {
          for (const ByteCount region : {MiB(4), MiB(5), MiB(13), MiB(64), GiB(4)}) {
            LaneOptions options = Options();
            options.segment = segment;
            options.region = region;
            options.geometry.write_bytes_max = write;
            options.geometry.ranges_max = ranges;
            const auto sizes = PlanLane(options, huge_pages);
            if (!sizes.ok()) {
              EXPECT_TRUE(absl::IsInvalidArgument(sizes.status()) ||
                          absl::IsFailedPrecondition(sizes.status()))
                  << sizes.status();
              continue;
            }
            ++planned;
            ExpectSound(options, *sizes, huge_pages);
            if (::testing::Test::HasFailure()) return;
          }
        }
      }
    }
  }
  EXPECT_GT(planned, 1000u);
}

// What real disks say of themselves gets a plan.
TEST(PlanLaneTest, CommonDisksAreServed) {
  for (const uint64_t write_kib : {128, 256, 512, 1024, 1280, 4096}) {
    for (const uint32_t ranges : {33u, 64u, 126u, 128u, 168u, 254u, 256u}) {
      for (const bool huge_pages : {false, true}) {
        LaneOptions options = Options();
        options.geometry.write_bytes_max = KiB(write_kib).value;
        options.geometry.ranges_max = ranges;
        const auto sizes = PlanLane(options, huge_pages);
        ASSERT_TRUE(sizes.ok()) << sizes.status() << ", " << write_kib << " KiB, " << ranges;
        ExpectSound(options, *sizes, huge_pages);
        EXPECT_LE(sizes->extent.extent_bytes_max, options.geometry.write_bytes_max);
        EXPECT_LE(sizes->extent.ranges_max + 3, options.geometry.ranges_max);
      }
    }
  }
}

TEST(PlanLaneTest, AlignsAsTheDiskWants) {
  for (const uint32_t memory : {4u, 512u, 4096u}) {
    for (const uint64_t boundary : {0u, 511u, 4095u}) {
      LaneOptions options = Options();
      options.geometry.memory_align = memory;
      options.geometry.virt_boundary = boundary;
      const auto sizes = PlanLane(options, true);
      ASSERT_TRUE(sizes.ok()) << sizes.status();
      EXPECT_EQ(sizes->extent.align, std::max<uint64_t>(memory, boundary == 0 ? 1 : boundary + 1));
      ExpectSound(options, *sizes, true);
    }
  }
}

TEST(PlanLaneTest, AnAlignmentBeyondABlockIsRefused) {
  for (int what = 0; what < 3; ++what) {
    LaneOptions options = Options();
    options.geometry.device = "md7";
    if (what == 0) options.geometry.memory_align = 8192;
    if (what == 1) options.geometry.offset_align = 8192;
    if (what == 2) options.geometry.virt_boundary = 8191;
    const auto sizes = PlanLane(options, true);
    ASSERT_EQ(sizes.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_TRUE(absl::StrContains(sizes.status().message(), "md7")) << sizes.status();
    EXPECT_TRUE(absl::StrContains(sizes.status().message(), "8192")) << sizes.status();
  }
}

// The number in the message is one that works.
TEST(PlanLaneTest, ARegionThatIsTooSmallIsToldWhatWouldDo) {
  for (const ByteCount write : {KiB(128), KiB(256), KiB(512), MiB(1), MiB(2)}) {
    for (const bool huge_pages : {false, true}) {
      LaneOptions options = Options();
      options.geometry.write_bytes_max = write.value;
      options.region = KiB(2000);
      const auto refused = PlanLane(options, huge_pages);
      ASSERT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
      const std::string message(refused.status().message());
      EXPECT_TRUE(absl::StrContains(message, "2000 KiB is too small")) << message;
      const size_t at = message.find("at least ");
      ASSERT_NE(at, std::string::npos) << message;
      options.region = MiB(std::stoull(message.substr(at + 9)));
      EXPECT_TRUE(PlanLane(options, huge_pages).ok()) << message;
      options.region = options.region - MiB(1);
      EXPECT_FALSE(PlanLane(options, huge_pages).ok()) << message;
    }
  }
}

TEST(PlanLaneTest, MoreRegionIsMoreTracks) {
  uint32_t before = 0;
  for (const ByteCount region : {MiB(16), MiB(64), MiB(256), GiB(1), GiB(16)}) {
    LaneOptions options = Options();
    options.region = region;
    const auto sizes = PlanLane(options, true);
    ASSERT_TRUE(sizes.ok()) << sizes.status();
    EXPECT_GE(sizes->tracks_max, before);
    before = sizes->tracks_max;
  }
  EXPECT_EQ(before, 255u);
}

// ---- lanes

class MemoryKeeper final : public SegmentKeeper {
 public:
  MemoryKeeper(SimRing& ring, ByteCount segment) : ring_(&ring), segment_(segment) {}

  void RequestSegment(const TrackIdentity& track, Ready ready) override {
    ++requests;
    ring_->After(absl::Milliseconds(1), [this, name = track.recording, ready = std::move(ready)] {
      if (exhausted) return ready(absl::ResourceExhaustedError("every segment is in use"));
      const SegmentId id{files.size() + 1};
      files[id] = ring_->AddFile(segment_.value);
      owners[id] = name;
      ready(SegmentLoan{id, files[id], segment_});
    });
  }
  void ReturnSegment(SegmentId id) override { owners.erase(id); }
  void Publish(SegmentUpdate update) override {
    EXPECT_EQ(owners.at(update.segment), update.track.recording);
    ledgers[update.track.recording] = update.ledger;
    for (const StreamUpdate& stream : update.streams) {
      streams[update.track.recording][stream.peer.port] = stream;
    }
  }

  bool exhausted = false;
  uint64_t requests = 0;
  std::map<SegmentId, int> files;
  std::map<SegmentId, std::string> owners;
  std::map<std::string, std::map<uint16_t, StreamUpdate>> streams;  // by recording and peer
  std::map<std::string, Ledger> ledgers;                            // the last of each recording

 private:
  SimRing* ring_;
  const ByteCount segment_;
};

class LaneTest : public ::testing::Test {
 protected:
  void OpenLane(uint64_t seed, ByteCount region) {
    lane_.reset();
    auto ring = std::make_unique<SimRing>(seed, SimFaults{}, SimDevice{.memory_align = 512});
    ring_ = ring.get();
    keeper_ = std::make_unique<MemoryKeeper>(*ring_, MiB(1));
    LaneOptions options = Options();
    options.segment = MiB(1);
    options.region = region;
    options.geometry.write_bytes_max = MiB(1).value;
    auto lane = Lane::Open(options, std::move(ring), *keeper_);
    ASSERT_TRUE(lane.ok()) << lane.status();
    lane_ = *std::move(lane);
  }
  TrackOptions Track(const std::string& name) {
    TrackOptions track;
    track.identity.recording = name;
    track.source.listener = ring_->AddListener();
    track.flush_interval = absl::Milliseconds(2);
    track.sync_interval = absl::Milliseconds(5);
    return track;
  }
  TrackStatus StatusOf(uint8_t number) { return lane_->status().tracks.at(number); }
  template <class Done>
  bool RunUntil(Done done) {
    for (int turn = 0; turn < 100'000; ++turn) {
      lane_->Turn();
      if (done()) return true;
    }
    return false;
  }
  // Stops it, and waits until it may be removed.
  TrackStatus Finish(uint8_t number) {
    lane_->StopTrack(number, /*abort=*/false);
    EXPECT_TRUE(RunUntil([&] {
      const auto tracks = lane_->status().tracks;
      return tracks.contains(number) && tracks.at(number).finished;
    }));
    return lane_->RemoveTrack(number);
  }

  SimRing* ring_ = nullptr;
  std::unique_ptr<MemoryKeeper> keeper_;
  std::unique_ptr<Lane> lane_;
};

TEST_F(LaneTest, TwoTracksKeepTheirStreamsApart) {
  for (uint64_t seed = 1; seed <= 30 && !HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    ASSERT_NO_FATAL_FAILURE(OpenLane(seed, MiB(8)));
    std::map<uint16_t, size_t> lengths[2];
    uint8_t numbers[2];
    for (int i = 0; i < 2; ++i) {
      TrackOptions track = Track(i == 0 ? "left" : "right");
      for (int peer = 0; peer < 4; ++peer) {
        const size_t length = ring_->Roll(300'000);
        const int number = ring_->AddPeer(track.source.listener, std::string(length, 'x'));
        lengths[i][static_cast<uint16_t>(number)] = length;
      }
      const auto added = lane_->AddTrack(track);
      ASSERT_TRUE(added.ok()) << added.status();
      numbers[i] = *added;
    }
    EXPECT_NE(numbers[0], numbers[1]);
    ASSERT_TRUE(RunUntil([&] {
      for (const uint8_t number : numbers) {
        const auto tracks = lane_->status().tracks;
        if (!tracks.contains(number)) return false;
        if (tracks.at(number).streams_opened < 4 || tracks.at(number).streams_open > 0) {
          return false;
        }
      }
      return true;
    }));
    for (int i = 0; i < 2; ++i) {
      const TrackStatus last = Finish(numbers[i]);
      uint64_t sum = 0;
      for (const auto& [peer, length] : lengths[i]) {
        sum += length;
        const auto& streams = keeper_->streams[i == 0 ? "left" : "right"];
        ASSERT_TRUE(streams.contains(peer)) << "peer " << peer;
        EXPECT_EQ(streams.at(peer).end.value, length);
        EXPECT_EQ(streams.at(peer).reason, CloseReason::kEndOfStream);
      }
      EXPECT_EQ(last.ledger.received, sum);
      EXPECT_EQ(last.ledger.written, sum);
      EXPECT_EQ(last.ledger.copied, sum);
      EXPECT_EQ(last.writer.durable.value, sum);
      EXPECT_EQ(last.writer.streams_closed, 4u);
    }
    EXPECT_TRUE(ring_->violations().empty());
  }
}

// The one that stops does not disturb the one that goes on, and its number is given again.
TEST_F(LaneTest, TracksComeAndGo) {
  ASSERT_NO_FATAL_FAILURE(OpenLane(1, MiB(8)));
  const TrackOptions stays = Track("stays");
  const auto first = lane_->AddTrack(stays);
  ASSERT_TRUE(first.ok());
  ring_->AddPeer(stays.source.listener, std::string(1000, 'x'), SimRing::PeerEnd::kStay);
  for (int i = 0; i < 5; ++i) {
    const TrackOptions goes = Track(absl::StrCat("goes", i));
    ring_->AddPeer(goes.source.listener, std::string(50'000, 'y'), SimRing::PeerEnd::kStay);
    const auto second = lane_->AddTrack(goes);
    ASSERT_TRUE(second.ok());
    EXPECT_EQ(*second, 1);
    ASSERT_TRUE(RunUntil([&] {
      const auto tracks = lane_->status().tracks;
      return tracks.contains(*second) && tracks.at(*second).ledger.received == 50'000;
    }));
    const TrackStatus last = Finish(*second);
    EXPECT_EQ(last.writer.durable.value, 50'000u);
    EXPECT_EQ(keeper_->streams[goes.identity.recording].begin()->second.reason,
              CloseReason::kStopped);
  }
  EXPECT_EQ(StatusOf(*first).streams_open, 1u);
  EXPECT_EQ(Finish(*first).writer.durable.value, 1000u);
}

TEST_F(LaneTest, ARecordingThatComesBackGoesOnCounting) {
  ASSERT_NO_FATAL_FAILURE(OpenLane(1, MiB(8)));
  for (uint64_t round = 1; round <= 3; ++round) {
    const TrackOptions track = Track("again");
    ring_->AddPeer(track.source.listener, std::string(1000, 'x'), SimRing::PeerEnd::kStay);
    const auto number = lane_->AddTrack(track);
    ASSERT_TRUE(number.ok());
    ASSERT_TRUE(RunUntil([&] {
      const auto tracks = lane_->status().tracks;
      return tracks.contains(*number) && tracks.at(*number).ledger.received == 1000;
    }));
    EXPECT_EQ(Finish(*number).ledger.received, 1000u);                            // of this time
    EXPECT_EQ(keeper_->ledgers[track.identity.recording].written, round * 1000);  // of all
  }
}

TEST_F(LaneTest, TakesAsManyTracksAsItsRegionServes) {
  LaneOptions options = Options();
  options.segment = MiB(1);
  options.region = MiB(8);
  const auto sizes = PlanLane(options, false);
  ASSERT_TRUE(sizes.ok());
  ASSERT_NO_FATAL_FAILURE(OpenLane(1, MiB(8)));
  std::vector<uint8_t> numbers;
  absl::Status refused;
  while (refused.ok()) {
    const TrackOptions track = Track("some");
    const auto number = lane_->AddTrack(track);
    if (number.ok()) {
      numbers.push_back(*number);
    } else {
      refused = number.status();
      ring_->CloseSocket(track.source.listener);  // it is still ours
    }
    ASSERT_LE(numbers.size(), sizes->tracks_max);
  }
  EXPECT_EQ(numbers.size(), sizes->tracks_max);
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_TRUE(absl::StrContains(refused.message(), absl::StrCat(sizes->tracks_max, " recordings")))
      << refused;
  Finish(numbers.back());
  numbers.pop_back();
  const auto again = lane_->AddTrack(Track("another"));
  ASSERT_TRUE(again.ok()) << again.status();
  numbers.push_back(*again);
  for (const uint8_t number : numbers) Finish(number);
}

TEST_F(LaneTest, MailRunsOnTheLanesThreadAtItsNextTurn) {
  ASSERT_NO_FATAL_FAILURE(OpenLane(1, MiB(8)));
  int ran = 0;
  lane_->Post([&](Lane& lane) {
    EXPECT_EQ(&lane, lane_.get());
    ++ran;
    lane.Post([&](Lane&) { ++ran; });  // mail from mail
  });
  EXPECT_EQ(ran, 0);
  lane_->Turn();
  EXPECT_EQ(ran, 1);
  lane_->Turn();
  EXPECT_EQ(ran, 2);
}

// A lane that can do nothing sleeps, whatever it is that it waits for.
TEST_F(LaneTest, SleepsWhenThereIsNothingToDo) {
  ASSERT_NO_FATAL_FAILURE(OpenLane(1, MiB(8)));
  const TrackOptions track = Track("some");
  const auto number = lane_->AddTrack(track);
  ASSERT_TRUE(number.ok());
  ring_->AddPeer(track.source.listener, "", SimRing::PeerEnd::kStay);
  const absl::Duration start = ring_->Monotonic();
  int turns = 0;
  for (; ring_->Monotonic() - start < absl::Seconds(30); ++turns) lane_->Turn();
  EXPECT_LT(turns, 100);
  Finish(*number);
}

// No segment is to be had: all slots are taken, and what was received waits. So does the lane.
TEST_F(LaneTest, SleepsWhileEverySegmentIsInUse) {
  ASSERT_NO_FATAL_FAILURE(OpenLane(1, MiB(8)));
  keeper_->exhausted = true;
  const TrackOptions track = Track("some");
  const auto number = lane_->AddTrack(track);
  ASSERT_TRUE(number.ok());
  // Little by little, so that the slots are used up by extents that were flushed.
  for (int i = 0; i < 60; ++i) {
    ring_->After(absl::Milliseconds(100) * i,
                 [this, &track] { ring_->AddPeer(track.source.listener, std::string(100, 'x')); });
  }
  while (ring_->Monotonic() < absl::Seconds(10)) lane_->Turn();
  EXPECT_EQ(StatusOf(*number).ledger.received, 6000u);
  EXPECT_EQ(StatusOf(*number).ledger.written, 0u);
  const uint64_t requests = keeper_->requests;
  int turns = 0;
  for (; ring_->Monotonic() < absl::Seconds(40); ++turns) lane_->Turn();
  EXPECT_LT(turns, 1000);
  EXPECT_LE(keeper_->requests - requests, 301u);
  EXPECT_TRUE(absl::IsResourceExhausted(StatusOf(*number).waiting));
  keeper_->exhausted = false;
  EXPECT_EQ(Finish(*number).writer.durable.value, 6000u);
}

// A stop waits, like everybody, but need not wait for ever.
TEST_F(LaneTest, AStopEndsThoughNoSegmentIsToBeHad) {
  ASSERT_NO_FATAL_FAILURE(OpenLane(1, MiB(8)));
  keeper_->exhausted = true;
  const TrackOptions track = Track("some");
  const auto number = lane_->AddTrack(track);
  ASSERT_TRUE(number.ok());
  ring_->AddPeer(track.source.listener, std::string(300'000, 'x'), SimRing::PeerEnd::kStay);
  ring_->AddPeer(track.source.listener, std::string(50'000, 'x'));
  ASSERT_TRUE(RunUntil([&] { return StatusOf(*number).ledger.received == 350'000u; }));
  lane_->StopTrack(*number, /*abort=*/false);
  while (ring_->Monotonic() < absl::Seconds(10)) lane_->Turn();
  EXPECT_FALSE(StatusOf(*number).finished);
  EXPECT_TRUE(StatusOf(*number).failure.ok());
  lane_->StopTrack(*number, /*abort=*/true);
  ASSERT_TRUE(RunUntil([&] { return StatusOf(*number).finished; }));
  const TrackStatus last = lane_->RemoveTrack(*number);
  EXPECT_TRUE(absl::StrContains(last.failure.message(), "every segment is in use"));
  EXPECT_EQ(last.ledger.received, 350'000u);
  EXPECT_EQ(last.ledger.dropped_disk, 350'000u);
}

TEST_F(LaneTest, SaysWhatItHas) {
  ASSERT_NO_FATAL_FAILURE(OpenLane(1, MiB(8)));
  const LaneStatus status = lane_->status();
  EXPECT_EQ(status.region, MiB(8));
  EXPECT_TRUE(status.registered);
  EXPECT_EQ(status.warning, "");
  EXPECT_TRUE(status.tracks.empty());
}

TEST(LaneOpenTest, ARegionTooSmallIsRefused) {
  SimRing other(1);
  MemoryKeeper keeper(other, MiB(1));
  LaneOptions options = Options();
  options.region = MiB(1);
  const auto lane = Lane::Open(options, std::make_unique<SimRing>(1), keeper);
  EXPECT_EQ(lane.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
