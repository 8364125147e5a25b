// One thread, one core, one ring, one region of memory: where tracks live.
#ifndef WRITER_LANE_H_
#define WRITER_LANE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ingest/receive/interface_queue.h"
#include "ingest/region/chunk_pool.h"
#include "ingest/region/region.h"
#include "ingest/ring/ring.h"
#include "ingest/units.h"
#include "writer/archive/disk_geometry.h"
#include "writer/extent/extent_slab.h"
#include "writer/segment/segment_keeper.h"
#include "writer/track.h"

namespace sluice {

// The NIC queue that a lane receives from without copies.
struct LaneQueueOptions {
  std::string interface;  // empty: device-less
  uint32_t queue = 0;
  uint32_t napi = 0;     // of the queue; 0: not known
  ByteCount area;        // for payload; zero: what the region has left
  bool required = true;  // else a lane that cannot have the queue receives by copying
};

struct LaneOptions {
  LaneId id{};
  uint32_t epoch = 0;  // the archive's: part of stream ids
  ByteCount region = MiB(64);
  ByteCount segment;  // the archive's
  DiskGeometry geometry;
  std::optional<LaneQueueOptions> queue;
};

// How a region is divided. Every size is a sum, and they fit each other, or InvalidArgument.
struct LaneSizes {
  uint32_t slots;   // extents sealed at a time: in flight, or behind one that is
  ByteCount slab;   // a block of zeros, and a header and packed blocks for each slot
  ByteCount pack;   // of each slot, for packed blocks
  ByteCount chunk;  // a whole one fits into an extent that the device takes in one write
  uint32_t chunks;
  ByteCount queue_area;  // behind the chunks: pages for the NIC queue
  uint32_t tracks_max;   // so that each has a chunk, and half of all are left to those that receive
  ExtentBuilderOptions extent;
};
absl::StatusOr<LaneSizes> PlanLane(const LaneOptions& options, bool huge_pages);

// A snapshot, for other threads.
struct LaneStatus {
  std::map<uint8_t, TrackStatus> tracks;
  ByteCount region;
  bool registered = false;  // writes go from registered memory
  bool huge_pages = false;
  std::string warning;  // one sentence, or empty
  // How payload is received: by the queue, or by copying and why.
  std::optional<LaneQueueOptions> queue;
  InterfaceQueueCounters queue_counters;
  std::string why_copying;
};

// The lane's thread opens it, turns it and destroys it, when every track has finished. Others may
// Post() and ask for status().
class Lane {
 public:
  // `keeper` outlives the lane.
  static absl::StatusOr<std::unique_ptr<Lane>> Open(const LaneOptions& options,
                                                    std::unique_ptr<Ring> ring,
                                                    SegmentKeeper& keeper);
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;
  ~Lane();

  // One turn: mail, completions, then what they made possible. Waits when there is nothing to do.
  void Turn();

  // The track's number. RESOURCE_EXHAUSTED when the region is too small for one more. Takes over
  // the listener in `options` unless it fails.
  absl::StatusOr<uint8_t> AddTrack(const TrackOptions& options);
  void StopTrack(uint8_t track, bool abort);
  // A connection that another lane has accepted. Closes it when the track takes no more.
  void AdoptConnection(uint8_t track, uint64_t recording_uid, int socket);
  // A finished one; its last status is returned.
  TrackStatus RemoveTrack(uint8_t track);

  // -- From any thread.
  // Runs `mail` on the lane's thread, at its next turn.
  void Post(std::function<void(Lane&)> mail);
  LaneStatus status() const;

 private:
  Lane(const LaneOptions& options, const LaneSizes& sizes, std::unique_ptr<Ring> ring,
       std::unique_ptr<Region> region, std::unique_ptr<InterfaceQueue> queue,
       SegmentKeeper& keeper);
  void DrainMailbox();
  void PublishStatus(absl::Duration now);

  const LaneOptions options_;
  const LaneSizes sizes_;
  // Declared so that what is borrowed outlives the borrower; the ring goes before the memory
  // that the kernel knows through it.
  std::unique_ptr<Region> region_;
  std::unique_ptr<Ring> ring_;
  ChunkPool chunks_;
  std::unique_ptr<InterfaceQueue> queue_;  // or none
  ExtentSlab slab_;
  SegmentKeeper* keeper_;
  std::map<uint8_t, std::unique_ptr<Track>> tracks_;
  // Of recordings that were here before: one that comes back goes on counting.
  std::map<uint64_t, Ledger> ledgers_;  // by uid
  uint32_t streams_named_ = 0;
  absl::Duration wait_;  // how long the next turn may sleep
  absl::Duration next_status_;

  mutable std::mutex mailbox_mutex_;
  std::vector<std::function<void(Lane&)>> mailbox_;
  mutable std::mutex status_mutex_;
  LaneStatus status_;
};

}  // namespace sluice

#endif  // WRITER_LANE_H_
