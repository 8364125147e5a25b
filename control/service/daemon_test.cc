#include "control/service/daemon.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "control/service/fake_recorder.h"
#include "control/service/test_archive.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

// Owns the archive that FakeRecorder only borrows, and stops as slowly as asked.
class OwningRecorder final : public Recorder {
 public:
  explicit OwningRecorder(absl::Duration stop_time) : stop_time_(stop_time) {}

  absl::StatusOr<RecordingStatus> CreateRecording(const RecordingSpec& spec,
                                                  const std::string& actor) override {
    return recorder_.CreateRecording(spec, actor);
  }
  absl::StatusOr<RecordingStatus> StopRecording(const std::string& id, absl::Duration limit,
                                                const std::string& actor) override {
    absl::SleepFor(stop_time_);
    return recorder_.StopRecording(id, limit, actor);
  }
  absl::Status DeleteRecording(const std::string& id, const std::string& actor) override {
    return recorder_.DeleteRecording(id, actor);
  }
  absl::StatusOr<RecordingStatus> GetRecording(const std::string& id) override {
    return recorder_.GetRecording(id);
  }
  RecorderStatus Status() override { return recorder_.Status(); }
  ArchiveKeeper& keeper() override { return archive_.keeper(); }
  Archive& archive() override { return archive_.archive(); }
  std::string directory() const { return archive_.directory(); }

 private:
  const absl::Duration stop_time_;
  TestArchive archive_;
  FakeRecorder recorder_{&archive_};
};

// The daemon runs in a child: it wants a process with one thread, and ends it.
class DaemonTest : public ::testing::Test {
 protected:
  DaemonTest() {
    char name[] = "/tmp/daemon_test.XXXXXX";
    directory_ = mkdtemp(name);
    config_.unix_socket = directory_ + "/s";
    RecordingSpec spec;
    spec.id = "market";
    spec.address = SocketAddress::Parse("127.0.0.1:9000").value();
    config_.recordings.push_back(spec);
  }
  ~DaemonTest() override { std::filesystem::remove_all(directory_); }

  static constexpr int kRefused = 77;

  void Start(absl::Duration stop_time = absl::ZeroDuration()) {
    child_ = fork();
    ASSERT_GE(child_, 0);
    if (child_ > 0) return;
    const absl::Status status = RunDaemon(
        config_, [&] { return config_; },
        [&](const RecorderOptions&) -> absl::StatusOr<std::unique_ptr<Recorder>> {
          auto recorder = std::make_unique<OwningRecorder>(stop_time);
          config_.recorder.archive.directory = recorder->directory();
          return recorder;
        });
    if (!status.ok()) fprintf(stderr, "%s\n", status.ToString().c_str());
    _exit(status.ok() ? EXIT_SUCCESS : kRefused);
  }
  bool Wait(const std::function<bool()>& condition) const {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (!condition() && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(10));
    return condition();
  }
  bool WaitForSocket() const {
    return Wait([this] { return std::filesystem::exists(config_.unix_socket); });
  }
  // The exit code, or minus the signal that killed it.
  int Join() const {
    int status = 0;
    EXPECT_EQ(waitpid(child_, &status, 0), child_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  std::string directory_;
  ServeConfig config_;
  pid_t child_ = -1;
};

TEST_F(DaemonTest, ASignalEndsItInOrder) {
  for (const int signal : {SIGTERM, SIGINT}) {
    Start();
    ASSERT_TRUE(WaitForSocket());
    kill(child_, signal);
    EXPECT_EQ(Join(), EXIT_SUCCESS);
    EXPECT_FALSE(std::filesystem::exists(config_.unix_socket));
  }
}

TEST_F(DaemonTest, ASecondSignalEndsItAtOnce) {
  Start(absl::Seconds(60));
  ASSERT_TRUE(WaitForSocket());
  kill(child_, SIGTERM);
  kill(child_, SIGINT);  // another one: the same again might be taken for an echo
  EXPECT_EQ(Join(), EXIT_FAILURE);
}

TEST_F(DaemonTest, AnswersWhileItDrains) {
  Start(absl::Seconds(1));
  ASSERT_TRUE(WaitForSocket());
  kill(child_, SIGTERM);
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_TRUE(std::filesystem::exists(config_.unix_socket));
  EXPECT_EQ(Join(), EXIT_SUCCESS);
}

// As systemd would see it.
TEST_F(DaemonTest, TellsTheServiceManager) {
  const int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(manager, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path = directory_ + "/notify";
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(manager, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  const timeval limit = {.tv_sec = 20, .tv_usec = 0};
  setsockopt(manager, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  const auto next = [&] {
    char text[1000];
    const ssize_t n = recv(manager, text, sizeof(text), 0);
    return n < 0 ? "nothing" : std::string(text, static_cast<size_t>(n));
  };

  setenv("NOTIFY_SOCKET", path.c_str(), 1);
  setenv("WATCHDOG_USEC", "100000", 1);
  Start();
  unsetenv("NOTIFY_SOCKET");
  unsetenv("WATCHDOG_USEC");
  EXPECT_EQ(next(), "READY=1");
  EXPECT_TRUE(std::filesystem::exists(config_.unix_socket));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(next(), "WATCHDOG=1\nSTATUS=1 recordings: 0B received, 0B dropped");
  }
  kill(child_, SIGTERM);
  std::string last = next();
  while (last.starts_with("WATCHDOG=1")) last = next();
  EXPECT_EQ(last, "STOPPING=1\nSTATUS=draining");
  EXPECT_EQ(Join(), EXIT_SUCCESS);
  close(manager);
}

TEST_F(DaemonTest, FailsWhenARecordingCannotStart) {
  config_.recordings.push_back(config_.recordings.front());  // the same id
  Start();
  EXPECT_EQ(Join(), kRefused);
  EXPECT_FALSE(std::filesystem::exists(config_.unix_socket));
}

TEST_F(DaemonTest, FailsWithoutItsSocket) {
  config_.unix_socket = directory_ + "/none/s";
  Start();
  EXPECT_EQ(Join(), kRefused);
}

}  // namespace
}  // namespace sluice
