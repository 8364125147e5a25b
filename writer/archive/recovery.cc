#include "writer/archive/recovery.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ingest/status_macros.h"
#include "writer/archive/replaced_segment.h"
#include "writer/archive/row_check.h"
#include "writer/archive/stream_ends.h"
#include "writer/archive/track_links.h"
#include "writer/extent/extent_codec.h"
#include "writer/segment/file_io.h"
#include "writer/segment/footer_builder.h"
#include "writer/segment/footer_hash.h"
#include "writer/segment/segment_codec.h"
#include "writer/segment/segment_reader.h"

namespace sluice {
namespace {

// Ids that may have been given to segments of which nothing is left to tell.
constexpr uint64_t kIdsLost = uint64_t{1} << 20;

uint64_t Number(SegmentId id) { return static_cast<uint64_t>(id); }

StreamUpdate UpdateOf(const StreamRecord& record) {
  return {.stream = StreamId{record.stream_id},
          .opened = {record.opened_ns},
          .last_time = {record.last_time_ns},
          .begin = {record.begin},
          .end = {record.end},
          .reason = record.reason,
          .peer = record.peer,
          .local = record.local,
          .dropped = {record.dropped}};
}

SegmentRow RowOf(const SegmentHeader& header) {
  SegmentRow row;
  row.id = SegmentId{header.segment_id};
  row.slot = header.slot;
  row.recording_uid = header.recording_uid;
  row.recording = RecordingName(header);
  row.lane = LaneId{header.lane};
  row.epoch = header.epoch;
  return row;
}

SegmentUpdate UpdateOf(const SegmentHeader& header) {
  SegmentUpdate update;
  update.track = {.recording = RecordingName(header),
                  .recording_uid = header.recording_uid,
                  .lane = LaneId{header.lane},
                  .kind = header.kind};
  update.segment = SegmentId{header.segment_id};
  return update;
}

SegmentUpdate UpdateOf(const SegmentHeader& header, const SegmentFooter& footer) {
  SegmentUpdate update = UpdateOf(header);
  update.sealed = true;
  update.previous = OriginOf(footer.trailer).previous;
  update.durable = {footer.trailer.data_end};
  update.first_time = {footer.trailer.first_time_ns};
  update.last_time = {footer.trailer.last_time_ns};
  update.payload = {footer.trailer.payload_bytes};
  update.ledger = footer.trailer.ledger;
  for (const StreamRecord& stream : footer.streams) update.streams.push_back(UpdateOf(stream));
  return update;
}

SegmentUpdate UpdateOf(const SegmentHeader& header, const FooterBuilder& footer) {
  SegmentUpdate update = UpdateOf(header);
  update.durable = footer.data_end();
  update.first_time = footer.first_time();
  update.last_time = footer.last_time();
  update.payload = footer.payload();
  update.ledger = footer.ledger();
  for (const StreamRecord& stream : footer.streams()) update.streams.push_back(UpdateOf(stream));
  return update;
}

std::tuple<uint64_t, uint16_t, uint32_t> TrackOf(const SegmentHeader& header) {
  return {header.recording_uid, header.lane, header.epoch};
}

// The writer's rule makes sure of it; that there was such a writer is not taken for granted.
bool FooterFits(const FooterBuilder& footer, const ExtentIndex& extent, uint64_t segment_bytes) {
  std::set<uint64_t> streams;
  for (const FragmentEntry& entry : extent.fragments) streams.insert(entry.stream_id);
  for (const StreamEvent& event : extent.events) streams.insert(event.stream_id);
  const uint64_t unknown = std::count_if(streams.begin(), streams.end(), [&](uint64_t id) {
    return footer.Find(StreamId{id}) == nullptr;
  });
  return extent.at.value + extent.header.extent_bytes + footer.FooterBytesAfter(1, unknown) <=
         segment_bytes;
}

// One run of Recover().
class Recovery {
 public:
  Recovery(Archive& archive, Catalog& catalog, const RecoveryOptions& options)
      : archive_(archive),
        catalog_(catalog),
        options_(options),
        stream_ends_([this](StreamId stream) { return EndInCatalog(stream); }) {}

  absl::StatusOr<RecoveryReport> Run();
  // When the catalog has taken it all: no header is left that cannot be read.
  void EraseUnreadable(RecoveryReport& report);

 private:
  using Row = std::optional<SegmentRow>;

