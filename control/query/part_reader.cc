#include "control/query/part_reader.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/extent/crc32c.h"
#include "writer/extent/extent_codec.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

// Reading this much takes a disk hardly longer than reading one block.
constexpr ByteCount kHopBytes = KiB(64);
constexpr ByteCount kAheadFirst = KiB(256);

absl::Status Reused(const std::string& path) {
  return absl::AbortedError(absl::StrCat(path, ": the segment has been reused"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PartReader>> PartReader::Open(const std::string& path,
                                                             StreamId stream,
                                                             const StreamPart& part) {
  absl::StatusOr<std::unique_ptr<SegmentReader>> segment = SegmentReader::Open(path);
  if (absl::IsNotFound(segment.status())) {
    // An empty slot is one whose recording was deleted. A file, though, is never removed.
    if (access(path.c_str(), F_OK) == 0) return Reused(path);
    return absl::DataLossError(absl::StrCat(path, ": the segment file is missing"));
  }
  SLUICE_RETURN_IF_ERROR(segment.status());
  if ((*segment)->id() != part.segment) return Reused(path);
  std::unique_ptr<PartReader> reader(new PartReader(path, stream, *std::move(segment)));
  reader->scan_at_ = FileOffset{kBlockBytes};
  SLUICE_RETURN_IF_ERROR(reader->Update(part));
  return reader;
}

absl::Status PartReader::Update(const StreamPart& part) {
  if (sealed_) return absl::OkStatus();
  sealed_ = part.sealed;
  limit_ = std::max(limit_, part.durable);
  // Without a footer the headers still lead from extent to extent.
  if (sealed_ && !LoadFooter().ok() && !segment_->StillHolds()) return Reused(path_);
  return absl::OkStatus();
}

absl::Status PartReader::LoadFooter() {
  SLUICE_ASSIGN_OR_RETURN(const SegmentFooter footer, segment_->ReadFooter());
  const auto record = std::find_if(
      footer.streams.begin(), footer.streams.end(),
      [this](const StreamRecord& r) { return r.stream_id == static_cast<uint64_t>(stream_); });
  if (record == footer.streams.end()) return absl::NotFoundError("no record of the stream");
  for (size_t i = record->first_extent; i <= record->last_extent; ++i) {
    if (i >= footer.extents.size()) return absl::DataLossError("a record of no extent");
    const ExtentRecord& extent = footer.extents[i];
    const Place place{FileOffset{extent.offset}, extent.sequence, ByteCount{extent.header_bytes},
                      ByteCount{extent.extent_bytes}};
    if (place.at < scan_at_) continue;  // seen while the segment was open
    places_.push_back(place);
    limit_ = place.at + place.extent;
  }
  next_place_ = 0;
  if (places_.empty()) scan_at_ = limit_;  // all of it was seen
  return absl::OkStatus();
}

absl::StatusOr<absl::Span<const std::byte>> PartReader::At(StreamOffset offset) {
  if (const auto bytes = InCurrent(offset); !bytes.empty()) return bytes;
  absl::StatusOr<absl::Span<const std::byte>> found = Find(offset);
  // Whatever was read, or not found, counts only if it was this segment's.
  if (!found.ok() || window_.unverified_reads() != reads_verified_) {
    if (!segment_->StillHolds()) {
      current_.clear();
      return Reused(path_);
    }
    reads_verified_ = window_.unverified_reads();
  }
  return found;
}

absl::StatusOr<absl::Span<const std::byte>> PartReader::Find(StreamOffset offset) {
  current_.clear();  // its bytes are in the window, which now moves
  const Run* run = FindRun(offset);
  while (run == nullptr) {
    if (GapAt(offset)) return absl::Span<const std::byte>();
    SLUICE_ASSIGN_OR_RETURN(const bool more, ScanNext());
    if (!more) {
      if (!damage_.ok()) return damage_;
      return absl::Span<const std::byte>();
    }
    run = FindRun(offset);
  }
  SLUICE_RETURN_IF_ERROR(MakeCurrent(*run));
  return InCurrent(offset);
}

absl::Span<const std::byte> PartReader::InCurrent(StreamOffset offset) const {
  for (size_t i = 0; i < current_.size(); ++i) {
    const size_t at = (hint_ + i) % current_.size();
    const FragmentEntry& fragment = current_[at];
    if (offset.value < fragment.stream_offset ||
        offset.value - fragment.stream_offset >= fragment.length) {
      continue;
    }
    hint_ = at;
    const uint64_t skip = offset.value - fragment.stream_offset;
    return bytes_.subspan(fragment.payload_offset + skip, fragment.length - skip);
  }
  return {};
}

const PartReader::Run* PartReader::FindRun(StreamOffset offset) const {
  if (offset >= runs_end_) return nullptr;
  // Reading goes forward, so the wanted run is most often among the last.
  const auto found = std::find_if(runs_.rbegin(), runs_.rend(), [offset](const Run& run) {
    return run.begin <= offset && offset < run.end;
  });
  return found == runs_.rend() ? nullptr : &*found;
}

std::optional<StreamGap> PartReader::GapAt(StreamOffset offset) const {
  auto found = gaps_.upper_bound(offset);
  if (found == gaps_.begin() || std::prev(found)->second.end <= offset) return std::nullopt;
  StreamGap gap = std::prev(found)->second;
  gap.begin = offset;
  // One that was told in pieces.
  for (; found != gaps_.end() && found->first == gap.end && found->second.cause == gap.cause;
       ++found) {
    gap.end = found->second.end;
  }
  return gap;
}

std::optional<StreamOffset> PartReader::NextAfter(StreamOffset offset) const {
  std::optional<StreamOffset> next;
  for (const Run& run : runs_) {
    if (run.begin > offset && (!next.has_value() || run.begin < *next)) next = run.begin;
  }
  return next;
}

std::optional<PartReader::Place> PartReader::NextPlace() const {
  if (!places_.empty()) {
    if (next_place_ == places_.size()) return std::nullopt;
    return places_[next_place_];
  }
  if (scan_at_ >= limit_) return std::nullopt;
  return Place{scan_at_, scan_sequence_, ByteCount{}, ByteCount{}};
}

// Looks into one more extent. False: there are no more.
absl::StatusOr<bool> PartReader::ScanNext() {
  std::optional<Place> place = NextPlace();
  if (!place.has_value()) return false;
  absl::StatusOr<ExtentIndex> extent = ReadIndex(*place);
  if (!extent.ok()) {
    ahead_ = {};
    const absl::Status damage = Damaged(place->at, extent.status());
    if (places_.empty()) return damage;
    // The footer says where the next one is.
    if (damage_.ok()) damage_ = damage;
    ++next_place_;
    return true;
  }
  place->header = ByteCount{extent->header.header_bytes};
  place->extent = ByteCount{extent->header.extent_bytes};
  if (places_.empty()) {
    scan_at_ = place->at + place->extent;
    ++scan_sequence_;
  } else {
    ++next_place_;
  }
  const size_t before = runs_.size();
  AddRuns(*extent, *place);
  if (runs_.size() == before) ahead_ = {};
  scanned_ = *std::move(extent);
  return true;
}

absl::StatusOr<ExtentIndex> PartReader::ReadIndex(const Place& place) {
  // A place that was found by going from header to header has no sizes yet.
  const ByteCount first = std::max(place.header, ByteCount{kBlockBytes});
  const ByteCount ahead = std::max(ahead_, kHopBytes);
  if (limit_ < place.at + first) return absl::DataLossError("it ends beyond what is durable");
  SLUICE_ASSIGN_OR_RETURN(absl::Span<const std::byte> bytes,
                          window_.Get(place.at, first, ahead, limit_));
  SLUICE_ASSIGN_OR_RETURN(const ExtentHeader header, ParseExtentHeader(bytes));
  if (header.segment_id != static_cast<uint64_t>(segment_->id()) ||
      header.sequence != place.sequence) {
    return absl::DataLossError(absl::StrCat("it is extent ", header.sequence, " of segment ",
                                            header.segment_id, ", not ", place.sequence, " of ",
                                            static_cast<uint64_t>(segment_->id())));
  }
  const ByteCount header_bytes{header.header_bytes};
  if (limit_ < place.at + ByteCount{header.extent_bytes}) {
    return absl::DataLossError("it ends beyond what is durable");
  }
  SLUICE_ASSIGN_OR_RETURN(bytes, window_.Get(place.at, header_bytes, ahead, limit_));
  return ParseExtentIndex(place.at, bytes);
}

void PartReader::AddRuns(const ExtentIndex& extent, const Place& place) {
  bool first = true;
  for (const FragmentEntry& fragment : extent.fragments) {
    if (fragment.stream_id != static_cast<uint64_t>(stream_) || fragment.length == 0) continue;
    const StreamOffset begin{fragment.stream_offset};
    const StreamOffset end = begin + ByteCount{fragment.length};
    if (!first && runs_.back().end == begin) {
      runs_.back().end = end;
    } else {
      runs_.push_back({begin, end, place});
    }
    first = false;
    runs_end_ = std::max(runs_end_, end);
  }
  for (const StreamEvent& event : extent.events) {
    if (event.type != StreamEventType::kGap || event.stream_id != static_cast<uint64_t>(stream_)) {
      continue;
    }
    const StreamOffset begin{event.stream_offset};
    gaps_[begin] = {begin, begin + ByteCount{event.gap_bytes}, event.cause};
  }
}

// Brings the run's extent into memory and checks its payload.
absl::Status PartReader::MakeCurrent(const Run& run) {
  const Place place = run.place;
  ahead_ = std::min(std::max(ahead_ * 2, kAheadFirst), ExtentWindow::kAheadMax);
  if (scanned_.at != place.at || scanned_.fragments.empty()) {
    absl::StatusOr<ExtentIndex> extent = ReadIndex(place);
    if (!extent.ok()) return Damaged(place.at, extent.status());
    scanned_ = *std::move(extent);
  }
  absl::StatusOr<absl::Span<const std::byte>> bytes =
      window_.Get(place.at, place.extent, ahead_, limit_);
  if (!bytes.ok()) return Damaged(place.at, bytes.status());
  bytes_ = *bytes;

  uint32_t crc = 0;
  const bool has_crc = (scanned_.header.flags & kExtentHasPayloadCrc) != 0;
  for (const FragmentEntry& fragment : scanned_.fragments) {
    if (has_crc) {
      crc = ExtendCrc32c(crc, bytes_.subspan(fragment.payload_offset, fragment.length));
    }
    if (fragment.stream_id == static_cast<uint64_t>(stream_)) current_.push_back(fragment);
  }
  if (has_crc && crc != scanned_.header.payload_crc32c) {
    current_.clear();
    return Damaged(place.at, absl::DataLossError("its payload does not match its CRC"));
  }
  hint_ = 0;
  return absl::OkStatus();
}

absl::Status PartReader::Damaged(FileOffset at, const absl::Status& why) const {
  // What is not there at all is as bad as what is damaged: somebody said it was durable.
  const absl::StatusCode code = absl::IsOutOfRange(why) ? absl::StatusCode::kDataLoss : why.code();
  return absl::Status(code, absl::StrCat(path_, ": extent at ", at.value, ": ", why.message()));
}

}  // namespace sluice
