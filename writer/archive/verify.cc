#include "writer/archive/verify.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"
#include "writer/archive/read_pace.h"
#include "writer/archive/verified_file.h"
#include "writer/archive/verify_coverage.h"
#include "writer/archive/verify_history.h"
#include "writer/archive/verify_segment.h"
#include "writer/catalog/catalog.h"
#include "writer/segment/segment_reader.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

uint64_t Number(SegmentId id) { return static_cast<uint64_t>(id); }

// A recording on one lane, from one start of the recorder to its end.
using TrackKey = std::tuple<uint64_t, uint16_t, uint32_t>;  // uid, lane, epoch

TrackKey KeyOf(const SegmentRow& row) {
  return {row.recording_uid, static_cast<uint16_t>(row.lane), row.epoch};
}

// What was read is not forgotten when this is cut off.
constexpr absl::Duration kSaveInterval = absl::Minutes(1);

struct Track {
  std::string recording;
  Coverage written;
  Coverage dropped;        // by policy
  bool lost_disk = false;  // and with it, perhaps, gaps
};

class Verifier {
 public:
  Verifier(std::string directory, const VerifyProgress& progress, const VerifyOptions& options)
      : directory_(std::move(directory)), progress_(progress), options_(options) {}

  absl::StatusOr<VerifyReport> Run();

 private:
  void Find(std::string finding);
  absl::Status OpenCatalog();
  bool AnySegment() const;
  void CheckKnownSegments();
  void CheckUnknownSegments();
  void CheckSegment(const SegmentRow& row);
  bool IsGone(SegmentId id);
  SegmentResult ReadSegment(SegmentReader& reader, const SegmentRow& row);
  void Merge(const SegmentRow& row, const std::string& recording, SegmentResult result);
  void Skip(SegmentId id);
  bool IsExplained(const TrackKey& track, uint64_t after, uint64_t before) const;
  bool WasLost(uint64_t stream, uint64_t begin, uint64_t end);
  void CheckStreams();
  void CheckTracks();
  void ReadRemovals();
  void ReadStamps();
  bool IsVerified(const SegmentRow& row) const;
  void SaveStamps();
  void CheckHistory();
  void Advance(ByteCount bytes);
  std::string Path(uint32_t slot) const { return Archive::SegmentPath(directory_, meta_, slot); }
  void LookAtDisks();

  const std::string directory_;
  const VerifyProgress& progress_;
  const VerifyOptions options_;
  ReadPace pace_{options_.bytes_per_second};
  const UnixNanos started_{absl::GetCurrentTimeNanos()};
  VerifiedSegments verified_;  // before
  VerifiedSegments fresh_;     // now
  absl::Time saved_ = absl::Now();
  std::set<TrackKey> partly_read_;
  ArchiveMeta meta_;
  bool saved_failed_ = false;
  std::map<uint32_t, std::string> missing_;  // disks that are not there, and why
  bool held_ = false;                        // somebody records into it
  std::unique_ptr<Catalog> catalog_;
  std::vector<SegmentRow> rows_;
  std::map<uint64_t, Coverage> streams_;
  std::map<uint64_t, std::vector<Range>> lost_;
  std::map<uint64_t, TrackKey> track_of_stream_;
  std::map<TrackKey, Track> tracks_;
  VerifyHistory history_;
  std::map<uint64_t, ByteCount> lost_in_crashes_;  // by recording
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
  // A new archive has none, or an empty one, and nothing that it could speak of.
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
  history_.AddUnknown(id);
}

// Whether what is missing between two segments of a track need not be there.
bool Verifier::IsExplained(const TrackKey& track, uint64_t after, uint64_t before) const {
  const auto& [uid, lane, epoch] = track;
  return history_.WhyMissing(uid, lane, after, before) != VerifyHistory::Missing::kUnexplained;
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
    history_.AddUnknown(row.id);
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
  const ByteCount before = done_;
  SegmentResult result = ReadSegment(**reader, row);
  Advance(bytes - std::min(bytes, done_ - before));
  if (!(*reader)->StillHolds()) return Skip(row.id);
  Merge(row, RecordingName((*reader)->header()), std::move(result));
}

