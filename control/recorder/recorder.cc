#include "control/recorder/recorder.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/nic/interface.h"
#include "control/recorder/lane_thread.h"
#include "ingest/receive/listener.h"
#include "ingest/status_macros.h"
#include "writer/catalog/catalog.h"

namespace sluice {
namespace {

constexpr ByteCount kRegionDefault = MiB(64);
constexpr uint32_t kLanesMax = 64;
constexpr absl::Duration kDrainLimitAtExit = absl::Seconds(5);
// How often tracks are looked at: while some are about to finish, and else for a lost disk.
constexpr auto kReapInterval = std::chrono::milliseconds(2);
constexpr auto kFailureInterval = std::chrono::milliseconds(200);

// Every connection is a descriptor: take as many as the system gives without asking.
void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

uint64_t NewUid() {
  std::random_device random;
  uint64_t uid = 0;
  while (uid == 0)
    uid = (uint64_t{random()} << 32 | random()) >> 1;  // SQLite's integers are signed
  return uid;
}

UnixNanos Now() { return {absl::ToUnixNanos(absl::Now())}; }

absl::Status CheckSpec(const RecordingSpec& spec) {
  const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  bool good = !spec.id.empty() && spec.id.size() <= kRecordingNameBytesMax &&
              letter(spec.id.front()) && spec.id.back() != '-';
  for (const char c : spec.id) good = good && (letter(c) || digit(c) || c == '-');
  if (!good) {
    return absl::InvalidArgumentError(
        absl::StrCat("recording id '", spec.id, "': use 1 to ", kRecordingNameBytesMax,
                     " characters a-z, 0-9 and -, the first a letter, the last not -"));
  }
  if (spec.address.family == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("recording '", spec.id, "' has no address to listen on or to connect to"));
  }
  if (spec.source == SourceKind::kTcpConnect && spec.address.port == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("recording '", spec.id, "': port 0 cannot be connected to"));
  }
  if (spec.flush_interval <= absl::ZeroDuration() || spec.sync_interval <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("recording '", spec.id, "': flush and sync intervals must be above zero"));
  }
  return absl::OkStatus();
}

std::string SourceText(const RecordingSpec& spec, const SocketAddress& bound) {
  return spec.source == SourceKind::kTcpListen
             ? absl::StrCat("tcp://", bound.ToString())
             : absl::StrCat("tcp-connect://", spec.address.ToString());
}

void Accumulate(RecordingStatus& sum, const TrackStatus& track) {
  sum.ledger += track.ledger;
  if (!track.waiting.ok()) sum.waiting = std::string(track.waiting.message());
  sum.durable += track.writer.durable;
  sum.disk += track.writer.disk;
  sum.streams_open += track.streams_open;
  sum.streams_opened += track.streams_opened;
  sum.streams_closed += track.writer.streams_closed;
  sum.connections_refused += track.connections_refused;
  sum.connect_failures += track.connect_failures;
  sum.buffer_waits += track.buffer_waits;
  sum.write_errors += track.writer.write_errors;
  sum.handed_over += track.handed_over;
  sum.segment_waits += track.writer.segment_waits;
  sum.loans += track.writer.loans;
  sum.longest_write = std::max(sum.longest_write, track.writer.longest_write);
  sum.zero_copy += track.zero_copy;
  sum.durable_lag = std::max(sum.durable_lag, track.durable_lag);
}

// Which track of a recording takes the connections that a NIC queue carries. Filled when all of
// the recording's tracks are there; asked by their lanes.
class Routes {
 public:
  void Add(uint32_t napi, LaneThread* lane, uint8_t track) {
    const std::lock_guard lock(mutex_);
    routes_[napi] = {lane, track};
  }
  void Clear() {
    const std::lock_guard lock(mutex_);
    routes_.clear();
  }
  bool HandOver(int socket, uint32_t napi, uint64_t recording_uid) {
    const std::lock_guard lock(mutex_);
    const auto found = routes_.find(napi);
    if (found == routes_.end()) return false;
    found->second.lane->Post([socket, recording_uid, track = found->second.track](Lane& lane) {
      lane.AdoptConnection(track, recording_uid, socket);
    });
    return true;
  }

 private:
  struct Route {
    LaneThread* lane;
    uint8_t track;
  };
  std::mutex mutex_;
  std::map<uint32_t, Route> routes_;  // by NAPI instance
};

class RecorderImpl final : public Recorder {
 public:
  absl::Status Start(const RecorderOptions& options);
  ~RecorderImpl() override;

