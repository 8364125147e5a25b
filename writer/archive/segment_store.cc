#include "writer/archive/segment_store.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ingest/check.h"
#include "ingest/status_macros.h"
#include "writer/archive/replaced_segment.h"
#include "writer/archive/retention_reader.h"
#include "writer/segment/segment_codec.h"

namespace sluice {
SegmentStore::SegmentStore(SegmentStoreOptions options, SlotFiles& files, Catalog& catalog)
    : options_(std::move(options)),
      files_(&files),
      catalog_(&catalog),
      slots_(options_.meta.segment_count),
      disks_(std::max<size_t>(options_.meta.disks.size(), 1)),
      retention_(options_.meta.segment, options_.meta.segment_count),
      generation_(options_.policy.generation),
      last_id_(options_.last_segment_id) {}

absl::StatusOr<std::unique_ptr<SegmentStore>> SegmentStore::Open(SegmentStoreOptions options,
                                                                 SlotFiles& files,
                                                                 Catalog& catalog) {
  auto store = std::unique_ptr<SegmentStore>(new SegmentStore(std::move(options), files, catalog));
  SLUICE_RETURN_IF_ERROR(store->Load());
  return store;
}

absl::Status SegmentStore::Load() {
  retention_.SetClasses(options_.policy.classes);
  SLUICE_ASSIGN_OR_RETURN(const std::vector<RecordingRow> recordings, catalog_->Recordings());
  for (const RecordingRow& row : recordings) {
    retention_.SetRecording(row.uid, row.id, row.retention_class);
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<SegmentRow> rows, catalog_->Segments());
  for (const SegmentRow& row : rows) {
    slots_.at(row.slot) = {SlotState::kSealed, row, true, 0, {}};
  }
  for (const uint32_t slot : options_.kept_out) slots_.at(slot).state = SlotState::kKeptOut;
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    disk_of_slot_.push_back(options_.meta.DiskOf(i));
    DiskUse& disk = disks_[disk_of_slot_[i]];
    const Slot& slot = slots_[i];
    const bool kept_out = slot.state == SlotState::kKeptOut;
    if (!kept_out) ++disk.usable;
    if (slot.state == SlotState::kFree) disk.free.insert(i);
    if (slot.row.id == SegmentId{}) {
      if (kept_out) retention_.LoseSlot();
      continue;
    }
    slot_of_[slot.row.id] = i;
    RetentionSegment segment = RetentionSegmentOf(slot.row);
    segment.sealed = true;
    retention_.Add(std::move(segment));
    if (kept_out) retention_.Strand(slot.row.id);
  }
  for (const Hold& hold : options_.policy.holds) {
    absl::StatusOr<Selection> selection = Select(*catalog_, hold.selector);
    // What it selected may be gone; the hold stands until it is released.
    if (absl::IsNotFound(selection.status())) selection = Selection{};
    SLUICE_RETURN_IF_ERROR(selection.status());
    retention_.RestoreHold(hold, selection->parts, selection->active);
  }
  AuditFilledHolds();
  SLUICE_ASSIGN_OR_RETURN(sealed_, TrackLinks::Read(*catalog_));
  LookAtCatalog();
  return absl::OkStatus();
}

void SegmentStore::OnCatalog(const absl::Status& status) {
  if (status.ok()) {
    if (!health_.ok()) NoteAudit("recorder", "alarm cleared", "catalog", "it can be written again");
    health_ = absl::OkStatus();
    ++changes_;
  } else if (health_.ok()) {
    NoteAudit("recorder", "alarm raised", "catalog", std::string(status.message()));
    const bool no_room = absl::IsResourceExhausted(status);
    health_ = absl::Status(
        status.code(),
        absl::StrCat("the catalog cannot be written",
                     no_room ? absl::StrCat(" for lack of room, on the disk of ",
                                            options_.directory, " or within its bound")
                             : "",
                     ": recording goes on, and what is recorded meanwhile will be found when ",
                     no_room ? "there is room" : "it can be written", " again (", status.message(),
                     ")"));
  }
}

RemovalCause SegmentStore::Cause(RemovalReason reason) const {
  return {reason, "", options_.clock()};
}

