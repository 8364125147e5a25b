#include "writer/extent/extent_builder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ingest/check.h"
#include "writer/extent/crc32c.h"

namespace sluice {

ExtentBuilder::ExtentBuilder(Region& region, ExtentSlab& slab, const ExtentBuilderOptions& options)
    : region_(&region), slab_(&slab), options_(options), ledger_(options.ledger) {
  SLUICE_CHECK(options.align > 0 && kBlockBytes % options.align == 0);
  SLUICE_CHECK(HeaderBytes(0, options.entries_max) <= kExtentHeaderMax.value);
  SLUICE_CHECK(options.pack_bytes + kBlockBytes <= slab.pack_bytes().value &&
               options.pack_bytes % kBlockBytes == 0);
  fragments_.reserve(options.entries_max);
}

bool ExtentBuilder::MustSealBeforeEvent() const {
  return fragments_.size() + events_.size() + 1 > options_.entries_max;
}

inline ExtentBuilder::Placement ExtentBuilder::PlaceDirect(const Fragment& fragment) const {
  const RegionOffset payload_end = fragment.at + fragment.length;
  Placement place;
  place.begin = {RoundDown(fragment.at.value, options_.align)};
  place.end = {RoundUp(payload_end.value, options_.align)};
  place.payload = fragment.at;
  place.packed = false;
  const Range* const last = ranges_.empty() ? nullptr : &ranges_.back();
  place.extends =
      last != nullptr && !last->packed && place.begin <= last->end && place.begin >= last->begin;
  place.more = place.extends ? place.end.value - std::min(place.end, last->end).value
                             : (place.end - place.begin).value;
  // The block in which an open-ended range ends is copied only at the end of an extent.
  place.fits =
      place.extends || last == nullptr || !last->open_ended || last->payload_end == last->end;
  return place;
}

ExtentBuilder::Placement ExtentBuilder::PlacePacked(const Fragment& fragment) const {
  Placement place;
  place.packed = true;
  place.extends = !ranges_.empty() && ranges_.back().packed;
  if (place.extends) {
    place.begin = ranges_.back().begin;
    place.payload = ranges_.back().payload_end;
  } else {
    const uint64_t used = packed_.empty() ? 0 : packed_.back().to + packed_.back().length;
    place.begin = place.payload = {RoundUp(used, options_.align)};
  }
  place.end = {RoundUp((place.payload + fragment.length).value, options_.align)};
  place.more = (place.end - (place.extends ? ranges_.back().end : place.begin)).value;
  place.fits = place.end.value <= options_.pack_bytes && (place.extends || !IsOpenEnded());
  return place;
}

inline const ExtentBuilder::Placement& ExtentBuilder::Place(const Fragment& fragment) {
  if (next_at_ == fragment.at) return next_;
  next_at_ = fragment.at;
  next_ = PlaceDirect(fragment);
  const uint64_t length = fragment.length.value;
  if (next_.more * 100 > length * kAmplificationMaxPercent && !fragment.open_ended &&
      RoundUp(length, options_.align) <= options_.pack_bytes) {
    next_ = PlacePacked(fragment);
  }
  return next_;
}

bool ExtentBuilder::MustSealBefore(const Fragment& fragment) {
  next_at_ = {UINT64_MAX};
  if (empty()) return false;
  // A fragment may need an event of its own.
  if (fragments_.size() + events_.size() + 2 > options_.entries_max) return true;
  const Placement& place = Place(fragment);
  if (!place.fits || (!place.extends && ranges_.size() == options_.ranges_max)) return true;
  const uint64_t header = HeaderBytes(fragments_.size() + 1, events_.size() + 1);
  return RoundUp(header + range_bytes_ + place.more, kBlockBytes) > options_.extent_bytes_max;
}

void ExtentBuilder::Touch(UnixNanos now) {
  if (empty()) first_time_ = last_time_ = now;
  last_time_ = std::max(last_time_, now);  // the real-time clock may step back
}

void ExtentBuilder::Introduce(StreamId id, StreamOffset at, UnixNanos now, uint64_t segment) {
  introduced_ = id;
  introduced_in_ = segment;
  const auto found = streams_.find(id);
  SLUICE_CHECK(found != streams_.end());
  OpenStream& stream = found->second;
  if (stream.segment == segment) return;
  stream.segment = segment;
  StreamEvent event;
  event.stream_id = static_cast<uint64_t>(id);
  event.time_ns = now.value;
  event.stream_offset = at.value;
  event.opened_ns = stream.opened.value;
  event.type = StreamEventType::kContinued;
  event.peer = stream.peer;
  event.local = stream.local;
  events_.push_back(event);
}

// Extends the ranges so that they enclose the fragment; returns where its payload begins, counted
// from the first range.
inline uint64_t ExtentBuilder::TakePlace(const Fragment& fragment, const Placement& place) {
  const RegionOffset payload_end = place.payload + fragment.length;
  range_bytes_ += place.more;
  if (!place.extends) {
    ranges_.push_back({place.begin, place.end, payload_end, place.packed, fragment.open_ended});
  } else {
    Range& last = ranges_.back();
    last.end = std::max(last.end, place.end);
    if (payload_end >= last.payload_end) {
      last.payload_end = payload_end;
      last.open_ended = fragment.open_ended;
    }
  }
  if (place.packed) {
    packed_.push_back({fragment.at, place.payload.value, fragment.length.value});
    ledger_.packed += fragment.length.value;
  }
  return range_bytes_ - (ranges_.back().end - place.payload).value;
}

void ExtentBuilder::Add(const Fragment& fragment, RegionLease&& lease, UnixNanos now,
                        uint64_t segment) {
  const Placement& place = Place(fragment);
  SLUICE_CHECK(fragment.length.value > 0 && place.fits);
  Touch(now);
  if (introduced_ != fragment.stream || introduced_in_ != segment) {
    Introduce(fragment.stream, fragment.stream_offset, now, segment);
  }

  const uint64_t length = fragment.length.value;
  const uint64_t at = TakePlace(fragment, place);
  if (options_.payload_crc) {
    payload_crc32c_ = ExtendCrc32c(payload_crc32c_, {region_->At(fragment.at), length});
  }
  payload_bytes_ += length;
  ledger_.received += length;
  ledger_.written += length;
  (fragment.zero_copy ? ledger_.zero_copy : ledger_.copied) += length;

  FragmentEntry* const last = fragments_.empty() ? nullptr : &fragments_.back();
  if (last != nullptr && last->stream_id == static_cast<uint64_t>(fragment.stream) &&
      last->stream_offset + last->length == fragment.stream_offset.value &&
      last->payload_offset + last->length == at) {
    last->length += static_cast<uint32_t>(length);
  } else {
    FragmentEntry entry;
    entry.stream_id = static_cast<uint64_t>(fragment.stream);
    entry.stream_offset = fragment.stream_offset.value;
    entry.time_delta_us = static_cast<uint32_t>(
        std::min<int64_t>((last_time_.value - first_time_.value) / 1000, UINT32_MAX));
    entry.length = static_cast<uint32_t>(length);
    entry.payload_offset = static_cast<uint32_t>(at);
    fragments_.push_back(entry);
  }
  if (leases_.empty()) leases_.reserve(leases_expected_);
  if (leases_.empty() || !leases_.back().Absorb(lease)) leases_.push_back(std::move(lease));
  next_at_ = {UINT64_MAX};  // it depends on what is here already
}

void ExtentBuilder::AddOpened(const StreamOpened& stream, UnixNanos now, uint64_t segment) {
  SLUICE_CHECK(!MustSealBeforeEvent());
  Touch(now);
  introduced_ = stream.stream;
  introduced_in_ = segment;
  streams_[stream.stream] = {
      .opened = now, .peer = stream.peer, .local = stream.local, .segment = segment};
  StreamEvent event;
  event.stream_id = static_cast<uint64_t>(stream.stream);
  event.time_ns = now.value;
  event.opened_ns = now.value;
  event.type = StreamEventType::kOpen;
  event.peer = stream.peer;
  event.local = stream.local;
  events_.push_back(event);
}

void ExtentBuilder::AddClosed(StreamId id, StreamOffset length, CloseReason how, UnixNanos now) {
  SLUICE_CHECK(!MustSealBeforeEvent());
  const auto found = streams_.find(id);
  SLUICE_CHECK(found != streams_.end());
  Touch(now);
  StreamEvent event;
  event.stream_id = static_cast<uint64_t>(id);
  event.time_ns = now.value;
  event.stream_offset = length.value;
  event.opened_ns = found->second.opened.value;
  event.type = StreamEventType::kClose;
  event.reason = how;
  event.peer = found->second.peer;
  event.local = found->second.local;
  events_.push_back(event);
  streams_.erase(found);  // a close event introduces the stream by itself
}

void ExtentBuilder::AddGap(const DroppedBytes& gap, UnixNanos now, uint64_t segment) {
  SLUICE_CHECK(!MustSealBeforeEvent() && gap.length.value > 0);
  const auto found = streams_.find(gap.stream);
  SLUICE_CHECK(found != streams_.end());
  OpenStream& stream = found->second;
  Touch(now);
  ledger_.received += gap.length.value;
  ledger_.dropped_policy += gap.length.value;
  ledger_.zero_copy += gap.zero_copy.value;
  ledger_.copied += (gap.length - gap.zero_copy).value;

  if (stream.gap_extent == extents_sealed_ + 1) {
    StreamEvent& before = events_[stream.gap_event];
    if (before.stream_offset + before.gap_bytes == gap.begin.value) {
      before.gap_bytes += gap.length.value;
      return;
    }
  }
  stream.gap_extent = extents_sealed_ + 1;
  stream.gap_event = events_.size();
  stream.segment = segment;  // the event introduces the stream by itself
  StreamEvent event;
  event.stream_id = static_cast<uint64_t>(gap.stream);
  event.time_ns = now.value;
  event.stream_offset = gap.begin.value;
  event.opened_ns = stream.opened.value;
  event.type = StreamEventType::kGap;
  event.cause = GapCause::kPolicy;
  event.gap_bytes = gap.length.value;
  event.peer = stream.peer;
  event.local = stream.local;
  events_.push_back(event);
}

void ExtentBuilder::TakeBack(ByteCount lost) {
  SLUICE_CHECK(lost.value <= ledger_.written);
  ledger_.written -= lost.value;
  ledger_.dropped_disk += lost.value;
  // Which of them had been packed, nobody knows any more.
  ledger_.packed = std::min(ledger_.packed, ledger_.written);
}

void ExtentBuilder::AddEvent(const StreamEvent& event, UnixNanos now, uint64_t segment) {
  SLUICE_CHECK(!MustSealBeforeEvent());
  Touch(now);
  const auto found = streams_.find(StreamId{event.stream_id});
  if (found != streams_.end()) found->second.segment = segment;
  events_.push_back(event);
  events_.back().time_ns = now.value;
}

void ExtentBuilder::FillPack(SlabSlot& slot) const {
  for (const Packed& fragment : packed_) {
    std::memcpy(slot.pack() + fragment.to, region_->At(fragment.from), fragment.length);
  }
}

// Copies the last block when the payload ends inside it and the kernel may go on filling it, and
// takes it out of the range: from here on the range holds only memory that nobody appends to.
bool ExtentBuilder::PackTail(SlabSlot& slot, SealedExtent& extent, Range& last) {
  const RegionOffset tail{RoundDown(last.payload_end.value, options_.align)};
  if (!last.open_ended || tail == last.payload_end) return false;
  std::byte* const block = slot.pack() + options_.pack_bytes;
  std::memcpy(block, region_->At(tail), (last.payload_end - tail).value);
  std::memset(block + (last.payload_end - tail).value, 0,
              options_.align - (last.payload_end - tail).value);
  const uint64_t packed_at = range_bytes_ - options_.align;
  for (const FragmentEntry& entry : fragments_) {
    const uint64_t end = uint64_t{entry.payload_offset} + entry.length;
    if (end > packed_at)
      ledger_.packed += end - std::max<uint64_t>(packed_at, entry.payload_offset);
  }
  last.end = tail;
  if (last.end > last.begin) {
    extent.ranges.push_back({region_->At(last.begin), (last.end - last.begin).value});
  }
  extent.ranges.push_back({block, options_.align});
  return true;
}

SealedExtent ExtentBuilder::Seal() {
  SLUICE_CHECK(!empty());
  ++extents_sealed_;
  leases_expected_ = leases_.size();
  SealedExtent extent{slab_->Take(), {}, std::move(leases_)};
  leases_.clear();
  next_at_ = {UINT64_MAX};
  const uint64_t header_bytes = HeaderBytes(fragments_.size(), events_.size());
  const uint64_t extent_bytes = RoundUp(header_bytes + range_bytes_, kBlockBytes);

  extent.ranges.reserve(ranges_.size() + 3);
  extent.ranges.push_back({extent.slot.header(), header_bytes});
  FillPack(extent.slot);
  for (Range& range : ranges_) {
    if (&range == &ranges_.back() && PackTail(extent.slot, extent, range)) break;
    std::byte* from = region_->At(range.begin);
    if (range.packed) {
      from = extent.slot.pack() + range.begin.value;
      // No stale bytes of another stream.
      std::memset(extent.slot.pack() + range.payload_end.value, 0,
                  (range.end - range.payload_end).value);
    }
    extent.ranges.push_back({from, (range.end - range.begin).value});
  }
  const uint64_t pad = extent_bytes - header_bytes - range_bytes_;
  if (pad > 0) extent.ranges.push_back({slab_->zeros(), pad});

  ExtentHeader header;
  header.header_bytes = static_cast<uint32_t>(header_bytes);
  header.extent_bytes = static_cast<uint32_t>(extent_bytes);
  header.fragment_count = static_cast<uint32_t>(fragments_.size());
  header.event_count = static_cast<uint32_t>(events_.size());
  header.payload_bytes = payload_bytes_;
  header.first_time_ns = first_time_.value;
  header.last_time_ns = last_time_.value;
  header.ledger = ledger_;
  header.flags = options_.payload_crc ? kExtentHasPayloadCrc : 0;
  header.payload_crc32c = options_.payload_crc ? payload_crc32c_ : 0;

  for (FragmentEntry& entry : fragments_) {
    entry.payload_offset += static_cast<uint32_t>(header_bytes);
  }
  std::byte* out = extent.slot.header();
  std::memcpy(out, &header, sizeof(header));
  out += sizeof(header);
  const auto append = [&out](const void* from, size_t bytes) {
    if (bytes > 0) std::memcpy(out, from, bytes);
    out += bytes;
  };
  append(fragments_.data(), fragments_.size() * sizeof(FragmentEntry));
  append(events_.data(), events_.size() * sizeof(StreamEvent));
  std::memset(out, 0, static_cast<size_t>(extent.slot.header() + header_bytes - out));

  fragments_.clear();
  events_.clear();
  ranges_.clear();
  packed_.clear();
  range_bytes_ = payload_bytes_ = 0;
  payload_crc32c_ = 0;
  return extent;
}

}  // namespace sluice