  absl::StatusOr<RecordingStatus> CreateRecording(const RecordingSpec& spec,
                                                  const std::string& actor) override;
  absl::StatusOr<RecordingStatus> StopRecording(const std::string& id, absl::Duration drain_limit,
                                                const std::string& actor) override;
  absl::Status DeleteRecording(const std::string& id, const std::string& actor) override;
  absl::StatusOr<RecordingStatus> GetRecording(const std::string& id) override;
  RecorderStatus Status() override;
  ArchiveKeeper& keeper() override { return *keeper_; }
  Archive& archive() override { return *archive_; }

 private:
  struct TrackRef {
    LaneThread* lane;
    uint8_t number;
    bool removed = false;
    TrackStatus last;  // when removed
  };
  struct Entry {
    RecordingRow row;
    RecordingSpec spec;
    SocketAddress bound;
    std::vector<TrackRef> tracks;
    std::shared_ptr<Routes> routes = std::make_shared<Routes>();
    bool stopping = false;
    std::string stopped_by;  // who asked for it first
    bool done = false;       // every track is removed, and the catalog knows
    absl::Status failure;
  };

  absl::StatusOr<std::optional<RecordingRow>> FindRow(const RecordingSpec& spec);
  absl::Status DefineClasses(const RecorderOptions& options);
  absl::StatusOr<std::string> ClassFor(const RecordingSpec& spec,
                                       const std::optional<RecordingRow>& before);
  void UndoCreation(Entry& entry, const std::optional<RecordingRow>& before);
  absl::Status StartTracks(const RecordingSpec& spec, std::vector<int> listeners, Entry& entry);
  RecordingStatus Describe(const Entry& entry) const;
  void StopTracks(Entry& entry, bool abort);
  void Supervise();
  bool Reap(Entry& entry);

  std::unique_ptr<Archive> archive_;
  std::unique_ptr<ArchiveKeeper> keeper_;
  ReceiverOptions receiver_;
  absl::Duration stall_limit_;
  std::vector<std::unique_ptr<LaneThread>> lanes_;
  std::unique_ptr<Catalog> catalog_;  // under creation_mutex_
  absl::Time started_ = absl::Now();

  std::mutex creation_mutex_;  // one creation or deletion at a time; before mutex_
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;
  bool closing_ = false;
  std::thread supervisor_;
};

absl::Status RecorderImpl::Start(const RecorderOptions& options) {
  if (options.lanes == 0 || options.lanes > kLanesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("lanes: ", options.lanes, " is not a number from 1 to ", kLanesMax));
  }
  receiver_ = options.receiver;
  SLUICE_ASSIGN_OR_RETURN(const auto queues, PlanReceivers(receiver_, options.lanes));
  stall_limit_ = options.stall_limit;
  RaiseDescriptorLimit();
  SLUICE_ASSIGN_OR_RETURN(archive_, Archive::Open(options.archive));
  SLUICE_ASSIGN_OR_RETURN(keeper_, ArchiveKeeper::Start(*archive_, {.tidy = true}));
  SLUICE_RETURN_IF_ERROR(DefineClasses(options));
  SLUICE_ASSIGN_OR_RETURN(catalog_, Catalog::Open(Archive::CatalogPath(archive_->directory()),
                                                  Catalog::Mode::kReadOnly));
  LaneOptions lane;
  lane.epoch = archive_->meta().epoch;
  lane.region = options.region.value == 0 ? kRegionDefault : options.region;
  lane.segment = archive_->meta().segment;
  lane.geometry = archive_->geometry();
  UringOptions ring;
  if (receiver_.completion_entries != 0) ring.completion_entries = receiver_.completion_entries;
  for (uint32_t i = 0; i < options.lanes; ++i) {
    lane.id = LaneId{static_cast<uint16_t>(i)};
    lane.queue = queues[i];
    if (lane.queue && !lane.queue->interface.empty()) {
      // Not known: then every connection is taken for one that the queue carries.
      lane.queue->napi = NapiOfQueue(lane.queue->interface, lane.queue->queue).value_or(0);
    }
    ring.zero_copy = lane.queue.has_value();
    SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<LaneThread> thread,
                            LaneThread::Start(lane, ring, *keeper_));
    lanes_.push_back(std::move(thread));
  }
  supervisor_ = std::thread([this] { Supervise(); });
  return absl::OkStatus();
}

