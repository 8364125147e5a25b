#include "writer/arrival_line.h"

#include <utility>

namespace sluice {

// Whether the gap goes on where the stream's last one ends, which then encloses it.
bool ArrivalLine::Extends(const DroppedBytes& gap) {
  const auto last = gaps_.find(gap.stream);
  if (last == gaps_.end() || last->second->end() != gap.begin) return false;
  last->second->length += gap.length;
  last->second->zero_copy += gap.zero_copy;
  return true;
}

void ArrivalLine::PushDropped(const DroppedBytes& gap, absl::Duration now) {
  if (Extends(gap)) return;
  line_.push_back({gap, now});
  gaps_[gap.stream] = &std::get<DroppedBytes>(line_.back().arrival);
}

void ArrivalLine::Forget(const DroppedBytes* gap) {
  const auto last = gaps_.find(gap->stream);
  if (last != gaps_.end() && last->second == gap) gaps_.erase(last);
}

void ArrivalLine::Pop() {
  if (const auto* gap = std::get_if<DroppedBytes>(&front())) Forget(gap);
  if (passed_.empty()) {
    line_.pop_front();
  } else {
    passed_.pop_front();
  }
}

// Takes the first of the line out of it: a fragment becomes a gap, whose length is returned.
ByteCount ArrivalLine::Pass() {
  Arrival& first = line_.front().arrival;
  DroppedBytes gap;
  ByteCount dropped;
  if (const auto* received = std::get_if<Received>(&first)) {
    const Fragment& fragment = received->fragment;
    gap = {fragment.stream, fragment.stream_offset, fragment.length,
           fragment.zero_copy ? fragment.length : ByteCount{}};
    dropped = gap.length;
  } else if (const auto* earlier = std::get_if<DroppedBytes>(&first)) {
    gap = *earlier;
    Forget(earlier);
  } else {
    passed_.push_back(std::move(first));
  }
  line_.pop_front();
  if (gap.length.value > 0 && !Extends(gap)) {
    passed_.emplace_back(gap);
    gaps_[gap.stream] = &std::get<DroppedBytes>(passed_.back());
  }
  return dropped;
}

ByteCount ArrivalLine::DropOldest() {
  while (!line_.empty()) {
    if (const ByteCount dropped = Pass(); dropped.value > 0) return dropped;
  }
  return {};
}

ByteCount ArrivalLine::DropBefore(absl::Duration time) {
  ByteCount dropped;
  while (!line_.empty() && line_.front().since < time) dropped += Pass();
  return dropped;
}

}  // namespace sluice
