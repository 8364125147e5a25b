#include "control/service/signal_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "absl/strings/string_view.h"
#include "ingest/check.h"

namespace sluice {
namespace {

constexpr std::chrono::milliseconds kEchoTime(100);

}  // namespace

SignalWatch::SignalWatch(bool hangups) {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  if (hangups) sigaddset(&signals_, SIGHUP);
  SLUICE_CHECK(pthread_sigmask(SIG_BLOCK, &signals_, &before_) == 0);
  signal_fd_ = signalfd(-1, &signals_, SFD_CLOEXEC);
  stop_fd_ = eventfd(0, EFD_CLOEXEC);
  SLUICE_CHECK(signal_fd_ >= 0 && stop_fd_ >= 0);
  thread_ = std::thread([this] { Watch(); });
}

SignalWatch::~SignalWatch() {
  const uint64_t one = 1;
  SLUICE_CHECK(write(stop_fd_, &one, sizeof(one)) == sizeof(one));
  thread_.join();
  close(signal_fd_);
  close(stop_fd_);
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

int SignalWatch::Wait(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  arrived_.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                    [this] { return first_ != 0 || hangup_; });
  if (std::exchange(hangup_, false) && first_ == 0) return SIGHUP;
  return first_;
}

bool SignalWatch::IsEcho(const signalfd_siginfo& info) const {
  return first_ == static_cast<int>(info.ssi_signo) && first_sender_ == info.ssi_pid &&
         first_sender_ != 0 && std::chrono::steady_clock::now() - first_time_ < kEchoTime;
}

void SignalWatch::Watch() {
  while (true) {
    std::array<pollfd, 2> ready = {{{signal_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}}};
    if (poll(ready.data(), ready.size(), -1) < 0) {
      SLUICE_CHECK(errno == EINTR);
      continue;
    }
    if (ready[1].revents != 0) return;
    signalfd_siginfo info = {};
    if (read(signal_fd_, &info, sizeof(info)) != sizeof(info)) continue;
    const std::lock_guard lock(mutex_);
    if (info.ssi_signo == SIGHUP) {
      hangup_ = true;
      arrived_.notify_all();
      continue;
    }
    if (IsEcho(info)) continue;
    if (first_ != 0) {
      static constexpr absl::string_view kMessage = "second signal: leaving at once\n";
      static_cast<void>(!write(STDERR_FILENO, kMessage.data(), kMessage.size()));
      _exit(EXIT_FAILURE);
    }
    first_ = static_cast<int>(info.ssi_signo);
    first_sender_ = info.ssi_pid;
    first_time_ = std::chrono::steady_clock::now();
    arrived_.notify_all();
  }
}

}  // namespace sluice