absl::Status RecorderImpl::DefineClasses(const RecorderOptions& options) {
  std::vector<RetentionClass> classes = options.retention_classes;
  if (!options.only_these_classes) {
    if (classes.empty()) return absl::OkStatus();
    for (RetentionClass& known : keeper_->retention().classes()) {
      const bool redefined =
          std::any_of(options.retention_classes.begin(), options.retention_classes.end(),
                      [&](const RetentionClass& given) { return given.name == known.name; });
      if (!redefined) classes.push_back(std::move(known));
    }
  }
  return keeper_->SetRetentionClasses(std::move(classes), "configuration");
}

RecorderImpl::~RecorderImpl() {
  std::vector<std::string> ids;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, entry] : entries_) {
      if (!entry->done) ids.push_back(id);
      StopTracks(*entry, /*abort=*/false);
    }
  }
  for (const std::string& id : ids) StopRecording(id, kDrainLimitAtExit, "shutdown").IgnoreError();
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  if (supervisor_.joinable()) supervisor_.join();
}

// ---- create

// What an earlier run left under this id: it goes on with the same uid.
absl::StatusOr<std::optional<RecordingRow>> RecorderImpl::FindRow(const RecordingSpec& spec) {
  absl::StatusOr<RecordingRow> row = catalog_->Recording(spec.id);
  if (absl::IsNotFound(row.status())) return std::nullopt;
  if (!row.ok()) return row.status();
  const bool listened = row->source.rfind("tcp://", 0) == 0;
  // A rebuilt catalog does not know what the source was.
  if (!row->source.empty() && listened != (spec.source == SourceKind::kTcpListen)) {
    return absl::AlreadyExistsError(absl::StrCat(
        "recording '", spec.id, "' exists in the archive with another kind of source (",
        row->source, "): delete it, or choose another id"));
  }
  return *std::move(row);
}

absl::StatusOr<std::string> RecorderImpl::ClassFor(const RecordingSpec& spec,
                                                   const std::optional<RecordingRow>& before) {
  if (spec.retention_class.empty()) return before ? before->retention_class : "";
  const std::vector<RetentionClass> classes = keeper_->retention().classes();
  std::vector<std::string> names;
  for (const RetentionClass& rule : classes) names.push_back(rule.name);
  if (std::find(names.begin(), names.end(), spec.retention_class) != names.end()) {
    return spec.retention_class;
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "recording '", spec.id, "': there is no retention class '", spec.retention_class, "', only '",
      absl::StrJoin(names, "', '"), "': define it in the daemon's configuration"));
}

absl::StatusOr<RecordingStatus> RecorderImpl::CreateRecording(const RecordingSpec& spec,
                                                              const std::string& actor) {
  SLUICE_RETURN_IF_ERROR(CheckSpec(spec));
  const std::lock_guard creation_lock(creation_mutex_);
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(spec.id);
    if (found != entries_.end() && !found->second->done) {
      return absl::AlreadyExistsError(
          absl::StrCat("recording '", spec.id, "' is already recording"));
    }
  }
  auto entry = std::make_unique<Entry>();
  entry->spec = spec;
  SLUICE_ASSIGN_OR_RETURN(const std::optional<RecordingRow> before, FindRow(spec));
  entry->row.id = spec.id;
  entry->row.uid = before ? before->uid : NewUid();
  entry->row.created = before ? before->created : Now();
  SLUICE_ASSIGN_OR_RETURN(entry->row.retention_class, ClassFor(spec, before));
  entry->spec.retention_class = entry->row.retention_class;

  std::vector<int> listeners;
  if (spec.source == SourceKind::kTcpListen) {
    SLUICE_ASSIGN_OR_RETURN(listeners, Listen(spec.address, static_cast<uint32_t>(lanes_.size())));
    entry->bound = ListeningAddress(listeners.front());
  }
  entry->row.state = RecordingState::kRecording;
  entry->row.source = SourceText(spec, entry->bound);
  absl::Status started = keeper_->PutRecording(entry->row, actor);
  if (started.ok()) {
    started = StartTracks(spec, std::move(listeners), *entry);
  } else {
    for (const int fd : listeners) close(fd);
  }

  if (!started.ok()) {
    UndoCreation(*entry, before);
    return started;
  }
  const std::lock_guard lock(mutex_);
  Entry& kept = *(entries_[spec.id] = std::move(entry));
  changed_.notify_all();
  return Describe(kept);
}

// A call that fails changes nothing.
void RecorderImpl::UndoCreation(Entry& entry, const std::optional<RecordingRow>& before) {
  StopTracks(entry, /*abort=*/true);
  while (!Reap(entry)) std::this_thread::sleep_for(kReapInterval);
  RecordingRow row = before.value_or(entry.row);
  if (!before) row.state = RecordingState::kStopped;
  // If the catalog fails here too, the row tells of a recording without streams.
  keeper_->PutRecording(row).IgnoreError();
  if (!before) keeper_->DeleteRecording(row.id).IgnoreError();
}

