#include "writer/lane.h"

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "ingest/check.h"
#include "ingest/status_macros.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

constexpr uint32_t kSlots = 32;
// A lane with a NIC queue packs fragments that are too small for the device's alignment.
constexpr ByteCount kPackOfQueue = KiB(132);
constexpr uint32_t kChunksBesideQueue = 8;  // for connections that the queue does not carry
constexpr ByteCount kQueueAreaMin = KiB(64);
constexpr ByteCount kChunkMax = MiB(1);
constexpr ByteCount kChunkMin = KiB(64);
// Disks that take less in one write have it split by the block layer: slower, but not wrong.
constexpr uint64_t kWriteMin = KiB(128).value;
// Status is published before a sleep, and while there is no time to sleep this often.
constexpr absl::Duration kSleepMax = absl::Seconds(1);
constexpr absl::Duration kStatusInterval = absl::Milliseconds(20);

// Entries of which any mix of fragments and events fits into a header.
constexpr uint64_t EntriesIn(uint64_t header) {
  return (header - sizeof(ExtentHeader)) / sizeof(StreamEvent);
}

}  // namespace

absl::StatusOr<LaneSizes> PlanLane(const LaneOptions& options, bool huge_pages) {
  LaneSizes sizes;
  sizes.slots = kSlots;
  sizes.pack = options.queue ? kPackOfQueue : ByteCount{kBlockBytes};
  sizes.slab = {RoundUp(ExtentSlab::SizeFor(kSlots, sizes.pack).value, 2 << 20)};

  // One extent is one write: header, one chunk, the first block of the next, a pad.
  const DiskGeometry& disk = options.geometry;
  uint64_t write_max = disk.write_bytes_max;
  if (!huge_pages) write_max = std::min<uint64_t>(write_max, uint64_t{disk.ranges_max} * 4096);
  write_max = std::max(write_max, kWriteMin);
  const uint64_t header = std::min(kExtentHeaderMax.value, RoundDown(write_max / 4, kBlockBytes));
  const uint64_t overhead = header + 2 * kBlockBytes;
  sizes.chunk = kChunkMax;
  while (sizes.chunk > kChunkMin && (sizes.chunk.value + overhead > write_max ||
                                     sizes.chunk.value * 8 > options.segment.value)) {
    sizes.chunk.value /= 2;
  }
  sizes.extent.extent_bytes_max = sizes.chunk.value + overhead;
  // Ranges are payload, but for the header, a packed tail and a pad. The queue's pages lie
  // anywhere, so each is a range of its own; the chunks' fragments are few and long.
  const uint32_t header_ranges = huge_pages ? 1 : static_cast<uint32_t>(header / 4096);
  const uint32_t ranges = std::max<uint32_t>(disk.ranges_max, header_ranges + 11);
  sizes.extent.ranges_max = options.queue ? std::min<uint32_t>(ranges - header_ranges - 3, 512)
                                          : std::clamp<uint32_t>(disk.ranges_max / 2, 8, 64);
  sizes.extent.pack_bytes = options.queue ? sizes.pack.value - kBlockBytes : 0;
  // Neither a header nor a segment's footer is outgrown.
  sizes.extent.entries_max = static_cast<uint32_t>(
      std::min<uint64_t>(EntriesIn(header), options.segment.value / 16 / sizeof(StreamRecord)));
  sizes.extent.align = std::max<uint32_t>(
      disk.memory_align,
      disk.virt_boundary == 0 ? 1 : static_cast<uint32_t>(disk.virt_boundary + 1));
  if (sizes.extent.align > kBlockBytes || disk.offset_align > kBlockBytes) {
    return absl::FailedPreconditionError(
        absl::StrCat("device ", disk.device, " wants writes aligned to ",
                     std::max(sizes.extent.align, disk.offset_align),
                     " bytes; Sluice aligns to 4096: put the archive on another device"));
  }

  const uint64_t queue_min = options.queue ? kQueueAreaMin.value : 0;
  const uint64_t needed = sizes.slab.value + sizes.chunk.value * 8 + queue_min;
  if (options.region.value < needed) {
    return absl::InvalidArgumentError(
        absl::StrCat("a region of ", options.region.value >> 10, " KiB is too small: at least ",
                     RoundUp(needed, 1 << 20) >> 20, " MiB are needed for this disk"));
  }
  const uint64_t area = (options.region - sizes.slab).value;
  sizes.chunks = static_cast<uint32_t>(area / sizes.chunk.value);
  if (options.queue) {
    sizes.chunks = kChunksBesideQueue;
    const uint64_t left = area - sizes.chunks * sizes.chunk.value;
    const uint64_t wanted = options.queue->area.value == 0 ? left : options.queue->area.value;
    if (wanted > left || wanted < kQueueAreaMin.value) {
      return absl::InvalidArgumentError(
          absl::StrCat("an area of ", wanted >> 10, " KiB for zero-copy receive is not between ",
                       kQueueAreaMin.value >> 10, " KiB and the ", left >> 10,
                       " KiB that the region has left for it"));
    }
    sizes.queue_area = {RoundDown(wanted, InterfaceQueue::kPage.value)};
  }
  sizes.tracks_max = std::min<uint32_t>(sizes.chunks / 8, UINT8_MAX);
  // The queue's pages are for all: a track needs a chunk only for what the queue does not carry.
  if (options.queue) sizes.tracks_max = kChunksBesideQueue / 2;
  return sizes;
}

