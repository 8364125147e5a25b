#include "control/service/recording_service.h"

#include <string>
#include <vector>

#include "control/service/service_fixture.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RecordingServiceTest : public ServiceFixture {
 protected:
  std::unique_ptr<v1::RecordingService::Stub> stub() const {
    return v1::RecordingService::NewStub(channel_);
  }

  static v1::CreateRecordingRequest Request(const std::string& id) {
    v1::CreateRecordingRequest request;
    request.set_recording_id(id);
    request.mutable_recording()->mutable_tcp_listen()->set_address("127.0.0.1:0");
    return request;
  }
  grpc::Status Create(const v1::CreateRecordingRequest& request) {
    grpc::ClientContext context;
    return stub()->CreateRecording(&context, request, &recording_);
  }
  grpc::Status Get(const std::string& name) {
    grpc::ClientContext context;
    v1::GetRecordingRequest request;
    request.set_name(name);
    return stub()->GetRecording(&context, request, &recording_);
  }
  grpc::Status Stop(const v1::StopRecordingRequest& request) {
    grpc::ClientContext context;
    return stub()->StopRecording(&context, request, &recording_);
  }
  grpc::Status Stop(const std::string& name) {
    v1::StopRecordingRequest request;
    request.set_name(name);
    return Stop(request);
  }
  grpc::Status Delete(const std::string& name) {
    grpc::ClientContext context;
    v1::DeleteRecordingRequest request;
    request.set_name(name);
    google::protobuf::Empty response;
    return stub()->DeleteRecording(&context, request, &response);
  }
  grpc::Status List(int page_size, const std::string& token) {
    grpc::ClientContext context;
    v1::ListRecordingsRequest request;
    request.set_page_size(page_size);
    request.set_page_token(token);
    return stub()->ListRecordings(&context, request, &page_);
  }
  std::vector<std::string> NamesOnPage() const {
    std::vector<std::string> names;
    for (const v1::Recording& recording : page_.recordings()) names.push_back(recording.name());
    return names;
  }

  v1::Recording recording_;
  v1::ListRecordingsResponse page_;
};