RemovalCause SegmentStore::CauseOf(RetentionRule rule) const {
  if (rule == RetentionRule::kPressure) return Cause(RemovalReason::kReused);
  if (rule == RetentionRule::kCatalog) return Cause(RemovalReason::kCatalogFull);
  return {RemovalReason::kRetention, std::string(RetentionRuleName(rule)), options_.clock()};
}

SegmentStore::Slot* SegmentStore::Find(SegmentId segment) {
  const auto at = slot_of_.find(segment);
  return at == slot_of_.end() ? nullptr : &slots_[at->second];
}

void SegmentStore::Vacate(uint32_t index, bool usable) {
  Slot& slot = slots_[index];
  DiskUse& disk = disks_[disk_of_slot_[index]];
  bool was_usable = slot.state != SlotState::kKeptOut && !disk.out;
  if (slot.state == SlotState::kOpen) OnClosed(slot.row);
  if (slot.row.id != SegmentId{}) {
    slot_of_.erase(slot.row.id);
    retention_.Remove(slot.row.id);
  }
  slot = Slot();
  if (usable && was_usable) {
    disk.free.insert(index);
    return;
  }
  disk.free.erase(index);
  slot.state = SlotState::kKeptOut;
  if (!was_usable) return;
  --disk.usable;
  retention_.LoseSlot();
}

// ---- publishing

// A segment whose begin the catalog refused, or forgot with its last moments, is begun again.
absl::Status SegmentStore::EnsureInCatalog(const SegmentUpdate& update) {
  Slot* const slot = Find(update.segment);
  if (slot == nullptr || slot->in_catalog) return absl::OkStatus();
  SegmentRow begun = slot->row;  // what it holds by now, the update says
  begun.sealed = false;
  begun.durable = {kBlockBytes};
  begun.first_time = begun.last_time = {};
  begun.payload = {};
  SLUICE_RETURN_IF_ERROR(catalog_->BeginSegment(begun, slot->replaced));
  slot->in_catalog = true;
  return absl::OkStatus();
}

// What a catalog never learned of a segment it cannot remember when the segment goes.
void SegmentStore::FlushRemovals() {
  if (pending_removals_.empty()) return;
  const absl::Status status = catalog_->Atomically([&]() -> absl::Status {
    for (const RemovalRow& row : pending_removals_) {
      SLUICE_RETURN_IF_ERROR(catalog_->RecordRemoval(row));
    }
    return absl::OkStatus();
  });
  if (status.ok()) pending_removals_.clear();
  OnCatalog(status);
}

// The row goes on saying what the catalog will say.
void SegmentStore::OnPublished(Slot& slot, const SegmentUpdate& update) {
  slot.row.durable = update.durable;
  slot.row.first_time = update.first_time;
  slot.row.last_time = update.last_time;
  slot.row.payload = update.payload;
  slot.row.ledger = update.ledger;
  if (!update.sealed) return;
  if (slot.state == SlotState::kOpen) {
    slot.state = SlotState::kSealed;
    OnClosed(slot.row);
  }
  slot.row.sealed = true;
  slot.row.previous = update.previous.id;
  slot.row.footer_sha256 = update.footer_sha256;
  sealed_.Replace(slot.row.recording_uid, slot.row.lane, {update.segment, update.footer_sha256});
}

void SegmentStore::Note(std::vector<SegmentUpdate> updates) {
  for (SegmentUpdate& update : updates) {
    retention_.Update(update);
    if (Slot* const slot = Find(update.segment)) OnPublished(*slot, update);
    pending_.Add(std::move(update));
  }
  AuditFilledHolds();
  SaveFullHolds();
}

void SegmentStore::Publish(std::vector<SegmentUpdate> updates) {
  Note(std::move(updates));
  while (PublishSome()) {
  }
}

bool SegmentStore::PublishSome(size_t streams) {
  if (const absl::Status status = TellOfGivenUp(); !status.ok()) OnCatalog(status);
  absl::Status published;
  if (!pending_.empty()) published = PublishPending(streams);
  FlushRemovals();
  FlushAudit();
  LookAtCatalog();
  return published.ok() && !pending_.empty();
}

