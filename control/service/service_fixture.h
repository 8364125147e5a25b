// What the tests of the services share: a server on a real Unix socket, and clients of it.
#ifndef CONTROL_SERVICE_SERVICE_FIXTURE_H_
#define CONTROL_SERVICE_SERVICE_FIXTURE_H_

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "control/service/api_server.h"
#include "control/service/fake_recorder.h"
#include "control/service/test_archive.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {

// With a recorder until ServeFilesOnly().
class ServiceFixture : public ::testing::Test {
 protected:
  ServiceFixture() : recorder_(&archive_) { Serve({.recorder = &recorder_}); }

  // Starts another server in place of the one that runs.
  void Serve(ApiServer::Options options) {
    server_.reset();
    options.archive_directory = archive_.directory();
    options.unix_socket = socket_path();
    absl::StatusOr<std::unique_ptr<ApiServer>> server = ApiServer::Start(options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = Connect();
  }
  void ServeFilesOnly() { Serve({}); }

  // A client with a small window takes 64 KiB that it has not asked for, and no more.
  std::shared_ptr<grpc::Channel> Connect(bool small_window = false) const {
    grpc::ChannelArguments arguments;
    if (small_window) arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    // A connection of its own: channels to one address share theirs otherwise.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel("unix:" + socket_path(), grpc::InsecureChannelCredentials(),
                                     arguments);
  }
  std::string socket_path() const {
    return (std::filesystem::path(archive_.directory()).parent_path() / "s").string();
  }

  static std::string Describe(const grpc::Status& status) {
    return absl::StrCat(static_cast<int>(status.error_code()), ": ", status.error_message());
  }

  TestArchive archive_;
  FakeRecorder recorder_;
  std::unique_ptr<ApiServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

// EXPECT_THAT(status, Fails(grpc::NOT_FOUND, HasSubstr("...")));
MATCHER_P2(Fails, code, message, "") {
  return arg.error_code() == code &&
         ::testing::ExplainMatchResult(message, arg.error_message(), result_listener);
}
MATCHER(Succeeds, "") {
  *result_listener << arg.error_code() << ": " << arg.error_message();
  return arg.ok();
}

}  // namespace sluice

#endif  // CONTROL_SERVICE_SERVICE_FIXTURE_H_
