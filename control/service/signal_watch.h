// SIGINT and SIGTERM as ordinary events: the first asks to leave, the second insists.
#ifndef CONTROL_SERVICE_SIGNAL_WATCH_H_
#define CONTROL_SERVICE_SIGNAL_WATCH_H_

#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>

#include "absl/time/time.h"

namespace sluice {

// Make it before any other thread, which then inherits the blocked signals. A thread of its own
// waits for them, so no signal handler runs. Destruction lets the signals act as before.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  // The first signal, or 0 when none came within `timeout`. After the second signal the process
  // exits with 1 at once, wherever it is.
  int Wait(absl::Duration timeout);

 private:
  void Watch();

  sigset_t signals_;
  sigset_t before_;
  int signal_fd_ = -1;
  int stop_fd_ = -1;
  std::mutex mutex_;
  std::condition_variable arrived_;
  int first_ = 0;
  std::thread thread_;
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_SIGNAL_WATCH_H_
