#include "writer/archive/row_check.h"

#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "ingest/units.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

std::string WhatDiffersInRow(const SegmentRow& row, uint32_t epoch, const SegmentUpdate& segment) {
  if (row.recording_uid != segment.track.recording_uid || row.lane != segment.track.lane ||
      row.epoch != epoch) {
    return "another recording, lane or epoch";
  }
  if (row.durable != segment.durable || row.payload != segment.payload) {
    return absl::StrCat(row.payload.value, " bytes of payload up to ", row.durable.value);
  }
  if (row.first_time != segment.first_time || row.last_time != segment.last_time) {
    return "other times";
  }
  if (row.ledger != segment.ledger) return "another ledger";
  return row.previous == segment.previous.id ? "" : "another segment before it";
}

absl::StatusOr<std::string> WhatDiffersInStreams(Catalog& catalog, const SegmentUpdate& segment) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<StreamPart> parts,
                          catalog.SegmentParts(segment.segment));
  std::map<StreamId, const StreamPart*> known;
  for (const StreamPart& part : parts) known[part.stream] = &part;
  for (const StreamUpdate& stream : segment.streams) {
    const std::string name = StreamIdToString(stream.stream);
    const auto part = known.find(stream.stream);
    if (part == known.end()) return absl::StrCat("no part of stream ", name);
    if (part->second->begin != stream.begin || part->second->end != stream.end ||
        part->second->dropped != stream.dropped) {
      return absl::StrCat("bytes ", part->second->begin.value, " to ", part->second->end.value,
                          " of stream ", name);
    }
    const absl::StatusOr<StreamRow> row = catalog.Stream(stream.stream);
    if (absl::IsNotFound(row.status())) return absl::StrCat("nothing of stream ", name);
    if (!row.ok()) return row.status();
    if (row->recording_uid != segment.track.recording_uid) {
      return absl::StrCat("another recording of stream ", name);
    }
    known.erase(part);
  }
  if (known.empty()) return "";
  return absl::StrCat("a part of stream ", StreamIdToString(known.begin()->first));
}

}  // namespace

absl::StatusOr<std::string> WhatDiffers(Catalog& catalog, const SegmentRow& row, uint32_t epoch,
                                        const SegmentUpdate& segment) {
  std::string difference = WhatDiffersInRow(row, epoch, segment);
  if (difference.empty()) {
    SLUICE_ASSIGN_OR_RETURN(difference, WhatDiffersInStreams(catalog, segment));
  }
  if (difference.empty()) return "";
  return absl::StrCat("of segment ", static_cast<uint64_t>(row.id), " the catalog says ",
                      difference, ", and the segment does not");
}

}  // namespace sluice
