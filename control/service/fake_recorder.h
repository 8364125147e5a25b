// A recorder that records nothing, over a real archive and its keeper.
#ifndef CONTROL_SERVICE_FAKE_RECORDER_H_
#define CONTROL_SERVICE_FAKE_RECORDER_H_

#include <map>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "control/recorder/recorder.h"
#include "control/service/test_archive.h"

namespace sluice {

// Keeps the promises of Recorder's comments as far as they concern its callers. Thread-safe.
class FakeRecorder final : public Recorder {
 public:
  explicit FakeRecorder(TestArchive* archive) : archive_(archive) {}

  // The next CreateRecording or DeleteRecording fails so.
  void FailNext(absl::Status status) {
    const std::lock_guard lock(mutex_);
    failure_ = std::move(status);
  }
  // Changes what a recording of this run reports.
  void Change(const std::string& id, const std::function<void(RecordingStatus&)>& change) {
    const std::lock_guard lock(mutex_);
    change(recordings_.at(id));
  }
  void Warn(const std::string& warning) {
    const std::lock_guard lock(mutex_);
    warnings_.push_back(warning);
  }
  absl::Duration last_drain_limit() const {
    const std::lock_guard lock(mutex_);
    return last_drain_limit_;
  }

  absl::StatusOr<RecordingStatus> CreateRecording(const RecordingSpec& spec,
                                                  const std::string& /*actor*/) override {
    const std::lock_guard lock(mutex_);
    if (!failure_.ok()) return std::exchange(failure_, absl::OkStatus());
    const auto found = recordings_.find(spec.id);
    if (found != recordings_.end() && found->second.state == RecordingState::kRecording) {
      return absl::AlreadyExistsError(absl::StrCat("recording '", spec.id, "' is recording"));
    }
    RecordingStatus& status = recordings_[spec.id];
    status = {};
    status.spec = spec;
    status.uid = TestArchive::UidOf(spec.id);
    status.created = absl::FromUnixNanos(archive_->now().value);
    if (spec.source == SourceKind::kTcpListen) {
      status.bound = spec.address;
      if (status.bound.port == 0) status.bound.port = 45678;
    }
    archive_->PutRecording(spec.id, RecordingState::kRecording);
    return status;
  }

  absl::StatusOr<RecordingStatus> StopRecording(const std::string& id, absl::Duration drain_limit,
                                                const std::string& /*actor*/) override {
    const std::lock_guard lock(mutex_);
    const auto found = recordings_.find(id);
    if (found == recordings_.end()) return absl::NotFoundError(id);
    last_drain_limit_ = drain_limit;
    found->second.state = RecordingState::kStopped;
    archive_->PutRecording(id, RecordingState::kStopped);
    return found->second;
  }

  absl::Status DeleteRecording(const std::string& id, const std::string& actor) override {
    const std::lock_guard lock(mutex_);
    if (!failure_.ok()) return std::exchange(failure_, absl::OkStatus());
    recordings_.erase(id);
    return archive_->keeper().DeleteRecording(id, actor);
  }

  absl::StatusOr<RecordingStatus> GetRecording(const std::string& id) override {
    const std::lock_guard lock(mutex_);
    const auto found = recordings_.find(id);
    if (found == recordings_.end()) return absl::NotFoundError(id);
    return found->second;
  }

  RecorderStatus Status() override {
    RecorderStatus status;
    status.archive = archive_->archive().meta();
    status.archive_directory = archive_->directory();
    status.geometry = archive_->archive().geometry();
    status.lanes = 2;
    status.region = MiB(128);
    status.region_registered = true;
    status.started = absl::FromUnixSeconds(1'767'225'600);
    const std::lock_guard lock(mutex_);
    status.warnings = warnings_;
    for (const auto& [id, recording] : recordings_) status.recordings.push_back(recording);
    return status;
  }

  ArchiveKeeper& keeper() override { return archive_->keeper(); }
  Archive& archive() override { return archive_->archive(); }

 private:
  TestArchive* const archive_;
  mutable std::mutex mutex_;
  std::map<std::string, RecordingStatus> recordings_;
  std::vector<std::string> warnings_;
  absl::Status failure_;
  absl::Duration last_drain_limit_;
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_FAKE_RECORDER_H_
