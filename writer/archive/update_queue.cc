#include "writer/archive/update_queue.h"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

void Fold(StreamUpdate& into, const StreamUpdate& later) {
  into.last_time = std::max(into.last_time, later.last_time);
  into.begin = std::min(into.begin, later.begin);
  into.end = std::max(into.end, later.end);
  if (later.reason != CloseReason::kNone) into.reason = later.reason;
  into.dropped = std::max(into.dropped, later.dropped);
}

}  // namespace

void UpdateQueue::Add(SegmentUpdate update) {
  const auto [found, is_new] = places_.try_emplace(update.segment);
  Place& place = found->second;
  if (is_new) {
    place.at = updates_.size();
    updates_.push_back(std::move(update));
    return;
  }
  SegmentUpdate& into = updates_[place.at];
  if (place.streams.empty()) {
    for (size_t i = 0; i < into.streams.size(); ++i) place.streams[into.streams[i].stream] = i;
  }
  std::vector<StreamUpdate> streams = std::move(into.streams);
  for (const StreamUpdate& stream : update.streams) {
    const auto [at, is_first] = place.streams.try_emplace(stream.stream, streams.size());
    if (is_first) {
      streams.push_back(stream);
    } else {
      Fold(streams[at->second], stream);
    }
  }
  update.sealed |= into.sealed;
  into = std::move(update);
  into.streams = std::move(streams);
}

size_t UpdateQueue::streams() const {
  size_t n = 0;
  for (const SegmentUpdate& update : updates_) n += update.streams.size();
  return n;
}

std::vector<SegmentUpdate> UpdateQueue::Take() {
  places_.clear();
  return std::exchange(updates_, {});
}

std::vector<SegmentUpdate> UpdateQueue::TakeSome(size_t streams) {
  std::vector<SegmentUpdate> all = Take();
  size_t end = 0;
  for (size_t taken = 0; end < all.size(); ++end) {
    taken += all[end].streams.size();
    if (end > 0 && taken > streams) break;
  }
  for (size_t i = end; i < all.size(); ++i) Add(std::move(all[i]));
  all.resize(end);
  return all;
}

void UpdateQueue::PutBack(std::vector<SegmentUpdate> updates) {
  std::vector<SegmentUpdate> later = Take();
  for (SegmentUpdate& update : updates) Add(std::move(update));
  for (SegmentUpdate& update : later) Add(std::move(update));
}

}  // namespace sluice