absl::Status SegmentStore::PublishPending(size_t streams) {
  // Updates of segments that were given away meanwhile have no place any more.
  std::vector<SegmentUpdate> updates = pending_.TakeSome(streams);
  std::erase_if(updates, [&](const SegmentUpdate& u) { return Find(u.segment) == nullptr; });
  absl::Status status;
  for (const SegmentUpdate& update : updates) {
    if (status.ok()) status = EnsureInCatalog(update);
  }
  if (status.ok()) status = catalog_->Publish(updates);
  if (!status.ok()) pending_.PutBack(std::move(updates));
  OnCatalog(status);
  return status;
}

// ---- lending

void SegmentStore::GiveUp(const Slot& slot) {
  if (slot.in_catalog) {
    OnCatalog(catalog_->ForgetSegment(slot.row.id));
  } else {
    unheard_[slot.row.slot] = slot;
  }
}

absl::Status SegmentStore::TellOfGivenUp() {
  while (!unheard_.empty()) {
    const Slot& slot = unheard_.begin()->second;
    SLUICE_RETURN_IF_ERROR(catalog_->BeginSegment(slot.row, slot.replaced));
    SLUICE_RETURN_IF_ERROR(catalog_->ForgetSegment(slot.row.id));
    unheard_.erase(unheard_.begin());
    ++changes_;
  }
  return absl::OkStatus();
}

void SegmentStore::Return(SegmentId segment) {
  Slot* const slot = Find(segment);
  if (slot == nullptr || slot->state != SlotState::kOpen) return;
  GiveUp(*slot);
  uint64_t& last = last_of_track_[{slot->row.recording_uid, slot->row.lane}];
  if (last == static_cast<uint64_t>(segment)) last = slot->previous;
  Vacate(slot->row.slot, /*usable=*/true);
}

// On the disk that is the least full, so that a ring goes round over all of them and their
// bandwidths add up. Equally full ones are taken in turn, beginning with the lane's.
std::optional<uint32_t> SegmentStore::ChooseFreeSlot(LaneId lane) const {
  const DiskUse* best = nullptr;
  for (size_t i = 0; i < disks_.size(); ++i) {
    const DiskUse& disk = disks_[(static_cast<size_t>(lane) + i) % disks_.size()];
    if (disk.free.empty()) continue;
    if (best == nullptr || disk.used() * best->usable < best->used() * disk.usable) best = &disk;
  }
  if (best == nullptr) return std::nullopt;
  return *best->free.begin();
}

absl::StatusOr<SegmentLoan> SegmentStore::Lend(const TrackIdentity& track) {
  absl::Status refused;
  while (true) {
    const std::optional<Removal> goes = retention_.NextFor(track.recording_uid, options_.clock());
    const std::optional<uint32_t> slot =
        goes ? slot_of_.at(goes->segment) : ChooseFreeSlot(track.lane);
    if (!slot) break;
    const RemovalCause why = goes ? CauseOf(goes->rule) : Cause(RemovalReason::kReused);
    absl::StatusOr<SegmentLoan> loan = Lend(*slot, track, why);
    if (loan.ok()) {
      if (goes) Count(goes->rule);
      OnLent();
      return loan;
    }
    refused = loan.status();
    TakeOut(disk_of_slot_[*slot], refused);
  }
  if (!refused.ok()) {
    return absl::UnavailableError(absl::StrCat("no segment of archive ", options_.directory,
                                               " can be written: ", refused.message(),
                                               "; check the disk"));
  }
  const std::string why = retention_.WhyNothingMayGo();
  OnExhausted(why);
  return absl::ResourceExhaustedError(
      absl::StrCat("no segment of archive ", options_.directory, " may go. It has ", why,
                   ". Release a hold, or use an archive with more segments"));
}

void SegmentStore::OnClosed(const SegmentRow& row) {
  const auto open = open_of_track_.find({row.recording_uid, row.lane});
  if (open != open_of_track_.end() && --open->second == 0) open_of_track_.erase(open);
}

