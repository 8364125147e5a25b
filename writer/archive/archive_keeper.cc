#include "writer/archive/archive_keeper.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive_files.h"
#include "writer/archive/policy_file.h"
#include "writer/archive/segment_store.h"
#include "writer/archive/update_queue.h"
#include "writer/segment/file_io.h"

namespace sluice {
namespace {

constexpr std::chrono::seconds kRetryCatalog{1};
// The clock that retention goes by can be set: it is looked at this often.
constexpr std::chrono::seconds kLookAtClock{10};
// Between two segments that are removed: the disk has other things to do.
constexpr std::chrono::milliseconds kTidyPause{2};

UnixNanos Now() { return {absl::GetCurrentTimeNanos()}; }
absl::Duration Stopwatch() {
  return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

// The archive's own.
class ArchiveFiles final : public SlotFiles {
 public:
  explicit ArchiveFiles(Archive& archive) : archive_(&archive) {}

  int Descriptor(uint32_t slot) override { return archive_->segment_fd(slot); }
  absl::Status WriteHeader(uint32_t slot, const SegmentHeader& header) override {
    AlignedBuffer block(kBlockBytes);
    std::memcpy(block.data(), &header, sizeof(header));
    return WriteFully(Descriptor(slot), Path(slot), {0}, block.span());
  }
  absl::Status Sync(uint32_t slot) override {
    if (fdatasync(Descriptor(slot)) == 0) return absl::OkStatus();
    return FileError("fdatasync", Path(slot), errno);
  }
  void TakeOut(uint32_t disk, const std::string& why) override {
    // That ARCHIVE cannot be written does not change what the disk is.
    archive_->TakeOut(disk, why).IgnoreError();
  }

 private:
  std::string Path(uint32_t slot) const { return archive_->SegmentPath(slot); }

  Archive* archive_;
};

}  // namespace

class ArchiveKeeper::Impl {
 public:
  Impl(Archive& archive, std::unique_ptr<Catalog> catalog, RecoveryReport recovery,
       const ArchiveKeeperOptions& options)
      : archive_(archive),
        files_(archive),
        catalog_(std::move(catalog)),
        recovery_(std::move(recovery)),
        options_(options) {}
  ~Impl();

  absl::Status Start(RetentionPolicy policy);

  const RecoveryReport& recovery() const { return recovery_; }
  SegmentStore& store() { return *store_; }  // the thread's
  void RequestSegment(const TrackIdentity& track, Ready ready);
  void ReturnSegment(SegmentId segment);
  void ReportRefusal(SegmentId segment, const absl::Status& why);
  void Publish(SegmentUpdate update);
  // Runs `work` on the thread, after what was published before; waits for it.
  absl::Status Call(std::function<absl::Status()> work);
  uint64_t change_count() const;
  uint64_t WaitForChange(uint64_t seen, absl::Duration timeout) const;
  absl::Status health() const;
  RemovalCounts removals() const;
  std::string catalog_alarm() const;

 private:
  struct Request {
    TrackIdentity track;
    Ready ready;
    absl::Duration came;
  };
  struct Task {
    std::function<absl::Status()> work;
    absl::Status result;
    bool done = false;
  };
  struct Mail {
    UpdateQueue updates;
    std::vector<std::pair<SegmentId, absl::Status>> refusals;
    std::vector<SegmentId> returns;
    std::vector<Task*> tasks;
    std::vector<Request> requests;

    bool empty() const {
      return refusals.empty() && updates.empty() && returns.empty() && tasks.empty() &&
             requests.empty();
    }
  };

  void Run();
  std::chrono::nanoseconds Patience() const;
  void Announce();

  Archive& archive_;
  ArchiveFiles files_;
  const std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<SegmentStore> store_;
  const RecoveryReport recovery_;
  const ArchiveKeeperOptions options_;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  mutable std::condition_variable changed_;  // change_count_, or a task is done
  Mail mail_;
  bool stop_ = false;
  uint64_t change_count_ = 0;  // as the store had them when the thread last looked
  absl::Status health_;
  RemovalCounts removals_;
  std::string catalog_alarm_;