TEST_F(RecordingServiceTest, Creates) {
  ASSERT_THAT(Create(Request("market")), Succeeds());
  EXPECT_EQ(recording_.name(), "recordings/market");
  EXPECT_EQ(recording_.state(), v1::Recording::RECORDING);
  EXPECT_EQ(recording_.bound_address(), "127.0.0.1:45678");
  EXPECT_EQ(recording_.create_time().seconds(), 1'767'225'600);
  EXPECT_TRUE(recording_.has_figures());
  ASSERT_THAT(Get("recordings/market"), Succeeds());
  EXPECT_EQ(recording_.bound_address(), "127.0.0.1:45678");
}

TEST_F(RecordingServiceTest, CreateRefusesBadRequests) {
  EXPECT_THAT(Create(Request("Market")), Fails(grpc::INVALID_ARGUMENT, HasSubstr("lower-case")));
  EXPECT_THAT(Create(Request("")), Fails(grpc::INVALID_ARGUMENT, HasSubstr("needs an id")));
  v1::CreateRecordingRequest request = Request("market");
  request.mutable_recording()->clear_source();
  EXPECT_THAT(Create(request), Fails(grpc::INVALID_ARGUMENT, HasSubstr("source is missing")));
  EXPECT_THAT(Get("recordings/market"), Fails(grpc::NOT_FOUND, HasSubstr("market")));
}

TEST_F(RecordingServiceTest, CreatePassesOnTheRecordersErrors) {
  ASSERT_THAT(Create(Request("market")), Succeeds());
  EXPECT_THAT(Create(Request("market")), Fails(grpc::ALREADY_EXISTS, HasSubstr("is recording")));
  recorder_.FailNext(absl::UnavailableError("listen on 127.0.0.1:9: address already in use"));
  EXPECT_THAT(Create(Request("other")),
              Fails(grpc::UNAVAILABLE, HasSubstr("listen on 127.0.0.1:9")));
}

TEST_F(RecordingServiceTest, ShowsLiveFigures) {
  ASSERT_THAT(Create(Request("market")), Succeeds());
  recorder_.Change("market", [](RecordingStatus& status) {
    status.ledger.received = 1234;
    status.durable = ByteCount{1000};
    status.state = RecordingState::kFailed;
    status.failure = "the disk is gone";
  });
  ASSERT_THAT(Get("recordings/market"), Succeeds());
  EXPECT_EQ(recording_.figures().bytes_received(), 1234);
  EXPECT_EQ(recording_.figures().bytes_durable(), 1000);
  EXPECT_EQ(recording_.state(), v1::Recording::FAILED);
  EXPECT_EQ(recording_.failure(), "the disk is gone");
}

TEST_F(RecordingServiceTest, ShowsRecordingsOfEarlierRuns) {
  archive_.PutRecording("old", RecordingState::kInterrupted);
  archive_.Append(archive_.Open("old"), "hello");
  ASSERT_THAT(Get("recordings/old"), Succeeds());
  EXPECT_EQ(recording_.state(), v1::Recording::INTERRUPTED);
  EXPECT_EQ(recording_.stored_streams(), 1);
  EXPECT_EQ(recording_.stored_bytes(), 5);
  EXPECT_FALSE(recording_.has_figures());
  EXPECT_EQ(recording_.tcp_listen().address(), "127.0.0.1:9000");
}

TEST_F(RecordingServiceTest, GetRefusesWhatIsNotAName) {
  EXPECT_THAT(Get("market"), Fails(grpc::INVALID_ARGUMENT, HasSubstr("recordings/{recording}")));
  EXPECT_THAT(Get(""), Fails(grpc::INVALID_ARGUMENT, HasSubstr("recordings/{recording}")));
  EXPECT_THAT(Get("recordings/none"),
              Fails(grpc::NOT_FOUND, HasSubstr("there is no recording \"none\"")));
}

TEST_F(RecordingServiceTest, Stops) {
  ASSERT_THAT(Create(Request("market")), Succeeds());
  ASSERT_THAT(Stop("recordings/market"), Succeeds());
  EXPECT_EQ(recording_.state(), v1::Recording::STOPPED);
  EXPECT_TRUE(recording_.has_stop_time());
  EXPECT_TRUE(recording_.has_figures());
  EXPECT_EQ(recorder_.last_drain_limit(), absl::Seconds(10));
}

TEST_F(RecordingServiceTest, StopTakesADrainLimit) {
  ASSERT_THAT(Create(Request("market")), Succeeds());
  v1::StopRecordingRequest request;
  request.set_name("recordings/market");
  request.mutable_drain_limit()->set_seconds(-1);
  EXPECT_THAT(Stop(request), Fails(grpc::INVALID_ARGUMENT, HasSubstr("drain_limit is -1s")));
  request.mutable_drain_limit()->set_seconds(3601);
  EXPECT_THAT(Stop(request), Fails(grpc::INVALID_ARGUMENT, HasSubstr("between 0s and 1h")));
  request.mutable_drain_limit()->set_nanos(-1);
  EXPECT_THAT(Stop(request), Fails(grpc::INVALID_ARGUMENT, HasSubstr("not a valid duration")));
  request.mutable_drain_limit()->set_nanos(0);
  request.mutable_drain_limit()->set_seconds(0);
  EXPECT_THAT(Stop(request), Succeeds());
  EXPECT_EQ(recorder_.last_drain_limit(), absl::ZeroDuration());
}

TEST_F(RecordingServiceTest, StopNeedsOneThatRecords) {
  EXPECT_THAT(Stop("recordings/none"), Fails(grpc::NOT_FOUND, HasSubstr("none")));
  EXPECT_THAT(Stop("none"), Fails(grpc::INVALID_ARGUMENT, HasSubstr("name")));
  archive_.PutRecording("old", RecordingState::kInterrupted);
  EXPECT_THAT(Stop("recordings/old"),
              Fails(grpc::FAILED_PRECONDITION, HasSubstr("the recorder died while it recorded")));
  ASSERT_THAT(Create(Request("market")), Succeeds());
  ASSERT_THAT(Stop("recordings/market"), Succeeds());
  EXPECT_THAT(Stop("recordings/market"),
              Fails(grpc::FAILED_PRECONDITION, HasSubstr("it was stopped")));
}

TEST_F(RecordingServiceTest, Deletes) {
  ASSERT_THAT(Create(Request("market")), Succeeds());
  EXPECT_THAT(Delete("recordings/market"),
              Fails(grpc::FAILED_PRECONDITION, HasSubstr("stop it before deleting it")));
  ASSERT_THAT(Stop("recordings/market"), Succeeds());
  EXPECT_THAT(Delete("recordings/market"), Succeeds());
  EXPECT_THAT(Get("recordings/market"), Fails(grpc::NOT_FOUND, HasSubstr("market")));
  EXPECT_THAT(Delete("recordings/market"), Fails(grpc::NOT_FOUND, HasSubstr("market")));
  EXPECT_THAT(Delete("market"), Fails(grpc::INVALID_ARGUMENT, HasSubstr("name")));
}

TEST_F(RecordingServiceTest, DeletesOneOfAnEarlierRun) {
  archive_.PutRecording("old", RecordingState::kStopped);
  EXPECT_THAT(Delete("recordings/old"), Succeeds());
  EXPECT_THAT(Get("recordings/old"), Fails(grpc::NOT_FOUND, HasSubstr("old")));
}

TEST_F(RecordingServiceTest, ListsInPages) {
  for (const char* id : {"delta", "bravo", "echo"}) {
    archive_.PutRecording(id, RecordingState::kStopped);
  }
  ASSERT_THAT(Create(Request("alpha")), Succeeds());
  ASSERT_THAT(Create(Request("charlie")), Succeeds());

  ASSERT_THAT(List(0, ""), Succeeds());
  EXPECT_THAT(NamesOnPage(),
              ElementsAre("recordings/alpha", "recordings/bravo", "recordings/charlie",
                          "recordings/delta", "recordings/echo"));
  EXPECT_EQ(page_.next_page_token(), "");

  ASSERT_THAT(List(2, ""), Succeeds());
  EXPECT_THAT(NamesOnPage(), ElementsAre("recordings/alpha", "recordings/bravo"));
  // What comes and goes meanwhile neither moves the others nor repeats them.
  archive_.PutRecording("aardvark", RecordingState::kStopped);
  ASSERT_THAT(Delete("recordings/bravo"), Succeeds());
  ASSERT_THAT(List(2, page_.next_page_token()), Succeeds());
  EXPECT_THAT(NamesOnPage(), ElementsAre("recordings/charlie", "recordings/delta"));
  ASSERT_THAT(List(2, page_.next_page_token()), Succeeds());
  EXPECT_THAT(NamesOnPage(), ElementsAre("recordings/echo"));
  EXPECT_EQ(page_.next_page_token(), "");
}

TEST_F(RecordingServiceTest, APageTokenOutlivesTheServer) {
  for (const char* id : {"a", "b", "c"}) archive_.PutRecording(id, RecordingState::kStopped);
  ASSERT_THAT(List(2, ""), Succeeds());
  ServeFilesOnly();
  ASSERT_THAT(List(2, page_.next_page_token()), Succeeds());
  EXPECT_THAT(NamesOnPage(), ElementsAre("recordings/c"));
}

TEST_F(RecordingServiceTest, ListRefusesBadPages) {
  EXPECT_THAT(List(-1, ""), Fails(grpc::INVALID_ARGUMENT, HasSubstr("page_size -1")));
  EXPECT_THAT(List(0, "nonsense"), Fails(grpc::INVALID_ARGUMENT, HasSubstr("page_token")));
}

TEST_F(RecordingServiceTest, WithoutADaemonNothingChanges) {
  archive_.PutRecording("old", RecordingState::kStopped);
  ServeFilesOnly();
  EXPECT_THAT(Get("recordings/old"), Succeeds());
  // The archive is held, by this very test.
  const auto refused =
      Fails(grpc::FAILED_PRECONDITION, AllOf(HasSubstr("no daemon"), HasSubstr("(serve) writes it"),
                                             HasSubstr("answers at /nowhere/sluice.sock")));
  EXPECT_THAT(Create(Request("market")), refused);
  EXPECT_THAT(Stop("recordings/old"), refused);
  EXPECT_THAT(Delete("recordings/old"), refused);
  archive_.Abandon();
  EXPECT_THAT(Create(Request("market")),
              Fails(grpc::FAILED_PRECONDITION, HasSubstr("start `sluice serve` first")));
  EXPECT_THAT(Get("recordings/old"), Succeeds());
}

}  // namespace
}  // namespace sluice