SegmentResult Verifier::ReadSegment(SegmentReader& reader, const SegmentRow& row) {
  SegmentResult failed;
  const SegmentHeader& header = reader.header();
  if (header.archive_uuid != meta_.uuid || header.slot != row.slot ||
      header.segment_bytes != meta_.segment.value) {
    failed.findings.push_back(
        absl::StrCat(reader.path(), " at 0: the header is another archive's or another slot's"));
    return failed;
  }
  // Where the parts come from, the mark does: one state of the catalog.
  const absl::StatusOr<std::vector<StreamPart>> parts = catalog_->SegmentParts(row.id);
  if (!parts.ok()) {
    failed.findings.push_back(std::string(parts.status().message()));
    return failed;
  }
  const bool sealed = parts->empty() ? row.sealed : parts->front().sealed;
  const FileOffset durable = parts->empty() ? row.durable : parts->front().durable;
  const bool known = sealed && !options_.fast && IsVerified(row);
  if (known) {
    ++report_.segments_known;
    partly_read_.insert(KeyOf(row));
  }
  const VerifyDepth depth = options_.fast || known ? VerifyDepth::kStructure : VerifyDepth::kFull;
  const auto advance = [this](ByteCount bytes) {
    pace_.Wait(bytes);
    Advance(bytes);
    return true;
  };
  SegmentResult result = sealed ? VerifySealedSegment(reader, *parts, depth, advance)
                                : VerifyOpenSegment(reader, *parts, durable, advance);
  if (header.recording_uid != row.recording_uid || LaneId{header.lane} != row.lane ||
      header.epoch != row.epoch) {
    result.findings.push_back(
        absl::StrCat(reader.path(),
                     " at 0: the catalog names another recording, lane or epoch than the header"));
  }
  const bool hashes_known = row.footer_sha256 != Sha256{} && result.footer_sha256 != Sha256{};
  if (hashes_known && row.footer_sha256 != result.footer_sha256) {
    result.findings.push_back(absl::StrCat(
        reader.path(), ": the footer of segment ", Number(row.id),
        " was changed after it was sealed: it is not the one that the catalog remembers"));
  }
  if (!sealed && !held_ && reader.StillHolds()) {
    report_.notes.push_back(absl::StrCat(
        reader.path(), ": segment ", Number(row.id),
        " was never closed: the next start of the recorder takes in what holds of it"));
  }
  return result;
}

void Verifier::Merge(const SegmentRow& row, const std::string& recording, SegmentResult result) {
  const TrackKey key = KeyOf(row);
  ++report_.segments;
  report_.extents += result.extents;
  report_.fragments += result.fragments;
  report_.payload += result.payload;
  if (result.sealed && result.read_in_full && result.findings.empty()) {
    fresh_[Number(row.id)] = StampOf(result.footer_sha256, started_);
  }
  for (std::string& finding : result.findings) Find(std::move(finding));
  for (const auto& [stream, coverage] : result.streams) streams_[stream].Add(coverage);
  for (const uint64_t stream : result.stream_ids) track_of_stream_[stream] = key;
  Track& track = tracks_[key];
  track.recording = recording;
  track.written.Add(result.written);
  track.dropped.Add(result.dropped);
  track.lost_disk |= result.ledger.dropped_disk != 0;
  for (const auto& [stream, ranges] : result.lost) {
    lost_[stream].insert(lost_[stream].end(), ranges.begin(), ranges.end());
  }
  history_.Add(row, recording, result);
}

void Verifier::CheckKnownSegments() {
  for (const SegmentRow& row : rows_) total_ += row.durable - FileOffset{0};
  Advance({});
  for (const SegmentRow& row : rows_) {
    CheckSegment(row);
    if (absl::Now() - saved_ > kSaveInterval) SaveStamps();
  }
  SaveStamps();
}

void Verifier::ReadStamps() {
  if (!options_.since_last && options_.max_age == absl::ZeroDuration()) return;
  absl::StatusOr<VerifiedSegments> verified = ReadVerified(directory_);
  if (verified.ok()) {
    verified_ = *std::move(verified);
  } else if (!absl::IsNotFound(verified.status())) {
    report_.notes.push_back(
        absl::StrCat(verified.status().message(), ", so every segment is read"));
  }
}

bool Verifier::IsVerified(const SegmentRow& row) const {
  const UnixNanos at = VerifiedAt(verified_, row.id, row.footer_sha256);
  if (at.value == 0) return false;
  if (options_.max_age == absl::ZeroDuration()) return true;
  return absl::FromUnixNanos(started_.value) - absl::FromUnixNanos(at.value) < options_.max_age;
}

