#include "control/service/daemon.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <future>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "control/config/reload.h"
#include "control/config/size.h"
#include "control/nic/nic_journal.h"
#include "control/nic/nic_port.h"
#include "control/recorder/drop_watch.h"
#include "control/recorder/removal_watch.h"
#include "control/service/api_server.h"
#include "control/service/managed_interfaces.h"
#include "control/service/service_manager.h"
#include "control/service/signal_watch.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_keeper.h"
#include "writer/archive/background_verify.h"
#include "writer/catalog/catalog.h"

namespace sluice {
namespace {

constexpr absl::Duration kLookInterval = absl::Seconds(1);
constexpr absl::Duration kDrainLimit = absl::Seconds(10);
constexpr char kActor[] = "configuration";

std::string Text(const absl::Status& status) { return std::string(status.message()); }

std::string Describe(const RecordingStatus& status) {
  if (status.spec.source == SourceKind::kTcpListen) {
    return absl::StrCat("listens on ", status.bound.ToString());
  }
  return absl::StrCat("connects to ", status.spec.address.ToString());
}

// Whether a recording waits for its disk.
bool WritesAreLate(const RecorderStatus& status) {
  constexpr absl::Duration kSlack = absl::Seconds(1);
  return std::any_of(
      status.recordings.begin(), status.recordings.end(), [&](const RecordingStatus& recording) {
        const absl::Duration usual = recording.spec.flush_interval + recording.spec.sync_interval;
        return !recording.waiting.empty() || recording.durable_lag > usual + kSlack;
      });
}

// In one line.
std::string Summary(const RecorderStatus& status) {
  size_t recording = 0;
  Ledger sum;
  for (const RecordingStatus& one : status.recordings) {
    if (one.state == RecordingState::kRecording) ++recording;
    sum += one.ledger;
  }
  return absl::StrCat(recording, " recordings: ", FormatSize(ByteCount{sum.received}),
                      " received, ", FormatSize(ByteCount{sum.dropped()}), " dropped");
}

// One run of the daemon. Members end in the opposite order: the API before the recorder.
class Daemon {
 public:
  Daemon(const ServeConfig& config, const ConfigReader& reload, const RecorderOpener& open)
      : config_(config), reload_(reload), open_(open) {
    log_.set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %v");
  }

  absl::Status Run() {
    SLUICE_RETURN_IF_ERROR(SetInterfaces());
    const absl::Status status = Record();
    api_.reset();
    verifier_.reset();
    recorder_.reset();  // which gives the queues back
    if (interfaces_ != nullptr) interfaces_->Restore();
    if (status.ok()) log_.info("ended");
    return status;
  }

 private:
  // A card that an earlier run left half changed comes first.
  absl::Status SetInterfaces() {
    if (config_.interfaces.empty() && NicJournal::Interfaces(config_.interface_state).empty()) {
      return absl::OkStatus();
    }
    SLUICE_RETURN_IF_ERROR(ManageInterfaces());
    interfaces_->Recover();
    return interfaces_->Apply(config_.interfaces);
  }

  absl::Status ManageInterfaces() {
    if (interfaces_ != nullptr) return absl::OkStatus();
    SLUICE_ASSIGN_OR_RETURN(nic_port_, OpenKernelPort());
    interfaces_ = std::make_unique<ManagedInterfaces>(
        nic_port_.get(), config_.interface_state,
        [this](const std::string& sentence) { log_.info("{}", sentence); },
        [this](const std::string& sentence) { log_.warn("{}", sentence); });
    return absl::OkStatus();
  }

  absl::Status Record() {
    SLUICE_RETURN_IF_ERROR(OpenRecorder());
    StartVerifying();
    SLUICE_RETURN_IF_ERROR(StartApi());
    SLUICE_RETURN_IF_ERROR(StartRecordings());
    manager_.Ready();
    const int signal = WatchUntilSignal();
    manager_.Stopping();
    if (verifier_ != nullptr) verifier_->Stop();
    log_.info("{}: draining {} recordings", strsignal(signal), CountRecording());
    Drain();
    if (const auto line = removals_.Rest(recorder_->keeper().removals())) log_.info("{}", *line);
    api_->Shutdown();
    return absl::OkStatus();
  }

  absl::Status OpenRecorder() {
    SLUICE_ASSIGN_OR_RETURN(recorder_, open_(config_.recorder));
    const RecorderStatus status = recorder_->Status();
    log_.info("archive {}: {} in {} segments of {}, epoch {}", status.archive_directory,
              FormatSize(status.archive.capacity()), status.archive.segment_count,
              FormatSize(status.archive.segment), status.archive.epoch);
    log_.info("lanes: {}, with {} of memory, {}", status.lanes, FormatSize(status.region),
              status.region_registered ? "registered for direct writes" : "not registered");
    for (size_t i = 0; i < status.receivers.size(); ++i) {
      log_.info("lane {} receives by {}, because {}", i, NameOf(status.receivers[i].kind),
                status.receivers[i].reason);
    }
    const RecoveryReport& recovery = recorder_->keeper().recovery();
    if (recovery.segments_sealed > 0) {
      log_.warn("recovered {} of payload in {} segments, and {} streams that were open",
                FormatSize(recovery.payload_recovered), recovery.segments_sealed,
                recovery.streams_interrupted);
    }
    for (const std::string& note : recovery.notes) log_.warn("recovery: {}", note);
    return absl::OkStatus();
  }

