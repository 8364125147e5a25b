#include "control/service/api_server.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <sys/stat.h>

#include <string>

#include "control/service/service_fixture.h"
#include "proto/sluice/v1/status.grpc.pb.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

class ApiServerTest : public ServiceFixture {
 protected:
  static grpc::Status Ask(const std::shared_ptr<grpc::Channel>& channel) {
    grpc::ClientContext context;
    v1::Status response;
    return v1::StatusService::NewStub(channel)->GetStatus(&context, v1::GetStatusRequest(),
                                                          &response);
  }

  // A call by name, with messages as bytes: what a client without the .proto files can do.
  static grpc::Status CallByName(const std::shared_ptr<grpc::Channel>& channel,
                                 const std::string& method, const std::string& request,
                                 std::string* response) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const grpc::Slice slice(request);
    const grpc::ByteBuffer sent(&slice, 1);
    grpc::ByteBuffer received;
    grpc::Status status;
    const auto call = stub.PrepareUnaryCall(&context, method, sent, &queue);
    call->StartCall();
    call->Finish(&received, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    grpc::Slice single;
    if (status.ok() && received.DumpToSingleSlice(&single).ok()) {
      response->assign(reinterpret_cast<const char*>(single.begin()), single.size());
    }
    return status;
  }
};

TEST_F(ApiServerTest, TheSocketIsForItsOwner) {
  struct stat found = {};
  ASSERT_EQ(stat(socket_path().c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  EXPECT_THAT(Ask(channel_), Succeeds());
}

// In one process, messages change hands under gRPC's own locks, which TSan does not see: the
// libraries of the system are not instrumented.
constexpr bool InProcessLooksLikeARace() {
#if defined(__SANITIZE_THREAD__)
  return true;
#elif defined(__has_feature)
  return __has_feature(thread_sanitizer);
#else
  return false;
#endif
}

TEST_F(ApiServerTest, AnswersInProcess) {
  if (InProcessLooksLikeARace()) GTEST_SKIP() << "TSan cannot judge gRPC's in-process transport";
  EXPECT_THAT(Ask(server_->InProcessChannel()), Succeeds());
}

TEST_F(ApiServerTest, NeedsNoSocket) {
  if (InProcessLooksLikeARace()) GTEST_SKIP() << "TSan cannot judge gRPC's in-process transport";
  const auto server = ApiServer::Start({.archive_directory = archive_.directory()});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_THAT(Ask((*server)->InProcessChannel()), Succeeds());
}

TEST_F(ApiServerTest, ServesManyConnections) {
  for (int i = 0; i < 20; ++i) EXPECT_THAT(Ask(Connect()), Succeeds());
}

TEST_F(ApiServerTest, SaysThatTheSocketIsTaken) {
  const absl::Status status =
      ApiServer::Start({.recorder = &recorder_, .unix_socket = socket_path()}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr("another process answers there"));
  EXPECT_THAT(Ask(channel_), Succeeds()) << "the first server does not mind";
}

TEST_F(ApiServerTest, NeedsAnArchive) {
  const absl::Status status = ApiServer::Start({.archive_directory = "/nonexistent"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent"));
}

TEST_F(ApiServerTest, ShutdownRemovesTheSocket) {
  ASSERT_THAT(Ask(channel_), Succeeds());
  server_->Shutdown();
  server_->Shutdown();
  EXPECT_FALSE(std::filesystem::exists(socket_path()));
  EXPECT_EQ(Ask(channel_).error_code(), grpc::UNAVAILABLE);
}

TEST_F(ApiServerTest, AClientReconnectsToTheNextServer) {
  ASSERT_THAT(Ask(channel_), Succeeds());
  const auto old_channel = channel_;
  ServeFilesOnly();
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  v1::Status response;
  EXPECT_THAT(v1::StatusService::NewStub(old_channel)
                  ->GetStatus(&context, v1::GetStatusRequest(), &response),
              Succeeds());
}

TEST_F(ApiServerTest, HealthIsStandard) {
  // HealthCheckRequest{}; HealthCheckResponse{status: SERVING}
  std::string response;
  ASSERT_THAT(CallByName(channel_, "/grpc.health.v1.Health/Check", "", &response), Succeeds());
  EXPECT_EQ(response, std::string("\x08\x01", 2));
}

TEST_F(ApiServerTest, ReflectionListsTheServices) {
  grpc::GenericStub stub(channel_);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool ok = false;
  const auto call = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  const grpc::Slice slice(std::string("\x3a\x01*", 3));  // ServerReflectionRequest{list_services}
  call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  queue.Next(&tag, &ok);
  grpc::ByteBuffer received;
  call->Read(&received, nullptr);
  queue.Next(&tag, &ok);
  ASSERT_TRUE(ok);
  grpc::Slice single;
  ASSERT_TRUE(received.DumpToSingleSlice(&single).ok());
  const std::string response(reinterpret_cast<const char*>(single.begin()), single.size());
  for (const char* service : {"sluice.v1.RecordingService", "sluice.v1.StreamService",
                              "sluice.v1.StatusService", "grpc.health.v1.Health"}) {
    EXPECT_THAT(response, HasSubstr(service));
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  context.TryCancel();
  queue.Next(&tag, &ok);
}

TEST_F(ApiServerTest, RefusesHugeRequests) {
  grpc::ClientContext context;
  v1::GetRecordingRequest request;
  request.set_name(std::string(100'000, 'x'));
  v1::Recording response;
  EXPECT_EQ(v1::RecordingService::NewStub(channel_)
                ->GetRecording(&context, request, &response)
                .error_code(),
            grpc::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace sluice
