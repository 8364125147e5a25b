#include "writer/archive/segment_store.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "ingest/check.h"
#include "ingest/status_macros.h"
#include "writer/segment/segment_codec.h"

namespace sluice {

absl::StatusOr<std::unique_ptr<SegmentStore>> SegmentStore::Open(SegmentStoreOptions options,
                                                                 SlotFiles& files,
                                                                 Catalog& catalog) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<SegmentRow> rows, catalog.Segments());
  auto store = std::unique_ptr<SegmentStore>(new SegmentStore(std::move(options), files, catalog));
  const SegmentStoreOptions& known = store->options_;
  store->slots_.resize(known.meta.segment_count);
  for (const SegmentRow& row : rows) {
    store->slots_.at(row.slot) = {SlotState::kSealed, row, true, 0};
  }
  for (const uint32_t slot : known.kept_out) store->slots_.at(slot).state = SlotState::kKeptOut;
  store->last_id_ = known.last_segment_id;
  return store;
}

void SegmentStore::OnCatalog(const absl::Status& status) {
  if (status.ok()) {
    health_ = absl::OkStatus();
    ++changes_;
  } else if (health_.ok()) {
    health_ = status;
  }
}

RemovalCause SegmentStore::Cause(RemovalReason reason) const {
  return {reason, "", options_.clock()};
}

SegmentStore::Slot* SegmentStore::Find(SegmentId segment) {
  const auto at = std::find_if(slots_.begin(), slots_.end(),
                               [&](const Slot& slot) { return slot.row.id == segment; });
  return at == slots_.end() ? nullptr : &*at;
}

// ---- publishing

// A segment whose begin the catalog refused, or forgot with its last moments, is begun again.
absl::Status SegmentStore::EnsureInCatalog(const SegmentUpdate& update) {
  Slot* const slot = Find(update.segment);
  if (slot == nullptr || slot->in_catalog) return absl::OkStatus();
  SLUICE_RETURN_IF_ERROR(catalog_->BeginSegment(slot->row, Cause(RemovalReason::kReused)));
  slot->in_catalog = true;
  return absl::OkStatus();
}

void SegmentStore::Publish(std::vector<SegmentUpdate> more) {
  for (SegmentUpdate& update : more) pending_.Add(std::move(update));
  if (pending_.empty()) return;
  // Updates of segments that were given away meanwhile have no place any more.
  std::vector<SegmentUpdate> updates = pending_.Take();
  std::erase_if(updates, [&](const SegmentUpdate& u) { return Find(u.segment) == nullptr; });
  absl::Status status;
  for (const SegmentUpdate& update : updates) {
    if (update.sealed) {
      Slot* const slot = Find(update.segment);
      if (slot->state == SlotState::kOpen) slot->state = SlotState::kSealed;
    }
    if (status.ok()) status = EnsureInCatalog(update);
  }
  if (status.ok()) status = catalog_->Publish(updates);
  if (!status.ok()) {
    for (SegmentUpdate& update : updates) pending_.Add(std::move(update));
  }
  OnCatalog(status);
}

// ---- lending

void SegmentStore::Return(SegmentId segment) {
  Slot* const slot = Find(segment);
  if (slot == nullptr || slot->state != SlotState::kOpen) return;
  if (slot->in_catalog) OnCatalog(catalog_->ForgetSegment(segment));
  uint64_t& last = last_of_track_[{slot->row.recording_uid, slot->row.lane}];
  if (last == static_cast<uint64_t>(segment)) last = slot->previous;
  *slot = Slot();
}

std::optional<uint32_t> SegmentStore::ChooseSlot() const {
  std::optional<uint32_t> oldest;
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].state == SlotState::kFree) return i;
    if (slots_[i].state != SlotState::kSealed) continue;
    if (!oldest || slots_[i].row.id < slots_[*oldest].row.id) oldest = i;
  }
  return oldest;
}

absl::StatusOr<SegmentLoan> SegmentStore::Lend(const TrackIdentity& track) {
  absl::Status refused;
  while (const std::optional<uint32_t> slot = ChooseSlot()) {
    absl::StatusOr<SegmentLoan> loan = Lend(*slot, track);
    if (loan.ok()) return loan;
    refused = loan.status();
  }
  if (!refused.ok()) {
    return absl::UnavailableError(absl::StrCat("no segment of archive ", options_.directory,
                                               " can be written: ", refused.message(),
                                               "; check the disk"));
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("all ", slots_.size(), " segments of archive ", options_.directory,
                   " are being written: use an archive with more segments"));
}