  void StartVerifying() {
    if (config_.verify_interval == absl::ZeroDuration()) return;
    BackgroundVerifyOptions options;
    options.directory = recorder_->archive().directory();
    options.interval = config_.verify_interval;
    options.bytes_per_second = config_.verify_rate;
    options.must_yield = [this] { return WritesAreLate(recorder_->Status()); };
    options.damaged = [this](const std::string& path, const std::string& finding) {
      log_.warn("verify: {}", finding);
      recorder_->keeper().Audit("verify", "damage found", path, finding);
    };
    verifier_ = std::make_unique<BackgroundVerifier>(std::move(options));
    log_.info("verify: each sealed segment every {}, at most {} a second",
              absl::FormatDuration(config_.verify_interval), FormatSize(config_.verify_rate));
  }

  absl::Status StartApi() {
    ApiServer::Options options;
    if (verifier_ != nullptr) {
      options.verification = [this] { return verifier_->status(); };
    }
    options.recorder = recorder_.get();
    options.archive_directory = config_.recorder.archive.directory;
    options.unix_socket = config_.unix_socket;
    options.interface_state = config_.interface_state;
    SLUICE_ASSIGN_OR_RETURN(api_, ApiServer::Start(options));
    log_.info("API on unix:{}", config_.unix_socket);
    return absl::OkStatus();
  }

  absl::Status StartRecordings() {
    for (const RecordingSpec& spec : config_.recordings) {
      SLUICE_RETURN_IF_ERROR(StartRecording(spec));
    }
    return absl::OkStatus();
  }

  absl::Status StartRecording(const RecordingSpec& spec) {
    const absl::StatusOr<RecordingStatus> status = recorder_->CreateRecording(spec, kActor);
    if (!status.ok()) {
      return absl::Status(status.status().code(),
                          absl::StrCat("recording \"", spec.id, "\": ", status.status().message()));
    }
    log_.info("recording {} {}", spec.id, Describe(*status));
    states_[spec.id] = status->state;
    return absl::OkStatus();
  }

  void Reload() {
    absl::StatusOr<ServeConfig> wanted = reload_();
    if (!wanted.ok()) {
      log_.error("SIGHUP: the configuration is refused, and nothing has changed: {}",
                 Text(wanted.status()));
      return;
    }
    const sluice::Reload reload = PlanReload(config_, *wanted);
    if (reload.empty()) log_.info("SIGHUP: the configuration is as it was");
    for (const std::string& field : reload.later) {
      log_.warn("SIGHUP: {} has changed; that counts from the next start", field);
    }
    wanted->fixed = config_.fixed;
    wanted->interface_state = config_.interface_state;
    Stop(reload.to_stop, kActor);
    if (reload.classes) SetClasses(&*wanted);
    // What failed is left out of what is in force: the next SIGHUP tries it again.
    for (const InterfaceConfig& interface : reload.interfaces) {
      absl::Status status = ManageInterfaces();
      if (status.ok()) status = interfaces_->ApplyOne(interface);
      if (status.ok()) continue;
      log_.error("SIGHUP: {}", Text(status));
      std::erase(wanted->interfaces, interface);
    }
    for (const RecordingSpec& spec : reload.to_start) {
      const absl::Status status = StartRecording(spec);
      if (status.ok()) continue;
      log_.error("SIGHUP: {}", Text(status));
      std::erase(wanted->recordings, spec);
    }
    config_ = *std::move(wanted);
  }

  void SetClasses(ServeConfig* wanted) {
    const absl::Status status =
        recorder_->keeper().SetRetentionClasses(wanted->recorder.retention_classes, kActor);
    if (status.ok()) return log_.info("SIGHUP: retention classes are as configured");
    log_.error("SIGHUP: retention classes are as they were: {}", Text(status));
    wanted->recorder.retention_classes = config_.recorder.retention_classes;
  }

  int WatchUntilSignal() {
    const absl::Duration interval = std::min(kLookInterval, manager_.alive_interval());
    while (true) {
      const RecorderStatus status = recorder_->Status();
      LogChanges(status);
      manager_.Alive(Summary(status));  // after a look at the lanes: they live, too
      const int signal = signals_.Wait(interval);
      if (signal == SIGHUP) {
        Reload();
      } else if (signal != 0) {
        return signal;
      }
    }
  }