  void RememberMarks();
  FileOffset MarkOf(const SegmentHeader& header, const Row& row) const;
  absl::Status ReadCatalog();
  absl::Status RecoverSlot(uint32_t slot, const Row& row);
  absl::Status RecoverUnreadable(uint32_t slot, const absl::Status& why, const Row& row);
  absl::StatusOr<SegmentHeader> HeaderFromCatalog(uint32_t slot, const SegmentRow& row);
  absl::Status RecoverSegment(const SegmentHeader& header, const Row& row);
  absl::Status ForgetRow(const Row& row, RemovalReason why);
  absl::Status WriteHeader(uint32_t slot, const SegmentHeader& header);
  absl::Status EraseDeleted(uint32_t slot, const SegmentHeader& header, const Row& row);
  absl::Status Index(const SegmentHeader& header, const SegmentFooter& footer, const Sha256& hash);
  absl::Status Compare(const SegmentHeader& header, const SegmentFooter& footer, const Sha256& hash,
                       const SegmentRow& row);
  absl::Status TakeIn(const SegmentHeader& header, const SegmentFooter& footer,
                      const SegmentUpdate& update);
  struct Open;
  absl::Status TakeInUnpublished(const Open& open);
  absl::Status TakeInSealed(const Open& open, SegmentReader& reader, const SegmentFooter& footer,
                            const Sha256& hash);
  absl::Status Seal(const Open& open, const FooterBuilder& footer);
  std::optional<uint64_t> EndInCatalog(StreamId stream);
  absl::StatusOr<FooterBuilder> Scan(const Open& open);
  absl::StatusOr<std::vector<ExtentIndex>> FindExtents(SegmentReader& reader, const Open& open,
                                                       FileOffset* durable, absl::Status* end);
  std::optional<ExtentIndex> FindNext(SegmentReader& reader, FileOffset from, FileOffset to,
                                      uint32_t sequence);
  absl::StatusOr<Sha256> WriteFooter(const SegmentHeader& header, const FooterBuilder& footer,
                                     const SegmentLink& previous);
  absl::Status RememberRemovals();
  absl::Status LearnRecording(const SegmentHeader& header);
  absl::StatusOr<bool> HasOpenStream(const std::string& recording);
  absl::Status EndLearnedRecordings();
  // `action`: as in a step.
  void Damage(uint32_t slot, absl::string_view what, absl::string_view action = "");
  void Step(std::string place, std::string finding, std::string action);
  absl::Status Sync(uint32_t slot);
  std::string Path(uint32_t slot) const { return archive_.SegmentPath(slot); }
  void NoteDisksNotIndexed();

