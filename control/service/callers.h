// Who calls: for the audit.
#ifndef CONTROL_SERVICE_CALLERS_H_
#define CONTROL_SERVICE_CALLERS_H_

#include <grpcpp/server_context.h>
#include <sys/types.h>

#include <map>
#include <mutex>
#include <string>

namespace sluice {

// "user:alice(1000)"; "user:1000" when it has no name here.
std::string UserActor(uid_t uid);

// The users at the other end of the API's connections, as the kernel knew them when they connected.
// gRPC says of a call only the number of its connection's descriptor; when a connection has gone
// while a call of it still waits for a thread, and another has taken its number, that one's user is
// named. Thread-safe.
class Callers {
 public:
  // Before gRPC gets the connection.
  void Connected(int fd);
  // "api" when it is not known.
  std::string ActorOf(const grpc::ServerContext& context) const;

 private:
  mutable std::mutex mutex_;
  std::map<int, uid_t> users_;  // by descriptor; as many as were ever open at a time
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_CALLERS_H_
