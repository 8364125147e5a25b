#include "writer/archive/verify.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"
#include "writer/catalog/catalog.h"
#include "writer/segment/file_io.h"
#include "writer/segment/footer_builder.h"
#include "writer/segment/segment_reader.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

uint64_t Number(SegmentId id) { return static_cast<uint64_t>(id); }

// Bytes of a stream, or of a track's account, and the segment in which they were found.
struct Range {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t segment = 0;
};

// Ranges of one stream or track. What follows on is joined as it comes, so few remain.
class Coverage {
 public:
  void Add(const Range& range) {
    if (!ranges_.empty() && ranges_.back().end == range.begin &&
        ranges_.back().segment == range.segment) {
      ranges_.back().end = range.end;
    } else if (range.begin < range.end) {
      ranges_.push_back(range);
    }
  }
  void Add(const Coverage& more) {
    for (const Range& range : more.ranges_) Add(range);
  }

  // In order of their places, calls `overlap` and `gap` with the bounds of what does not fit.
  //
  // A gap at the beginning is what reuse leaves. So is one inside the first segment that still
  // exists: a refused write is repeated in the next segment while later ones succeed in the old
  // one, which then may be reused first.
  template <class Overlap, class Gap>
  void Check(Overlap overlap, Gap gap) {
    std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) {
      return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
    });
    uint64_t oldest = ~uint64_t{0};
    for (const Range& range : ranges_) oldest = std::min(oldest, range.segment);
    uint64_t end = ranges_.empty() ? 0 : ranges_.front().begin;
    uint64_t end_segment = 0;
    const bool begins_late = end > 0;
    for (const Range& range : ranges_) {
      if (range.begin < end) overlap(range.begin, std::min(end, range.end), range.segment);
      if (range.begin > end && !(begins_late && range.segment == oldest)) {
        gap(end, range.begin, end_segment, range.segment);
      }
      if (range.end >= end) end_segment = range.segment;
      end = std::max(end, range.end);
    }
  }

 private:
  std::vector<Range> ranges_;
};

// A recording on one lane, from one start of the recorder to its end.
using TrackKey = std::tuple<uint64_t, uint16_t, uint32_t>;  // uid, lane, epoch

struct Track {
  std::string recording;
  Coverage written;
  bool drops = false;
};

// What one segment contributes, kept apart until it is sure that it was not reused meanwhile.
struct SegmentResult {
  uint64_t extents = 0;
  uint64_t fragments = 0;
  ByteCount payload;
  std::vector<std::string> findings;
  std::map<uint64_t, Coverage> streams;
  Track track;
  std::set<uint64_t> stream_ids;
};

class Verifier {
 public:
  Verifier(std::string directory, const VerifyProgress& progress)
      : directory_(std::move(directory)), progress_(progress) {}

  absl::StatusOr<VerifyReport> Run();

 private:
  void Find(std::string finding);
  absl::Status OpenCatalog();
  bool AnySegment() const;
  void CheckKnownSegments();
  void CheckUnknownSegments();
  void CheckSegment(const SegmentRow& row);
  bool IsGone(SegmentId id);
  void ReadSegment(SegmentReader& reader, const SegmentRow& row, SegmentResult* result);
  void ReadSealed(SegmentReader& reader, SegmentResult* result, FooterBuilder* footer);
  void ReadOpen(SegmentReader& reader, FileOffset durable, SegmentResult* result,
                FooterBuilder* footer);
  bool ReadExtent(SegmentReader& reader, const ExtentIndex& extent, SegmentResult* result,
                  FooterBuilder* footer);
  void CheckLedger(const std::string& where, const ExtentHeader& header, SegmentResult* result);
  void CheckFooter(SegmentReader& reader, const SegmentFooter& footer, const FooterBuilder& rebuilt,
                   SegmentResult* result);
  void CheckParts(SegmentReader& reader, const std::vector<StreamPart>& parts,
                  const FooterBuilder& footer, SegmentResult* result);
  void Merge(const TrackKey& key, SegmentResult result);
  void Skip(SegmentId id);
  bool WasSkipped(uint64_t after, uint64_t before) const;
  void CheckStreams();
  void CheckTracks();
  void Advance(ByteCount bytes);
  std::string Path(uint32_t slot) const { return Archive::SegmentPath(directory_, meta_, slot); }
  void LookAtDisks();