  Archive& archive_;
  Catalog& catalog_;
  const RecoveryOptions options_;
  RecoveryReport report_;
  std::map<uint32_t, SegmentRow> rows_;         // by slot
  std::map<uint64_t, FileOffset> old_marks_;    // see RememberMarks()
  std::set<uint64_t> deleted_;                  // uids
  std::map<uint64_t, std::string> recordings_;  // uid to id, those of the catalog
  // Recordings of which only the segments knew, and whether they ended in good order.
  struct Learned {
    RecordingRow row;
    uint64_t newest = 0;  // segment; its header has the class that the recording had last
  };
  std::map<uint64_t, Learned> learned_;
  std::set<uint64_t> broken_off_;
  bool ids_lost_ = false;
  bool catalog_knew_none_ = false;
  std::vector<uint32_t> unreadable_;  // slots with a damaged header
  // Segments of which the catalog does not know that they are sealed, with their durable marks:
  // to be taken in in the order of their ids.
  struct Open {
    SegmentHeader header;
    FileOffset mark;
    bool was_sealed = false;  // and has lost its footer
    bool has_trailer = false;
  };
  std::map<uint64_t, Open> open_;
  // Recording, lane and epoch of those that were not sealed.
  std::set<std::tuple<uint64_t, uint16_t, uint32_t>> open_tracks_;
  StreamEnds stream_ends_;  // in what has been scanned
  TrackLinks links_;        // what is sealed, or was once
  // What headers that the catalog did not know say of the segments before them, by id.
  std::map<uint64_t, ReplacedSegment> replaced_;
  // Open segments in which nothing held, and the segments that footers name as their predecessors:
  // what is both was lost in the crash.
  std::map<uint64_t, SegmentHeader> empty_;
  std::set<uint64_t> named_;
};

void Recovery::Step(std::string place, std::string finding, std::string action) {
  report_.steps.push_back({std::move(place), std::move(finding), std::move(action)});
}

void Recovery::Damage(uint32_t slot, absl::string_view what, absl::string_view action) {
  ++report_.segments_damaged;
  report_.notes.push_back(absl::StrCat("segment file ", Path(slot), " is damaged: ", what));
  Step(Path(slot), std::string(what), std::string(action));
}

// What was written must be on stable storage, if anything was.
absl::Status Recovery::Sync(uint32_t slot) {
  if (options_.dry_run || fdatasync(archive_.segment_fd(slot)) == 0) return absl::OkStatus();
  return FileError("fdatasync", Path(slot), errno);
}

// The catalog that is made anew still knows how far open segments had been durable. Of extents
// without a checksum of their payload nothing else says so. One that cannot be read has no say.
void Recovery::RememberMarks() {
  const absl::StatusOr<std::vector<SegmentRow>> segments = catalog_.Segments();
  if (!segments.ok()) return;
  for (const SegmentRow& row : *segments) {
    if (!row.sealed) old_marks_[Number(row.id)] = row.durable;
  }
}

FileOffset Recovery::MarkOf(const SegmentHeader& header, const Row& row) const {
  if (row) return row->durable;
  const auto mark = old_marks_.find(header.segment_id);
  return mark == old_marks_.end() ? FileOffset{0} : mark->second;
}

absl::Status Recovery::ReadCatalog() {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<SegmentRow> segments, catalog_.Segments());
  for (const SegmentRow& row : segments) {
    rows_.emplace(row.slot, row);
    if (row.sealed) named_.insert(Number(row.previous));
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<uint64_t> deleted, catalog_.DeletedRecordings());
  deleted_.insert(deleted.begin(), deleted.end());
  SLUICE_ASSIGN_OR_RETURN(const std::vector<RecordingRow> recordings, catalog_.Recordings());
  for (const RecordingRow& row : recordings) recordings_.emplace(row.uid, row.id);
  SLUICE_ASSIGN_OR_RETURN(report_.last_segment_id, catalog_.LastSegmentId());
  catalog_knew_none_ = report_.last_segment_id == SegmentId{};
  SLUICE_ASSIGN_OR_RETURN(links_, TrackLinks::Read(catalog_));
  return absl::OkStatus();
}

absl::Status Recovery::ForgetRow(const Row& row, RemovalReason why) {
  if (!row) return absl::OkStatus();
  // One that was only begun never held anything.
  if (row->sealed || row->durable.value > kBlockBytes) {
    ++report_.segments_forgotten;
    report_.notes.push_back(absl::StrCat("segment ", Number(row->id), " of recording \"",
                                         row->recording, "\" is not in ", Path(row->slot),
                                         " any more: its ", row->payload.value, " bytes are gone"));
    Step(Path(row->slot),
         absl::StrCat("segment ", Number(row->id), " of recording \"", row->recording,
                      "\" is not there any more, nor are its ", row->payload.value, " bytes"),
         "the catalog forgets it, and remembers that it is missing");
  }
  return catalog_.ForgetSegment(row->id, {why, "", {absl::GetCurrentTimeNanos()}});
}

absl::Status Recovery::RecoverSlot(uint32_t slot, const Row& row) {
  if (!archive_.HasDiskOf(slot)) {
    report_.slots_kept_out.push_back(slot);
    if (row) ++report_.segments_unavailable;
    return absl::OkStatus();
  }
  if (slot >= archive_.meta().segment_count || archive_.segment_fd(slot) < 0) {
    report_.slots_kept_out.push_back(slot);
    return ForgetRow(row, RemovalReason::kMissing);
  }
  AlignedBuffer block(kBlockBytes);
  if (const absl::Status status =
          ReadFully(archive_.segment_fd(slot), Path(slot), {0}, block.span());
      !status.ok()) {
    // A file that was cut off is made whole before anything is done in earnest.
    if (options_.dry_run && absl::IsDataLoss(status)) {
      return ForgetRow(row, RemovalReason::kMissing);
    }
    Damage(slot, status.message());
    report_.slots_kept_out.push_back(slot);
    ids_lost_ = true;
    return ForgetRow(row, RemovalReason::kMissing);
  }
  const absl::StatusOr<SegmentHeader> header = ParseSlotHeader(block.span());
  if (absl::IsNotFound(header.status()))
    return ForgetRow(row, RemovalReason::kMissing);  // never used
  if (absl::IsFailedPrecondition(header.status())) {
    return absl::FailedPreconditionError(absl::StrCat(Path(slot), ": ", header.status().message()));
  }
  if (!header.ok()) return RecoverUnreadable(slot, header.status(), row);
  if (header->archive_uuid != archive_.meta().uuid || header->slot != slot ||
      header->segment_bytes != archive_.meta().segment.value) {
    // Somebody's data, perhaps: not ours to write over.
    Damage(slot, absl::StrCat("it is a copy of another archive's or of slot ", header->slot,
                              "'s file, and is left alone"));
    report_.slots_kept_out.push_back(slot);
    return ForgetRow(row, RemovalReason::kMissing);
  }
  report_.last_segment_id = std::max(report_.last_segment_id, SegmentId{header->segment_id});
  const bool known = row && Number(row->id) == header->segment_id;
  if (!known && header->replaced.segment_id != 0) {
    replaced_[header->replaced.segment_id] = header->replaced;
  }
  if (IsEmptySlot(*header)) {
    const bool by_rule = header->replaced.segment_id == header->segment_id;
    if (!by_rule) return ForgetRow(row, RemovalReason::kRecordingDeleted);
    const auto why = static_cast<RemovalReason>(header->replaced.reason);
    return ForgetRow(row, why == RemovalReason::kCatalogFull ? why : RemovalReason::kRetention);
  }
  if (deleted_.contains(header->recording_uid)) return EraseDeleted(slot, *header, row);
  if (row && !known) {
    // A newer one: the catalog lost its last moments, in which the slot was reused.
    SLUICE_RETURN_IF_ERROR(ForgetRow(row, header->segment_id > Number(row->id)
                                              ? RemovalReason::kReused
                                              : RemovalReason::kMissing));
    return RecoverSegment(*header, std::nullopt);
  }
  return RecoverSegment(*header, row);
}

// A header that cannot be read. Of a segment that was sealed the catalog can say it again. Else it
// was being written when the power went, or nobody knows what it was: the slot is free.
absl::Status Recovery::RecoverUnreadable(uint32_t slot, const absl::Status& why, const Row& row) {
  absl::StatusOr<SegmentHeader> header = absl::NotFoundError("");
  if (row && row->sealed) header = HeaderFromCatalog(slot, *row);
  if (!header.ok()) {
    Damage(slot, why.message(), "the slot is free");
    ids_lost_ = true;
    unreadable_.push_back(slot);
    return ForgetRow(row, RemovalReason::kMissing);
  }
  Damage(slot, absl::StrCat(why.message(), ", but segment ", header->segment_id, " is there"),
         "the header is written anew from what the catalog says");
  if (options_.dry_run) return absl::OkStatus();  // more of it cannot be read yet
  if (const absl::Status written = WriteHeader(slot, *header); !written.ok()) {
    Damage(slot, written.message());
    report_.slots_kept_out.push_back(slot);
    return absl::OkStatus();
  }
  return RecoverSegment(*header, row);
}

// NOT_FOUND: neither the begin nor the end of the file is the segment's.
absl::StatusOr<SegmentHeader> Recovery::HeaderFromCatalog(uint32_t slot, const SegmentRow& row) {
  const int fd = archive_.segment_fd(slot);
  const ByteCount size = archive_.meta().segment;
  AlignedBuffer block(kBlockBytes);
  SLUICE_RETURN_IF_ERROR(ReadFully(fd, Path(slot), {kBlockBytes}, block.span()));
  const absl::StatusOr<ExtentHeader> first = ParseExtentHeader(block.span());
  const bool begins = first.ok() && first->segment_id == Number(row.id);
  SLUICE_RETURN_IF_ERROR(ReadFully(fd, Path(slot), {size.value - kBlockBytes}, block.span()));
  const bool ends = ParseSegmentTrailer(block.span(), row.id, size).ok();
  if (!begins && !ends) return absl::NotFoundError("it is another segment's");
  SegmentHeader header;
  if (first.ok()) header.kind = first->kind;
  header.lane = static_cast<uint16_t>(row.lane);
  header.archive_uuid = archive_.meta().uuid;
  header.segment_id = Number(row.id);
  header.segment_bytes = size.value;
  header.slot = slot;
  header.epoch = row.epoch;
  header.created_ns = row.first_time.value;
  header.recording_uid = row.recording_uid;
  std::copy_n(row.recording.data(), std::min(row.recording.size(), kRecordingNameBytesMax),
              header.recording);
  if (const auto recording = catalog_.Recording(row.recording); recording.ok()) {
    const std::string& name = recording->retention_class;
    std::copy_n(name.data(), std::min(name.size(), kRecordingNameBytesMax), header.retention_class);
  }
  SealSegmentHeader(header);
  return header;
}

// The catalog was told to forget the recording; a header that survived must not bring it back.
absl::Status Recovery::EraseDeleted(uint32_t slot, const SegmentHeader& header, const Row& row) {
  Step(Path(slot), absl::StrCat("segment ", header.segment_id, " is of a deleted recording"),
       "the slot is free");
  if (const absl::Status status = WriteHeader(slot, EmptySlotHeader(header)); !status.ok()) {
    Damage(slot, status.message());
    report_.slots_kept_out.push_back(slot);
  } else {
    report_.notes.push_back(absl::StrCat("segment ", header.segment_id,
                                         " of a deleted recording was erased in ", Path(slot)));
  }
  return row ? catalog_.ForgetSegment(row->id) : absl::OkStatus();
}

// It was being written when the power went, or it is damaged, which was noted: the slot is free.
// The header that takes its place has the highest id that may have been given.
void Recovery::EraseUnreadable(RecoveryReport& report) {
  for (const uint32_t slot : unreadable_) {
    SegmentHeader last;
    last.archive_uuid = archive_.meta().uuid;
    last.segment_id = Number(report.last_segment_id);
    last.segment_bytes = archive_.meta().segment.value;
    last.slot = slot;
    last.epoch = archive_.meta().epoch;
    if (const absl::Status status = WriteHeader(slot, EmptySlotHeader(last)); !status.ok()) {
      report.notes.push_back(std::string(status.message()));
      report.slots_kept_out.push_back(slot);
    }
  }
}

absl::Status Recovery::WriteHeader(uint32_t slot, const SegmentHeader& header) {
  if (options_.dry_run) return absl::OkStatus();
  AlignedBuffer block(kBlockBytes);
  std::copy_n(reinterpret_cast<const std::byte*>(&header), sizeof(header), block.data());
  SLUICE_RETURN_IF_ERROR(WriteFully(archive_.segment_fd(slot), Path(slot), {0}, block.span()));
  return Sync(slot);
}

absl::Status Recovery::RecoverSegment(const SegmentHeader& header, const Row& row) {
  const uint32_t slot = header.slot;
  const SegmentId id{header.segment_id};
  const ByteCount size = archive_.meta().segment;
  AlignedBuffer last_block(kBlockBytes);
  absl::Status footer_status = ReadFully(archive_.segment_fd(slot), Path(slot),
                                         {size.value - kBlockBytes}, last_block.span());
  if (footer_status.ok()) {
    footer_status = ParseSegmentTrailer(last_block.span(), id, size).status();
  }
  if (absl::IsFailedPrecondition(footer_status)) {
    return absl::FailedPreconditionError(absl::StrCat(Path(slot), ": ", footer_status.message()));
  }
  const bool was_sealed = row && row->sealed;
  if (footer_status.ok() && was_sealed && !options_.compare_catalog) {
    return absl::OkStatus();  // nothing new
  }
  if (footer_status.ok() && was_sealed) {
    absl::StatusOr<std::unique_ptr<SegmentReader>> reader = SegmentReader::Open(Path(slot));
    if (!reader.ok()) return reader.status();
    Sha256 hash;
    const absl::StatusOr<SegmentFooter> footer = (*reader)->ReadFooter(&hash);
    if (footer.ok()) return Compare(header, *footer, hash, *row);
    footer_status = footer.status();
  }
  // A torn footer is what a crash leaves; a footer that was durable is not torn by one.
  if (was_sealed) {
    Damage(slot,
           absl::StrCat("its footer is lost (", footer_status.message(),
                        "); what its extents still say was taken in again"),
           "its extents are read, and it gets a footer of those that hold");
  }
  open_[header.segment_id] = {header, MarkOf(header, row), was_sealed, footer_status.ok()};
  return absl::OkStatus();
}

absl::Status Recovery::TakeInUnpublished(const Open& open) {
  const SegmentHeader& header = open.header;
  if (open.has_trailer && !open.was_sealed) {
    SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<SegmentReader> reader,
                            SegmentReader::Open(Path(header.slot)));
    Sha256 hash;
    const absl::StatusOr<SegmentFooter> footer = reader->ReadFooter(&hash);
    if (footer.ok()) return TakeInSealed(open, *reader, *footer, hash);
  }
  open_tracks_.insert(TrackOf(header));
  absl::StatusOr<FooterBuilder> footer = Scan(open);
  if (absl::IsFailedPrecondition(footer.status())) return footer.status();
  if (footer.ok()) return Seal(open, *footer);
  if (options_.dry_run && open.was_sealed) return absl::OkStatus();  // cut off
  Damage(header.slot, footer.status().message());
  report_.slots_kept_out.push_back(header.slot);
  return catalog_.ForgetSegment(SegmentId{header.segment_id});
}

