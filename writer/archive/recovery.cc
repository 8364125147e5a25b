#include "writer/archive/recovery.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ingest/status_macros.h"
#include "writer/archive/replaced_segment.h"
#include "writer/archive/track_links.h"
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
  Recovery(Archive& archive, Catalog& catalog) : archive_(archive), catalog_(catalog) {}

  absl::StatusOr<RecoveryReport> Run(bool rebuild);
  // When the catalog has taken it all: no header is left that cannot be read.
  void EraseUnreadable(RecoveryReport& report);

 private:
  using Row = std::optional<SegmentRow>;

  absl::Status ReadCatalog();
  absl::Status RecoverSlot(uint32_t slot, const Row& row);
  absl::Status RecoverSegment(const SegmentHeader& header, const Row& row);
  absl::Status ForgetRow(const Row& row, RemovalReason why);
  absl::Status WriteEmptyHeader(uint32_t slot, const SegmentHeader& last);
  absl::Status EraseDeleted(uint32_t slot, const SegmentHeader& header, const Row& row);
  absl::Status Index(const SegmentHeader& header, const SegmentFooter& footer, const Sha256& hash);
  absl::Status ScanAndSeal(const SegmentHeader& header, FileOffset mark);
  bool Continues(const ExtentIndex& extent);
  absl::StatusOr<FooterBuilder> Scan(const SegmentHeader& header, FileOffset mark);
  absl::StatusOr<Sha256> WriteFooter(const SegmentHeader& header, const FooterBuilder& footer,
                                     const SegmentLink& previous);
  absl::Status RememberRemovals();
  absl::Status LearnRecording(const SegmentHeader& header);
  absl::StatusOr<bool> HasOpenStream(const std::string& recording);
  absl::Status EndLearnedRecordings();
  void Damage(uint32_t slot, absl::string_view what);
  std::string Path(uint32_t slot) const { return archive_.SegmentPath(slot); }
  void NoteDisksNotIndexed();

  Archive& archive_;
  Catalog& catalog_;
  RecoveryReport report_;
  std::map<uint32_t, SegmentRow> rows_;         // by slot
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
  std::vector<uint32_t> unreadable_;  // slots with a damaged header
  // Open segments with their durable marks, to be scanned in the order of their ids.
  struct Open {
    SegmentHeader header;
    FileOffset mark;
  };
  std::map<uint64_t, Open> open_;
  std::map<uint64_t, uint64_t> stream_ends_;  // in what has been scanned
  TrackLinks links_;                          // what is sealed, or was once
  // What headers that the catalog did not know say of the segments before them, by id.
  std::map<uint64_t, ReplacedSegment> replaced_;
  // Open segments in which nothing held, and the segments that footers name as their predecessors:
  // what is both was lost in the crash.
  std::map<uint64_t, SegmentHeader> empty_;
  std::set<uint64_t> named_;
};