  const std::string directory_;
  const VerifyProgress& progress_;
  ArchiveMeta meta_;
  std::map<uint32_t, std::string> missing_;  // disks that are not there, and why
  bool held_ = false;                        // somebody records into it
  std::unique_ptr<Catalog> catalog_;
  std::vector<SegmentRow> rows_;
  std::map<uint64_t, Coverage> streams_;
  std::map<uint64_t, TrackKey> track_of_stream_;
  std::map<TrackKey, Track> tracks_;
  std::set<uint64_t> skipped_;  // segments
  ByteCount done_;
  ByteCount total_;
  VerifyReport report_;
};

void Verifier::Find(std::string finding) {
  ++report_.damaged;
  if (report_.findings.size() < kVerifyFindingsMax) report_.findings.push_back(std::move(finding));
}

void Verifier::Advance(ByteCount bytes) {
  done_ = std::min(done_ + bytes, total_);
  if (progress_) progress_(done_, total_);
}

absl::Status Verifier::OpenCatalog() {
  absl::StatusOr<std::unique_ptr<Catalog>> catalog =
      Catalog::Open(Archive::CatalogPath(directory_), Catalog::Mode::kReadOnly);
  if (absl::IsFailedPrecondition(catalog.status())) return catalog.status();
  if (catalog.ok()) {
    absl::StatusOr<std::vector<SegmentRow>> rows = (*catalog)->Segments();
    if (rows.ok()) {
      catalog_ = *std::move(catalog);
      rows_ = *std::move(rows);
      return absl::OkStatus();
    }
    catalog = rows.status();
  }
  // A new archive has none, and nothing that it could speak of.
  if (absl::IsNotFound(catalog.status()) && !AnySegment()) return absl::OkStatus();
  Find(std::string(catalog.status().message()));
  return absl::OkStatus();
}

bool Verifier::AnySegment() const {
  for (uint32_t slot = 0; slot < meta_.segment_count; ++slot) {
    if (SegmentReader::Open(Path(slot)).ok()) return true;
  }
  return false;
}

// The catalog does not speak of the segment any more: it was reused, or its recording deleted.
bool Verifier::IsGone(SegmentId id) {
  const absl::StatusOr<std::vector<SegmentRow>> rows = catalog_->Segments();
  return rows.ok() && std::none_of(rows->begin(), rows->end(),
                                   [&](const SegmentRow& row) { return row.id == id; });
}

// The segment was reused after the catalog was read; what was read before it may be gone as well.
void Verifier::Skip(SegmentId id) {
  ++report_.segments_skipped;
  skipped_.insert(Number(id));
}

// Whether what is missing between two segments may have been in one that was skipped.
bool Verifier::WasSkipped(uint64_t after, uint64_t before) const {
  const auto next = skipped_.upper_bound(after);
  return next != skipped_.end() && *next < before;
}

void Verifier::LookAtDisks() {
  for (uint32_t number = 1; number < meta_.disks.size(); ++number) {
    if (!meta_.disks[number].exists()) continue;
    const absl::Status present = CheckPresent(meta_, number);
    if (!present.ok()) missing_.emplace(number, present.message());
  }
  std::map<uint32_t, uint32_t> segments;
  for (const SegmentRow& row : rows_) ++segments[meta_.DiskOf(row.slot)];
  for (const auto& [number, why] : missing_) {
    report_.notes.push_back(
        absl::StrCat("not verified: ", segments[number], " segments, because ", why));
  }
}

void Verifier::CheckSegment(const SegmentRow& row) {
  const ByteCount bytes = row.durable - FileOffset{0};
  if (missing_.contains(meta_.DiskOf(row.slot))) {
    ++report_.segments_unavailable;
    skipped_.insert(Number(row.id));
    return Advance(bytes);
  }
  const absl::StatusOr<std::unique_ptr<SegmentReader>> reader = SegmentReader::Open(Path(row.slot));
  if (!reader.ok() || (*reader)->id() != row.id) {
    Advance(bytes);
    // The catalog knows of a segment a moment before its file does.
    const bool was_only_begun = !row.sealed && row.durable.value <= kBlockBytes;
    if (IsGone(row.id)) {
      Skip(row.id);
    } else if (was_only_begun) {
      return;
    } else if (!reader.ok()) {
      Find(absl::StrCat("segment ", Number(row.id), ": ", reader.status().message()));
    } else {
      Find(absl::StrCat(Path(row.slot), " at 0: it holds segment ", Number((*reader)->id()),
                        " where the catalog says ", Number(row.id)));
    }
    return;
  }
  SegmentResult result;
  const ByteCount before = done_;
  ReadSegment(**reader, row, &result);
  Advance(bytes - std::min(bytes, done_ - before));
  if (!(*reader)->StillHolds()) return Skip(row.id);
  const SegmentHeader& header = (*reader)->header();
  result.track.recording = RecordingName(header);
  Merge({header.recording_uid, header.lane, header.epoch}, std::move(result));
}