SegmentHeader SegmentStore::HeaderOf(const Slot& slot) const {
  SegmentHeader header;
  header.archive_uuid = options_.meta.uuid;
  header.segment_id = static_cast<uint64_t>(slot.row.id);
  header.segment_bytes = options_.meta.segment.value;
  header.slot = slot.row.slot;
  header.epoch = slot.row.epoch;
  header.created_ns = options_.clock().value;
  return header;
}

// First the catalog forgets what the slot held, then the header says so in the file, and only
// then is anything written over it: see writer/FORMAT.md.
absl::StatusOr<SegmentLoan> SegmentStore::Lend(uint32_t index, const TrackIdentity& track) {
  SLUICE_CHECK(track.recording_uid != 0);
  SLUICE_CHECK(track.kind >= ExtentKind::kStream && track.kind <= ExtentKind::kPacket);
  SLUICE_CHECK(track.recording.size() <= kRecordingNameBytesMax);
  uint64_t& last_of_track = last_of_track_[{track.recording_uid, track.lane}];
  Slot& slot = slots_[index];
  slot = {SlotState::kOpen, SegmentRow(), false, last_of_track};
  slot.row.id = SegmentId{++last_id_};
  slot.row.slot = index;
  slot.row.recording_uid = track.recording_uid;
  slot.row.recording = track.recording;
  slot.row.lane = track.lane;
  slot.row.epoch = options_.meta.epoch;
  slot.row.durable = {kBlockBytes};
  slot.row.previous = SegmentId{slot.previous};
  const absl::Status begun = catalog_->BeginSegment(slot.row, Cause(RemovalReason::kReused));
  slot.in_catalog = begun.ok();
  OnCatalog(begun);

  SegmentHeader header = HeaderOf(slot);
  header.kind = track.kind;
  header.lane = static_cast<uint16_t>(track.lane);
  header.recording_uid = track.recording_uid;
  std::memcpy(header.recording, track.recording.data(), track.recording.size());
  header.previous_segment_id = slot.previous;
  SealSegmentHeader(header);
  absl::Status status = files_->WriteHeader(index, header);
  if (status.ok()) status = files_->Sync(index);
  if (!status.ok()) {
    if (slot.in_catalog) OnCatalog(catalog_->ForgetSegment(slot.row.id));
    slot = {SlotState::kKeptOut, SegmentRow(), false, 0};
    return status;
  }
  last_of_track = last_id_;
  return SegmentLoan{SegmentId{last_id_}, files_->Descriptor(index), options_.meta.segment};
}

// ---- recordings

absl::Status SegmentStore::PutRecording(const RecordingRow& row) {
  const absl::Status status = catalog_->PutRecording(row);
  if (!absl::IsAlreadyExists(status)) OnCatalog(status);
  return status;
}

absl::Status SegmentStore::DeleteRecording(const std::string& id) {
  SLUICE_ASSIGN_OR_RETURN(const RecordingRow row, catalog_->Recording(id));
  if (row.state == RecordingState::kRecording) {
    return absl::FailedPreconditionError(
        absl::StrCat("recording \"", id, "\" is being written: stop it first"));
  }
  const absl::Status status =
      catalog_->DeleteRecording(id, Cause(RemovalReason::kRecordingDeleted));
  OnCatalog(status);
  SLUICE_RETURN_IF_ERROR(status);
  // The catalog remembers that the recording is deleted until its headers are known to be gone,
  // so these writes need no sync and may fail.
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (slot.state == SlotState::kFree || slot.row.recording_uid != row.uid) continue;
    const bool erased = files_->WriteHeader(i, EmptySlotHeader(HeaderOf(slot))).ok();
    const bool usable = erased && slot.state != SlotState::kKeptOut;
    slot = {usable ? SlotState::kFree : SlotState::kKeptOut, SegmentRow(), false, 0};
  }
  return absl::OkStatus();
}

}  // namespace sluice
