#include "control/query/stream_reader.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/query/part_reader.h"
#include "ingest/check.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

// Open segment files. One is the rule; where a disk write was repeated, two neighbours take turns.
constexpr size_t kReadersMax = 3;
// How many segments further on a refused write may be repeated.
constexpr int kRepeatsMax = 3;
// A segment that is reused is looked up again; each time the archive moved on by one.
constexpr int kLooksMax = 16;

}  // namespace

class StreamReader::Impl {
 public:
  Impl(const std::string& directory, Catalog& catalog, StreamId id, StreamOffset from)
      : directory_(directory), catalog_(&catalog), id_(id), position_(from) {}

  absl::Status Start();
  absl::StatusOr<size_t> Read(absl::Span<std::byte> out);
  const std::optional<StreamGap>& gap() const { return gap_; }
  void SkipGap() {
    SLUICE_CHECK(gap_.has_value());
    position_ = std::exchange(gap_, std::nullopt)->end;
  }
  bool ended() const { return !row_.open && position_ >= row_.durable; }
  StreamOffset position() const { return position_; }
  const StreamRow& row() const { return row_; }

 private:
  absl::Status Look();
  absl::StatusOr<absl::Span<const std::byte>> Next();
  absl::StatusOr<absl::Span<const std::byte>> FromParts();
  absl::StatusOr<absl::Span<const std::byte>> FromPart(const StreamPart& part);
  absl::StatusOr<PartReader*> ReaderOf(const StreamPart& part);
  absl::StatusOr<std::string> PathOf(uint32_t slot);
  void CloseReadersBut(SegmentId keep);
  absl::Status WhyNothing() const;
  bool MayStillCome() const;
  StreamOffset FirstThatExists() const;
  std::string Name() const { return absl::StrCat("stream ", StreamIdToString(id_)); }

  const std::string directory_;
  std::optional<ArchiveMeta> meta_;  // says which disk has a slot
  Catalog* const catalog_;
  const StreamId id_;
  StreamOffset position_;
  std::optional<StreamGap> gap_;  // at the position

  StreamRow row_;
  std::vector<StreamPart> parts_;  // without those whose segment has been reused
  std::set<SegmentId> reused_;     // seen on the disk, though the catalog may not know yet
  std::map<SegmentId, std::unique_ptr<PartReader>> readers_;
  std::optional<StreamPart> last_;  // the part that was read from last
};

absl::Status StreamReader::Impl::Start() {
  SLUICE_RETURN_IF_ERROR(Look());
  if (position_ < row_.begin) return WhyNothing();
  if (position_ > row_.durable && !row_.open) {
    return absl::OutOfRangeError(absl::StrCat(Name(), " ends at offset ", row_.durable.value,
                                              ", before offset ", position_.value));
  }
  return absl::OkStatus();
}

// The row first: parts that are newer than it do no harm, parts that are older would lack bytes.
absl::Status StreamReader::Impl::Look() {
  absl::StatusOr<StreamRow> row = catalog_->Stream(id_);
  if (absl::IsNotFound(row.status())) {
    return absl::NotFoundError(absl::StrCat("the archive ", directory_, " does not hold ", Name(),
                                            row_.id == id_ ? " any more" : ""));
  }
  SLUICE_RETURN_IF_ERROR(row.status());
  SLUICE_ASSIGN_OR_RETURN(parts_, catalog_->StreamParts(id_));
  row_ = *std::move(row);
  // From here on the catalog need not be told again what the disk said.
  std::set<SegmentId> reused;
  std::erase_if(parts_, [&](const StreamPart& part) {
    const bool gone = reused_.contains(part.segment);
    if (gone) reused.insert(part.segment);
    return gone;
  });
  reused_ = std::move(reused);
  return absl::OkStatus();
}