void Verifier::ReadSegment(SegmentReader& reader, const SegmentRow& row, SegmentResult* result) {
  const SegmentHeader& header = reader.header();
  if (header.archive_uuid != meta_.uuid || header.slot != row.slot ||
      header.segment_bytes != meta_.segment.value) {
    result->findings.push_back(
        absl::StrCat(reader.path(), " at 0: the header is another archive's or another slot's"));
    return;
  }
  if (header.recording_uid != row.recording_uid || LaneId{header.lane} != row.lane ||
      header.epoch != row.epoch) {
    result->findings.push_back(
        absl::StrCat(reader.path(),
                     " at 0: the catalog names another recording, lane or epoch than the header"));
  }
  // Where the parts come from, the mark does: one state of the catalog.
  const absl::StatusOr<std::vector<StreamPart>> parts = catalog_->SegmentParts(row.id);
  if (!parts.ok()) {
    result->findings.push_back(std::string(parts.status().message()));
    return;
  }
  FooterBuilder footer;
  const bool sealed = parts->empty() ? row.sealed : parts->front().sealed;
  const FileOffset durable = parts->empty() ? row.durable : parts->front().durable;
  if (sealed) {
    ReadSealed(reader, result, &footer);
  } else {
    ReadOpen(reader, durable, result, &footer);
    if (!held_ && reader.StillHolds()) {
      report_.notes.push_back(absl::StrCat(
          reader.path(), ": segment ", Number(row.id),
          " was never closed: the next start of the recorder takes in what holds of it"));
    }
  }
  if (result->findings.empty()) CheckParts(reader, *parts, footer, result);
}

void Verifier::ReadSealed(SegmentReader& reader, SegmentResult* result, FooterBuilder* rebuilt) {
  const absl::StatusOr<SegmentFooter> footer = reader.ReadFooter();
  if (!footer.ok()) {
    result->findings.push_back(std::string(footer.status().message()));
    return;
  }
  for (const ExtentRecord& record : footer->extents) {
    const absl::StatusOr<ExtentIndex> extent = reader.ReadExtentIndex({record.offset});
    if (!extent.ok()) {
      result->findings.push_back(std::string(extent.status().message()));
    } else {
      ReadExtent(reader, *extent, result, rebuilt);
    }
    Advance({record.extent_bytes});
  }
  if (result->findings.empty()) CheckFooter(reader, *footer, *rebuilt, result);
}

void Verifier::ReadOpen(SegmentReader& reader, FileOffset durable, SegmentResult* result,
                        FooterBuilder* footer) {
  FileOffset at{kBlockBytes};
  for (uint32_t sequence = 0; at < durable; ++sequence) {
    const absl::StatusOr<ExtentIndex> extent = reader.ReadExtentIndex(at);
    if (!extent.ok()) {
      result->findings.push_back(std::string(extent.status().message()));
      return;  // where the next one begins, only this one says
    }
    if (extent->header.sequence != sequence) {
      result->findings.push_back(absl::StrCat(reader.path(), " at ", at.value, ": extent ",
                                              extent->header.sequence, " where ", sequence,
                                              " belongs"));
      return;
    }
    ReadExtent(reader, *extent, result, footer);
    at = at + ByteCount{extent->header.extent_bytes};
    Advance({extent->header.extent_bytes});
  }
  if (durable.value > 0 && at != durable) {
    result->findings.push_back(absl::StrCat(reader.path(), " at ", durable.value,
                                            ": the catalog's durable mark is inside an extent"));
  }
}

