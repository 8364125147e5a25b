#include "writer/archive/track_links.h"

#include <iterator>
#include <vector>

#include "ingest/status_macros.h"

namespace sluice {

absl::StatusOr<TrackLinks> TrackLinks::Read(Catalog& catalog) {
  TrackLinks links;
  SLUICE_ASSIGN_OR_RETURN(const std::vector<SegmentRow> segments, catalog.Segments());
  for (const SegmentRow& row : segments) {
    if (row.sealed) links.Add(row.recording_uid, row.lane, {row.id, row.footer_sha256});
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<RemovalRow> removals, catalog.Removals());
  for (const RemovalRow& row : removals) {
    if (row.reason == RemovalReason::kLostInCrash) continue;  // it was never sealed
    links.Add(row.recording_uid, row.lane, {row.last, row.footer_sha256});
  }
  return links;
}

SegmentLink TrackLinks::Before(uint64_t recording_uid, LaneId lane, SegmentId id) const {
  const auto track = tracks_.find({recording_uid, lane});
  if (track == tracks_.end()) return {};
  const auto after = track->second.lower_bound(id);
  if (after == track->second.begin()) return {};
  const auto last = std::prev(after);
  return {last->first, last->second};
}

}  // namespace sluice