// A footer says that the extents before it in its track are durable, too. But where a write had
// been refused the segment before may have lost its own footer, and with it what stands behind the
// hole; then streams end there, and this one gets a footer of what is left of it.
absl::Status Recovery::TakeInSealed(const Open& open, SegmentReader& reader,
                                    const SegmentFooter& footer, const Sha256& hash) {
  const SegmentHeader& header = open.header;
  if (!open_tracks_.contains(TrackOf(header))) return Index(header, footer, hash);
  FooterBuilder kept;
  for (const ExtentRecord& record : footer.extents) {
    const absl::StatusOr<ExtentIndex> extent = reader.ReadExtentIndex({record.offset});
    if (!extent.ok()) return Index(header, footer, hash);  // damage, which verify tells of
    const StreamEnds::Fit fit = stream_ends_.Add(*extent, /*over_holes=*/false);
    if (fit == StreamEnds::Fit::kLeavesHole) break;
    if (fit == StreamEnds::Fit::kRepeated) continue;
    kept.Add(extent->at, extent->header, extent->fragments, extent->events);
  }
  if (kept.extent_count() == footer.extents.size()) return Index(header, footer, hash);
  report_.notes.push_back(absl::StrCat(
      "segment ", header.segment_id, " in ", Path(header.slot),
      " goes on where a segment before it was lost: ", footer.extents.size() - kept.extent_count(),
      " of its ", footer.extents.size(), " extents are left out"));
  return Seal(open, kept);
}

