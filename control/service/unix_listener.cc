#include "control/service/unix_listener.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ingest/check.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

constexpr int kBacklog = 64;
constexpr int kOutOfDescriptorsPauseMs = 100;

std::string Parent(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

absl::Status Failed(const std::string& path, absl::string_view what) {
  return absl::ErrnoToStatus(errno, absl::StrCat("listen on unix:", path, ": ", what));
}

absl::StatusOr<sockaddr_un> ToAddress(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen on unix:", path, ": the path has ", path.size(),
                     " bytes, and must have between 1 and ", sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

int MakeSocket() { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

// Whether a process listens on the socket at `address`.
bool SomebodyAnswers(const sockaddr_un& address) {
  const int fd = MakeSocket();
  if (fd < 0) return true;  // not known: then nothing is removed
  const int result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = result == 0 ? 0 : errno;
  close(fd);
  return error != ECONNREFUSED && error != ENOENT;  // EAGAIN: its backlog is full
}

// Makes room for a socket at `path`.
absl::Status RemoveStale(const std::string& path, const sockaddr_un& address) {
  struct stat found = {};
  if (lstat(path.c_str(), &found) != 0) {
    return errno == ENOENT ? absl::OkStatus() : Failed(path, "look at the path");
  }
  if (!S_ISSOCK(found.st_mode)) {
    return absl::AlreadyExistsError(absl::StrCat(
        "listen on unix:", path, ": there is a file that is not a socket; choose another path"));
  }
  if (SomebodyAnswers(address)) {
    return absl::AlreadyExistsError(
        absl::StrCat("listen on unix:", path,
                     ": another process answers there; stop it, or choose another path"));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return Failed(path, "remove the socket that an earlier process left");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<UnixListener>> UnixListener::Bind(const std::string& path,
                                                                 mode_t mode) {
  std::unique_ptr<UnixListener> listener(new UnixListener);
  listener->path_ = path;
  SLUICE_RETURN_IF_ERROR(listener->Listen(mode));
  return listener;
}

absl::Status UnixListener::Listen(mode_t mode) {
  SLUICE_ASSIGN_OR_RETURN(const sockaddr_un address, ToAddress(path_));
  const std::string parent = Parent(path_);
  const int directory = open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) {
    if (errno == ENOENT) {
      return absl::NotFoundError(absl::StrCat("listen on unix:", path_, ": the directory ", parent,
                                              " does not exist; create it first"));
    }
    return Failed(path_, absl::StrCat("open the directory ", parent));
  }
  // Two processes that find the same stale socket must not remove each other's new one.
  const absl::Cleanup close_directory = [directory] { close(directory); };
  if (flock(directory, LOCK_EX) != 0) return Failed(path_, absl::StrCat("lock ", parent));
  SLUICE_RETURN_IF_ERROR(RemoveStale(path_, address));

  fd_ = MakeSocket();
  if (fd_ < 0) return Failed(path_, "make a socket");
  stop_fd_ = eventfd(0, EFD_CLOEXEC);
  if (stop_fd_ < 0) return Failed(path_, "make an eventfd");
  // The file gets the mode of the descriptor (less the umask), so that there is no moment in which
  // others can connect.
  if (fchmod(fd_, mode) != 0) return Failed(path_, "set the socket's mode");
  if (bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return Failed(path_, "bind");
  }
  bound_ = true;
  struct stat made = {};
  if (lstat(path_.c_str(), &made) != 0) return Failed(path_, "look at the new socket");
  device_ = made.st_dev;
  inode_ = made.st_ino;
  if (listen(fd_, kBacklog) != 0) return Failed(path_, "listen");
  return absl::OkStatus();
}

UnixListener::~UnixListener() {
  Stop();
  struct stat found = {};
  if (bound_ && lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ &&
      found.st_ino == inode_) {
    unlink(path_.c_str());
  }
  if (fd_ >= 0) close(fd_);
  if (stop_fd_ >= 0) close(stop_fd_);
}

void UnixListener::Serve(std::function<void(int fd)> accepted) {
  SLUICE_CHECK(!thread_.joinable());
  accepted_ = std::move(accepted);
  thread_ = std::thread([this] { AcceptAll(); });
}

void UnixListener::Stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  SLUICE_CHECK(write(stop_fd_, &one, sizeof(one)) == sizeof(one));
  thread_.join();
}

void UnixListener::AcceptAll() {
  while (true) {
    std::array<pollfd, 2> ready = {{{fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}}};
    if (poll(ready.data(), ready.size(), -1) < 0) {
      SLUICE_CHECK(errno == EINTR);
      continue;
    }
    if (ready[1].revents != 0) return;
    const int connection = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection >= 0) {
      accepted_(connection);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // The connection stays in the backlog: wait for better times, but not for Stop().
      poll(&ready[1], 1, kOutOfDescriptorsPauseMs);
    }
  }
}

}  // namespace sluice
