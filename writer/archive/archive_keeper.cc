#include "writer/archive/archive_keeper.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ingest/check.h"
#include "ingest/status_macros.h"
#include "writer/archive/update_queue.h"
#include "writer/segment/file_io.h"
#include "writer/segment/segment_codec.h"

namespace sluice {
namespace {

constexpr std::chrono::seconds kRetryCatalog{1};

}  // namespace

class ArchiveKeeper::Impl {
 public:
  Impl(Archive& archive, std::unique_ptr<Catalog> catalog, RecoveryReport recovery)
      : archive_(archive), catalog_(std::move(catalog)), recovery_(std::move(recovery)) {}
  ~Impl();

  absl::Status Start();

  const RecoveryReport& recovery() const { return recovery_; }
  void RequestSegment(const TrackIdentity& track, Ready ready);
  void ReturnSegment(SegmentId segment);
  void Publish(SegmentUpdate update);
  // Runs `work` on the thread, after what was published before; waits for it.
  absl::Status Call(std::function<absl::Status()> work);
  absl::Status PutRecording(const RecordingRow& row);
  absl::Status DeleteRecording(const std::string& id);
  uint64_t change_count() const;
  uint64_t WaitForChange(uint64_t seen, absl::Duration timeout) const;
  absl::Status health() const;

 private:
  enum class SlotState {
    kFree,
    kOpen,  // lent to a track, and not sealed yet
    kSealed,
    kKeptOut,  // the disk refuses it, or it is not ours
  };
  struct Slot {
    SlotState state = SlotState::kFree;
    SegmentRow row;
    bool in_catalog = false;  // false: the catalog refused the segment, and still has to learn it
    uint64_t previous = 0;    // the segment that its track had before
  };
  struct Request {
    TrackIdentity track;
    Ready ready;
  };
  struct Task {
    std::function<absl::Status()> work;
    absl::Status result;
    bool done = false;
  };
  struct Mail {
    UpdateQueue updates;
    std::vector<SegmentId> returns;
    std::vector<Task*> tasks;
    std::vector<Request> requests;

    bool empty() const {
      return updates.empty() && returns.empty() && tasks.empty() && requests.empty();
    }
  };

  void Run();
  void PublishPending();
  absl::Status EnsureInCatalog(const SegmentUpdate& update);
  void Return(SegmentId segment);
  void Serve(Request& request);
  std::optional<uint32_t> ChooseSlot() const;
  absl::Status Lend(uint32_t slot, const TrackIdentity& track, SegmentLoan* loan);
  absl::Status WriteHeader(uint32_t slot, const SegmentHeader& header);
  Slot* Find(SegmentId segment);
  void OnCatalog(const absl::Status& status);

  Archive& archive_;
  const std::unique_ptr<Catalog> catalog_;  // the thread's
  const RecoveryReport recovery_;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  mutable std::condition_variable changed_;  // change_count_, or a task is done
  Mail mail_;
  bool stop_ = false;
  uint64_t change_count_ = 0;
  absl::Status health_;