  std::thread thread_;
};

absl::Status ArchiveKeeper::Impl::Start(RetentionPolicy policy) {
  SegmentStoreOptions options;
  options.directory = archive_.directory();
  options.meta = archive_.meta();
  options.last_segment_id = static_cast<uint64_t>(recovery_.last_segment_id);
  options.kept_out = recovery_.slots_kept_out;
  options.clock = Now;
  options.stopwatch = Stopwatch;
  options.policy = std::move(policy);
  options.save_policy = [this](const RetentionPolicy& changed) {
    return WritePolicyFile(archive_.directory(), changed);
  };
  SLUICE_ASSIGN_OR_RETURN(store_, SegmentStore::Open(std::move(options), files_, *catalog_));
  catalog_alarm_ = store_->catalog_alarm();
  for (const DiskEvent& event : archive_.disk_events()) {
    store_->Audit("recorder", event.action, absl::StrCat("disks/", event.number), event.detail);
  }
  if (recovery_.segments_damaged > 0) {
    store_->Audit("recovery", "damage found", "",
                  absl::StrCat(recovery_.segments_damaged,
                               " segments have an unreadable header or footer: `sluice verify` "
                               "names them"));
  }
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
    mail_.requests.push_back({track, std::move(ready), Stopwatch()});
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

void ArchiveKeeper::Impl::ReportRefusal(SegmentId segment, const absl::Status& why) {
  {
    const std::lock_guard lock(mutex_);
    mail_.refusals.emplace_back(segment, why);
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

RemovalCounts ArchiveKeeper::Impl::removals() const {
  const std::lock_guard lock(mutex_);
  return removals_;
}

std::string ArchiveKeeper::Impl::catalog_alarm() const {
  const std::lock_guard lock(mutex_);
  return catalog_alarm_;
}

// ---- on the keeper's thread

// Nobody waits for what is published, but lanes for segments: those come first, and again after
// each piece that the catalog is told.
void ArchiveKeeper::Impl::Run() {
  bool more_to_publish = false;
  while (true) {
    Mail mail;
    {
      std::unique_lock lock(mutex_);
      const auto ready = [&] { return stop_ || !mail_.empty(); };
      if (!more_to_publish) work_.wait_for(lock, Patience(), ready);
      std::swap(mail, mail_);
      if (stop_ && mail.empty()) break;
    }
    for (const auto& [segment, why] : mail.refusals) store_->Refuse(segment, why);
    store_->Note(mail.updates.Take());
    for (const SegmentId segment : mail.returns) store_->Return(segment);
    for (Request& request : mail.requests) {
      const absl::Duration waited = Stopwatch() - request.came;
      absl::StatusOr<SegmentLoan> loan = store_->Lend(request.track);
      if (loan.ok()) loan->took.in_line = waited;
      Announce();
      request.ready(std::move(loan));
    }
    more_to_publish = store_->PublishSome();
    // A task finds all that was published before it.
    if (!mail.tasks.empty() && more_to_publish) store_->Publish({});
    Announce();
    for (Task* task : mail.tasks) {
      task->result = task->work();
      Announce();
      const std::lock_guard lock(mutex_);
      task->done = true;
      changed_.notify_all();
    }
    const UnixNanos due = options_.tidy ? store_->tidy_time() : kEndOfTime;
    if (due <= Now()) {
      store_->Tidy(1);
      Announce();
    }
  }
  store_->Publish({});
}

// How long there is nothing to do, unless mail comes.
std::chrono::nanoseconds ArchiveKeeper::Impl::Patience() const {
  std::chrono::nanoseconds patience = kLookAtClock;
  // What the catalog refused is offered again.
  if (store_->unpublished()) patience = kRetryCatalog;
  if (!options_.tidy) return patience;
  const UnixNanos due_at = store_->tidy_time();
  const std::chrono::nanoseconds due{due_at.value - Now().value};
  return std::max<std::chrono::nanoseconds>(std::min(patience, due), kTidyPause);
}

// Tells other threads what the store has come to.
void ArchiveKeeper::Impl::Announce() {
  const std::lock_guard lock(mutex_);
  health_ = store_->health();
  removals_ = store_->removals();
  catalog_alarm_ = store_->catalog_alarm();
  if (change_count_ == store_->changes()) return;
  change_count_ = store_->changes();
  changed_.notify_all();
}

// ---- the keeper

namespace {

struct Recovered {
  std::unique_ptr<Catalog> catalog;
  RecoveryReport report;
};

absl::StatusOr<Recovered> OpenAndRecover(Archive& archive, const std::string& path, bool rebuild) {
  Recovered recovered;
  SLUICE_ASSIGN_OR_RETURN(recovered.catalog, Catalog::Open(path, Catalog::Mode::kReadWrite));
  SLUICE_RETURN_IF_ERROR(recovered.catalog->BeginAudit(FirstAuditId(archive.meta().epoch)));
  SLUICE_ASSIGN_OR_RETURN(recovered.report, Recover(archive, *recovered.catalog, rebuild));
  return recovered;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ArchiveKeeper>> ArchiveKeeper::Start(
    Archive& archive, const ArchiveKeeperOptions& options) {
  const std::string path = Archive::CatalogPath(archive.directory());
  const bool missing = access(path.c_str(), F_OK) != 0 && archive.meta().epoch > 1;
  absl::StatusOr<Recovered> recovered = OpenAndRecover(archive, path, missing);
  std::string note;
  if (missing) note = absl::StrCat("catalog ", path, " was missing: rebuilt from the segments");
  if (absl::IsDataLoss(recovered.status())) {
    note =
        absl::StrCat("catalog ", path, " was damaged: rebuilt from the segments; what it was is ",
                     "kept as ", path, ".damaged");
    SLUICE_RETURN_IF_ERROR(MoveCatalogAside(path));
    recovered = OpenAndRecover(archive, path, true);
  }
  if (!recovered.ok()) return recovered.status();
  if (!note.empty()) recovered->report.notes.insert(recovered->report.notes.begin(), note);
  SLUICE_ASSIGN_OR_RETURN(
      RetentionPolicy policy,
      RecoverPolicy(archive.directory(), *recovered->catalog, &recovered->report.notes));
  // For recovery there was no bound: what the segments hold must be found, whatever it takes.
  if (const ByteCount bound = archive.meta().catalog; bound.value != 0) {
    const absl::Status set_aside = recovered->catalog->SetAside(bound);
    if (!set_aside.ok()) {
      recovered->report.notes.push_back(absl::StrCat(
          set_aside.message(), ": another program took it; make room on the archive's home"));
    }
  }
  auto impl = std::make_unique<Impl>(archive, std::move(recovered->catalog),
                                     std::move(recovered->report), options);
  SLUICE_RETURN_IF_ERROR(impl->Start(std::move(policy)));
  return std::unique_ptr<ArchiveKeeper>(new ArchiveKeeper(std::move(impl)));
}

ArchiveKeeper::ArchiveKeeper(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ArchiveKeeper::~ArchiveKeeper() = default;

const RecoveryReport& ArchiveKeeper::recovery() const { return impl_->recovery(); }

void ArchiveKeeper::RequestSegment(const TrackIdentity& track, Ready ready) {
  impl_->RequestSegment(track, std::move(ready));
}
void ArchiveKeeper::ReturnSegment(SegmentId segment) { impl_->ReturnSegment(segment); }
void ArchiveKeeper::ReportRefusal(SegmentId segment, const absl::Status& why) {
  impl_->ReportRefusal(segment, why);
}
void ArchiveKeeper::Publish(SegmentUpdate update) { impl_->Publish(std::move(update)); }

absl::Status ArchiveKeeper::PutRecording(const RecordingRow& row, const std::string& actor) {
  return impl_->Call([&] { return impl_->store().PutRecording(row, actor); });
}
absl::Status ArchiveKeeper::DeleteRecording(const std::string& id, const std::string& actor) {
  return impl_->Call([&] { return impl_->store().DeleteRecording(id, actor); });
}
void ArchiveKeeper::Audit(const std::string& actor, const std::string& action,
                          const std::string& object, const std::string& detail) {
  impl_
      ->Call([&] {
        impl_->store().Audit(actor, action, object, detail);
        return absl::OkStatus();
      })
      .IgnoreError();
}
absl::Status ArchiveKeeper::SetRetentionClasses(std::vector<RetentionClass> classes,
                                                const std::string& actor) {
  return impl_->Call([&] { return impl_->store().SetRetentionClasses(std::move(classes), actor); });
}
absl::StatusOr<HoldState> ArchiveKeeper::CreateHold(Hold hold, const std::string& actor) {
  absl::StatusOr<HoldState> result = absl::UnknownError("");
  impl_
      ->Call([&] {
        result = impl_->store().CreateHold(std::move(hold), actor);
        return result.status();
      })
      .IgnoreError();
  return result;
}
absl::StatusOr<HoldState> ArchiveKeeper::ReleaseHold(const std::string& id,
                                                     const std::string& actor) {
  absl::StatusOr<HoldState> result = absl::UnknownError("");
  impl_
      ->Call([&] {
        result = impl_->store().ReleaseHold(id, actor);
        return result.status();
      })
      .IgnoreError();
  return result;
}
std::vector<RemovedSegment> ArchiveKeeper::ApplyRetention(const std::string& actor) {
  constexpr size_t kAtATime = 4;
  std::vector<RemovedSegment> all;
  std::vector<RemovedSegment> some;
  const auto tidy = [&] {
    some = impl_->store().Tidy(kAtATime);
    return absl::OkStatus();
  };
  do {
    impl_->Call(tidy).IgnoreError();
    all.insert(all.end(), some.begin(), some.end());
  } while (some.size() == kAtATime);
  impl_
      ->Call([&] {
        impl_->store().Audit(actor, "retention applied", "",
                             absl::StrCat(all.size(), " segments removed"));
        return absl::OkStatus();
      })
      .IgnoreError();
  return all;
}
Retention ArchiveKeeper::retention() const {
  std::optional<Retention> copy;
  impl_
      ->Call([&] {
        copy = impl_->store().retention();
        return absl::OkStatus();
      })
      .IgnoreError();
  return *std::move(copy);
}
RemovalCounts ArchiveKeeper::removals() const { return impl_->removals(); }
std::string ArchiveKeeper::catalog_alarm() const { return impl_->catalog_alarm(); }

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
