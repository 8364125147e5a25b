// SIGINT and SIGTERM as ordinary events: the first asks to leave, the second insists.
#ifndef CONTROL_SERVICE_SIGNAL_WATCH_H_
#define CONTROL_SERVICE_SIGNAL_WATCH_H_

#include <sys/signalfd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <thread>

#include "absl/time/time.h"

namespace sluice {

// Make it before any other thread, which then inherits the blocked signals. A thread of its own
// waits for them, so no signal handler runs. Destruction lets the signals act as before.
class SignalWatch {
 public:
  // With `hangups`, SIGHUP is told as often as it comes; else it acts as ever.
  explicit SignalWatch(bool hangups = false);
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  // The first signal to end, SIGHUP, or 0 when none came within `timeout`. After the second signal
  // the process exits with 1 at once, wherever it is. The first one again, from the same process
  // and within 100 ms, is not a second one: timeout(1) signals its child, and then the group that
  // it is in.
  int Wait(absl::Duration timeout);

 private:
  void Watch();
  bool IsEcho(const signalfd_siginfo& info) const;

  sigset_t signals_;
  sigset_t before_;
  int signal_fd_ = -1;
  int stop_fd_ = -1;
  std::mutex mutex_;
  std::condition_variable arrived_;
  int first_ = 0;  // that ends
  bool hangup_ = false;
  uint32_t first_sender_ = 0;  // a process; 0 is the kernel
  std::chrono::steady_clock::time_point first_time_;
  std::thread thread_;
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_SIGNAL_WATCH_H_
