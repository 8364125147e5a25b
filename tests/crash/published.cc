#include "tests/crash/published.h"

#include <algorithm>
#include <istream>
#include <ostream>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

uint64_t Number(SegmentId id) { return static_cast<uint64_t>(id); }

uint64_t BytesIn(const Published::Segment& segment) {
  uint64_t sum = 0;
  for (const auto& [stream, range] : segment.parts) sum += range.end - range.begin;
  return sum;
}

// Why the segment may not be gone; "" when it may.
std::string WhyNotReused(SegmentId id, const Published::Segment& segment, const Published& now,
                         Ring ring) {
  if (now.segments().size() + ring.begun_max < ring.slots) {
    return absl::StrCat("only ", now.segments().size(), " of ", ring.slots, " slots are in use");
  }
  for (const auto& [other_id, other] : now.segments()) {
    if (other.slot == segment.slot && other_id < id) {
      return absl::StrCat("its slot has the older segment ", Number(other_id));
    }
    if (other.recording_uid == segment.recording_uid && other.lane == segment.lane &&
        other_id < id) {
      return absl::StrCat("the older segment ", Number(other_id), " is still there");
    }
  }
  return "";
}

void ComparePart(SegmentId id, StreamId stream, const Published::Range& told,
                 const Published::Segment& now, Aftermath& aftermath) {
  const auto at = now.parts.find(stream);
  const Published::Range found = at == now.parts.end() ? Published::Range() : at->second;
  const uint64_t begin = std::max(told.begin, found.begin);
  const uint64_t end = std::min(told.end, found.end);
  const uint64_t kept = end > begin ? end - begin : 0;
  if (kept == told.end - told.begin) return;
  aftermath.lost += told.end - told.begin - kept;
  aftermath.faults.push_back(absl::StrCat("segment ", Number(id), " had bytes [", told.begin, ", ",
                                          told.end, ") of stream ", StreamIdToString(stream),
                                          ", and now has [", found.begin, ", ", found.end, ")"));
}

}  // namespace

absl::Status Published::Add(Catalog& catalog) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<SegmentRow> rows, catalog.Segments());
  for (const SegmentRow& row : rows) {
    Segment segment{row.slot, row.recording_uid, row.lane, {}};
    SLUICE_ASSIGN_OR_RETURN(const std::vector<StreamPart> parts, catalog.SegmentParts(row.id));
    for (const StreamPart& part : parts) {
      segment.parts[part.stream] = {part.begin.value, part.end.value};
    }
    Add(row.id, segment);
  }
  return absl::OkStatus();
}

void Published::Add(SegmentId id, const Segment& segment) {
  const auto [at, is_new] = segments_.emplace(id, segment);
  if (is_new) return;
  for (const auto& [stream, range] : segment.parts) {
    const auto [part, unknown] = at->second.parts.emplace(stream, range);
    if (unknown) continue;
    part->second.begin = std::min(part->second.begin, range.begin);
    part->second.end = std::max(part->second.end, range.end);
  }
}

uint64_t Published::bytes() const {
  uint64_t sum = 0;
  for (const auto& [id, segment] : segments_) sum += BytesIn(segment);
  return sum;
}

void Write(std::ostream& out, SegmentId id, const Published::Segment& segment) {
  out << "segment " << Number(id) << ' ' << segment.slot << ' ' << segment.recording_uid << ' '
      << static_cast<uint16_t>(segment.lane) << '\n';
  for (const auto& [stream, range] : segment.parts) {
    out << "part " << Number(id) << ' ' << static_cast<uint64_t>(stream) << ' ' << range.begin
        << ' ' << range.end << '\n';
  }
}

Published ReadPublished(std::istream& in, uint64_t mark) {
  Published published;
  std::map<uint64_t, Published::Segment> segments;
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string kind;
    uint64_t number = 0;
    words >> kind >> number;
    if (kind == "mark" && number == mark) break;
    if (kind == "segment") {
      uint16_t lane = 0;
      Published::Segment& segment = segments[number];
      words >> segment.slot >> segment.recording_uid >> lane;
      segment.lane = LaneId{lane};
    } else if (kind == "part") {
      uint64_t stream = 0;
      Published::Range range;
      words >> stream >> range.begin >> range.end;
      Published::Segment segment = segments[number];
      segment.parts = {{StreamId{stream}, range}};
      published.Add(SegmentId{number}, segment);
    }
  }
  return published;
}

Aftermath CompareAfterCrash(const Published& before, const Published& now, Ring ring) {
  Aftermath aftermath;
  uint64_t kept = 0;
  for (const auto& [id, segment] : before.segments()) {
    if (BytesIn(segment) == 0) continue;  // nothing was promised
    const auto at = now.segments().find(id);
    if (at != now.segments().end()) {
      const uint64_t lost = aftermath.lost;
      for (const auto& [stream, range] : segment.parts) {
        ComparePart(id, stream, range, at->second, aftermath);
      }
      kept += BytesIn(segment) - (aftermath.lost - lost);
      continue;
    }
    const std::string fault = WhyNotReused(id, segment, now, ring);
    if (fault.empty()) {
      aftermath.reused += BytesIn(segment);
      aftermath.reused_segments.push_back(id);
    } else {
      aftermath.lost += BytesIn(segment);
      aftermath.faults.push_back(absl::StrCat("segment ", Number(id), " is gone, with ",
                                              BytesIn(segment), " bytes, though ", fault));
    }
  }
  aftermath.beyond = now.bytes() - kept;
  return aftermath;
}

}  // namespace sluice