absl::Status RecorderImpl::StartTracks(const RecordingSpec& spec, std::vector<int> listeners,
                                       Entry& entry) {
  const absl::Cleanup close_unused = [&listeners] {
    for (const int fd : listeners) close(fd);
  };
  std::vector<LaneThread*> lanes;
  if (spec.source == SourceKind::kTcpListen) {
    for (const auto& lane : lanes_) lanes.push_back(lane.get());
  } else {
    // One connection: it goes to the lane with the least to do.
    lanes.push_back(
        std::min_element(lanes_.begin(), lanes_.end(), [](const auto& a, const auto& b) {
          return a->status().tracks.size() < b->status().tracks.size();
        })->get());
  }
  for (LaneThread* lane : lanes) {
    TrackOptions options;
    options.identity.recording = spec.id;
    options.identity.recording_uid = entry.row.uid;
    options.payload_crc = spec.payload_crc;
    options.flush_interval = spec.flush_interval;
    options.sync_interval = spec.sync_interval;
    options.back_pressure = spec.back_pressure;
    options.lag_limit = spec.lag_limit;
    options.stall_limit = stall_limit_;
    options.hand_over = [routes = entry.routes, uid = entry.row.uid](int socket, uint32_t napi) {
      return routes->HandOver(socket, napi, uid);
    };
    if (spec.source == SourceKind::kTcpConnect) {
      options.source.source = spec.address;
    } else {
      options.source.listener = listeners.front();
    }
    SLUICE_ASSIGN_OR_RETURN(const uint8_t number, lane->Call([&options](Lane& on_thread) {
      return on_thread.AddTrack(options);
    }));
    if (!listeners.empty()) listeners.erase(listeners.begin());  // the track owns it now
    entry.tracks.push_back({lane, number, false, {}});
  }
  for (const TrackRef& track : entry.tracks) {
    const std::optional<LaneQueueOptions> queue = track.lane->status().queue;
    if (queue && queue->napi != 0) entry.routes->Add(queue->napi, track.lane, track.number);
  }
  return absl::OkStatus();
}

// ---- stop

void RecorderImpl::StopTracks(Entry& entry, bool abort) {
  entry.stopping = true;
  entry.routes->Clear();  // from here on nothing is handed over
  for (const TrackRef& track : entry.tracks) {
    if (track.removed) continue;
    track.lane->Post([number = track.number, abort](Lane& lane) { lane.StopTrack(number, abort); });
  }
}

absl::StatusOr<RecordingStatus> RecorderImpl::StopRecording(const std::string& id,
                                                            absl::Duration drain_limit,
                                                            const std::string& actor) {
  std::unique_lock lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) {
    return absl::NotFoundError(absl::StrCat("no recording '", id, "' is being recorded"));
  }
  Entry& entry = *found->second;
  if (entry.stopped_by.empty()) entry.stopped_by = actor;
  if (!entry.done) StopTracks(entry, /*abort=*/false);
  changed_.notify_all();
  const auto done = [&entry] { return entry.done; };
  if (!changed_.wait_for(lock, absl::ToChronoMilliseconds(drain_limit), done)) {
    StopTracks(entry, /*abort=*/true);
    changed_.notify_all();
    changed_.wait(lock, done);
  }
  return Describe(entry);
}

// Removes tracks that have finished; true when none is left.
bool RecorderImpl::Reap(Entry& entry) {
  bool all_removed = true;
  for (TrackRef& track : entry.tracks) {
    if (track.removed) continue;
    const LaneStatus lane = track.lane->status();
    const auto found = lane.tracks.find(track.number);
    if (found == lane.tracks.end()) {  // published with the lane's next turn
      all_removed = false;
      continue;
    }
    const TrackStatus& now = found->second;
    if (!now.failure.ok() && entry.failure.ok()) {
      entry.failure = now.failure;
      StopTracks(entry, /*abort=*/true);
    }
    if (!entry.stopping || !now.finished) {
      all_removed = false;
      continue;
    }
    track.last = track.lane->Call(
        [number = track.number](Lane& on_thread) { return on_thread.RemoveTrack(number); });
    track.removed = true;
  }
  return all_removed && entry.stopping;
}