// Whoever may only read the archive verifies it all the same.
void Verifier::SaveStamps() {
  saved_ = absl::Now();
  if (fresh_.empty()) return;
  std::set<uint64_t> there;
  for (const SegmentRow& row : rows_) there.insert(Number(row.id));
  const absl::Status saved = AddVerified(directory_, fresh_, there);
  fresh_.clear();
  if (saved.ok() || saved_failed_) return;
  saved_failed_ = true;
  if (!options_.since_last && options_.max_age == absl::ZeroDuration()) return;
  report_.notes.push_back(
      absl::StrCat("what was verified is not remembered for the next time: ", saved.message()));
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

// Whether gaps say that a disk took these bytes with it.
bool Verifier::WasLost(uint64_t stream, uint64_t begin, uint64_t end) {
  std::vector<Range>& lost = lost_[stream];
  std::sort(lost.begin(), lost.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  for (const Range& range : lost) {
    if (range.begin <= begin) begin = std::max(begin, range.end);
  }
  return begin >= end;
}

void Verifier::CheckStreams() {
  report_.streams = track_of_stream_.size();
  for (auto& [id, coverage] : streams_) {
    if (partly_read_.contains(track_of_stream_[id])) continue;
    const std::string name = StreamIdToString(StreamId{id});
    coverage.Check(
        [&](uint64_t begin, uint64_t end, uint64_t segment) {
          Find(absl::StrCat("stream ", name, ": bytes ", begin, " to ", end,
                            " are there twice, the second time in segment ", segment));
        },
        [&](uint64_t begin, uint64_t end, uint64_t before, uint64_t segment) {
          if (WasLost(id, begin, end) || IsExplained(track_of_stream_[id], before, segment)) return;
          Find(absl::StrCat("stream ", name, ": bytes ", begin, " to ", end,
                            " are missing before segment ", segment,
                            " goes on, and no gap tells of them"));
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
    if (partly_read_.contains(key)) continue;
    const std::string name = absl::StrCat("recording \"", track.recording, "\" on lane ",
                                          std::get<1>(key), " in epoch ", std::get<2>(key));
    track.written.Check(
        [&](uint64_t begin, uint64_t end, uint64_t segment) {
          Find(absl::StrCat(name, ": bytes ", begin, " to ", end,
                            " of its ledger are accounted for twice, the second time in segment ",
                            segment));
        },
        [&](uint64_t begin, uint64_t end, uint64_t before, uint64_t segment) {
          const auto& [uid, lane, epoch] = key;
          const VerifyHistory::Missing why = history_.WhyMissing(uid, lane, before, segment);
          if (why == VerifyHistory::Missing::kCrash) {
            lost_in_crashes_[uid] += {end - begin};
            report_.notes.push_back(absl::StrCat(name, ": ", end - begin, " bytes before segment ",
                                                 segment, " were lost in a crash"));
          }
          if (why != VerifyHistory::Missing::kUnexplained) return;
          Find(absl::StrCat(name, ": bytes ", begin, " to ", end,
                            " of its ledger are not accounted for before segment ", segment));
        });
    if (track.lost_disk) continue;
    track.dropped.Check(
        [&](uint64_t begin, uint64_t end, uint64_t segment) {
          Find(absl::StrCat(name, ": bytes ", begin, " to ", end,
                            " that its ledger dropped by policy are in two gaps, the second in "
                            "segment ",
                            segment));
        },
        [&](uint64_t begin, uint64_t end, uint64_t before, uint64_t segment) {
          if (IsExplained(key, before, segment)) return;
          Find(absl::StrCat(name, ": bytes ", begin, " to ", end,
                            " that its ledger dropped by policy are in no gap before segment ",
                            segment));
        });
  }
}

void Verifier::CheckHistory() {
  const auto find = [this](std::string finding) { Find(std::move(finding)); };
  const auto note = [this](std::string said) { report_.notes.push_back(std::move(said)); };
  history_.CheckChains(find, note);
  for (const SegmentLink& head : options_.expected_heads) history_.CheckHead(head, find, note);
  if (catalog_ == nullptr) return;
  const absl::StatusOr<std::vector<RecordingRow>> recordings = catalog_->Recordings();
  if (!recordings.ok()) return Find(std::string(recordings.status().message()));
  report_.accounts = history_.Accounts(*recordings);
  for (VerifyAccount& account : report_.accounts) {
    const auto lost = lost_in_crashes_.find(account.recording_uid);
    if (lost != lost_in_crashes_.end()) account.lost_in_crashes = lost->second;
  }
}

// After the segments were read: so whatever was removed meanwhile is known.
void Verifier::ReadRemovals() {
  if (catalog_ == nullptr) return;
  absl::StatusOr<std::vector<RemovalRow>> removals = catalog_->Removals();
  if (!removals.ok()) return Find(std::string(removals.status().message()));
  history_.SetRemovals(*std::move(removals));
  const absl::StatusOr<CatalogLoss> loss = catalog_->Loss();
  if (!loss.ok()) return Find(std::string(loss.status().message()));
  history_.SetLoss(*loss);
}

absl::StatusOr<VerifyReport> Verifier::Run() {
  SLUICE_ASSIGN_OR_RETURN(meta_, Archive::ReadMeta(directory_));
  if (meta_.imported) history_.SetImported();
  held_ = Archive::Holder(directory_).ok();
  SLUICE_RETURN_IF_ERROR(OpenCatalog());
  LookAtDisks();
  ReadStamps();
  CheckKnownSegments();
  CheckUnknownSegments();
  ReadRemovals();
  CheckStreams();
  CheckTracks();
  CheckHistory();
  return std::move(report_);
}

}  // namespace

absl::StatusOr<VerifyReport> VerifyArchive(const std::string& directory,
                                           const VerifyProgress& progress,
                                           const VerifyOptions& options) {
  return Verifier(directory, progress, options).Run();
}

}  // namespace sluice
