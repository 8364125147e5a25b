#include "tests/e2e/recorder.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ingest/check.h"

namespace sluice {
namespace {

// What stands in `text` between `before` and `after`.
std::string Between(const std::string& text, const std::string& before, const std::string& after) {
  size_t begin = text.find(before);
  if (begin == std::string::npos) return "";
  begin += before.size();
  return text.substr(begin, text.find(after, begin) - begin);
}

}  // namespace

uint16_t PortOf(const std::string& address) {
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port)) << address;
  return static_cast<uint16_t>(port);
}

Recorder::Recorder(const std::string& archive, const Words& more,
                   const std::function<void()>& before_exec) {
  Words words = {"record", "--tcp", "127.0.0.1:0", "--archive", archive, "--output", "json"};
  words.insert(words.end(), more.begin(), more.end());
  ChildOptions options = Command(words);
  options.before_exec = before_exec;
  child_ = std::make_unique<Child>(options);
  if (!child_->AwaitErr(", recording to")) {
    ADD_FAILURE() << "does not listen: " << child_->err();
    return;
  }
  port_ = PortOf(Between(child_->err(), "listening on ", ","));
}

Json Recorder::AwaitSummary() {
  const int code = child_->Wait();
  EXPECT_EQ(code, 0) << child_->err();
  return code == 0 ? Json::Parse(child_->out()) : Json();
}

Json Recorder::Stop(int signal) {
  child_->Signal(signal);
  return AwaitSummary();
}

void Recorder::Kill() {
  child_->Signal(SIGKILL);
  EXPECT_EQ(child_->Wait(), 128 + SIGKILL) << child_->err();
}

Daemon::Daemon(const std::string& directory, const std::string& config) {
  char name[] = "/tmp/sluice-XXXXXX";
  SLUICE_CHECK(mkdtemp(name) != nullptr);
  socket_directory_ = name;
  socket_ = socket_directory_ + "/s";
  config_path_ = directory + "/serve.textproto";
  WriteConfig(config);
  child_ = std::make_unique<Child>(Command({"serve", "--config", config_path_}));
  if (!child_->AwaitErr("API on unix:")) ADD_FAILURE() << "does not serve: " << child_->err();
}

void Daemon::WriteConfig(const std::string& config) const {
  std::ofstream(config_path_) << config << "\napi { unix_socket: \"" << socket_ << "\" }\n";
}

void Daemon::Reload(const std::string& config) {
  WriteConfig(config);
  child_->Signal(SIGHUP);
}

Daemon::~Daemon() {
  child_.reset();
  unlink(socket_.c_str());
  rmdir(socket_directory_.c_str());
}

Json Daemon::Recording(const std::string& id) const {
  return AskSluice({"recordings", "get", id, "--socket", socket_});
}

uint16_t Daemon::Port(const std::string& id) const {
  // The API answers before the last recording of the configuration listens.
  if (!child_->AwaitErr(absl::StrCat("recording ", id, " listens on "))) {
    ADD_FAILURE() << child_->err();
    return 0;
  }
  return PortOf(Recording(id)["boundAddress"].text());
}

int Daemon::Stop(int signal) {
  child_->Signal(signal);
  return child_->Wait();
}

}  // namespace sluice