// Looks after recordings that end: asked to, or because a disk was lost.
void RecorderImpl::Supervise() {
  std::unique_lock lock(mutex_);
  while (!closing_) {
    bool someone_waits = false;
    for (auto& [id, entry] : entries_) {
      if (entry->done) continue;
      if (!Reap(*entry)) {
        someone_waits |= entry->stopping;
        continue;
      }
      entry->row.stopped = Now();
      entry->row.state = entry->failure.ok() ? RecordingState::kStopped : RecordingState::kFailed;
      entry->row.failure = std::string(entry->failure.message());
      // An error is the keeper's health(); the recording has ended all the same.
      keeper_->PutRecording(entry->row, entry->stopped_by).IgnoreError();
      keeper_->Flush();
      entry->done = true;
      changed_.notify_all();
    }
    changed_.wait_for(lock, someone_waits ? kReapInterval : kFailureInterval);
  }
}

absl::Status RecorderImpl::DeleteRecording(const std::string& id, const std::string& actor) {
  const std::lock_guard creation_lock(creation_mutex_);
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(id);
    if (found != entries_.end() && !found->second->done) {
      return absl::FailedPreconditionError(
          absl::StrCat("recording '", id, "' is recording: stop it first"));
    }
  }
  SLUICE_RETURN_IF_ERROR(keeper_->DeleteRecording(id, actor));
  const std::lock_guard lock(mutex_);
  entries_.erase(id);
  return absl::OkStatus();
}

// ---- look

RecordingStatus RecorderImpl::Describe(const Entry& entry) const {
  RecordingStatus status;
  status.spec = entry.spec;
  status.uid = entry.row.uid;
  status.bound = entry.bound;
  status.created = absl::FromUnixNanos(entry.row.created.value);
  status.state = entry.done ? entry.row.state : RecordingState::kRecording;
  if (!entry.failure.ok()) {
    status.state = RecordingState::kFailed;
    status.failure = std::string(entry.failure.message());
  }
  for (const TrackRef& track : entry.tracks) {
    if (track.removed) {
      Accumulate(status, track.last);
      continue;
    }
    const LaneStatus lane = track.lane->status();
    const auto found = lane.tracks.find(track.number);
    if (found != lane.tracks.end()) Accumulate(status, found->second);
  }
  return status;
}

absl::StatusOr<RecordingStatus> RecorderImpl::GetRecording(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) {
    return absl::NotFoundError(absl::StrCat("no recording '", id, "' in this run"));
  }
  return Describe(*found->second);
}

RecorderStatus RecorderImpl::Status() {
  RecorderStatus status;
  status.archive = archive_->meta();
  status.archive_directory = archive_->directory();
  status.geometry = archive_->geometry();
  status.lanes = static_cast<uint32_t>(lanes_.size());
  status.started = started_;
  status.region_registered = status.region_huge_pages = true;
  status.warnings = archive_->warnings();
  for (const auto& lane : lanes_) {
    const LaneStatus one = lane->status();
    status.region += one.region;
    status.region_registered &= one.registered;
    status.region_huge_pages &= one.huge_pages;
    status.receivers.push_back(DescribeReceiver(receiver_, one));
    if (!one.warning.empty() && std::find(status.warnings.begin(), status.warnings.end(),
                                          one.warning) == status.warnings.end()) {
      status.warnings.push_back(one.warning);
    }
  }
  // Those that were out of use at the start are among the archive's warnings.
  for (const DiskStatus& disk : archive_->disks()) {
    if (disk.in_use() || !archive_->HasDiskOf(disk.first_slot)) continue;
    status.warnings.push_back(absl::StrCat(
        "disk ", disk.number, " (", disk.directory, ") was taken out of use: ", disk.problem,
        "; the recording goes on on the others: check the disk, then ",
        "take it in again with `sluice archive add-disk`"));
  }
  if (const absl::Status health = keeper_->health(); !health.ok()) {
    status.warnings.push_back(std::string(health.message()));
  }
  if (std::string alarm = keeper_->catalog_alarm(); !alarm.empty()) {
    status.warnings.push_back(std::move(alarm));
  }
  const std::lock_guard lock(mutex_);
  for (const auto& [id, entry] : entries_) {
    status.recordings.push_back(Describe(*entry));
    const std::string& why = status.recordings.back().waiting;
    if (why.empty()) continue;
    status.warnings.push_back(
        absl::StrCat("recording '", id, "' waits, and its senders with it: ", why));
  }
  return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Recorder>> Recorder::Open(const RecorderOptions& options) {
  auto recorder = std::make_unique<RecorderImpl>();
  if (absl::Status started = recorder->Start(options); !started.ok()) return started;
  return recorder;
}

}  // namespace sluice
