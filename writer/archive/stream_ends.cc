#include "writer/archive/stream_ends.h"

#include <algorithm>
#include <compare>
#include <map>
#include <vector>

namespace sluice {
namespace {

struct Range {
  uint64_t stream, begin, end;
  auto operator<=>(const Range&) const = default;
};

// Bytes and gaps.
std::vector<Range> RangesOf(const ExtentIndex& extent) {
  std::vector<Range> ranges;
  for (const FragmentEntry& fragment : extent.fragments) {
    ranges.push_back(
        {fragment.stream_id, fragment.stream_offset, fragment.stream_offset + fragment.length});
  }
  for (const StreamEvent& event : extent.events) {
    if (event.type != StreamEventType::kGap) continue;
    ranges.push_back({event.stream_id, event.stream_offset, event.stream_offset + event.gap_bytes});
  }
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

// And what else is told of a stream: where it stood then.
std::vector<Range> PlacesOf(const ExtentIndex& extent, std::vector<Range> places) {
  for (const StreamEvent& event : extent.events) {
    if (event.type == StreamEventType::kGap) continue;
    places.push_back({event.stream_id, event.stream_offset, event.stream_offset});
  }
  std::sort(places.begin(), places.end());
  return places;
}

}  // namespace

StreamEnds::Fit StreamEnds::Add(const ExtentIndex& extent, bool over_holes) {
  const std::vector<Range> ranges = RangesOf(extent);
  const bool is_repeated =
      !ranges.empty() && std::all_of(ranges.begin(), ranges.end(), [this](const Range& range) {
        const auto known = ends_.find(range.stream);
        return known != ends_.end() && range.end <= known->second;
      });
  if (is_repeated && !over_holes) return Fit::kRepeated;
  std::map<uint64_t, uint64_t> ends;
  for (const Range& range : over_holes ? ranges : PlacesOf(extent, ranges)) {
    if (over_holes) {
      uint64_t& end = ends[range.stream];
      end = std::max(end, range.end);
      continue;
    }
    const auto known = ends_.find(range.stream);
    const auto [at, is_first] =
        ends.emplace(range.stream, known != ends_.end() ? known->second : range.begin);
    if (is_first && (known == ends_.end() || range.begin > known->second)) {
      const std::optional<uint64_t> reached = before_(StreamId{range.stream});
      if (range.begin > reached.value_or(at->second)) return Fit::kLeavesHole;
    } else if (range.begin > at->second) {
      return Fit::kLeavesHole;
    }
    at->second = std::max(at->second, range.end);
  }
  for (const auto& [stream, end] : ends) ends_[stream] = std::max(ends_[stream], end);
  return Fit::kGoesOn;
}

}  // namespace sluice