  // What nobody asked for, and would not see otherwise.
  void LogChanges(const RecorderStatus& status) {
    for (const RecordingStatus& recording : status.recordings) {
      const auto [known, is_new] = states_.try_emplace(recording.spec.id, recording.state);
      if (!is_new && known->second == recording.state) continue;
      known->second = recording.state;
      if (recording.state == RecordingState::kFailed) {
        log_.error("recording {} failed: {}", recording.spec.id, recording.failure);
      } else if (recording.state == RecordingState::kRecording) {
        log_.info("recording {} {}", recording.spec.id, Describe(recording));
      } else {
        log_.info("recording {} stopped", recording.spec.id);
      }
    }
    for (const RecordingStatus& recording : status.recordings) {
      if (const auto warning = drops_.Look(recording, absl::Now())) log_.warn("{}", *warning);
    }
    for (const std::string& warning : status.warnings) {
      if (warnings_.insert(warning).second) log_.warn("{}", warning);
    }
    LogAudit();
  }

  // Who did what to the data, and what rules did by themselves.
  void LogAudit() {
    constexpr size_t kAtATime = 1000;
    if (catalog_ == nullptr) {
      auto catalog = Catalog::Open(Archive::CatalogPath(recorder_->archive().directory()),
                                   Catalog::Mode::kReadOnly);
      if (!catalog.ok()) return;
      catalog_ = *std::move(catalog);
      last_audit_ = FirstAuditId(recorder_->archive().meta().epoch);  // not what earlier runs did
    }
    const absl::StatusOr<std::vector<AuditRow>> rows = catalog_->Audit(last_audit_, kAtATime);
    if (!rows.ok()) return;
    for (const AuditRow& row : *rows) {
      last_audit_ = row.id;
      if (row.removed) continue;  // only counted, below
      log_.info("audit: {}{}{} by {}{}{}", row.action, row.object.empty() ? "" : " ", row.object,
                row.actor, row.detail.empty() ? "" : ": ", row.detail);
    }
    const RemovalCounts removals = recorder_->keeper().removals();
    if (const auto line = removals_.Look(removals, absl::Now())) log_.info("{}", *line);
  }

  size_t CountRecording() {
    size_t n = 0;
    for (const RecordingStatus& recording : recorder_->Status().recordings) {
      if (recording.state == RecordingState::kRecording) ++n;
    }
    return n;
  }

  void Drain() {
    std::vector<std::string> ids;
    for (const RecordingStatus& recording : recorder_->Status().recordings) {
      ids.push_back(recording.spec.id);
    }
    Stop(ids, "shutdown");
  }

  // Those that record, all at once: each may take as long as the limit.
  void Stop(const std::vector<std::string>& ids, const std::string& actor) {
    std::vector<std::pair<std::string, std::future<absl::StatusOr<RecordingStatus>>>> stops;
    for (const std::string& id : ids) {
      const absl::StatusOr<RecordingStatus> status = recorder_->GetRecording(id);
      if (!status.ok() || status->state != RecordingState::kRecording) continue;
      stops.emplace_back(id, std::async(std::launch::async, [this, id, actor] {
                           return recorder_->StopRecording(id, kDrainLimit, actor);
                         }));
    }
    for (auto& [id, stop] : stops) {
      const absl::StatusOr<RecordingStatus> status = stop.get();
      if (status.ok()) {
        log_.info("recording {} stopped: {} received, {} durable, {} dropped", id,
                  FormatSize(ByteCount{status->ledger.received}), FormatSize(status->durable),
                  FormatSize(ByteCount{status->ledger.dropped()}));
      } else {
        log_.error("recording {} was not stopped in order: {}", id, Text(status.status()));
      }
    }
  }

  ServeConfig config_;  // what is in force
  const ConfigReader& reload_;
  const RecorderOpener& open_;
  SignalWatch signals_{/*hangups=*/true};  // before anything that makes threads
  ServiceManager manager_;
  spdlog::logger log_{"sluice", std::make_shared<spdlog::sinks::stderr_color_sink_mt>()};
  std::map<std::string, RecordingState> states_;  // as they were logged
  std::set<std::string> warnings_;                // likewise
  int64_t last_audit_ = 0;                        // likewise
  std::unique_ptr<Catalog> catalog_;
  DropWatch drops_;
  RemovalWatch removals_;
  std::unique_ptr<NicPort> nic_port_;
  std::unique_ptr<ManagedInterfaces> interfaces_;
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<BackgroundVerifier> verifier_;
  std::unique_ptr<ApiServer> api_;
};

}  // namespace

absl::Status RunDaemon(const ServeConfig& config, const ConfigReader& reload,
                       const RecorderOpener& open) {
  return Daemon(config, reload, open).Run();
}

}  // namespace sluice
