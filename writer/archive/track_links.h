// The sealed segments of every track, for whoever continues a track's chain.
#ifndef WRITER_ARCHIVE_TRACK_LINKS_H_
#define WRITER_ARCHIVE_TRACK_LINKS_H_

#include <cstdint>
#include <map>
#include <utility>

#include "absl/status/statusor.h"
#include "ingest/units.h"
#include "writer/catalog/catalog.h"
#include "writer/segment/segment_link.h"

namespace sluice {

// What the catalog says, of segments that have left the archive too, and what is added.
class TrackLinks {
 public:
  static absl::StatusOr<TrackLinks> Read(Catalog& catalog);

  void Add(uint64_t recording_uid, LaneId lane, const SegmentLink& link) {
    tracks_[{recording_uid, lane}][link.id] = link.footer;
  }
  // The track's last sealed segment before `id`; none: an empty link.
  SegmentLink Before(uint64_t recording_uid, LaneId lane, SegmentId id) const;
  SegmentLink Last(uint64_t recording_uid, LaneId lane) const {
    return Before(recording_uid, lane, SegmentId{~uint64_t{0}});
  }
  // The last from here on: what was added before is forgotten.
  void Replace(uint64_t recording_uid, LaneId lane, const SegmentLink& link) {
    tracks_[{recording_uid, lane}] = {{link.id, link.footer}};
  }

 private:
  std::map<std::pair<uint64_t, LaneId>, std::map<SegmentId, Sha256>> tracks_;
};

}  // namespace sluice

#endif  // WRITER_ARCHIVE_TRACK_LINKS_H_
