// A `sluice record` or `sluice serve` that runs.
#ifndef TESTS_E2E_RECORDER_H_
#define TESTS_E2E_RECORDER_H_

#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "tests/e2e/sluice.h"
#include "tests/support/child.h"
#include "tests/support/json.h"

namespace sluice {

// sluice record --tcp 127.0.0.1:0 --archive ARCHIVE --output json MORE...
class Recorder {
 public:
  // It listens when this returns; else the test has failed, and the port is 0.
  explicit Recorder(const std::string& archive, const Words& more = {},
                    const std::function<void()>& before_exec = {});

  uint16_t port() const { return port_; }
  Child& child() { return *child_; }

  // Until it ends by itself, in order; the summary that it prints.
  Json AwaitSummary();
  Json Stop(int signal = SIGTERM);
  // Without a chance to say anything.
  void Kill();

 private:
  std::unique_ptr<Child> child_;
  uint16_t port_ = 0;
};

// sluice serve, with a Unix socket of a short name.
class Daemon {
 public:
  // `config`: without the API's section. It answers when this returns.
  Daemon(const std::string& directory, const std::string& config);
  ~Daemon();

  const std::string& socket() const { return socket_; }
  Words target() const { return {"--socket", socket_}; }
  Child& child() { return *child_; }

  Json Recording(const std::string& id) const;
  // Where a recording listens.
  uint16_t Port(const std::string& id) const;
  int Stop(int signal = SIGTERM);
  // Another configuration, as above, and SIGHUP.
  void Reload(const std::string& config);

 private:
  void WriteConfig(const std::string& config) const;

  std::string config_path_;
  std::string socket_directory_;
  std::string socket_;
  std::unique_ptr<Child> child_;
};

// The port of "127.0.0.1:9000".
uint16_t PortOf(const std::string& address);

}  // namespace sluice

#endif  // TESTS_E2E_RECORDER_H_