void Recovery::Damage(uint32_t slot, absl::string_view what) {
  ++report_.segments_damaged;
  report_.notes.push_back(absl::StrCat("segment file ", Path(slot), " is damaged: ", what));
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
  if (!header.ok()) {
    Damage(slot, header.status().message());
    ids_lost_ = true;
    unreadable_.push_back(slot);
    return ForgetRow(row, RemovalReason::kMissing);
  }
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
    return ForgetRow(row, by_rule ? RemovalReason::kRetention : RemovalReason::kRecordingDeleted);
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

// The catalog was told to forget the recording; a header that survived must not bring it back.
absl::Status Recovery::EraseDeleted(uint32_t slot, const SegmentHeader& header, const Row& row) {
  if (const absl::Status status = WriteEmptyHeader(slot, header); !status.ok()) {
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
    if (const absl::Status status = WriteEmptyHeader(slot, last); !status.ok()) {
      report.notes.push_back(std::string(status.message()));
      report.slots_kept_out.push_back(slot);
    }
  }
}

absl::Status Recovery::WriteEmptyHeader(uint32_t slot, const SegmentHeader& last) {
  AlignedBuffer block(kBlockBytes);
  const SegmentHeader empty = EmptySlotHeader(last);
  std::copy_n(reinterpret_cast<const std::byte*>(&empty), sizeof(empty), block.data());
  const int fd = archive_.segment_fd(slot);
  SLUICE_RETURN_IF_ERROR(WriteFully(fd, Path(slot), {0}, block.span()));
  return fdatasync(fd) == 0 ? absl::OkStatus() : FileError("fdatasync", Path(slot), errno);
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
  if (footer_status.ok() && row && row->sealed) return absl::OkStatus();  // nothing new
  if (footer_status.ok()) {
    absl::StatusOr<std::unique_ptr<SegmentReader>> reader = SegmentReader::Open(Path(slot));
    if (!reader.ok()) return reader.status();
    Sha256 hash;
    const absl::StatusOr<SegmentFooter> footer = (*reader)->ReadFooter(&hash);
    if (footer.ok()) return Index(header, *footer, hash);
    footer_status = footer.status();
  }
  // A torn footer is what a crash leaves; a footer that was durable is not torn by one.
  if (row && row->sealed) {
    Damage(slot, absl::StrCat("its footer is lost (", footer_status.message(),
                              "); what its extents still say was taken in again"));
  }
  open_[header.segment_id] = {header, row ? row->durable : FileOffset{0}};
  return absl::OkStatus();
}

absl::Status Recovery::Index(const SegmentHeader& header, const SegmentFooter& footer,
                             const Sha256& hash) {
  // Who sealed it may have died before the sync.
  if (fdatasync(archive_.segment_fd(header.slot)) != 0) {
    Damage(header.slot, FileError("fdatasync", Path(header.slot), errno).message());
    report_.slots_kept_out.push_back(header.slot);
  }
  SLUICE_RETURN_IF_ERROR(LearnRecording(header));
  if ((footer.trailer.flags & kSealedByRecovery) != 0) broken_off_.insert(header.recording_uid);
  SLUICE_RETURN_IF_ERROR(catalog_.BeginSegment(RowOf(header)));
  SegmentUpdate update = UpdateOf(header, footer);
  update.footer_sha256 = hash;
  SLUICE_RETURN_IF_ERROR(catalog_.Publish({&update, 1}));
  links_.Add(header.recording_uid, LaneId{header.lane}, {update.segment, hash});
  named_.insert(Number(update.previous.id));
  ++report_.segments_indexed;
  return absl::OkStatus();
}

// Power may take the end of one segment and leave the begin of the next, which was written at the
// same time and was not durable either. A stream ends where its first byte is missing: whether
// the extent goes on where earlier ones, of segments that were scanned before, have ended. A gap
// that it tells of is not missing.
bool Recovery::Continues(const ExtentIndex& extent) {
  struct Range {
    uint64_t stream, begin, end;
    auto operator<=>(const Range&) const = default;
  };
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
  std::map<uint64_t, uint64_t> ends;
  for (const Range& range : ranges) {
    const auto at = ends.find(range.stream);
    const auto known = stream_ends_.find(range.stream);
    uint64_t reached = range.begin;  // nothing is known of it
    if (at != ends.end()) {
      reached = at->second;
    } else if (known != stream_ends_.end()) {
      reached = known->second;
    }
    if (range.begin > reached) return false;
    ends[range.stream] = std::max(reached, range.end);
  }
  for (const auto& [stream, end] : ends) stream_ends_[stream] = end;
  return true;
}

// What holds from the segment's begin. `mark`: the catalog's durable mark.
absl::StatusOr<FooterBuilder> Recovery::Scan(const SegmentHeader& header, FileOffset mark) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<SegmentReader> reader,
                          SegmentReader::Open(Path(header.slot)));
  // Headers first: they also say how far the disk had been synced before each.
  std::vector<ExtentIndex> found;
  FileOffset at{kBlockBytes};
  FileOffset durable = mark;
  absl::Status end;
  while (true) {
    absl::StatusOr<ExtentIndex> extent = reader->ReadExtentIndex(at);
    if (absl::IsFailedPrecondition(extent.status())) return extent.status();
    if (!extent.ok()) {
      end = extent.status();
      break;
    }
    if (extent->header.sequence != found.size()) {
      end = absl::OutOfRangeError("an extent is out of sequence");
      break;
    }
    if (extent->header.durable_bytes <= at.value) {
      durable = std::max(durable, FileOffset{extent->header.durable_bytes});
    }
    at = at + ByteCount{extent->header.extent_bytes};
    found.push_back(*std::move(extent));
  }
  FooterBuilder footer;
  for (const ExtentIndex& extent : found) {
    const FileOffset extent_end = extent.at + ByteCount{extent.header.extent_bytes};
    if (extent_end > durable) {
      // It may be torn: only its payload can tell.
      if ((extent.header.flags & kExtentHasPayloadCrc) == 0) break;
      if (end = reader->CheckPayload(extent); !end.ok()) break;
    }
    if (!FooterFits(footer, extent, header.segment_bytes)) break;
    if (!Continues(extent)) {
      end = absl::OutOfRangeError("an extent leaves a hole in a stream");
      break;
    }
    footer.Add(extent.at, extent.header, extent.fragments, extent.events);
  }
  if (footer.data_end() < mark) {
    Damage(header.slot, absl::StrCat("extents hold up to ", footer.data_end().value, ", but ",
                                     mark.value, " had been durable (", end.message(), ")"));
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
  SLUICE_RETURN_IF_ERROR(
      WriteFully(fd, Path(header.slot), {header.segment_bytes - bytes.size()}, bytes.span()));
  if (fdatasync(fd) != 0) return FileError("fdatasync", Path(header.slot), errno);
  return FooterSha256(bytes.span());
}

