#include "control/service/callers.h"

#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace sluice {

std::string UserActor(uid_t uid) {
  passwd entry = {};
  passwd* found = nullptr;
  std::array<char, 4096> buffer;
  const bool known =
      getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr;
  return known ? absl::StrCat("user:", entry.pw_name, "(", uid, ")") : absl::StrCat("user:", uid);
}

void Callers::Connected(int fd) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  const bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
  const std::lock_guard lock(mutex_);
  if (known) {
    users_[fd] = peer.uid;
  } else {
    users_.erase(fd);
  }
}

std::string Callers::ActorOf(const grpc::ServerContext& context) const {
  const std::string peer = context.peer();
  absl::string_view text = peer;
  if (text == "inproc") return UserActor(getuid());
  int fd = -1;
  if (!absl::ConsumePrefix(&text, "fd:") || !absl::SimpleAtoi(text, &fd)) return "api";
  const std::lock_guard lock(mutex_);
  const auto user = users_.find(fd);
  return user == users_.end() ? "api" : UserActor(user->second);
}

}  // namespace sluice