  // The thread's.
  std::vector<Slot> slots_;
  uint64_t last_id_ = 0;
  std::map<std::pair<uint64_t, LaneId>, uint64_t> last_of_track_;  // in this epoch
  UpdateQueue pending_;  // taken from the mail, and not in the catalog yet
  std::thread thread_;
};

absl::Status ArchiveKeeper::Impl::Start() {
  slots_.resize(archive_.meta().segment_count);
  SLUICE_ASSIGN_OR_RETURN(const std::vector<SegmentRow> rows, catalog_->Segments());
  for (const SegmentRow& row : rows) {
    slots_.at(row.slot) = {SlotState::kSealed, row, true, 0};
  }
  for (const uint32_t slot : recovery_.slots_kept_out) slots_.at(slot).state = SlotState::kKeptOut;
  last_id_ = static_cast<uint64_t>(recovery_.last_segment_id);
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

ArchiveKeeper::Impl::~Impl() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_one();
  thread_.join();
}

// ---- from any thread

void ArchiveKeeper::Impl::RequestSegment(const TrackIdentity& track, Ready ready) {
  {
    const std::lock_guard lock(mutex_);
    mail_.requests.push_back({track, std::move(ready)});
  }
  work_.notify_one();
}

void ArchiveKeeper::Impl::ReturnSegment(SegmentId segment) {
  {
    const std::lock_guard lock(mutex_);
    mail_.returns.push_back(segment);
  }
  work_.notify_one();
}

void ArchiveKeeper::Impl::Publish(SegmentUpdate update) {
  {
    const std::lock_guard lock(mutex_);
    mail_.updates.Add(std::move(update));
  }
  work_.notify_one();
}

absl::Status ArchiveKeeper::Impl::Call(std::function<absl::Status()> work) {
  Task task{std::move(work), {}, false};
  std::unique_lock lock(mutex_);
  mail_.tasks.push_back(&task);
  work_.notify_one();
  changed_.wait(lock, [&] { return task.done; });
  return task.result;
}

uint64_t ArchiveKeeper::Impl::change_count() const {
  const std::lock_guard lock(mutex_);
  return change_count_;
}

uint64_t ArchiveKeeper::Impl::WaitForChange(uint64_t seen, absl::Duration timeout) const {
  std::unique_lock lock(mutex_);
  const auto deadline = absl::ToChronoTime(absl::Now() + std::min(timeout, absl::Hours(24)));
  changed_.wait_until(lock, deadline, [&] { return change_count_ > seen; });
  return change_count_ > seen ? change_count_ : seen;
}

absl::Status ArchiveKeeper::Impl::health() const {
  const std::lock_guard lock(mutex_);
  return health_;
}

// ---- on the keeper's thread

void ArchiveKeeper::Impl::Run() {
  while (true) {
    Mail mail;
    {
      std::unique_lock lock(mutex_);
      const auto ready = [&] { return stop_ || !mail_.empty(); };
      // What the catalog refused is offered again.
      if (pending_.empty()) {
        work_.wait(lock, ready);
      } else {
        work_.wait_for(lock, kRetryCatalog, ready);
      }
      std::swap(mail, mail_);
      if (stop_ && mail.empty()) break;
    }
    for (SegmentUpdate& update : mail.updates.Take()) pending_.Add(std::move(update));
    PublishPending();
    for (const SegmentId segment : mail.returns) Return(segment);
    for (Task* task : mail.tasks) {
      task->result = task->work();
      {
        const std::lock_guard lock(mutex_);
        task->done = true;
        changed_.notify_all();
      }
    }
    for (Request& request : mail.requests) Serve(request);
  }
  if (!pending_.empty()) PublishPending();
}

// The catalog may fail as long as it likes: the segments say everything again.
void ArchiveKeeper::Impl::OnCatalog(const absl::Status& status) {
  const std::lock_guard lock(mutex_);
  if (!status.ok()) {
    if (health_.ok()) health_ = status;
    return;
  }
  health_ = absl::OkStatus();
  ++change_count_;
  changed_.notify_all();
}

ArchiveKeeper::Impl::Slot* ArchiveKeeper::Impl::Find(SegmentId segment) {
  const auto at = std::find_if(slots_.begin(), slots_.end(),
                               [&](const Slot& slot) { return slot.row.id == segment; });
  return at == slots_.end() ? nullptr : &*at;
}

// A segment whose begin the catalog refused, or forgot with its last moments, is begun again.
absl::Status ArchiveKeeper::Impl::EnsureInCatalog(const SegmentUpdate& update) {
  Slot* const slot = Find(update.segment);
  if (slot == nullptr || slot->in_catalog) return absl::OkStatus();
  SLUICE_RETURN_IF_ERROR(catalog_->BeginSegment(slot->row));
  slot->in_catalog = true;
  return absl::OkStatus();
}

void ArchiveKeeper::Impl::PublishPending() {
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

void ArchiveKeeper::Impl::Return(SegmentId segment) {
  Slot* const slot = Find(segment);
  if (slot == nullptr || slot->state != SlotState::kOpen) return;
  if (slot->in_catalog) OnCatalog(catalog_->ForgetSegment(segment));
  uint64_t& last = last_of_track_[{slot->row.recording_uid, slot->row.lane}];
  if (last == static_cast<uint64_t>(segment)) last = slot->previous;
  *slot = Slot();
}

std::optional<uint32_t> ArchiveKeeper::Impl::ChooseSlot() const {
  std::optional<uint32_t> oldest;
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].state == SlotState::kFree) return i;
    if (slots_[i].state != SlotState::kSealed) continue;
    if (!oldest || slots_[i].row.id < slots_[*oldest].row.id) oldest = i;
  }
  return oldest;
}