// Takes a sealed segment in again when the catalog says something else than its footer. One whose
// footer is not the one that the catalog remembers may have been exchanged: verify says so, and
// goes on saying so.
absl::Status Recovery::Compare(const SegmentHeader& header, const SegmentFooter& footer,
                               const Sha256& hash, const SegmentRow& row) {
  SegmentUpdate update = UpdateOf(header, footer);
  update.footer_sha256 = hash;
  if (row.footer_sha256 != Sha256{} && row.footer_sha256 != hash) {
    Damage(header.slot, absl::StrCat("the footer of segment ", header.segment_id,
                                     " was changed after it was sealed"));
    return absl::OkStatus();
  }
  SLUICE_ASSIGN_OR_RETURN(const std::string difference,
                          WhatDiffers(catalog_, row, header.epoch, update));
  if (difference.empty()) return absl::OkStatus();
  Step(Path(header.slot), difference, "the catalog takes the segment in again");
  SLUICE_RETURN_IF_ERROR(catalog_.ForgetSegment(row.id));
  return TakeIn(header, footer, update);
}

absl::Status Recovery::Index(const SegmentHeader& header, const SegmentFooter& footer,
                             const Sha256& hash) {
  // Who sealed it may have died before the sync.
  if (const absl::Status synced = Sync(header.slot); !synced.ok()) {
    Damage(header.slot, synced.message());
    report_.slots_kept_out.push_back(header.slot);
  }
  if (!options_.rebuild) {
    Step(Path(header.slot), absl::StrCat("the catalog does not know segment ", header.segment_id),
         "the catalog takes it in");
  }
  SegmentUpdate update = UpdateOf(header, footer);
  update.footer_sha256 = hash;
  return TakeIn(header, footer, update);
}

