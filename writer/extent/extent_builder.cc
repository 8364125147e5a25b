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
  fragments_.reserve(options.entries_max);
}

bool ExtentBuilder::MustSealBeforeEvent() const {
  return fragments_.size() + events_.size() + 1 > options_.entries_max;
}

bool ExtentBuilder::MustSealBefore(const Fragment& fragment) const {
  if (empty()) return false;
  // A fragment may need an event of its own.
  if (fragments_.size() + events_.size() + 2 > options_.entries_max) return true;
  const uint64_t begin = RoundDown(fragment.at.value, options_.align);
  const uint64_t end = RoundUp((fragment.at + fragment.length).value, options_.align);
  const bool merges =
      !ranges_.empty() && begin <= ranges_.back().end.value && begin >= ranges_.back().begin.value;
  const uint64_t more = merges ? end - std::min(end, ranges_.back().end.value) : end - begin;
  if (!merges && ranges_.size() == options_.ranges_max) return true;
  const uint64_t header = HeaderBytes(fragments_.size() + 1, events_.size() + 1);
  return RoundUp(header + range_bytes_ + more, kBlockBytes) > options_.extent_bytes_max;
}

void ExtentBuilder::Touch(UnixNanos now) {
  if (empty()) first_time_ = last_time_ = now;
  last_time_ = std::max(last_time_, now);  // the real-time clock may step back
}

void ExtentBuilder::Introduce(StreamId id, StreamOffset at, UnixNanos now, uint64_t segment) {
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
uint64_t ExtentBuilder::PlacePayload(const Fragment& fragment) {
  const RegionOffset payload_end = fragment.at + fragment.length;
  const RegionOffset begin{RoundDown(fragment.at.value, options_.align)};
  const RegionOffset end{RoundUp(payload_end.value, options_.align)};
  if (!ranges_.empty() && begin <= ranges_.back().end && begin >= ranges_.back().begin) {
    Range& last = ranges_.back();
    if (end > last.end) {
      range_bytes_ += (end - last.end).value;
      last.end = end;
    }
    last.payload_end = std::max(last.payload_end, payload_end);
    return range_bytes_ - (last.end - fragment.at).value;
  }
  ranges_.push_back({begin, end, payload_end});
  range_bytes_ += (end - begin).value;
  return range_bytes_ - (end - fragment.at).value;
}

void ExtentBuilder::Add(const Fragment& fragment, RegionLease lease, UnixNanos now,
                        uint64_t segment) {
  SLUICE_CHECK(!MustSealBefore(fragment) && fragment.length.value > 0);
  Touch(now);
  Introduce(fragment.stream, fragment.stream_offset, now, segment);

  const uint64_t length = fragment.length.value;
  const uint64_t at = PlacePayload(fragment);
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
  // One reference on a buffer is enough for all of this extent.
  if (leases_.empty() || !leases_.back().SharesBufferWith(lease)) {
    leases_.push_back(std::move(lease));
  }
}

void ExtentBuilder::AddOpened(const StreamOpened& stream, UnixNanos now, uint64_t segment) {
  SLUICE_CHECK(!MustSealBeforeEvent());
  Touch(now);
  streams_[stream.stream] = {now, stream.peer, stream.local, segment};
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

// Copies the last block when the payload ends inside it, and takes it out of the range: from here
// on the range holds only memory that nobody changes. Returns the bytes added behind the range.
uint64_t ExtentBuilder::PackTail(SlabSlot& slot, SealedExtent& extent, Range& last) {
  const RegionOffset tail{RoundDown(last.payload_end.value, options_.align)};
  if (tail == last.payload_end) return 0;
  std::memcpy(slot.block(), region_->At(tail), (last.payload_end - tail).value);
  std::memset(slot.block() + (last.payload_end - tail).value, 0,
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
  extent.ranges.push_back({slot.block(), options_.align});
  return options_.align;
}

SealedExtent ExtentBuilder::Seal() {
  SLUICE_CHECK(!empty());
  SealedExtent extent{slab_->Take(), {}, std::move(leases_)};
  leases_.clear();
  const uint64_t header_bytes = HeaderBytes(fragments_.size(), events_.size());
  const uint64_t extent_bytes = RoundUp(header_bytes + range_bytes_, kBlockBytes);

  extent.ranges.push_back({extent.slot.header(), header_bytes});
  for (size_t i = 0; i < ranges_.size(); ++i) {
    Range& range = ranges_[i];
    if (i + 1 == ranges_.size() && PackTail(extent.slot, extent, range) > 0) break;
    extent.ranges.push_back({region_->At(range.begin), (range.end - range.begin).value});
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
  range_bytes_ = payload_bytes_ = 0;
  payload_crc32c_ = 0;
  return extent;
}

}  // namespace sluice
