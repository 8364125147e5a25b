// Publications on their way to the catalog: as many as there are segments, never more.
#ifndef WRITER_ARCHIVE_UPDATE_QUEUE_H_
#define WRITER_ARCHIVE_UPDATE_QUEUE_H_

#include <cstddef>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "ingest/units.h"
#include "writer/segment/segment_keeper.h"

namespace sluice {

// In the order in which segments first came. A later update of a segment is folded into the one
// that waits, which therefore grows only with the segment's streams. Thread-compatible.
class UpdateQueue {
 public:
  void Add(SegmentUpdate update);
  // Empties the queue.
  std::vector<SegmentUpdate> Take();
  // The first, and those after it as long as they have no more than `streams` streams in all.
  std::vector<SegmentUpdate> TakeSome(size_t streams);
  // What TakeSome() took: in front of what has come since.
  void PutBack(std::vector<SegmentUpdate> updates);
  bool Contains(SegmentId segment) const { return places_.contains(segment); }
  bool empty() const { return updates_.empty(); }
  size_t streams() const;  // in all of them

 private:
  struct Place {
    size_t at = 0;
    // Made when the first update has to be folded in: mostly none has.
    absl::flat_hash_map<StreamId, size_t> streams;
  };

  std::vector<SegmentUpdate> updates_;
  absl::flat_hash_map<SegmentId, Place> places_;
};

}  // namespace sluice

#endif  // WRITER_ARCHIVE_UPDATE_QUEUE_H_
