// A SegmentKeeper over SimRing's files, without a catalog: it remembers what was published.
#ifndef TESTS_SIM_SIM_KEEPER_H_
#define TESTS_SIM_SIM_KEEPER_H_

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ingest/check.h"
#include "ingest/ring/sim_ring.h"
#include "ingest/units.h"
#include "writer/segment/segment_keeper.h"

namespace sluice {

// Hands out free files first, then the oldest sealed segment's; answers after a while. What was
// published of a reused segment is forgotten, as a catalog would.
class SimKeeper final : public SegmentKeeper {
 public:
  SimKeeper(SimRing& ring, ByteCount segment, uint32_t slots) : ring_(&ring), segment_(segment) {
    for (uint32_t i = 0; i < slots; ++i) free_.insert(ring.AddFile(segment.value));
  }

  struct Published {
    int file = -1;
    bool sealed = false;
    FileOffset durable{};
    std::map<StreamId, StreamUpdate> streams;
  };

  void RequestSegment(const TrackIdentity&, Ready ready) override {
    ring_->After(absl::Microseconds(ring_->Roll(3000)), [this, ready = std::move(ready)] {
      const int file = TakeFile();
      if (file < 0) return ready(absl::ResourceExhaustedError("every segment is in use"));
      const SegmentId id{next_id_++};
      segments_[id].file = file;
      ready(SegmentLoan{id, file, segment_});
    });
  }

  void ReturnSegment(SegmentId id) override {
    const auto found = segments_.find(id);
    SLUICE_CHECK(found != segments_.end() && found->second.streams.empty());
    free_.insert(found->second.file);
    segments_.erase(found);
  }

  void Publish(SegmentUpdate update) override {
    Published& segment = segments_.at(update.segment);
    if (segment.sealed) mistakes_.push_back("a sealed segment was published again");
    if (update.durable < segment.durable) mistakes_.push_back("the durable mark went back");
    // In the order of a recording's segments: nothing is named before what was received earlier.
    SegmentId& last = last_published_[update.track.recording_uid];
    if (update.segment < last) mistakes_.push_back("segments published out of order");
    last = update.segment;
    segment.sealed = update.sealed;
    segment.durable = update.durable;
    for (StreamUpdate& stream : update.streams) {
      const StreamId id = stream.stream;
      segment.streams[id] = std::move(stream);
    }
  }

  const std::map<SegmentId, Published>& segments() const { return segments_; }
  const std::vector<std::string>& mistakes() const { return mistakes_; }
  uint32_t reused() const { return reused_; }

 private:
  int TakeFile() {
    if (!free_.empty()) {
      const int file = *free_.begin();
      free_.erase(free_.begin());
      return file;
    }
    for (auto at = segments_.begin(); at != segments_.end(); ++at) {
      if (!at->second.sealed) continue;
      const int file = at->second.file;
      segments_.erase(at);
      ++reused_;
      return file;
    }
    return -1;
  }

  SimRing* ring_;
  const ByteCount segment_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, SegmentId> last_published_;  // by recording
  std::set<int> free_;
  std::map<SegmentId, Published> segments_;
  std::vector<std::string> mistakes_;
  uint32_t reused_ = 0;
};

}  // namespace sluice

#endif  // TESTS_SIM_SIM_KEEPER_H_