absl::Status Recovery::TakeIn(const SegmentHeader& header, const SegmentFooter& footer,
                              const SegmentUpdate& update) {
  SLUICE_RETURN_IF_ERROR(LearnRecording(header));
  if ((footer.trailer.flags & kSealedByRecovery) != 0) broken_off_.insert(header.recording_uid);
  SLUICE_RETURN_IF_ERROR(catalog_.BeginSegment(RowOf(header)));
  SLUICE_RETURN_IF_ERROR(catalog_.Publish({&update, 1}));
  links_.Add(header.recording_uid, LaneId{header.lane}, {update.segment, update.footer_sha256});
  named_.insert(Number(update.previous.id));
  ++report_.segments_indexed;
  return absl::OkStatus();
}

// What is published precedes what is scanned.
std::optional<uint64_t> Recovery::EndInCatalog(StreamId stream) {
  const absl::StatusOr<StreamRow> row = catalog_.Stream(stream);
  if (!row.ok()) return std::nullopt;
  return row->durable.value;
}

// The next extent of the segment behind one that does not hold. In [from, to) all had been durable;
// so it is not what a crash has left.
std::optional<ExtentIndex> Recovery::FindNext(SegmentReader& reader, FileOffset from, FileOffset to,
                                              uint32_t sequence) {
  for (FileOffset at = from; at < to; at = at + ByteCount{kBlockBytes}) {
    absl::StatusOr<ExtentIndex> extent = reader.ReadExtentIndex(at);
    if (!extent.ok() || extent->header.sequence < sequence) continue;
    if (at + ByteCount{extent->header.extent_bytes} > to) continue;
    if (reader.CheckPayload(*extent).ok()) return *std::move(extent);
  }
  return std::nullopt;
}

// Headers only: they also say how far the disk had been synced before each. `end`: why there is
// no more.
absl::StatusOr<std::vector<ExtentIndex>> Recovery::FindExtents(SegmentReader& reader,
                                                               const Open& open,
                                                               FileOffset* durable,
                                                               absl::Status* end) {
  std::vector<ExtentIndex> found;
  FileOffset at{kBlockBytes};
  uint32_t sequence = 0;
  while (true) {
    absl::StatusOr<ExtentIndex> extent = reader.ReadExtentIndex(at);
    if (absl::IsFailedPrecondition(extent.status())) return extent.status();
    if (extent.ok() && extent->header.sequence != sequence) {
      extent = absl::OutOfRangeError("an extent is out of sequence");
    }
    if (!extent.ok()) {
      *end = extent.status();
      if (!open.was_sealed || at >= open.mark) return found;
      std::optional<ExtentIndex> next =
          FindNext(reader, at + ByteCount{kBlockBytes}, open.mark, sequence);
      if (!next) return found;
      Damage(open.header.slot, absl::StrCat("no extent can be read between ", at.value, " and ",
                                            next->at.value, " (", end->message(), ")"));
      at = next->at;
      extent = *std::move(next);
    }
    if (extent->header.durable_bytes <= at.value) {
      *durable = std::max(*durable, FileOffset{extent->header.durable_bytes});
    }
    at = at + ByteCount{extent->header.extent_bytes};
    sequence = extent->header.sequence + 1;
    found.push_back(*std::move(extent));
  }
}

// What holds.
absl::StatusOr<FooterBuilder> Recovery::Scan(const Open& open) {
  const SegmentHeader& header = open.header;
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<SegmentReader> reader,
                          SegmentReader::Open(Path(header.slot)));
  FileOffset durable = open.mark;
  absl::Status end;
  SLUICE_ASSIGN_OR_RETURN(const std::vector<ExtentIndex> found,
                          FindExtents(*reader, open, &durable, &end));
  FooterBuilder footer;
  for (const ExtentIndex& extent : found) {
    const FileOffset extent_end = extent.at + ByteCount{extent.header.extent_bytes};
    if (extent_end > durable) {
      // It may be torn: only its payload can tell.
      if ((extent.header.flags & kExtentHasPayloadCrc) == 0) break;
      if (end = reader->CheckPayload(extent); !end.ok()) break;
    }
    if (!FooterFits(footer, extent, header.segment_bytes)) break;
    const StreamEnds::Fit fit = stream_ends_.Add(extent, /*over_holes=*/open.was_sealed);
    if (fit == StreamEnds::Fit::kLeavesHole) {
      end = absl::OutOfRangeError("an extent leaves a hole in a stream");
      break;
    }
    if (fit == StreamEnds::Fit::kRepeated) continue;
    footer.Add(extent.at, extent.header, extent.fragments, extent.events);
  }
  if (footer.data_end() < open.mark) {
    Damage(header.slot, absl::StrCat("extents hold up to ", footer.data_end().value, ", but ",
                                     open.mark.value, " had been durable (", end.message(), ")"));
  }
  return footer;
}