// False: the extent does not hold.
bool Verifier::ReadExtent(SegmentReader& reader, const ExtentIndex& extent, SegmentResult* result,
                          FooterBuilder* footer) {
  const std::string where = absl::StrCat(reader.path(), " at ", extent.at.value);
  const uint64_t segment = Number(reader.id());
  if (const absl::Status payload = reader.CheckPayload(extent); !payload.ok()) {
    result->findings.push_back(std::string(payload.message()));
    return false;
  }
  if (extent.at < footer->data_end()) {
    result->findings.push_back(absl::StrCat(where, ": the extent overlaps the one before"));
    return false;
  }
  CheckLedger(where, extent.header, result);
  if (extent.header.durable_bytes > extent.at.value) {
    result->findings.push_back(absl::StrCat(where, ": the extent calls ",
                                            extent.header.durable_bytes,
                                            " bytes durable, which includes itself"));
  }
  footer->Add(extent.at, extent.header, extent.fragments, extent.events);
  for (const FragmentEntry& fragment : extent.fragments) {
    result->streams[fragment.stream_id].Add(
        {fragment.stream_offset, fragment.stream_offset + fragment.length, segment});
    result->stream_ids.insert(fragment.stream_id);
  }
  for (const StreamEvent& event : extent.events) result->stream_ids.insert(event.stream_id);
  const Ledger& ledger = extent.header.ledger;
  // What a disk lost after it was written goes from one column of the account to another.
  const uint64_t taken = ledger.written + ledger.dropped_disk;
  if (taken >= extent.header.payload_bytes) {
    result->track.written.Add({taken - extent.header.payload_bytes, taken, segment});
  }
  result->track.drops |= ledger.dropped() != 0;
  ++result->extents;
  result->fragments += extent.fragments.size();
  result->payload += {extent.header.payload_bytes};
  return true;
}

void Verifier::CheckLedger(const std::string& where, const ExtentHeader& header,
                           SegmentResult* result) {
  const Ledger& ledger = header.ledger;
  if (ledger.received != ledger.written + ledger.dropped()) {
    result->findings.push_back(absl::StrCat(where, ": the ledger received ", ledger.received,
                                            " bytes, wrote ", ledger.written, " and dropped ",
                                            ledger.dropped()));
  }
  if (ledger.received != ledger.zero_copy + ledger.copied) {
    result->findings.push_back(absl::StrCat(where, ": the ledger received ", ledger.received,
                                            " bytes, ", ledger.zero_copy, " without a copy and ",
                                            ledger.copied, " with one"));
  }
  if (ledger.packed > ledger.written || ledger.written < header.payload_bytes) {
    result->findings.push_back(absl::StrCat(where, ": the ledger wrote only ", ledger.written,
                                            " bytes, and packed ", ledger.packed));
  }
}

void Verifier::CheckFooter(SegmentReader& reader, const SegmentFooter& footer,
                           const FooterBuilder& rebuilt, SegmentResult* result) {
  const std::string where = absl::StrCat(reader.path(), " at ", footer.trailer.footer_offset);
  if (rebuilt.FooterBytes() != footer.trailer.footer_bytes) {
    result->findings.push_back(
        absl::StrCat(where, ": the footer does not say what the extents say"));
    return;
  }
  AlignedBuffer stored(footer.trailer.footer_bytes);
  const absl::Status read = reader.Read({footer.trailer.footer_offset}, stored.span());
  const AlignedBuffer expected = rebuilt.Build(reader.id(), {reader.header().segment_bytes},
                                               footer.trailer.flags, OriginOf(footer.trailer));
  if (!read.ok() || stored.span() != expected.span()) {
    result->findings.push_back(
        absl::StrCat(where, ": the footer does not say what the extents say"));
  }
}

void Verifier::CheckParts(SegmentReader& reader, const std::vector<StreamPart>& parts,
                          const FooterBuilder& footer, SegmentResult* result) {
  std::set<uint64_t> known;
  for (const StreamPart& part : parts) {
    known.insert(static_cast<uint64_t>(part.stream));
    const StreamRecord* const record = footer.Find(part.stream);
    if (record == nullptr || record->begin != part.begin.value || record->end != part.end.value) {
      result->findings.push_back(absl::StrCat(
          reader.path(), ": the catalog places bytes ", part.begin.value, " to ", part.end.value,
          " of stream ", StreamIdToString(part.stream), " here, the segment has ",
          record == nullptr ? "none" : absl::StrCat(record->begin, " to ", record->end)));
    }
  }
  for (const StreamRecord& record : footer.streams()) {
    if (!known.contains(record.stream_id)) {
      result->findings.push_back(
          absl::StrCat(reader.path(), ": the catalog does not know that stream ",
                       StreamIdToString(StreamId{record.stream_id}), " has a part here"));
    }
  }
}

void Verifier::Merge(const TrackKey& key, SegmentResult result) {
  ++report_.segments;
  report_.extents += result.extents;
  report_.fragments += result.fragments;
  report_.payload += result.payload;
  for (std::string& finding : result.findings) Find(std::move(finding));
  for (const auto& [stream, coverage] : result.streams) streams_[stream].Add(coverage);
  for (const uint64_t stream : result.stream_ids) track_of_stream_[stream] = key;
  Track& track = tracks_[key];
  track.recording = result.track.recording;
  track.written.Add(result.track.written);
  track.drops |= result.track.drops;
}