void ArchiveKeeper::Impl::Serve(Request& request) {
  absl::Status refused;
  while (const std::optional<uint32_t> slot = ChooseSlot()) {
    SegmentLoan loan;
    refused = Lend(*slot, request.track, &loan);
    if (refused.ok()) return request.ready(loan);
  }
  if (!refused.ok()) {
    return request.ready(absl::UnavailableError(
        absl::StrCat("no segment of archive ", archive_.directory(),
                     " can be written: ", refused.message(), "; check the disk")));
  }
  request.ready(absl::ResourceExhaustedError(
      absl::StrCat("all ", slots_.size(), " segments of archive ", archive_.directory(),
                   " are being written: use an archive with more segments")));
}

// First the catalog forgets what the slot held, then the header says so in the file, and only
// then is anything written over it: see writer/FORMAT.md.
absl::Status ArchiveKeeper::Impl::Lend(uint32_t index, const TrackIdentity& track,
                                       SegmentLoan* loan) {
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
  slot.row.epoch = archive_.meta().epoch;
  slot.row.durable = {kBlockBytes};
  const absl::Status begun = catalog_->BeginSegment(slot.row);
  slot.in_catalog = begun.ok();
  OnCatalog(begun);

  SegmentHeader header;
  header.kind = track.kind;
  header.lane = static_cast<uint16_t>(track.lane);
  header.archive_uuid = archive_.meta().uuid;
  header.segment_id = last_id_;
  header.segment_bytes = archive_.meta().segment.value;
  header.slot = index;
  header.epoch = archive_.meta().epoch;
  header.created_ns = absl::GetCurrentTimeNanos();
  header.recording_uid = track.recording_uid;
  std::memcpy(header.recording, track.recording.data(), track.recording.size());
  header.previous_segment_id = slot.previous;
  SealSegmentHeader(header);
  absl::Status status = WriteHeader(index, header);
  if (status.ok() && fdatasync(archive_.segment_fd(index)) != 0) {
    status = FileError("fdatasync", Archive::SegmentPath(archive_.directory(), index), errno);
  }
  if (!status.ok()) {
    if (slot.in_catalog) OnCatalog(catalog_->ForgetSegment(slot.row.id));
    slot = {SlotState::kKeptOut, SegmentRow(), false, 0};
    return status;
  }
  last_of_track = last_id_;
  *loan = {SegmentId{last_id_}, archive_.segment_fd(index), archive_.meta().segment};
  return absl::OkStatus();
}

absl::Status ArchiveKeeper::Impl::WriteHeader(uint32_t slot, const SegmentHeader& header) {
  AlignedBuffer block(kBlockBytes);
  std::memcpy(block.data(), &header, sizeof(header));
  return WriteFully(archive_.segment_fd(slot), Archive::SegmentPath(archive_.directory(), slot),
                    {0}, block.span());
}

absl::Status ArchiveKeeper::Impl::PutRecording(const RecordingRow& row) {
  const absl::Status status = catalog_->PutRecording(row);
  if (!absl::IsAlreadyExists(status)) OnCatalog(status);
  return status;
}