// Returns the footer's hash.
absl::StatusOr<Sha256> Recovery::WriteFooter(const SegmentHeader& header,
                                             const FooterBuilder& footer,
                                             const SegmentLink& previous) {
  const AlignedBuffer bytes = footer.Build(SegmentId{header.segment_id}, {header.segment_bytes},
                                           kSealedByRecovery, OriginOf(header, previous));
  const int fd = archive_.segment_fd(header.slot);
  if (!options_.dry_run) {
    SLUICE_RETURN_IF_ERROR(
        WriteFully(fd, Path(header.slot), {header.segment_bytes - bytes.size()}, bytes.span()));
  }
  SLUICE_RETURN_IF_ERROR(Sync(header.slot));
  return FooterSha256(bytes.span());
}

absl::Status Recovery::Seal(const Open& open, const FooterBuilder& footer) {
  const SegmentHeader& header = open.header;
  const SegmentId id{header.segment_id};
  if (footer.empty() && open.was_sealed) {
    return catalog_.ForgetSegment(id, {RemovalReason::kMissing, "", {absl::GetCurrentTimeNanos()}});
  }
  if (footer.empty()) {  // nothing held: the slot is free
    empty_[header.segment_id] = header;
    return catalog_.ForgetSegment(id);
  }
  SLUICE_RETURN_IF_ERROR(LearnRecording(header));
  broken_off_.insert(header.recording_uid);
  // From here on what had not been known to be durable is: first the extents, then the footer,
  // which says that they are there.
  const SegmentLink previous = links_.Before(header.recording_uid, LaneId{header.lane}, id);
  if (!open.was_sealed) {
    Step(Path(header.slot), absl::StrCat("segment ", header.segment_id, " was never closed"),
         absl::StrCat("it gets a footer of its ", footer.payload().value, " bytes that hold"));
  }
  const absl::Status synced = Sync(header.slot);
  const absl::StatusOr<Sha256> sealed =
      synced.ok() ? WriteFooter(header, footer, previous) : absl::StatusOr<Sha256>(synced);
  if (!sealed.ok()) {
    Damage(header.slot, sealed.status().message());
    report_.slots_kept_out.push_back(header.slot);
  }
  SegmentUpdate update = UpdateOf(header, footer);
  update.sealed = sealed.ok();
  if (sealed.ok()) {
    update.previous = previous;
    update.footer_sha256 = *sealed;
    links_.Add(header.recording_uid, LaneId{header.lane}, {id, *sealed});
  }
  SLUICE_RETURN_IF_ERROR(catalog_.BeginSegment(RowOf(header)));
  SLUICE_RETURN_IF_ERROR(catalog_.Publish({&update, 1}));
  ++report_.segments_sealed;
  report_.payload_recovered += footer.payload();
  return absl::OkStatus();
}

// A recording that the catalog does not know gets a row from what the segment's header says.
absl::Status Recovery::LearnRecording(const SegmentHeader& header) {
  const uint64_t uid = header.recording_uid;
  if (const auto at = learned_.find(uid); at != learned_.end()) {
    Learned& known = at->second;
    known.row.created = std::min(known.row.created, UnixNanos{header.created_ns});
    if (header.segment_id > known.newest) {
      known.newest = header.segment_id;
      known.row.retention_class = header.retention_class;
    }
    return absl::OkStatus();
  }
  if (recordings_.contains(uid)) return absl::OkStatus();
  RecordingRow row;
  row.retention_class = header.retention_class;
  row.uid = uid;
  row.id = RecordingName(header);
  row.source = "";
  row.state = RecordingState::kRecording;
  row.created = {header.created_ns};
  absl::Status put = catalog_.PutRecording(row);
  if (absl::IsAlreadyExists(put)) {
    // Two were given the same name; the uid tells them apart.
    row.id = absl::StrCat(row.id.substr(0, kRecordingNameBytesMax - 17), "-",
                          absl::Hex(uid, absl::kZeroPad16));
    put = catalog_.PutRecording(row);
  }
  SLUICE_RETURN_IF_ERROR(put);
  report_.notes.push_back(
      absl::StrCat("recording \"", row.id, "\" was known only to its segments"));
  recordings_.emplace(uid, row.id);
  learned_[uid] = {row, header.segment_id};
  return absl::OkStatus();
}

absl::StatusOr<bool> Recovery::HasOpenStream(const std::string& recording) {
  StreamSearch search;
  search.filter.recording = recording;
  search.filter.open = true;
  search.limit = 1;
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(const StreamPage page, catalog_.FindStreams(search));
    if (!page.rows.empty()) return true;
    if (!page.next) return false;
    search.after = page.next;
  }
}