void Verifier::CheckKnownSegments() {
  for (const SegmentRow& row : rows_) total_ += row.durable - FileOffset{0};
  Advance({});
  for (const SegmentRow& row : rows_) CheckSegment(row);
}

// Segments that are there though the catalog does not say so: what a crash left for the next
// start. (New ones, while somebody records.)
void Verifier::CheckUnknownSegments() {
  if (held_ || catalog_ == nullptr) return;
  std::set<uint32_t> known;
  for (const SegmentRow& row : rows_) known.insert(row.slot);
  for (uint32_t slot = 0; slot < meta_.segment_count; ++slot) {
    if (known.contains(slot) || missing_.contains(meta_.DiskOf(slot))) continue;
    const absl::StatusOr<std::unique_ptr<SegmentReader>> reader = SegmentReader::Open(Path(slot));
    if (absl::IsNotFound(reader.status()) && access(Path(slot).c_str(), F_OK) == 0) {
      continue;  // empty
    }
    if (!reader.ok()) {
      Find(std::string(reader.status().message()));
    } else if ((*reader)->ReadExtentIndex({kBlockBytes}).ok()) {
      report_.notes.push_back(
          absl::StrCat(Path(slot), ": the catalog does not know segment ", Number((*reader)->id()),
                       ": the next start of the recorder takes in what holds of it"));
    }
  }
}

void Verifier::CheckStreams() {
  report_.streams = track_of_stream_.size();
  for (auto& [id, coverage] : streams_) {
    const std::string name = StreamIdToString(StreamId{id});
    const bool drops = tracks_[track_of_stream_[id]].drops;
    coverage.Check(
        [&](uint64_t begin, uint64_t end, uint64_t segment) {
          Find(absl::StrCat("stream ", name, ": bytes ", begin, " to ", end,
                            " are there twice, the second time in segment ", segment));
        },
        [&](uint64_t begin, uint64_t end, uint64_t before, uint64_t segment) {
          if (drops || WasSkipped(before, segment)) return;
          Find(absl::StrCat("stream ", name, ": bytes ", begin, " to ", end,
                            " are missing before segment ", segment, " goes on"));
        });
  }
  if (catalog_ == nullptr) return;
  for (const auto& [id, track] : track_of_stream_) {
    const absl::StatusOr<StreamRow> row = catalog_->Stream(StreamId{id});
    if (row.ok() && row->recording_uid == std::get<0>(track)) continue;
    const absl::StatusOr<std::vector<StreamPart>> parts = catalog_->StreamParts(StreamId{id});
    if (parts.ok() && parts->empty()) continue;  // reused meanwhile
    Find(absl::StrCat("the catalog does not say whose stream ", StreamIdToString(StreamId{id}),
                      " is"));
  }
}

void Verifier::CheckTracks() {
  for (auto& [key, track] : tracks_) {
    const std::string name = absl::StrCat("recording \"", track.recording, "\" on lane ",
                                          std::get<1>(key), " in epoch ", std::get<2>(key));
    track.written.Check(
        [&](uint64_t begin, uint64_t end, uint64_t segment) {
          Find(absl::StrCat(name, ": bytes ", begin, " to ", end,
                            " of its ledger are accounted for twice, the second time in segment ",
                            segment));
        },
        [&](uint64_t begin, uint64_t end, uint64_t before, uint64_t segment) {
          if (track.drops || WasSkipped(before, segment)) return;
          Find(absl::StrCat(name, ": bytes ", begin, " to ", end,
                            " of its ledger are not accounted for before segment ", segment));
        });
  }
}

absl::StatusOr<VerifyReport> Verifier::Run() {
  SLUICE_ASSIGN_OR_RETURN(meta_, Archive::ReadMeta(directory_));
  held_ = Archive::Holder(directory_).ok();
  SLUICE_RETURN_IF_ERROR(OpenCatalog());
  LookAtDisks();
  CheckKnownSegments();
  CheckUnknownSegments();
  CheckStreams();
  CheckTracks();
  return std::move(report_);
}

}  // namespace

absl::StatusOr<VerifyReport> VerifyArchive(const std::string& directory,
                                           const VerifyProgress& progress) {
  return Verifier(directory, progress).Run();
}

}  // namespace sluice
