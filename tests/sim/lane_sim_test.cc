// A lane on a simulated network and disk, from one seed: `--seed=N` on the command line runs that
// one, `--seeds=N` the first N of them instead of a few hundred.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "ingest/ring/sim_ring.h"
#include "tests/sim/sim_keeper.h"
#include "writer/extent/crc32c.h"
#include "writer/extent/extent_codec.h"
#include "writer/lane.h"
#include "writer/segment/segment_codec.h"

namespace sluice {
namespace {

std::optional<uint64_t> only_seed;
uint64_t seeds = 400;

absl::Span<const std::byte> Bytes(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

std::string PeerBytes(SimRing& ring, uint64_t length) {
  std::string bytes(length, '\0');
  for (size_t i = 0; i < length; i += 8) {
    const uint64_t word = ring.Roll(UINT64_MAX);
    std::memcpy(&bytes[i], &word, std::min<size_t>(8, length - i));
  }
  return bytes;
}

// What a seed decides.
struct Plan {
  SimFaults faults;
  SimDevice device;
  ByteCount segment = MiB(1);
  uint32_t slots = 24;
  uint32_t peers = 0;
  uint64_t peer_bytes_max = 0;
  bool payload_crc = true;
  bool dial = false;
  bool stop_early = false;
  bool abort = false;

  bool has_refusals() const { return faults.write_error != 0 || faults.write_nothing != 0; }
};

Plan MakePlan(uint64_t seed) {
  std::mt19937_64 dice(seed * 7919);
  const auto roll = [&dice](uint64_t below) { return dice() % below; };
  const auto maybe = [&roll](uint32_t chances) -> uint32_t {
    return roll(2) == 0 ? 0 : 2 + static_cast<uint32_t>(roll(chances));
  };
  Plan plan;
  plan.faults.short_write = maybe(20);
  plan.faults.again = maybe(20);
  plan.faults.end_of_multishot = maybe(10);
  plan.faults.accept_error = maybe(10);
  plan.faults.write_error = roll(4) == 0 ? 20 + static_cast<uint32_t>(roll(200)) : 0;
  plan.faults.write_nothing = roll(16) == 0 ? 50 : 0;
  plan.faults.sync_error = roll(16) == 0 ? 10 : 0;
  constexpr uint32_t kAligns[] = {4, 512, 4096};
  plan.device.memory_align = kAligns[roll(3)];
  plan.device.offset_align = roll(2) == 0 ? 512 : 4096;
  plan.device.virt_boundary = roll(3) == 0 ? 4095 : 0;
  plan.device.write_bytes_max = (256u << 10) << roll(4);
  plan.device.ranges_max = 32 + static_cast<uint32_t>(roll(224));
  plan.peers = 1 + static_cast<uint32_t>(roll(roll(4) == 0 ? 200 : 12));
  plan.peer_bytes_max = 1 + (1u << roll(20));
  plan.slots = 6 + static_cast<uint32_t>(roll(30));
  plan.payload_crc = roll(4) != 0;
  plan.dial = roll(8) == 0;
  plan.stop_early = roll(3) == 0;
  plan.abort = plan.stop_early && roll(3) == 0;
  return plan;
}

// Compares a segment's bytes with what the peers sent. Everything before `durable`, or everything
// that the footer lists, must be whole.
class SegmentCheck {
 public:
  SegmentCheck(const std::string& image, SegmentId id, const std::vector<std::string>& sent,
               bool has_refusals)
      : image_(image), id_(id), sent_(sent), has_refusals_(has_refusals) {}

  void WalkTo(FileOffset durable) {
    FileOffset at{kBlockBytes};
    uint32_t sequence = 0;
    while (at < durable) {
      const std::optional<ExtentIndex> extent = Parse(at);
      if (!extent) return;
      EXPECT_EQ(extent->header.sequence, sequence++);
      at = at + ByteCount{extent->header.extent_bytes};
    }
    EXPECT_EQ(at, durable);
  }

  void WalkFooter() {
    const auto trailer = ParseSegmentTrailer(Bytes(image_).subspan(image_.size() - kBlockBytes),
                                             id_, ByteCount{image_.size()});
    ASSERT_TRUE(trailer.ok()) << trailer.status();
    const auto footer = ParseSegmentFooter(Bytes(image_).subspan(trailer->footer_offset), id_,
                                           ByteCount{image_.size()});
    ASSERT_TRUE(footer.ok()) << footer.status();
    for (const ExtentRecord& extent : footer->extents) Parse({extent.offset});
  }

  // By stream: what this segment holds, begin to end; and whose it is, where the segment says so.
  const std::map<uint64_t, std::map<uint64_t, uint64_t>>& parts() const { return parts_; }
  const std::map<uint64_t, uint16_t>& peers() const { return peers_; }

  // Whether this segment holds nothing of the stream outside of [begin, end).
  bool LiesWithin(StreamId stream, StreamOffset begin, StreamOffset end) const {
    const auto found = parts_.find(static_cast<uint64_t>(stream));
    if (found == parts_.end()) return true;
    for (const auto& [from, to] : found->second) {
      if (from < begin.value || to > end.value) return false;
    }
    return true;
  }

  // Whether this segment holds all of [begin, end) of the stream.
  bool Covers(StreamId stream, StreamOffset begin, StreamOffset end) const {
    const auto found = parts_.find(static_cast<uint64_t>(stream));
    uint64_t reached = begin.value;
    if (found != parts_.end()) {
      for (const auto& [from, to] : found->second) {
        if (from <= reached) reached = std::max(reached, to);
      }
    }
    return reached >= end.value;
  }

 private:
  std::optional<ExtentIndex> Parse(FileOffset at) {
    const auto rest = Bytes(image_).subspan(at.value);
    const auto header = ParseExtentHeader(rest.subspan(0, kBlockBytes));
    if (!header.ok()) {
      ADD_FAILURE() << "extent at " << at.value << ": " << header.status();
      return std::nullopt;
    }
    const auto extent = ParseExtentIndex(at, rest.subspan(0, header->header_bytes));
    if (!extent.ok()) {
      ADD_FAILURE() << "extent at " << at.value << ": " << extent.status();
      return std::nullopt;
    }
    EXPECT_EQ(extent->header.segment_id, static_cast<uint64_t>(id_));
    const Ledger& ledger = extent->header.ledger;
    EXPECT_EQ(ledger.received, ledger.written + ledger.dropped());
    uint32_t crc = 0;
    for (const StreamEvent& event : extent->events) peers_[event.stream_id] = event.peer.port;
    for (const FragmentEntry& fragment : extent->fragments) {
      const auto payload = rest.subspan(fragment.payload_offset, fragment.length);
      crc = ExtendCrc32c(crc, payload);
      CheckFragment(fragment, payload);
    }
    if ((extent->header.flags & kExtentHasPayloadCrc) != 0) {
      EXPECT_EQ(crc, extent->header.payload_crc32c) << "extent at " << at.value;
    }
    return *extent;
  }

  void CheckFragment(const FragmentEntry& fragment, absl::Span<const std::byte> payload) {
    const uint64_t end = fragment.stream_offset + fragment.length;
    auto& part = parts_[fragment.stream_id][fragment.stream_offset];
    part = std::max(part, end);
    const auto peer = peers_.find(fragment.stream_id);
    // After a refused write a segment may lack a stream's introduction.
    EXPECT_TRUE(has_refusals_ || peer != peers_.end()) << "stream " << fragment.stream_id;
    if (peer == peers_.end()) return;
    const std::string& all = sent_.at(peer->second);
    ASSERT_LE(end, all.size());
    EXPECT_EQ(std::memcmp(payload.data(), all.data() + fragment.stream_offset, fragment.length), 0)
        << "peer " << peer->second << " from offset " << fragment.stream_offset;
  }

  const std::string& image_;
  const SegmentId id_;
  const std::vector<std::string>& sent_;
  const bool has_refusals_;                                 // some writes may have been refused
  std::map<uint64_t, uint16_t> peers_;                      // of streams
  std::map<uint64_t, std::map<uint64_t, uint64_t>> parts_;  // of streams: begin to end
};

class LaneSimTest : public ::testing::Test {
 protected:
  void Run(uint64_t seed) {
    SCOPED_TRACE(absl::StrCat("rerun with --test_arg=--seed=", seed));
    plan_ = MakePlan(seed);
    auto owned_ring = std::make_unique<SimRing>(seed, plan_.faults, plan_.device);
    SimRing& ring = *owned_ring;
    SimKeeper keeper(ring, plan_.segment, plan_.slots);
    keeper_ = &keeper;
    ring_ = &ring;
    sent_.assign(1, "");

    LaneOptions options;
    options.epoch = 1;
    options.segment = plan_.segment;
    options.region = MiB(5);
    options.geometry.memory_align = plan_.device.memory_align;
    options.geometry.offset_align = plan_.device.offset_align;
    options.geometry.virt_boundary = plan_.device.virt_boundary;
    options.geometry.write_bytes_max = plan_.device.write_bytes_max;
    options.geometry.ranges_max = plan_.device.ranges_max;
    auto lane = Lane::Open(options, std::move(owned_ring), keeper);
    ASSERT_TRUE(lane.ok()) << lane.status();

    TrackOptions track;
    track.payload_crc = plan_.payload_crc;
    track.flush_interval = absl::Microseconds(1 + ring.Roll(5000));
    track.sync_interval = absl::Microseconds(1 + ring.Roll(10000));
    AddPeers(track);
    const auto number = (*lane)->AddTrack(track);
    ASSERT_TRUE(number.ok()) << number.status();

    bool stopped = false;
    bool finished = false;
    uint64_t stop_at = plan_.stop_early ? ring.Roll(400) : UINT64_MAX;
    uint64_t next_crash = ring.Roll(200);
    for (uint64_t turn = 0; !finished; ++turn) {
      (*lane)->Turn();
      const TrackStatus now = (*lane)->status().tracks.at(*number);
      if (turn == 1'000'000u) Hang(now, stopped);
      EXPECT_GE(now.ledger.received, now.ledger.written + now.ledger.dropped());
      if (!stopped && (turn >= stop_at || EverythingArrived(now))) {
        stopped = true;
        (*lane)->StopTrack(*number, plan_.abort);
      }
      if (turn == next_crash) {
        next_crash += 1 + ring.Roll(400);
        CheckAfterPowerLoss();
        if (HasFailure()) break;
      }
      finished = stopped && now.finished;
      if (!now.failure.ok()) stopped = true;
    }
    CheckAfterPowerLoss();
    const TrackStatus last = (*lane)->RemoveTrack(*number);
    CheckFinal(last);
    for (const std::string& what : ring.violations()) ADD_FAILURE() << what;
    for (const std::string& what : keeper.mistakes()) ADD_FAILURE() << what;
    reused_ += keeper.reused();
    failed_ += last.failure.ok() ? 0 : 1;
    refused_ += last.writer.write_errors;
    waits_ += last.buffer_waits;
  }

  // A lane that hangs cannot be destroyed either.
  void Hang(const TrackStatus& now, bool stopped) {
    std::fprintf(stderr,
                 "the lane hangs: stopped %d, %llu streams open, received %llu, written %llu, lost "
                 "%llu, durable %llu, waits %llu, write errors %llu, failure '%s'\n",
                 stopped, (unsigned long long)now.streams_open,
                 (unsigned long long)now.ledger.received, (unsigned long long)now.ledger.written,
                 (unsigned long long)now.writer.lost.value,
                 (unsigned long long)now.writer.durable.value, (unsigned long long)now.buffer_waits,
                 (unsigned long long)now.writer.write_errors, now.failure.ToString().c_str());
    std::abort();
  }

  void AddPeers(TrackOptions& track) {
    if (plan_.dial) {
      sockaddr_storage unused;
      track.source.source = SocketAddress{4, 9000, 0, {10, 0, 0, 1}};
      track.source.source->ToSockaddr(&unused);
    } else {
      track.source.listener = ring_->AddListener();
    }
    for (uint32_t i = 0; i < plan_.peers; ++i) {
      sent_.push_back(PeerBytes(*ring_, ring_->Roll(plan_.peer_bytes_max)));
      const auto end = ring_->Roll(4) == 0 ? SimRing::PeerEnd::kReset : SimRing::PeerEnd::kClose;
      const int peer = plan_.dial ? ring_->AddDialledPeer(sent_.back(), end)
                                  : ring_->AddPeer(track.source.listener, sent_.back(), end);
      ASSERT_EQ(peer, static_cast<int>(sent_.size()) - 1);
    }
  }

  bool EverythingArrived(const TrackStatus& now) const {
    return now.streams_opened >= plan_.peers && now.streams_open == 0;
  }

  // Nothing that was published is lost or altered, whatever happened to the rest.
  void CheckAfterPowerLoss() {
    for (const auto& [id, segment] : keeper_->segments()) {
      if (segment.durable.value == 0) continue;
      const std::string image = ring_->CrashImage(segment.file);
      CheckSegment(image, id, segment);
    }
  }

  void CheckSegment(const std::string& image, SegmentId id, const SimKeeper::Published& segment) {
    SCOPED_TRACE(absl::StrCat("segment ", static_cast<uint64_t>(id),
                              segment.sealed ? ", sealed" : "", ", durable to ",
                              segment.durable.value));
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
  void CheckFinal(const TrackStatus& last) {
    uint64_t delivered = 0;
    for (size_t peer = 1; peer < sent_.size(); ++peer) {
      delivered += ring_->Delivered(static_cast<int>(peer));
    }
    EXPECT_EQ(last.ledger.received, delivered);
    EXPECT_EQ(last.ledger.received, last.ledger.written + last.ledger.dropped());
    if (!last.failure.ok()) return;
    EXPECT_EQ(last.ledger.dropped(), 0u);
    EXPECT_EQ(last.writer.durable, last.writer.payload);
    if (keeper_->reused() > 0) return;

    // What the footers list, byte for byte, whichever segment it has ended up in.
    std::map<uint64_t, std::map<uint64_t, uint64_t>> by_stream;
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
      for (const auto& [stream, part] : check.parts()) {
        for (const auto& [from, to] : part) {
          uint64_t& end = by_stream[stream][from];
          end = std::max(end, to);
        }
      }
    }
    std::map<uint16_t, std::map<uint64_t, uint64_t>> parts;  // by peer
    for (auto& [stream, part] : by_stream) {
      EXPECT_TRUE(peers.contains(stream)) << "stream " << stream << " is introduced nowhere";
      parts[peers[stream]] = std::move(part);
    }
    for (uint16_t peer = 1; peer < sent_.size(); ++peer) {
      uint64_t reached = 0;
      for (const auto& [from, to] : parts[peer]) {
        EXPECT_LE(from, reached) << "a hole in peer " << peer;
        reached = std::max(reached, to);
      }
      EXPECT_EQ(reached, ring_->Delivered(peer)) << "peer " << peer;
      if (ring_->Gone(peer)) {
        EXPECT_TRUE(closed.contains(peer)) << "peer " << peer;
      }
      if (!plan_.stop_early) {
        EXPECT_EQ(reached, sent_[peer].size());
      }
    }
  }

  Plan plan_;
  SimRing* ring_ = nullptr;
  SimKeeper* keeper_ = nullptr;
  std::vector<std::string> sent_;  // by peer number
  // Over all seeds: what they have provoked.
  uint64_t reused_ = 0, failed_ = 0, refused_ = 0, waits_ = 0;
};

TEST_F(LaneSimTest, NothingDurableIsEverLost) {
  if (only_seed) return Run(*only_seed);
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    Run(seed);
    if (HasFailure()) {
      std::fprintf(stderr, "seed %llu failed\n", static_cast<unsigned long long>(seed));
      return;
    }
  }
  // The seeds must have been where it hurts.
  EXPECT_GT(reused_, 0u);
  EXPECT_GT(failed_, 0u);
  EXPECT_GT(refused_, 0u);
  EXPECT_GT(waits_, 0u);
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    uint64_t number = 0;
    if (absl::ConsumePrefix(&argument, "--seed=") && absl::SimpleAtoi(argument, &number)) {
      sluice::only_seed = number;
    } else if (absl::ConsumePrefix(&argument, "--seeds=") && absl::SimpleAtoi(argument, &number)) {
      sluice::seeds = number;
    } else {
      std::fprintf(stderr, "%s: write --seed=N or --seeds=N\n", argv[i]);
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}