absl::Status Recovery::ScanAndSeal(const SegmentHeader& header, FileOffset mark) {
  const SegmentId id{header.segment_id};
  absl::StatusOr<FooterBuilder> footer = Scan(header, mark);
  if (absl::IsFailedPrecondition(footer.status())) return footer.status();
  if (!footer.ok()) {
    Damage(header.slot, footer.status().message());
    report_.slots_kept_out.push_back(header.slot);
    return catalog_.ForgetSegment(id);
  }
  if (footer->empty()) {  // nothing held: the slot is free
    empty_[header.segment_id] = header;
    return catalog_.ForgetSegment(id);
  }
  SLUICE_RETURN_IF_ERROR(LearnRecording(header));
  broken_off_.insert(header.recording_uid);
  // From here on what had not been known to be durable is: first the extents, then the footer,
  // which says that they are there.
  const SegmentLink previous = links_.Before(header.recording_uid, LaneId{header.lane}, id);
  absl::StatusOr<Sha256> sealed;
  if (fdatasync(archive_.segment_fd(header.slot)) != 0) {
    sealed = FileError("fdatasync", Path(header.slot), errno);
  } else {
    sealed = WriteFooter(header, *footer, previous);
  }
  if (!sealed.ok()) {
    Damage(header.slot, sealed.status().message());
    report_.slots_kept_out.push_back(header.slot);
  }
  SegmentUpdate update = UpdateOf(header, *footer);
  update.sealed = sealed.ok();
  if (sealed.ok()) {
    update.previous = previous;
    update.footer_sha256 = *sealed;
    links_.Add(header.recording_uid, LaneId{header.lane}, {id, *sealed});
  }
  SLUICE_RETURN_IF_ERROR(catalog_.BeginSegment(RowOf(header)));
  SLUICE_RETURN_IF_ERROR(catalog_.Publish({&update, 1}));
  ++report_.segments_sealed;
  report_.payload_recovered += footer->payload();
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

absl::StatusOr<RecoveryReport> Recovery::Run(bool rebuild) {
  report_.catalog_rebuilt = rebuild;
  if (const std::string note = catalog_.migration_note(); !note.empty()) {
    report_.notes.push_back(note);
  }
  if (rebuild) {
    SLUICE_RETURN_IF_ERROR(catalog_.Clear());
    NoteDisksNotIndexed();
  }
  SLUICE_RETURN_IF_ERROR(ReadCatalog());
  for (uint32_t slot = 0; slot < archive_.meta().segment_count; ++slot) {
    const auto row = rows_.find(slot);
    SLUICE_RETURN_IF_ERROR(RecoverSlot(slot, row == rows_.end() ? Row() : Row(row->second)));
  }
  for (const auto& [id, open] : open_) {
    SLUICE_RETURN_IF_ERROR(ScanAndSeal(open.header, open.mark));
  }
  for (const auto& [slot, row] : rows_) {
    if (slot >= archive_.meta().segment_count)
      SLUICE_RETURN_IF_ERROR(ForgetRow(row, RemovalReason::kMissing));
  }
  SLUICE_RETURN_IF_ERROR(RememberRemovals());
  SLUICE_RETURN_IF_ERROR(EndLearnedRecordings());
  SLUICE_ASSIGN_OR_RETURN(report_.streams_interrupted,
                          catalog_.CloseInterrupted({absl::GetCurrentTimeNanos()}));
  if (!deleted_.empty() && report_.slots_kept_out.empty()) {
    // The headers that were erased before the crash, too, must be on stable storage first.
    if (archive_.SyncDisks().ok()) SLUICE_RETURN_IF_ERROR(catalog_.ForgetDeletions());
  }
  if (rebuild || ids_lost_) {
    report_.last_segment_id = SegmentId{Number(report_.last_segment_id) + kIdsLost};
  }
  return std::move(report_);
}

}  // namespace

absl::StatusOr<RecoveryReport> Recover(Archive& archive, Catalog& catalog, bool rebuild) {
  Recovery recovery(archive, catalog);
  absl::StatusOr<RecoveryReport> report;
  SLUICE_RETURN_IF_ERROR(catalog.Atomically([&] {
    report = recovery.Run(rebuild);
    return report.status();
  }));
  recovery.EraseUnreadable(*report);
  return report;
}

}  // namespace sluice
