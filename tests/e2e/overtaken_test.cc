// Readers that are too slow: retention removes what they have yet to read. Each is told where to go
// on, and can.
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <unistd.h>

#include <cstdio>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/sluice/v1/streams.grpc.pb.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMiB = uint64_t{1} << 20;
// Less than what the archive holds, more than what is on its way to a reader who does not read.
constexpr uint64_t kHead = 8 * kMiB;
constexpr uint64_t kFlood = 64 * kMiB;  // far more than the archive holds
constexpr uint64_t kTail = kMiB + 1;
constexpr uint64_t kForever = std::numeric_limits<uint64_t>::max();

// The number behind "the first offset that still exists is ".
uint64_t FirstThatExists(const std::string& message) {
  const std::string before = "the first offset that still exists is ";
  const size_t at = message.find(before);
  EXPECT_NE(at, std::string::npos) << message;
  if (at == std::string::npos) return 0;
  const std::string rest = message.substr(at + before.size());
  uint64_t first = 0;
  EXPECT_TRUE(absl::SimpleAtoi(rest.substr(0, rest.find_first_not_of("0123456789")), &first))
      << message;
  return first;
}

// With the parameter true through a daemon, else from the files beside a recorder.
class OvertakenTest : public E2eTest, public ::testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) {
      daemon_ = std::make_unique<Daemon>(
          directory(), absl::StrCat("archive { directory: \"", archive(),
                                    "\" capacity: \"16MiB\" segment_size: \"1MiB\" }\n"
                                    "recording { id: \"a\" tcp_listen { address: \"127.0.0.1:0\" "
                                    "} sync_interval: \"50ms\" }"));
      source_ = daemon_->target();
      peer_.emplace(content(), 1, daemon_->Port("a"));
    } else {
      recorder_ = std::make_unique<Recorder>(
          archive(), Words{"--capacity", "16MiB", "--segment-size", "1MiB", "--sync-interval",
                           "50ms", "--name", "a"});
      source_ = target();
      peer_.emplace(content(), 1, recorder_->port());
    }
    ASSERT_TRUE(peer_->Send(kHead));
    id_ = StreamId(AwaitDurable(source_, peer_->address(), kHead));
  }
  // The sender sends so much that all which the stream had is removed.
  void Overtake() {
    ASSERT_TRUE(peer_->Send(kFlood));
    const Json stream = AwaitDurable(source_, peer_->address(), kHead + kFlood);
    ASSERT_GT(stream["beginOffset"].int64(), static_cast<int64_t>(kHead));
  }
  uint64_t Begin() {
    return static_cast<uint64_t>(FindStream(source_, peer_->address())["beginOffset"].int64());
  }

  std::unique_ptr<Child> Follow(const Words& more = {}) {
    Words words = {"export", id_, "--follow", "--to", "-"};
    words.insert(words.end(), source_.begin(), source_.end());
    words.insert(words.end(), more.begin(), more.end());
    ChildOptions options = Command(words);
    options.raw_out = true;
    return std::make_unique<Child>(options);
  }
  // How many bytes come until the end; all of them are the stream's from `begin` on.
  uint64_t ReadToTheEnd(int fd, uint64_t begin) {
    const std::string file = directory() + "/rest";
    FILE* const rest = fopen(file.c_str(), "w+");
    std::vector<char> buffer(1 << 18);
    uint64_t size = 0;
    ssize_t n = 0;
    while ((n = read(fd, buffer.data(), buffer.size())) > 0) {
      EXPECT_EQ(fwrite(buffer.data(), 1, static_cast<size_t>(n), rest), static_cast<size_t>(n));
      size += static_cast<uint64_t>(n);
    }
    EXPECT_EQ(n, 0);
    rewind(rest);
    EXPECT_EQ(CompareBytes(fileno(rest), content(), 1, begin, size), "");
    fclose(rest);
    return size;
  }

  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<Recorder> recorder_;
  Words source_;
  std::optional<Peer> peer_;
  std::string id_;
};