// Those that were not broken off have been stopped; when, their last byte says.
absl::Status Recovery::EndLearnedRecordings() {
  std::map<uint64_t, UnixNanos> last_time;
  SLUICE_ASSIGN_OR_RETURN(const std::vector<SegmentRow> segments, catalog_.Segments());
  for (const SegmentRow& row : segments) {
    last_time[row.recording_uid] = std::max(last_time[row.recording_uid], row.last_time);
  }
  for (auto& [uid, learned] : learned_) {
    RecordingRow& row = learned.row;
    SLUICE_ASSIGN_OR_RETURN(const bool open, HasOpenStream(row.id));
    if (!open && !broken_off_.contains(uid)) {
      row.state = RecordingState::kStopped;
      row.stopped = last_time[uid];
    }
    SLUICE_RETURN_IF_ERROR(catalog_.PutRecording(row));
  }
  return absl::OkStatus();
}

// A rebuilt catalog has lost what it knew of them.
void Recovery::NoteDisksNotIndexed() {
  for (const DiskStatus& disk : archive_.disks()) {
    if (disk.in_use()) continue;
    report_.notes.push_back(absl::StrCat("disk ", disk.number, " (", disk.directory,
                                         ") is not in use: what its ", disk.slot_count,
                                         " segments hold is not in the catalog until it is"));
  }
}

// So that a chain that names segments which are gone can be understood.
absl::Status Recovery::RememberRemovals() {
  for (const auto& [id, replaced] : replaced_) {
    SLUICE_RETURN_IF_ERROR(catalog_.RecordRemoval(RemovalOf(replaced)));
  }
  for (const auto& [id, header] : empty_) {
    if (!named_.contains(id)) continue;
    RemovalRow row;
    row.recording_uid = header.recording_uid;
    row.recording = RecordingName(header);
    row.lane = LaneId{header.lane};
    row.first = row.last = SegmentId{id};
    row.segments = 1;
    row.reason = RemovalReason::kLostInCrash;
    row.begun = row.ended = {absl::GetCurrentTimeNanos()};
    row.first_epoch = row.last_epoch = header.epoch;
    SLUICE_RETURN_IF_ERROR(catalog_.RecordRemoval(row));
  }
  return absl::OkStatus();
}

absl::StatusOr<RecoveryReport> Recovery::Run() {
  const bool rebuild = options_.rebuild;
  report_.catalog_rebuilt = rebuild;
  if (const std::string note = catalog_.migration_note(); !note.empty()) {
    report_.notes.push_back(note);
  }
  if (rebuild) {
    RememberMarks();
    SLUICE_RETURN_IF_ERROR(catalog_.Clear());
    NoteDisksNotIndexed();
  }
  SLUICE_RETURN_IF_ERROR(ReadCatalog());
  for (uint32_t slot = 0; slot < archive_.meta().segment_count; ++slot) {
    const auto row = rows_.find(slot);
    SLUICE_RETURN_IF_ERROR(RecoverSlot(slot, row == rows_.end() ? Row() : Row(row->second)));
    if (options_.progress) options_.progress(slot + 1, archive_.meta().segment_count);
  }
  // A catalog that never heard of a segment, though there are some, takes the place of a lost one.
  if (catalog_knew_none_ && report_.last_segment_id != SegmentId{}) {
    SLUICE_RETURN_IF_ERROR(
        catalog_.PutLoss({{absl::GetCurrentTimeNanos()}, report_.last_segment_id}));
  }
  for (const auto& [id, open] : open_) {
    SLUICE_RETURN_IF_ERROR(TakeInUnpublished(open));
  }
  for (const auto& [slot, row] : rows_) {
    if (slot >= archive_.meta().segment_count)
      SLUICE_RETURN_IF_ERROR(ForgetRow(row, RemovalReason::kMissing));
  }
  SLUICE_RETURN_IF_ERROR(RememberRemovals());
  SLUICE_RETURN_IF_ERROR(EndLearnedRecordings());
  SLUICE_ASSIGN_OR_RETURN(report_.streams_interrupted,
                          catalog_.CloseInterrupted({absl::GetCurrentTimeNanos()}));
  if (report_.streams_interrupted > 0 && !rebuild) {
    Step("the catalog", absl::StrCat(report_.streams_interrupted, " streams were never closed"),
         "they are called interrupted");
  }
  if (!deleted_.empty() && report_.slots_kept_out.empty()) {
    // The headers that were erased before the crash, too, must be on stable storage first.
    if (options_.dry_run || archive_.SyncDisks().ok())
      SLUICE_RETURN_IF_ERROR(catalog_.ForgetDeletions());
  }
  if (rebuild || ids_lost_) {
    report_.last_segment_id = SegmentId{Number(report_.last_segment_id) + kIdsLost};
  }
  return std::move(report_);
}

}  // namespace

absl::StatusOr<RecoveryReport> Recover(Archive& archive, Catalog& catalog,
                                       const RecoveryOptions& options) {
  Recovery recovery(archive, catalog, options);
  absl::StatusOr<RecoveryReport> report = absl::UnknownError("");
  const absl::Status status = catalog.Atomically([&] {
    report = recovery.Run();
    // What was tried is taken back.
    if (report.ok() && options.dry_run) return absl::AbortedError("only tried");
    return report.status();
  });
  if (!report.ok()) return report;
  if (options.dry_run) return report;
  SLUICE_RETURN_IF_ERROR(status);
  recovery.EraseUnreadable(*report);
  return report;
}

}  // namespace sluice