absl::StatusOr<std::unique_ptr<Lane>> Lane::Open(const LaneOptions& asked,
                                                 std::unique_ptr<Ring> ring,
                                                 SegmentKeeper& keeper) {
  LaneOptions options = asked;
  std::unique_ptr<InterfaceQueue> queue;
  std::string why_copying;
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(LaneSizes sizes, PlanLane(options, /*huge_pages=*/true));
    SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Region> region,
                            Region::Map(sizes.slab, options.region - sizes.slab));
    if (!region->huge_pages()) {
      SLUICE_ASSIGN_OR_RETURN(sizes, PlanLane(options, /*huge_pages=*/false));
    }
    if (options.queue) {
      absl::StatusOr<std::unique_ptr<InterfaceQueue>> opened =
          InterfaceQueue::Open(*ring, *region,
                               {.interface = options.queue->interface,
                                .queue = options.queue->queue,
                                .napi = options.queue->napi,
                                .area_begin = region->area_begin() + sizes.chunk * sizes.chunks,
                                .area = sizes.queue_area});
      if (!opened.ok()) {
        // A name that is wrong is nobody's wish.
        if (options.queue->required || absl::IsNotFound(opened.status())) return opened.status();
        why_copying = std::string(opened.status().message());
        options.queue.reset();
        continue;  // with all of the region for copying
      }
      queue = *std::move(opened);
    }
    const absl::Status registered = ring->RegisterMemory(region->memory());
    std::unique_ptr<Lane> lane = absl::WrapUnique(
        new Lane(options, sizes, std::move(ring), std::move(region), std::move(queue), keeper));
    lane->status_.registered = registered.ok();
    if (!registered.ok()) lane->status_.warning = std::string(registered.message());
    lane->status_.queue = options.queue;
    lane->status_.why_copying = std::move(why_copying);
    return lane;
  }
}

Lane::Lane(const LaneOptions& options, const LaneSizes& sizes, std::unique_ptr<Ring> ring,
           std::unique_ptr<Region> region, std::unique_ptr<InterfaceQueue> queue,
           SegmentKeeper& keeper)
    : options_(options),
      sizes_(sizes),
      region_(std::move(region)),
      ring_(std::move(ring)),
      chunks_(region_->area_begin(), sizes.chunk, sizes.chunks),
      queue_(std::move(queue)),
      slab_(*region_, sizes.slots, sizes.pack),
      keeper_(&keeper) {
  status_.region = {region_->memory().size()};
  status_.huge_pages = region_->huge_pages();
}

Lane::~Lane() { SLUICE_CHECK(tracks_.empty()); }

