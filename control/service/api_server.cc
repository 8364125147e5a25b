#include "control/service/api_server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>

#include <chrono>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"

namespace sluice {
namespace {

// No request has more to say than an address and a filter.
constexpr int kRequestBytesMax = 64 << 10;
// A page of 1000 recordings, or a chunk of 1 MiB and what is around it.
constexpr int kResponseBytesMax = 4 << 20;
// Calls at a time besides the readers.
constexpr int kOtherCallsMax = 16;
// What gRPC may hold in buffers: the readers' chunks, and the same again.
constexpr size_t kBytesPerReader = 2 << 20;
constexpr size_t kOtherBytes = 16 << 20;
// Pollers: of one completion queue, at most this many threads wait for new calls.
constexpr int kPollersMax = 2;

constexpr std::chrono::seconds kShutdownPatience(2);

std::string DirectoryOf(const ApiServer::Options& options) {
  if (!options.archive_directory.empty() || options.recorder == nullptr) {
    return options.archive_directory;
  }
  return options.recorder->archive().directory();
}

// What concerns the whole process: all servers that are built later have health and reflection.
void PrepareProcess() {
  static const bool done = [] {
    // Never undone: the last grpc_shutdown() of a process waits for a poller that sleeps for up to
    // 10 s after a client was slow.
    grpc_init();
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  static_cast<void>(done);
}

}  // namespace

ApiServer::ApiServer(const Options& options)
    : archive_(options.recorder, DirectoryOf(options)),
      recordings_(&archive_),
      streams_(&archive_, options.readers_max),
      status_(&archive_, options.verification),
      retention_(&archive_),
      events_(&archive_, options.watchers_max),
      nics_(&archive_, options.interface_state, options.nic_port) {}

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Start(const Options& options) {
  if (options.recorder == nullptr) {
    SLUICE_RETURN_IF_ERROR(Archive::ReadMeta(options.archive_directory).status());
  }
  std::unique_ptr<ApiServer> server(new ApiServer(options));
  SLUICE_RETURN_IF_ERROR(server->Listen(options));
  server->Build(options);
  if (server->server_ == nullptr) return absl::InternalError("gRPC cannot start a server");
  if (server->listener_ != nullptr) {
    server->listener_->Serve([grpc = server->server_.get(), server = server.get()](int connection) {
      server->archive_.callers().Connected(connection);
      grpc::AddInsecureChannelFromFd(grpc, connection);
    });
  }
  return server;
}

absl::Status ApiServer::Listen(const Options& options) {
  if (options.unix_socket.empty()) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(listener_,
                          UnixListener::Bind(options.unix_socket, options.unix_socket_mode));
  return absl::OkStatus();
}

void ApiServer::Build(const Options& options) {
  PrepareProcess();
  grpc::ResourceQuota quota("sluice");
  quota.SetMaxThreads(options.readers_max + options.watchers_max + kOtherCallsMax + kPollersMax);
  quota.Resize(static_cast<size_t>(options.readers_max) * kBytesPerReader + kOtherBytes);

  grpc::ServerBuilder builder;
  builder.SetResourceQuota(quota)
      .SetMaxReceiveMessageSize(kRequestBytesMax)
      .SetMaxSendMessageSize(kResponseBytesMax)
      .SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1)
      .SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, kPollersMax)
      .RegisterService(&recordings_)
      .RegisterService(&streams_)
      .RegisterService(&status_)
      .RegisterService(&retention_)
      .RegisterService(&events_);
  if (!options.interface_state.empty()) builder.RegisterService(&nics_);
  server_ = builder.BuildAndStart();
}

ApiServer::~ApiServer() { Shutdown(); }

std::shared_ptr<grpc::Channel> ApiServer::InProcessChannel() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kResponseBytesMax);
  return server_->InProcessChannel(arguments);
}

void ApiServer::Shutdown() {
  const std::lock_guard lock(shutdown_mutex_);
  if (std::exchange(shut_down_, true) || server_ == nullptr) return;
  if (grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService()) {
    health->Shutdown();
  }
  // From here on nobody connects any more.
  if (listener_ != nullptr) listener_->Stop();
  streams_.Close();
  events_.Close();
  server_->Shutdown(std::chrono::system_clock::now() + kShutdownPatience);
  server_->Wait();
  listener_.reset();
}

}  // namespace sluice