absl::Status ArchiveKeeper::Impl::DeleteRecording(const std::string& id) {
  SLUICE_ASSIGN_OR_RETURN(const RecordingRow row, catalog_->Recording(id));
  if (row.state == RecordingState::kRecording) {
    return absl::FailedPreconditionError(
        absl::StrCat("recording \"", id, "\" is being written: stop it first"));
  }
  const absl::Status status = catalog_->DeleteRecording(id);
  OnCatalog(status);
  SLUICE_RETURN_IF_ERROR(status);
  // The catalog remembers that the recording is deleted until its headers are known to be gone,
  // so these writes need no sync and may fail.
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (slot.state == SlotState::kFree || slot.row.recording_uid != row.uid) continue;
    SegmentHeader header;
    header.archive_uuid = archive_.meta().uuid;
    header.segment_id = static_cast<uint64_t>(slot.row.id);
    header.segment_bytes = archive_.meta().segment.value;
    header.slot = i;
    header.epoch = slot.row.epoch;
    header.created_ns = absl::GetCurrentTimeNanos();
    const bool erased = WriteHeader(i, EmptySlotHeader(header)).ok();
    const bool usable = erased && slot.state != SlotState::kKeptOut;
    slot = {usable ? SlotState::kFree : SlotState::kKeptOut, SegmentRow(), false, 0};
  }
  return absl::OkStatus();
}

// ---- the keeper

namespace {

// What was there is kept for whoever wants to look.
absl::Status MoveAside(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const std::string from = path + suffix;
    const std::string to = absl::StrCat(path, ".damaged", suffix);
    if (rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) {
      return FileError("move aside", from, errno);
    }
  }
  return absl::OkStatus();
}

struct Recovered {
  std::unique_ptr<Catalog> catalog;
  RecoveryReport report;
};

absl::StatusOr<Recovered> OpenAndRecover(Archive& archive, const std::string& path, bool rebuild) {
  Recovered recovered;
  SLUICE_ASSIGN_OR_RETURN(recovered.catalog, Catalog::Open(path, Catalog::Mode::kReadWrite));
  SLUICE_ASSIGN_OR_RETURN(recovered.report, Recover(archive, *recovered.catalog, rebuild));
  return recovered;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ArchiveKeeper>> ArchiveKeeper::Start(Archive& archive) {
  const std::string path = Archive::CatalogPath(archive.directory());
  const bool missing = access(path.c_str(), F_OK) != 0 && archive.meta().epoch > 1;
  absl::StatusOr<Recovered> recovered = OpenAndRecover(archive, path, missing);
  std::string note;
  if (missing) note = absl::StrCat("catalog ", path, " was missing: rebuilt from the segments");
  if (absl::IsDataLoss(recovered.status())) {
    note =
        absl::StrCat("catalog ", path, " was damaged: rebuilt from the segments; what it was is ",
                     "kept as ", path, ".damaged");
    SLUICE_RETURN_IF_ERROR(MoveAside(path));
    recovered = OpenAndRecover(archive, path, true);
  }
  if (!recovered.ok()) return recovered.status();
  if (!note.empty()) recovered->report.notes.insert(recovered->report.notes.begin(), note);
  auto impl =
      std::make_unique<Impl>(archive, std::move(recovered->catalog), std::move(recovered->report));
  SLUICE_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<ArchiveKeeper>(new ArchiveKeeper(std::move(impl)));
}

ArchiveKeeper::ArchiveKeeper(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ArchiveKeeper::~ArchiveKeeper() = default;

const RecoveryReport& ArchiveKeeper::recovery() const { return impl_->recovery(); }

void ArchiveKeeper::RequestSegment(const TrackIdentity& track, Ready ready) {
  impl_->RequestSegment(track, std::move(ready));
}
void ArchiveKeeper::ReturnSegment(SegmentId segment) { impl_->ReturnSegment(segment); }
void ArchiveKeeper::Publish(SegmentUpdate update) { impl_->Publish(std::move(update)); }

absl::Status ArchiveKeeper::PutRecording(const RecordingRow& row) {
  return impl_->Call([&] { return impl_->PutRecording(row); });
}
absl::Status ArchiveKeeper::DeleteRecording(const std::string& id) {
  return impl_->Call([&] { return impl_->DeleteRecording(id); });
}
void ArchiveKeeper::Flush() {
  // Only waits: whether the catalog took it, health() tells.
  impl_->Call([] { return absl::OkStatus(); }).IgnoreError();
}

uint64_t ArchiveKeeper::change_count() const { return impl_->change_count(); }
uint64_t ArchiveKeeper::WaitForChange(uint64_t seen, absl::Duration timeout) const {
  return impl_->WaitForChange(seen, timeout);
}
absl::Status ArchiveKeeper::health() const { return impl_->health(); }

}  // namespace sluice