absl::StatusOr<size_t> StreamReader::Impl::Read(absl::Span<std::byte> out) {
  size_t copied = 0;
  while (copied < out.size()) {
    const absl::StatusOr<absl::Span<const std::byte>> bytes = Next();
    if (!bytes.ok() && copied == 0) return bytes.status();
    if (!bytes.ok() || bytes->empty()) break;  // an error comes back with the next call
    const size_t now = std::min(bytes->size(), out.size() - copied);
    std::memcpy(out.data() + copied, bytes->data(), now);
    copied += now;
    position_ = position_ + ByteCount{now};
  }
  return copied;
}

// The bytes at the position, as many as lie together; empty when none are durable now.
absl::StatusOr<absl::Span<const std::byte>> StreamReader::Impl::Next() {
  gap_.reset();
  absl::StatusOr<absl::Span<const std::byte>> bytes = FromParts();
  for (int look = 0; look < kLooksMax; ++look) {
    if (bytes.ok() && (!bytes->empty() || gap_)) return bytes;
    if (ended()) return absl::Span<const std::byte>();
    SLUICE_RETURN_IF_ERROR(Look());
    bytes = FromParts();
    if (!absl::IsAborted(bytes.status())) break;
  }
  if (!bytes.ok() || !bytes->empty() || gap_) return bytes;
  SLUICE_RETURN_IF_ERROR(WhyNothing());
  return bytes;
}

// Looks into every part that may hold the position, first into the one that was read from last.
absl::StatusOr<absl::Span<const std::byte>> StreamReader::Impl::FromParts() {
  absl::Status failure;
  absl::StatusOr<absl::Span<const std::byte>> bytes = absl::Span<const std::byte>();
  if (last_.has_value()) {
    bytes = FromPart(*last_);
    if (bytes.ok() && (!bytes->empty() || gap_)) return bytes;
    if (!bytes.ok()) failure = bytes.status();
  }
  for (const StreamPart& part : parts_) {
    if (absl::IsAborted(failure)) return failure;
    bytes = FromPart(part);
    if (bytes.ok() && (!bytes->empty() || gap_)) {
      last_ = part;
      return bytes;
    }
    if (failure.ok()) failure = bytes.status();
  }
  if (failure.ok() || absl::IsAborted(failure)) return bytes;
  return absl::Status(failure.code(), absl::StrCat(Name(), " at offset ", position_.value, ": ",
                                                   failure.message()));
}

// ABORTED: the part's segment has been reused.
absl::StatusOr<absl::Span<const std::byte>> StreamReader::Impl::FromPart(const StreamPart& part) {
  if (position_ < part.begin || position_ >= part.end) return absl::Span<const std::byte>();
  const absl::StatusOr<PartReader*> reader = ReaderOf(part);
  absl::StatusOr<absl::Span<const std::byte>> bytes = absl::Span<const std::byte>();
  if (reader.ok()) {
    bytes = (*reader)->At(position_);
    if (bytes.ok() && bytes->empty()) gap_ = (*reader)->GapAt(position_);
  } else {
    bytes = reader.status();
  }
  if (absl::IsAborted(bytes.status())) {
    const SegmentId segment = part.segment;  // `part` may be *last_
    reused_.insert(segment);
    readers_.erase(segment);
    if (last_.has_value() && last_->segment == segment) last_.reset();
  }
  return bytes;
}

absl::StatusOr<PartReader*> StreamReader::Impl::ReaderOf(const StreamPart& part) {
  if (const auto found = readers_.find(part.segment); found != readers_.end()) {
    SLUICE_RETURN_IF_ERROR(found->second->Update(part));
    return found->second.get();
  }
  CloseReadersBut(last_.has_value() ? last_->segment : SegmentId{});
  SLUICE_ASSIGN_OR_RETURN(const std::string path, PathOf(part.slot));
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<PartReader> reader, PartReader::Open(path, id_, part));
  return readers_.emplace(part.segment, std::move(reader)).first->second.get();
}