absl::StatusOr<uint8_t> Lane::AddTrack(const TrackOptions& options) {
  if (tracks_.size() >= sizes_.tracks_max) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "a lane with a region of ", options_.region.value >> 20, " MiB serves at most ",
        sizes_.tracks_max, " recordings: stop one, or choose a larger region"));
  }
  uint8_t number = 0;
  while (tracks_.contains(number)) ++number;
  const LaneParts parts{
      .ring = ring_.get(),
      .region = region_.get(),
      .chunks = &chunks_,
      .queue = queue_.get(),
      .slab = &slab_,
      .keeper = keeper_,
      .segment = options_.segment,
      .extent = sizes_.extent,
      .next_stream =
          [this] {
            return MakeStreamId(
                {options_.epoch, static_cast<uint8_t>(options_.id), ++streams_named_});
          },
  };
  // The keeper answers on its own thread. A track is there until it has its answer.
  auto on_segment_ready = [this, number](absl::StatusOr<SegmentLoan> loan) {
    Post([number, loan = std::move(loan)](Lane& lane) {
      lane.tracks_.at(number)->OnSegmentReady(loan);
    });
  };
  TrackOptions own = options;
  own.identity.lane = options_.id;
  own.ledger = ledgers_[own.identity.recording_uid];
  auto track = std::make_unique<Track>(number, parts, own, std::move(on_segment_ready));
  SLUICE_RETURN_IF_ERROR(track->Open());
  tracks_.emplace(number, std::move(track));
  wait_ = absl::ZeroDuration();
  return number;
}

void Lane::StopTrack(uint8_t track, bool abort) {
  tracks_.at(track)->Stop(abort);
  wait_ = absl::ZeroDuration();
}

void Lane::AdoptConnection(uint8_t track, uint64_t recording_uid, int socket) {
  const auto found = tracks_.find(track);
  if (found == tracks_.end() || found->second->identity().recording_uid != recording_uid) {
    return ring_->CloseSocket(socket);
  }
  found->second->Adopt(socket);
  wait_ = absl::ZeroDuration();
}

TrackStatus Lane::RemoveTrack(uint8_t track) {
  const auto found = tracks_.find(track);
  SLUICE_CHECK(found != tracks_.end() && found->second->finished());
  TrackStatus last = found->second->status(ring_->Monotonic());
  ledgers_[found->second->identity().recording_uid] = found->second->ledger();
  tracks_.erase(found);
  // The number may be given to another track, which must not be taken for this one.
  const std::lock_guard lock(status_mutex_);
  status_.tracks.erase(track);
  return last;
}

void Lane::Turn() {
  DrainMailbox();
  ring_->SubmitAndWait(wait_);
  const std::span<const Completion> completions = ring_->Harvest();
  const absl::Duration now = ring_->Monotonic();
  const UnixNanos wall = ring_->RealTime();
  if (queue_) queue_->OnHarvest();
  for (const Completion& done : completions) {
    if (done.tag.kind == OpKind::kQueueEvent) {
      queue_->OnEvent(done, now);
      continue;
    }
    tracks_.at(done.tag.track)->OnCompletion(done, now, wall);
  }

  // From here on no lease is held by anything but an extent, or the line before the builder.
  if (queue_) queue_->OnTurn(now);
  wait_ = kSleepMax;
  for (auto& [number, track] : tracks_) wait_ = std::min(wait_, track->OnTurn(now, wall));
  if (wait_ >= kStatusInterval || now >= next_status_) PublishStatus(now);
}

void Lane::Post(std::function<void(Lane&)> mail) {
  {
    const std::lock_guard lock(mailbox_mutex_);
    mailbox_.push_back(std::move(mail));
  }
  ring_->Wake();
}

void Lane::DrainMailbox() {
  std::vector<std::function<void(Lane&)>> mail;
  {
    const std::lock_guard lock(mailbox_mutex_);
    mail.swap(mailbox_);
  }
  if (!mail.empty()) wait_ = absl::ZeroDuration();
  for (const auto& letter : mail) letter(*this);
}

void Lane::PublishStatus(absl::Duration now) {
  next_status_ = now + kStatusInterval;
  const std::lock_guard lock(status_mutex_);
  status_.tracks.clear();
  for (const auto& [number, track] : tracks_) status_.tracks[number] = track->status(now);
  if (queue_) status_.queue_counters = queue_->counters();
}

LaneStatus Lane::status() const {
  const std::lock_guard lock(status_mutex_);
  return status_;
}

}  // namespace sluice
