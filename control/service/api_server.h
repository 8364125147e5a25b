// The gRPC server: all services of sluice.v1, health and reflection, on a Unix socket.
#ifndef CONTROL_SERVICE_API_SERVER_H_
#define CONTROL_SERVICE_API_SERVER_H_

#include <grpcpp/channel.h>
#include <grpcpp/server.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "control/recorder/recorder.h"
#include "control/service/event_service.h"
#include "control/service/nic_service.h"
#include "control/service/recording_service.h"
#include "control/service/retention_service.h"
#include "control/service/served_archive.h"
#include "control/service/status_service.h"
#include "control/service/stream_service.h"
#include "control/service/unix_listener.h"
#include "writer/archive/background_verify.h"

namespace sluice {

// Destruction shuts it down. Thread-safe.
class ApiServer {
 public:
  struct Options {
    // Null: the archive is only read. Otherwise it outlives the server.
    Recorder* recorder = nullptr;
    // Of the archive. May be empty when there is a recorder, which knows its own.
    std::string archive_directory = "";
    // Empty: the server can only be reached through InProcessChannel().
    std::string unix_socket = "";
    mode_t unix_socket_mode = 0600;
    // What the background says, if there is one; called on gRPC's threads.
    std::function<BackgroundVerifyStatus()> verification = nullptr;
    // Where it is remembered what network cards were; see NicJournal. Empty: the server has no
    // NicService.
    std::string interface_state = "";
    // How they are asked and told things.
    NicService::PortOpener nic_port = &OpenKernelPort;
    // Calls of ReadStream at a time; more get RESOURCE_EXHAUSTED.
    int readers_max = 32;
    // Likewise of WatchEvents.
    int watchers_max = 16;
  };

  // Answers when it returns. Fails when the socket cannot be had (see UnixListener::Bind), or when
  // there is neither a recorder nor an archive.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(const Options& options);
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // For clients in this process.
  std::shared_ptr<grpc::Channel> InProcessChannel();

  // Takes no new calls, ends the readers and watchers with UNAVAILABLE, waits a little for calls
  // that are running, cancels what is left, and removes the socket. The second call does nothing.
  void Shutdown();

 private:
  explicit ApiServer(const Options& options);
  absl::Status Listen(const Options& options);
  void Build(const Options& options);

  ServedArchive archive_;
  RecordingService recordings_;
  StreamService streams_;
  StatusService status_;
  RetentionService retention_;
  EventService events_;
  NicService nics_;
  std::unique_ptr<UnixListener> listener_;
  std::unique_ptr<grpc::Server> server_;
  std::mutex shutdown_mutex_;
  bool shut_down_ = false;
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_API_SERVER_H_
