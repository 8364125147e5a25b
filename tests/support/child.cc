#include "tests/support/child.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "gtest/gtest.h"
#include "ingest/check.h"

namespace sluice {
namespace {

constexpr int kExecFailed = 127;

struct Ends {
  int read = -1;
  int write = -1;
};

Ends MakePipe() {
  std::array<int, 2> fds;
  SLUICE_CHECK(pipe2(fds.data(), O_CLOEXEC) == 0);
  return {fds[0], fds[1]};
}

Ends MakeTerminal(uint16_t columns) {
  const winsize size = {.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  Ends ends;
  SLUICE_CHECK(openpty(&ends.read, &ends.write, nullptr, nullptr, &size) == 0);
  fcntl(ends.read, F_SETFD, FD_CLOEXEC);
  fcntl(ends.write, F_SETFD, FD_CLOEXEC);
  return ends;
}

[[noreturn]] void Become(const ChildOptions& options, int out, int err) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // no test leaves a recorder behind
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = open("/dev/null", O_RDONLY);
  if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(kExecFailed);
  if (options.before_exec) options.before_exec();
  std::vector<char*> arguments;
  for (const std::string& word : options.command)
    arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execv(arguments[0], arguments.data());
  _exit(kExecFailed);
}

}  // namespace

Child::Child(const ChildOptions& options) {
  const Ends out = MakePipe();
  const Ends err =
      options.terminal_columns > 0 ? MakeTerminal(options.terminal_columns) : MakePipe();
  pid_ = fork();
  SLUICE_CHECK(pid_ >= 0);
  if (pid_ == 0) Become(options, out.write, err.write);
  close(out.write);
  close(err.write);
  out_fd_ = out.read;
  err_fd_ = err.read;
  if (!options.raw_out) out_reader_ = std::thread([this] { out_.ReadFrom(out_fd_); });
  err_reader_ = std::thread([this] { err_.ReadFrom(err_fd_); });
}

Child::~Child() {
  if (!waited_) {
    Signal(SIGKILL);
    Wait();
  }
  CloseOut();
  close(err_fd_);
}

void Child::Signal(int signal) const {
  if (!waited_) kill(pid_, signal);
}

int Child::Wait() {
  if (std::exchange(waited_, true)) return exit_code_;
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  pollfd ended = {.fd = handle, .events = POLLIN, .revents = 0};
  const int patience = static_cast<int>(std::chrono::milliseconds(kPatience).count());
  if (poll(&ended, 1, patience) == 0) {
    ADD_FAILURE() << "does not end, and is killed; it said: " << err();
    kill(pid_, SIGKILL);
  }
  close(handle);
  int status = 0;
  SLUICE_CHECK(waitpid(pid_, &status, 0) == pid_);
  if (out_reader_.joinable()) out_reader_.join();
  err_reader_.join();
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return exit_code_;
}

void Child::CloseOut() {
  if (out_fd_ >= 0) close(std::exchange(out_fd_, -1));
}

void Child::Sink::ReadFrom(int fd) {
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    const std::lock_guard lock(mutex_);
    if (n > 0) {
      text_.append(buffer.data(), static_cast<size_t>(n));
    } else {
      ended_ = true;  // a terminal whose other end is closed says EIO
    }
    changed_.notify_all();
    if (ended_) return;
  }
}

bool Child::Sink::Await(const std::string& text) {
  std::unique_lock lock(mutex_);
  const auto found = [&] { return text_.find(text) != std::string::npos; };
  changed_.wait_for(lock, kPatience, [&] { return ended_ || found(); });
  return found();
}

std::string Child::Sink::text() const {
  const std::lock_guard lock(mutex_);
  return text_;
}

Outcome RunToEnd(const ChildOptions& options) {
  Child child(options);
  const int code = child.Wait();
  return {code, child.out(), child.err()};
}

}  // namespace sluice
