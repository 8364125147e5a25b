#include "control/cli/target.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <sys/un.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "control/cli/command.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_keeper.h"
#include "writer/catalog/catalog.h"

namespace sluice {
namespace {

constexpr char kSystemSocket[] = "/run/sluice/sluice.sock";
constexpr size_t kSocketPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;
constexpr int kAnswerBytesMax = 8 << 20;

absl::Status MissingTarget() {
  return absl::InvalidArgumentError(
      "say whom to ask: --socket PATH of a daemon, or --archive DIR of an archive");
}

std::shared_ptr<grpc::Channel> Connect(const std::string& socket) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(kAnswerBytesMax);
  return grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments);
}

// What an orderly end leaves behind: nothing is open. (The catalog's last word in an orderly end
// is that a recording has stopped, and it survives the loss of power; so does all before it.)
bool NeedsRecovery(const std::string& directory) {
  const absl::StatusOr<std::unique_ptr<Catalog>> catalog =
      Catalog::Open(Archive::CatalogPath(directory), Catalog::Mode::kReadOnly);
  if (!catalog.ok()) return true;
  const absl::StatusOr<std::vector<RecordingRow>> recordings = (*catalog)->Recordings();
  const absl::StatusOr<std::vector<SegmentRow>> segments = (*catalog)->Segments();
  if (!recordings.ok() || !segments.ok()) return true;
  return std::any_of(
             recordings->begin(), recordings->end(),
             [](const RecordingRow& row) { return row.state == RecordingState::kRecording; }) ||
         std::any_of(segments->begin(), segments->end(),
                     [](const SegmentRow& row) { return !row.sealed; });
}

absl::Status Recover(const std::string& directory) {
  ArchiveOptions options;
  options.directory = directory;
  options.create = false;
  options.purpose = "recover";
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Archive> archive, Archive::Open(options));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<ArchiveKeeper> keeper,
                          ArchiveKeeper::Start(*archive));
  for (const std::string& note : keeper->recovery().notes) Note(note);
  return absl::OkStatus();
}

}  // namespace

void AddTargetOptions(CLI::App& app, TargetOptions& target) {
  CLI::Option* const socket =
      app.add_option("--socket", target.socket, "Ask the daemon that answers on this Unix socket")
          ->type_name("PATH");
  CLI::Option* const archive =
      app.add_option("--archive", target.archive,
                     "Ask the archive in this directory: its daemon, or, without one, its files")
          ->type_name("DIR");
  socket->excludes(archive);
}

void AddArchiveOption(CLI::App& app, TargetOptions& target) {
  app.add_option("--archive", target.archive, "The archive's directory")
      ->type_name("DIR")
      ->required();
}

absl::StatusOr<std::unique_ptr<Target>> Target::Open(TargetOptions options) {
  if (options.socket.empty() && options.archive.empty()) {
    if (access(kSystemSocket, F_OK) != 0) return MissingTarget();
    options.socket = kSystemSocket;
  }
  if (options.socket.empty()) {
    const absl::StatusOr<ArchiveHolder> holder = Archive::Holder(options.archive);
    if (!holder.ok() && !absl::IsNotFound(holder.status())) return holder.status();
    if (!holder.ok() || holder->socket_path.empty()) return OpenFiles(options.archive);
    options.socket = holder->socket_path;
  }
  // gRPC would only say that it has no channel.
  if (options.socket.size() > kSocketPathBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no daemon can answer on ", options.socket, ": the path has ", options.socket.size(),
        " bytes, and a Unix socket's has at most ", kSocketPathBytesMax));
  }
  std::unique_ptr<Target> target(new Target);
  target->socket_ = options.socket;
  target->channel_ = Connect(options.socket);
  return target;
}

absl::Status PrepareFiles(const std::string& directory) {
  SLUICE_RETURN_IF_ERROR(Archive::ReadMeta(directory).status());
  if (!absl::IsNotFound(Archive::Holder(directory).status()) || !NeedsRecovery(directory)) {
    return absl::OkStatus();
  }
  const absl::Status recovered = Recover(directory);
  // Somebody else took it meanwhile, and recovers it himself; or we may only read.
  if (!recovered.ok() && !Archive::Holder(directory).ok()) {
    Note(
        absl::StrCat("what the last recorder left open is not recovered, and what it says about "
                     "it may be old: ",
                     recovered.message()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Target>> Target::OpenFiles(const std::string& directory) {
  SLUICE_RETURN_IF_ERROR(PrepareFiles(directory));
  ApiServer::Options options;
  options.archive_directory = directory;
  std::unique_ptr<Target> target(new Target);
  target->directory_ = directory;
  SLUICE_ASSIGN_OR_RETURN(target->server_, ApiServer::Start(options));
  target->channel_ = target->server_->InProcessChannel();
  return target;
}

absl::Status Target::ToStatus(const grpc::Status& status) const {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE && !socket_.empty()) {
    return absl::Status(code,
                        absl::StrCat("no daemon answers on ", socket_, ": ", status.error_message(),
                                     "; start one with `sluice serve`, or read the archive "
                                     "with --archive DIR"));
  }
  return absl::Status(code, status.error_message());
}

CallContext::CallContext(absl::Duration limit) {
  set_deadline(absl::ToChronoTime(absl::Now() + limit));
}

}  // namespace sluice