TEST_P(OvertakenTest, AFollowerIsToldWhereToGoOn) {
  const std::unique_ptr<Child> slow = Follow();
  ASSERT_EQ(CompareBytes(slow->out_fd(), content(), 1, 0, 1000), "");
  ASSERT_NO_FATAL_FAILURE(Overtake());

  // What was on its way when it was overtaken comes, and is right.
  const uint64_t read_until = 1000 + ReadToTheEnd(slow->out_fd(), 1000);
  EXPECT_LT(read_until, kHead);
  EXPECT_EQ(slow->Wait(), 1);
  EXPECT_THAT(slow->err(), HasSubstr(absl::StrCat("stream ", id_, ": retention has removed offset ",
                                                  read_until, "; the first offset")));
  const uint64_t first = FirstThatExists(slow->err());
  EXPECT_EQ(first, Begin());

  // Who goes on there gets the rest, without a byte missing.
  const std::unique_ptr<Child> again = Follow({"--from", absl::StrCat(first)});
  ASSERT_EQ(CompareBytes(again->out_fd(), content(), 1, first, peer_->sent() - first), "");
  const uint64_t seen = peer_->sent();
  ASSERT_TRUE(peer_->Send(kTail));
  peer_->FinishSending();
  EXPECT_EQ(ReadToTheEnd(again->out_fd(), seen), kTail);
  EXPECT_EQ(again->Wait(), 0) << again->err();
}

TEST_P(OvertakenTest, WhoAsksForWhatIsGoneIsToldAtOnce) {
  ASSERT_NO_FATAL_FAILURE(Overtake());
  const std::unique_ptr<Child> late = Follow({"--from", "1000"});
  EXPECT_EQ(ReadToTheEnd(late->out_fd(), 1000), 0u);
  EXPECT_EQ(late->Wait(), 1);
  EXPECT_THAT(late->err(), HasSubstr("retention has removed offset 1000;"));
  EXPECT_EQ(FirstThatExists(late->err()), Begin());
}

INSTANTIATE_TEST_SUITE_P(From, OvertakenTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Daemon" : "Files"; });

// What a program sees that speaks gRPC to the daemon.
class OvertakenByTheApiTest : public OvertakenTest {
 protected:
  using Call = std::unique_ptr<grpc::ClientReader<v1::ReadStreamResponse>>;

  // Takes in responses until `end`, or until there is none; `at` is the offset that comes next.
  static void ReadOn(const Call& call, uint64_t end, uint64_t* at) {
    v1::ReadStreamResponse response;
    while (*at < end && call->Read(&response)) {
      EXPECT_EQ(response.offset(), static_cast<int64_t>(*at));
      EXPECT_FALSE(response.has_gap());
      *at += response.data().size();
    }
  }
};

TEST_P(OvertakenByTheApiTest, TheStatusSaysOutOfRangeAndWhereToGoOn) {
  const auto stub = v1::StreamService::NewStub(
      grpc::CreateChannel("unix:" + daemon_->socket(), grpc::InsecureChannelCredentials()));
  v1::ReadStreamRequest request;
  request.set_name(absl::StrCat("recordings/a/streams/", id_));
  request.set_follow(true);
  uint64_t at = 0;
  grpc::ClientContext slow_context;
  const Call slow = stub->ReadStream(&slow_context, request);
  ReadOn(slow, 1, &at);
  ASSERT_GT(at, 0u);
  ASSERT_NO_FATAL_FAILURE(Overtake());
  ReadOn(slow, kForever, &at);
  const grpc::Status status = slow->Finish();
  EXPECT_LT(at, kHead);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::OUT_OF_RANGE) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr(absl::StrCat("retention has removed offset ", at)));
  const uint64_t first = FirstThatExists(status.error_message());

  // A program need not read the sentence: the stream says the same.
  grpc::ClientContext get_context;
  v1::GetStreamRequest get;
  get.set_name(request.name());
  v1::Stream stream;
  ASSERT_TRUE(stub->GetStream(&get_context, get, &stream).ok());
  EXPECT_EQ(stream.begin_offset(), static_cast<int64_t>(first));

  grpc::ClientContext context;
  request.set_offset(static_cast<int64_t>(first));
  const Call again = stub->ReadStream(&context, request);
  at = first;
  ReadOn(again, peer_->sent(), &at);
  ASSERT_EQ(at, peer_->sent());
  ASSERT_TRUE(peer_->Send(kTail));
  peer_->FinishSending();
  ReadOn(again, kForever, &at);
  const grpc::Status end = again->Finish();
  EXPECT_TRUE(end.ok()) << end.error_message();
  EXPECT_EQ(at, peer_->sent());
}

INSTANTIATE_TEST_SUITE_P(Of, OvertakenByTheApiTest, ::testing::Values(true),
                         [](const auto& /*info*/) { return "Daemon"; });

}  // namespace
}  // namespace sluice