// UNAVAILABLE: the slot's disk is not there.
absl::StatusOr<std::string> StreamReader::Impl::PathOf(uint32_t slot) {
  if (!meta_.has_value()) {
    // Without an ARCHIVE file, which the next start writes anew, there is the home.
    const absl::StatusOr<ArchiveMeta> meta = Archive::ReadMeta(directory_);
    meta_ = meta.ok() ? *meta : ArchiveMeta();
  }
  const uint32_t disk = meta_->DiskOf(slot);
  if (disk != 0) SLUICE_RETURN_IF_ERROR(CheckPresent(*meta_, disk));
  return Archive::SegmentPath(directory_, *meta_, slot);
}

// Of those that are behind the position, and then of others, until there is room for one more.
void StreamReader::Impl::CloseReadersBut(SegmentId keep) {
  for (const StreamPart& part : parts_) {
    if (part.end <= position_ && part.sealed) readers_.erase(part.segment);
  }
  while (readers_.size() >= kReadersMax) {
    auto victim = readers_.begin();
    if (victim->first == keep) ++victim;
    readers_.erase(victim);
  }
}

StreamOffset StreamReader::Impl::FirstThatExists() const {
  StreamOffset first{std::numeric_limits<uint64_t>::max()};
  for (const StreamPart& part : parts_) {
    if (part.end > part.begin) first = std::min(first, part.begin);
  }
  // Nothing is left: it goes on where it will be written next.
  if (first.value == std::numeric_limits<uint64_t>::max()) return row_.durable;
  return std::max(first, row_.begin);
}

// OK: there is nothing now, and that is as it should be.
absl::Status StreamReader::Impl::WhyNothing() const {
  const StreamOffset first = FirstThatExists();
  if (position_ < first) {
    return absl::OutOfRangeError(
        absl::StrCat(Name(), ": retention has removed offset ", position_.value,
                     "; the first offset that still exists is ", first.value));
  }
  if (position_ >= row_.durable || MayStillCome()) return absl::OkStatus();
  std::optional<StreamOffset> next;
  for (const StreamPart& part : parts_) {
    std::optional<StreamOffset> begin;
    if (part.begin > position_) {
      begin = part.begin;
    } else if (const auto reader = readers_.find(part.segment); reader != readers_.end()) {
      begin = reader->second->NextAfter(position_);
    }
    if (begin.has_value() && (!next.has_value() || *begin < *next)) next = begin;
  }
  return absl::DataLossError(absl::StrCat(
      Name(), ": no segment holds the bytes from offset ", position_.value,
      next.has_value() ? absl::StrCat("; the next ones begin at offset ", next->value) : ""));
}

// A write that the disk refused is repeated in a later segment, and becomes durable later than
// what follows it in the stream.
bool StreamReader::Impl::MayStillCome() const {
  const absl::StatusOr<RecordingRow> recording = catalog_->Recording(row_.recording);
  if (!recording.ok() || recording->state != RecordingState::kRecording) return false;
  std::optional<SegmentId> refused;  // the segment that may lack the write, or one before it
  for (const StreamPart& part : parts_) {
    if (part.end <= position_) continue;
    refused = refused.has_value() ? std::min(*refused, part.segment) : part.segment;
  }
  const auto repeats = std::count_if(parts_.begin(), parts_.end(), [&](const StreamPart& part) {
    return part.sealed && refused.has_value() && part.segment > *refused;
  });
  return repeats < kRepeatsMax;
}

StreamReader::StreamReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StreamReader::~StreamReader() = default;

absl::StatusOr<std::unique_ptr<StreamReader>> StreamReader::Open(
    const std::string& archive_directory, Catalog& catalog, StreamId stream, StreamOffset from) {
  auto impl = std::make_unique<Impl>(archive_directory, catalog, stream, from);
  SLUICE_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<StreamReader>(new StreamReader(std::move(impl)));
}

absl::StatusOr<size_t> StreamReader::Read(absl::Span<std::byte> out) { return impl_->Read(out); }
const std::optional<StreamGap>& StreamReader::gap() const { return impl_->gap(); }
void StreamReader::SkipGap() { impl_->SkipGap(); }
bool StreamReader::ended() const { return impl_->ended(); }
StreamOffset StreamReader::position() const { return impl_->position(); }
const StreamRow& StreamReader::stream() const { return impl_->row(); }

}  // namespace sluice
