// Whom a command asks: the daemon behind a socket, or the files of an archive.
#ifndef CONTROL_CLI_TARGET_H_
#define CONTROL_CLI_TARGET_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <CLI/App.hpp>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "control/service/api_server.h"

namespace sluice {

struct TargetOptions {
  std::string socket;
  std::string archive;
};

void AddTargetOptions(CLI::App& app, TargetOptions& target);
// For commands that only make sense on files.
void AddArchiveOption(CLI::App& app, TargetOptions& target);

// Before an archive's files are read: when nobody has it open for writing, and the last one who had
// died, it is recovered. Where that cannot be done a note says so.
absl::Status PrepareFiles(const std::string& directory);

// Asks over gRPC in any case: where there is no daemon, of a server within this process.
class Target {
 public:
  // With an archive: its daemon, if it has one. Else the files, beside whoever records into them.
  static absl::StatusOr<std::unique_ptr<Target>> Open(TargetOptions options);

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  // Of the archive whose files are read; empty when a daemon answers.
  const std::string& directory() const { return directory_; }

  // Names the daemon that did not answer.
  absl::Status ToStatus(const grpc::Status& status) const;

 private:
  Target() = default;
  static absl::StatusOr<std::unique_ptr<Target>> OpenFiles(const std::string& directory);

  std::string socket_;
  std::string directory_;
  std::unique_ptr<ApiServer> server_;  // before the channel, which is closed first
  std::shared_ptr<grpc::Channel> channel_;
};

// For one call; it fails when there is no answer in time.
class CallContext : public grpc::ClientContext {
 public:
  explicit CallContext(absl::Duration limit = absl::Seconds(30));
};

}  // namespace sluice

#endif  // CONTROL_CLI_TARGET_H_
