// A Unix socket that only its owner can connect to, from its first moment on.
#ifndef CONTROL_SERVICE_UNIX_LISTENER_H_
#define CONTROL_SERVICE_UNIX_LISTENER_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"

namespace sluice {

// gRPC would bind the path by itself, but with the process's umask, and it would remove whatever
// socket is there. Destruction stops accepting and removes the socket's file, unless it has been
// replaced meanwhile.
class UnixListener {
 public:
  // Removes the file of a socket that nobody answers on. ALREADY_EXISTS: somebody does, or the
  // file is not a socket; NOT_FOUND: no such directory; INVALID_ARGUMENT: the path is too long.
  // The message says what to do.
  static absl::StatusOr<std::unique_ptr<UnixListener>> Bind(const std::string& path, mode_t mode);
  ~UnixListener();
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;

  // Calls `accepted`, which takes the descriptor, on a thread of its own, for each connection.
  // Once.
  void Serve(std::function<void(int fd)> accepted);
  // Returns when `accepted` is not running and will not be called any more.
  void Stop();

 private:
  UnixListener() = default;
  absl::Status Listen(mode_t mode);
  void AcceptAll();

  std::string path_;
  int fd_ = -1;
  int stop_fd_ = -1;
  bool bound_ = false;
  dev_t device_ = 0;  // with the inode, the file that is ours
  ino_t inode_ = 0;
  std::function<void(int fd)> accepted_;
  std::thread thread_;
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_UNIX_LISTENER_H_
