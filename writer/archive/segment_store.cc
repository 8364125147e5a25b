#include "writer/archive/segment_store.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "ingest/check.h"
#include "ingest/status_macros.h"
#include "writer/archive/replaced_segment.h"
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
  for (uint32_t slot = 0; slot < known.meta.segment_count; ++slot) {
    store->disk_of_slot_.push_back(known.meta.DiskOf(slot));
  }
  store->disk_out_.resize(std::max<size_t>(known.meta.disks.size(), 1));
  SLUICE_ASSIGN_OR_RETURN(store->sealed_, TrackLinks::Read(catalog));
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
  SegmentRow begun = slot->row;
  begun.sealed = false;  // what it holds, the update says
  begun.durable = {kBlockBytes};
  SLUICE_RETURN_IF_ERROR(catalog_->BeginSegment(begun, Cause(RemovalReason::kReused)));
  slot->in_catalog = true;
  return absl::OkStatus();
}

// The row goes on saying what the catalog will say.
void SegmentStore::OnPublished(Slot& slot, const SegmentUpdate& update) {
  slot.row.durable = update.durable;
  slot.row.first_time = update.first_time;
  slot.row.last_time = update.last_time;
  slot.row.payload = update.payload;
  slot.row.ledger = update.ledger;
  if (!update.sealed) return;
  if (slot.state == SlotState::kOpen) slot.state = SlotState::kSealed;
  slot.row.sealed = true;
  slot.row.previous = update.previous.id;
  slot.row.footer_sha256 = update.footer_sha256;
  sealed_.Replace(slot.row.recording_uid, slot.row.lane, {update.segment, update.footer_sha256});
}

void SegmentStore::Publish(std::vector<SegmentUpdate> more) {
  for (SegmentUpdate& update : more) pending_.Add(std::move(update));
  if (pending_.empty()) return;
  // Updates of segments that were given away meanwhile have no place any more.
  std::vector<SegmentUpdate> updates = pending_.Take();
  std::erase_if(updates, [&](const SegmentUpdate& u) { return Find(u.segment) == nullptr; });
  absl::Status status;
  for (const SegmentUpdate& update : updates) {
    OnPublished(*Find(update.segment), update);
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

// On the disk that is the least full, so that a ring goes round over all of them and their
// bandwidths add up. Equally full ones are taken in turn, beginning with the lane's.
std::optional<uint32_t> SegmentStore::ChooseFreeSlot(LaneId lane) const {
  struct Use {
    uint64_t usable = 0;
    uint64_t used = 0;
    std::optional<uint32_t> free;
  };
  std::vector<Use> disks(disk_out_.size());
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    Use& disk = disks[disk_of_slot_[i]];
    if (slots_[i].state == SlotState::kKeptOut) continue;
    ++disk.usable;
    if (slots_[i].state != SlotState::kFree) {
      ++disk.used;
    } else if (!disk.free) {
      disk.free = i;
    }
  }
  const Use* best = nullptr;
  for (size_t i = 0; i < disks.size(); ++i) {
    const size_t number = (static_cast<size_t>(lane) + i) % disks.size();
    const Use& disk = disks[number];
    if (!disk.free || disk_out_[number]) continue;
    if (best == nullptr || disk.used * best->usable < best->used * disk.usable) best = &disk;
  }
  return best == nullptr ? std::nullopt : best->free;
}

std::optional<uint32_t> SegmentStore::ChooseSlot(LaneId lane) const {
  if (const std::optional<uint32_t> free = ChooseFreeSlot(lane)) return free;
  std::optional<uint32_t> oldest;
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].state != SlotState::kSealed || disk_out_[disk_of_slot_[i]]) continue;
    if (!oldest || slots_[i].row.id < slots_[*oldest].row.id) oldest = i;
  }
  return oldest;
}

absl::StatusOr<SegmentLoan> SegmentStore::Lend(const TrackIdentity& track) {
  absl::Status refused;
  while (const std::optional<uint32_t> slot = ChooseSlot(track.lane)) {
    absl::StatusOr<SegmentLoan> loan = Lend(*slot, track);
    if (loan.ok()) return loan;
    refused = loan.status();
    TakeOut(disk_of_slot_[*slot], refused);
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
  const SegmentRow replaced = slot.state == SlotState::kSealed ? slot.row : SegmentRow();
  if (slot.state == SlotState::kSealed) ForgetOlderOnDisksOut(slot.row);
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
  header.replaced = Replaced(replaced, Cause(RemovalReason::kReused));
  SealSegmentHeader(header);
  absl::Status status = files_->WriteHeader(index, header);
  if (status.ok()) status = files_->Sync(index);
  if (!status.ok()) {
    if (slot.in_catalog) OnCatalog(catalog_->ForgetSegment(slot.row.id));
    slot = {SlotState::kKeptOut, SegmentRow(), false, 0};
    return status;
  }
  last_of_track = last_id_;
  const uint32_t disk = disk_of_slot_[index];
  return SegmentLoan{
      SegmentId{last_id_},   files_->Descriptor(index),
      options_.meta.segment, disk,
      !IsLast(disk),         OriginOf(header, sealed_.Last(track.recording_uid, track.lane))};
}

// ---- disks that fail

bool SegmentStore::IsLast(uint32_t disk) const {
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    const uint32_t other = disk_of_slot_[i];
    if (other == disk || disk_out_[other]) continue;
    if (slots_[i].state != SlotState::kKeptOut) return false;
  }
  return true;
}

void SegmentStore::TakeOut(uint32_t disk, const absl::Status& why) {
  if (disk_out_[disk] || IsLast(disk)) return;
  disk_out_[disk] = true;
  files_->TakeOut(disk, std::string(why.message()));
}

void SegmentStore::Refuse(SegmentId segment, const absl::Status& why) {
  const Slot* const slot = Find(segment);
  if (slot != nullptr) TakeOut(disk_of_slot_[slot->row.slot], why);
}

// Data goes in the order of its age. Where it lies on a disk that is not in use it would be left
// behind, and its streams would have a hole.
void SegmentStore::ForgetOlderOnDisksOut(const SegmentRow& reused) {
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    const bool out = slot.state == SlotState::kKeptOut || disk_out_[disk_of_slot_[i]];
    const bool older = slot.row.id != SegmentId{} && slot.row.id < reused.id;
    if (!out || !older || slot.state == SlotState::kFree || slot.state == SlotState::kOpen ||
        slot.row.recording_uid != reused.recording_uid || slot.row.lane != reused.lane) {
      continue;
    }
    OnCatalog(catalog_->ForgetSegment(slot.row.id, Cause(RemovalReason::kReused)));
    slot = {SlotState::kKeptOut, SegmentRow(), false, 0};
  }
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