// How many each track may have ready beside the next one: where little can be had, nothing lies
// idle.
uint32_t SegmentStore::Ahead(const TrackIdentity& track) const {
  const uint32_t share = retention_.Obtainable(track.recording_uid) / options_.ahead_share;
  return static_cast<uint32_t>(
      std::min<size_t>(share / std::max<size_t>(open_of_track_.size(), 1), kAheadMax));
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
absl::StatusOr<SegmentLoan> SegmentStore::Lend(uint32_t index, const TrackIdentity& track,
                                               const RemovalCause& why) {
  SLUICE_CHECK(track.recording_uid != 0);
  SLUICE_CHECK(track.kind >= ExtentKind::kStream && track.kind <= ExtentKind::kPacket);
  SLUICE_CHECK(track.recording.size() <= kRecordingNameBytesMax);
  const absl::Duration started = Stopwatch();
  uint64_t& last_of_track = last_of_track_[{track.recording_uid, track.lane}];
  Slot& slot = slots_[index];
  const SegmentRow replaced = slot.state == SlotState::kSealed ? slot.row : SegmentRow();
  const bool is_known = slot.in_catalog && !pending_.Contains(slot.row.id);
  if (slot.state == SlotState::kSealed) ForgetOlderOnDisksOut(slot.row, why);
  Vacate(index, /*usable=*/true);
  disks_[disk_of_slot_[index]].free.erase(index);
  slot = {SlotState::kOpen, SegmentRow(), false, last_of_track, why};
  slot.row.id = SegmentId{++last_id_};
  slot.row.slot = index;
  slot.row.recording_uid = track.recording_uid;
  slot.row.recording = track.recording;
  slot.row.lane = track.lane;
  slot.row.epoch = options_.meta.epoch;
  slot.row.durable = {kBlockBytes};
  slot.row.previous = SegmentId{slot.previous};
  slot_of_[slot.row.id] = index;
  ++open_of_track_[{track.recording_uid, track.lane}];
  retention_.Add(RetentionSegmentOf(slot.row));
  unheard_.erase(index);  // whatever was here, the catalog hears now
  const absl::Status begun = catalog_->BeginSegment(slot.row, why);
  slot.in_catalog = begun.ok();
  OnCatalog(begun);
  if (replaced.id != SegmentId{} && !is_known) {
    if (pending_removals_.size() == kPendingRemovalsMax) {
      pending_removals_.erase(pending_removals_.begin());
    }
    pending_removals_.push_back(RemovalOf(Replaced(replaced, why)));
  }
  FlushRemovals();

  SegmentHeader header = HeaderOf(slot);
  header.kind = track.kind;
  header.lane = static_cast<uint16_t>(track.lane);
  header.recording_uid = track.recording_uid;
  std::memcpy(header.recording, track.recording.data(), track.recording.size());
  const std::string retention_class = retention_.WantedClassOf(track.recording_uid);
  retention_class.copy(header.retention_class, kRecordingNameBytesMax);
  header.previous_segment_id = slot.previous;
  header.replaced = Replaced(replaced, why);
  SealSegmentHeader(header);
  const absl::Duration forgotten = Stopwatch();
  absl::Status status = files_->WriteHeader(index, header);
  if (status.ok()) status = files_->Sync(index);
  if (!status.ok()) {
    GiveUp(slot);
    Vacate(index, /*usable=*/false);
    return status;
  }
  last_of_track = last_id_;
  SegmentLoan loan;
  loan.id = SegmentId{last_id_};
  loan.fd = files_->Descriptor(index);
  loan.size = options_.meta.segment;
  loan.disk = disk_of_slot_[index];
  loan.replaceable = !IsLast(loan.disk);
  loan.origin = OriginOf(header, sealed_.Last(track.recording_uid, track.lane));
  loan.ahead = Ahead(track);
  loan.took.catalog = forgotten - started;
  loan.took.disk = Stopwatch() - forgotten;
  return loan;
}

// ---- disks that fail

bool SegmentStore::IsLast(uint32_t disk) const {
  for (uint32_t other = 0; other < disks_.size(); ++other) {
    if (other != disk && !disks_[other].out && disks_[other].usable > 0) return false;
  }
  return true;
}

void SegmentStore::TakeOut(uint32_t disk, const absl::Status& why) {
  DiskUse& use = disks_[disk];
  if (use.out || IsLast(disk)) return;
  use.out = true;
  use.free.clear();
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    if (disk_of_slot_[i] != disk || slots_[i].state == SlotState::kKeptOut) continue;
    if (slots_[i].state == SlotState::kFree) {
      retention_.LoseSlot();
    } else {
      retention_.Strand(slots_[i].row.id);
    }
  }
  files_->TakeOut(disk, std::string(why.message()));
  Audit("recorder", "disk taken out", absl::StrCat("disks/", disk), std::string(why.message()));
}

void SegmentStore::Refuse(SegmentId segment, const absl::Status& why) {
  const Slot* const slot = Find(segment);
  if (slot != nullptr) TakeOut(disk_of_slot_[slot->row.slot], why);
}

// Data goes in the order of its age. Where it lies on a disk that is not in use it would be left
// behind, and its streams would have a hole. What is held stays, hole or not.
void SegmentStore::ForgetOlderOnDisksOut(const SegmentRow& reused, const RemovalCause& why) {
  if (retention_.stranded() == 0) return;
  if (!pending_.empty()) Publish({});  // or the catalog would remember too little of what goes
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    const bool out = slot.state == SlotState::kKeptOut || disks_[disk_of_slot_[i]].out;
    const bool older = slot.row.id != SegmentId{} && slot.row.id < reused.id;
    if (!out || !older || slot.state == SlotState::kFree || slot.state == SlotState::kOpen ||
        slot.row.recording_uid != reused.recording_uid || slot.row.lane != reused.lane ||
        retention_.IsHeld(slot.row.id)) {
      continue;
    }
    OnCatalog(catalog_->ForgetSegment(slot.row.id, why));
    Vacate(i, /*usable=*/false);
  }
}

// ---- recordings

// What the row says that the catalog did not know.
std::optional<AuditRow> SegmentStore::EventOf(const RecordingRow& row,
                                              const std::string& actor) const {
  const absl::StatusOr<RecordingRow> known = catalog_->Recording(row.id);
  if (known.ok() && known->state == row.state) return std::nullopt;
  AuditRow event{0, options_.clock(), actor, "", absl::StrCat("recordings/", row.id), row.source};
  switch (row.state) {
    case RecordingState::kRecording:
      event.action = known.ok() ? "recording resumed" : "recording created";
      break;
    case RecordingState::kStopped:
      event.action = "recording stopped";
      break;
    case RecordingState::kFailed:
      event.actor = "recorder";
      event.action = "recording failed";
      event.detail = row.failure;
      break;
    case RecordingState::kInterrupted:
      event.action = "recording interrupted";
      break;
  }
  return event;
}

absl::Status SegmentStore::PutRecording(const RecordingRow& row, const std::string& actor) {
  const std::optional<AuditRow> event = EventOf(row, actor);
  const absl::Status status = catalog_->Atomically([&]() -> absl::Status {
    SLUICE_RETURN_IF_ERROR(catalog_->PutRecording(row));
    return event ? catalog_->AddAudit({*event}) : absl::OkStatus();
  });
  if (absl::IsAlreadyExists(status)) return status;
  OnCatalog(status);
  retention_.SetRecording(row.uid, row.id, row.retention_class);
  return status;
}

absl::Status SegmentStore::DeleteRecording(const std::string& id, const std::string& actor) {
  SLUICE_ASSIGN_OR_RETURN(const RecordingRow row, catalog_->Recording(id));
  if (row.state == RecordingState::kRecording) {
    return absl::FailedPreconditionError(
        absl::StrCat("recording \"", id, "\" is being written: stop it first"));
  }
  if (const std::vector<std::string> holds = retention_.HoldsOf(row.uid); !holds.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("recording \"", id, "\" is held by \"",
                                                      absl::StrJoin(holds, "\", \""),
                                                      "\": release it first"));
  }
  RemovalCause why = Cause(RemovalReason::kRecordingDeleted);
  why.actor = actor;
  const absl::Status status = catalog_->Atomically([&]() -> absl::Status {
    SLUICE_RETURN_IF_ERROR(catalog_->DeleteRecording(id, why));
    return catalog_->AddAudit(
        {{0, why.time, actor, "recording deleted", absl::StrCat("recordings/", id), row.source}});
  });
  OnCatalog(status);
  SLUICE_RETURN_IF_ERROR(status);
  // The catalog remembers that the recording is deleted until its headers are known to be gone,
  // so these writes need no sync and may fail.
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.state == SlotState::kFree || slot.row.recording_uid != row.uid) continue;
    const bool erased = files_->WriteHeader(i, EmptySlotHeader(HeaderOf(slot))).ok();
    Vacate(i, /*usable=*/erased);
  }
  return absl::OkStatus();
}

}  // namespace sluice
