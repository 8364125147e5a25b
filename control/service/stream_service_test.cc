#include "control/service/stream_service.h"

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "control/service/names.h"
#include "control/service/service_fixture.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Bytes that tell where they belong.
std::string Pattern(uint64_t begin, size_t n) {
  std::string bytes(n, '\0');
  for (size_t i = 0; i < n; ++i) {
    bytes[i] = static_cast<char>(((begin + i) * 0x9E3779B97F4A7C15) >> 56);
  }
  return bytes;
}

// What a client has received of one stream.
struct Received {
  grpc::Status status;
  int64_t begin = -1;  // the offset of the first byte
  std::string data;
  bool gapless = true;
  size_t largest = 0;  // response
};

class StreamServiceTest : public ServiceFixture {
 protected:
  StreamServiceTest() { archive_.PutRecording("market", RecordingState::kRecording); }

  std::unique_ptr<v1::StreamService::Stub> stub() const {
    return v1::StreamService::NewStub(channel_);
  }

  grpc::Status List(const v1::ListStreamsRequest& request) {
    grpc::ClientContext context;
    return stub()->ListStreams(&context, request, &page_);
  }
  static v1::ListStreamsRequest ListRequest(const std::string& parent, const std::string& filter,
                                            int page_size = 0, const std::string& token = "") {
    v1::ListStreamsRequest request;
    request.set_parent(parent);
    request.set_filter(filter);
    request.set_page_size(page_size);
    request.set_page_token(token);
    return request;
  }
  // All that matches, by name.
  std::vector<std::string> Listed(const std::string& parent, const std::string& filter) {
    EXPECT_THAT(List(ListRequest(parent, filter)), Succeeds());
    return NamesOnPage();
  }
  std::vector<std::string> NamesOnPage() const {
    std::vector<std::string> names;
    for (const v1::Stream& stream : page_.streams()) names.push_back(stream.name());
    return names;
  }

  grpc::Status Get(const std::string& name) {
    grpc::ClientContext context;
    v1::GetStreamRequest request;
    request.set_name(name);
    return stub()->GetStream(&context, request, &stream_);
  }

  static v1::ReadStreamRequest ReadRequest(const std::string& name) {
    v1::ReadStreamRequest request;
    request.set_name(name);
    return request;
  }
  Received Read(const v1::ReadStreamRequest& request) const {
    grpc::ClientContext context;
    return Read(request, &context);
  }
  Received Read(const v1::ReadStreamRequest& request, grpc::ClientContext* context,
                std::atomic<size_t>* progress = nullptr) const {
    Received received;
    const auto client = stub();
    const auto reader = client->ReadStream(context, request);
    v1::ReadStreamResponse response;
    while (reader->Read(&response)) {
      if (received.begin < 0) received.begin = response.offset();
      const int64_t next = received.begin + static_cast<int64_t>(received.data.size());
      received.gapless &= response.offset() == next && !response.data().empty();
      received.data += response.data();
      received.largest = std::max(received.largest, response.data().size());
      if (progress != nullptr) progress->store(received.data.size());
    }
    received.status = reader->Finish();
    return received;
  }

  // A call in another thread, which can be looked at and cancelled.
  class Follower {
   public:
    Follower(const StreamServiceTest& test, v1::ReadStreamRequest request) {
      request.set_follow(true);
      thread_ = std::thread([this, &test, request] {
        received_ = test.Read(request, &context_, &progress_);
        done_ = true;
      });
    }
    ~Follower() {
      context_.TryCancel();
      if (thread_.joinable()) thread_.join();
    }
    bool WaitFor(size_t bytes) const {
      const absl::Time deadline = absl::Now() + absl::Seconds(20);
      while (progress_.load() < bytes && absl::Now() < deadline) {
        absl::SleepFor(absl::Milliseconds(5));
      }
      return progress_.load() >= bytes;
    }
    bool done() const { return done_; }
    void Cancel() { context_.TryCancel(); }
    const Received& Join() {
      thread_.join();
      return received_;
    }

   private:
    grpc::ClientContext context_;
    std::atomic<size_t> progress_{0};
    std::atomic<bool> done_{false};
    Received received_;
    std::thread thread_;
  };

  static std::string NameOf(StreamId id) { return MakeStreamName("market", id); }

  v1::ListStreamsResponse page_;
  v1::Stream stream_;
};

// ---- find

TEST_F(StreamServiceTest, Gets) {
  const StreamId id = archive_.Open("market", "10.0.0.7:4000");
  archive_.Append(id, "hello");
  ASSERT_THAT(Get(NameOf(id)), Succeeds());
  EXPECT_EQ(stream_.name(), NameOf(id));
  EXPECT_EQ(stream_.peer_address(), "10.0.0.7:4000");
  EXPECT_EQ(stream_.local_address(), "127.0.0.1:9000");
  EXPECT_EQ(stream_.open_time().seconds(), 1'767'225'601);
  EXPECT_EQ(stream_.last_time().seconds(), 1'767'225'602);
  EXPECT_EQ(stream_.durable_bytes(), 5);
  EXPECT_EQ(stream_.state(), v1::Stream::OPEN);
  EXPECT_EQ(stream_.close_reason(), v1::Stream::CLOSE_REASON_UNSPECIFIED);

  archive_.Close(id, CloseReason::kReset);
  ASSERT_THAT(Get(NameOf(id)), Succeeds());
  EXPECT_EQ(stream_.state(), v1::Stream::CLOSED);
  EXPECT_EQ(stream_.close_reason(), v1::Stream::RESET);
}

TEST_F(StreamServiceTest, GetRefusesWhatIsNotThere) {
  const StreamId id = archive_.Open("market");
  EXPECT_THAT(Get("recordings/market/streams/9-9-9"),
              Fails(grpc::NOT_FOUND, HasSubstr("there is no recordings/market/streams/9-9-9")));
  EXPECT_THAT(Get(MakeStreamName("other", id)), Fails(grpc::NOT_FOUND, HasSubstr("other")))
      << "it is not of that recording";
  EXPECT_THAT(Get("recordings/market"),
              Fails(grpc::INVALID_ARGUMENT, HasSubstr("recordings/{recording}/streams/")));
}

TEST_F(StreamServiceTest, ListsByRecording) {
  archive_.PutRecording("other", RecordingState::kRecording);
  const StreamId a = archive_.Open("market");
  const StreamId b = archive_.Open("other");
  EXPECT_THAT(Listed("recordings/market", ""), ElementsAre(NameOf(a)));
  EXPECT_THAT(Listed("recordings/-", ""), ElementsAre(NameOf(a), MakeStreamName("other", b)));
}

TEST_F(StreamServiceTest, ListRefusesBadParents) {
  EXPECT_THAT(List(ListRequest("recordings/none", "")),
              Fails(grpc::NOT_FOUND, HasSubstr("there is no recording \"none\"")));
  EXPECT_THAT(List(ListRequest("", "")),
              Fails(grpc::INVALID_ARGUMENT, HasSubstr("\"recordings/-\" for all")));
}

TEST_F(StreamServiceTest, Filters) {
  const StreamId a = archive_.Open("market", "10.0.0.1:4000");
  const StreamId b = archive_.Open("market", "10.0.0.12:4000");
  const StreamId c = archive_.Open("market", "10.0.0.2:4000");
  archive_.Close(a);
  archive_.Close(b, CloseReason::kReset);
  const std::string all = "recordings/market";
  EXPECT_THAT(Listed(all, "state = OPEN"), ElementsAre(NameOf(c)));
  EXPECT_THAT(Listed(all, "state = CLOSED"), ElementsAre(NameOf(a), NameOf(b)));
  EXPECT_THAT(Listed(all, "close_reason = RESET"), ElementsAre(NameOf(b)));
  EXPECT_THAT(Listed(all, "peer_address = \"10.0.0.1*\""), ElementsAre(NameOf(a), NameOf(b)));
  EXPECT_THAT(Listed(all, "peer_address = \"10.0.0.1:4000\""), ElementsAre(NameOf(a)));
  EXPECT_THAT(Listed(all, "peer_address = \"10.0.0.1*\" AND close_reason != RESET"),
              ElementsAre(NameOf(a)));
  // They were opened at 00:00:01, :02 and :03.
  EXPECT_THAT(Listed(all, "open_time >= \"2026-01-01T00:00:02Z\""),
              ElementsAre(NameOf(b), NameOf(c)));
  EXPECT_THAT(Listed(all, "open_time > \"2026-01-01T00:00:02Z\""), ElementsAre(NameOf(c)));
  EXPECT_THAT(Listed(all, "open_time < \"2026-01-01T00:00:02Z\""), ElementsAre(NameOf(a)));
  EXPECT_THAT(Listed(all, "open_time <= \"2026-01-01T00:00:02Z\""),
              ElementsAre(NameOf(a), NameOf(b)));
  // The closed ones ended at 00:00:04 and :05.
  EXPECT_THAT(Listed(all, "last_time >= \"2026-01-01T00:00:05Z\""), ElementsAre(NameOf(b)));
  EXPECT_THAT(Listed(all, "last_time < \"2026-01-01T00:00:04Z\""), ElementsAre(NameOf(c)));
  EXPECT_THAT(Listed(all, "open_time > \"2027-01-01T00:00:00Z\""), IsEmpty());
}

TEST_F(StreamServiceTest, ABadFilterNamesThePlace) {
  EXPECT_THAT(List(ListRequest("recordings/-", "state = OPEN AND colour = RED")),
              Fails(grpc::INVALID_ARGUMENT, HasSubstr("filter, character 18: \"colour\"")));
}

TEST_F(StreamServiceTest, ListsInPages) {
  std::vector<StreamId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(archive_.Open("market"));
  const std::string filter = "state = OPEN";
  ASSERT_THAT(List(ListRequest("recordings/market", filter, 2)), Succeeds());
  EXPECT_THAT(NamesOnPage(), ElementsAre(NameOf(ids[0]), NameOf(ids[1])));
  // New streams come behind; one that no longer matches is left out; nothing is seen twice.
  const StreamId late = archive_.Open("market");
  archive_.Close(ids[2]);
  archive_.Close(ids[0]);
  ASSERT_THAT(List(ListRequest("recordings/market", filter, 2, page_.next_page_token())),
              Succeeds());
  EXPECT_THAT(NamesOnPage(), ElementsAre(NameOf(ids[3]), NameOf(ids[4])));
  ASSERT_THAT(List(ListRequest("recordings/market", filter, 2, page_.next_page_token())),
              Succeeds());
  EXPECT_THAT(NamesOnPage(), ElementsAre(NameOf(late)));
  EXPECT_EQ(page_.next_page_token(), "");
}

TEST_F(StreamServiceTest, TheLastPageKnowsThatItIsTheLast) {
  for (int i = 0; i < 4; ++i) archive_.Open("market");
  ASSERT_THAT(List(ListRequest("recordings/market", "", 2)), Succeeds());
  ASSERT_THAT(List(ListRequest("recordings/market", "", 2, page_.next_page_token())), Succeeds());
  EXPECT_THAT(page_.streams(), SizeIs(2));
  EXPECT_EQ(page_.next_page_token(), "");
}

TEST_F(StreamServiceTest, ATokenIsForItsRequest) {
  for (int i = 0; i < 3; ++i) archive_.Open("market");
  ASSERT_THAT(List(ListRequest("recordings/market", "state = OPEN", 2)), Succeeds());
  const std::string token = page_.next_page_token();
  const auto refused = Fails(grpc::INVALID_ARGUMENT, HasSubstr("belongs to another request"));
  EXPECT_THAT(List(ListRequest("recordings/market", "", 2, token)), refused);
  EXPECT_THAT(List(ListRequest("recordings/-", "state = OPEN", 2, token)), refused);
  EXPECT_THAT(List(ListRequest("recordings/market", "state = OPEN", 1, token)), Succeeds());
  EXPECT_THAT(List(ListRequest("recordings/market", "", 2, "nonsense")),
              Fails(grpc::INVALID_ARGUMENT, HasSubstr("page_token")));
  EXPECT_THAT(List(ListRequest("recordings/market", "", -5)),
              Fails(grpc::INVALID_ARGUMENT, HasSubstr("page_size")));
}

// ---- read

TEST_F(StreamServiceTest, ReadsAcrossSegmentsInChunks) {
  const StreamId id = archive_.Open("market");
  constexpr size_t kPiece = 300'000;
  constexpr size_t kPieces = 8;  // 2.4 MB: three segments
  for (size_t i = 0; i < kPieces; ++i) archive_.Append(id, Pattern(i * kPiece, kPiece));
  const Received received = Read(ReadRequest(NameOf(id)));
  EXPECT_THAT(received.status, Succeeds());
  EXPECT_EQ(received.begin, 0);
  EXPECT_TRUE(received.gapless);
  EXPECT_TRUE(received.data == Pattern(0, kPiece * kPieces));
  EXPECT_EQ(received.largest, size_t{1} << 20);
}

TEST_F(StreamServiceTest, ReadsAPart) {
  const StreamId id = archive_.Open("market");
  archive_.Append(id, Pattern(0, 100'000));
  v1::ReadStreamRequest request = ReadRequest(NameOf(id));
  request.set_offset(777);
  request.set_limit_bytes(5000);
  const Received received = Read(request);
  EXPECT_THAT(received.status, Succeeds());
  EXPECT_EQ(received.begin, 777);
  EXPECT_TRUE(received.data == Pattern(777, 5000));
}

// In their places, and not beyond the limit.
TEST_F(StreamServiceTest, TellsOfGaps) {
  const StreamId id = archive_.Open("market");
  archive_.Append(id, Pattern(0, 100));
  archive_.Drop(id, 40);
  archive_.Drop(id, 10);
  archive_.Append(id, Pattern(150, 100));
  archive_.Drop(id, 7);
  archive_.Close(id);
  ASSERT_THAT(Get(NameOf(id)), Succeeds());
  EXPECT_EQ(stream_.durable_bytes(), 257);
  EXPECT_EQ(stream_.dropped_bytes(), 57);
  const auto read = [&](int64_t offset, int64_t limit) {
    v1::ReadStreamRequest request = ReadRequest(NameOf(id));
    request.set_offset(offset);
    request.set_limit_bytes(limit);
    grpc::ClientContext context;
    const auto client = stub();
    const auto reader = client->ReadStream(&context, request);
    v1::ReadStreamResponse response;
    std::string told;
    int64_t next = offset;
    while (reader->Read(&response)) {
      EXPECT_EQ(response.offset(), next);
      EXPECT_NE(response.has_gap(), !response.data().empty());
      if (response.has_gap()) {
        EXPECT_EQ(response.gap().cause(), v1::ReadStreamResponse::Gap::POLICY);
        absl::StrAppend(&told, "-", response.gap().length_bytes(), " ");
        next += response.gap().length_bytes();
      } else {
        EXPECT_TRUE(response.data() ==
                    Pattern(static_cast<uint64_t>(next), response.data().size()));
        absl::StrAppend(&told, response.data().size(), " ");
        next += static_cast<int64_t>(response.data().size());
      }
    }
    EXPECT_THAT(reader->Finish(), Succeeds());
    return told;
  };
  EXPECT_EQ(read(0, 0), "100 -40 -10 100 -7 ");
  EXPECT_EQ(read(50, 70), "50 -20 ");
  EXPECT_EQ(read(120, 40), "-20 -10 10 ");
  EXPECT_EQ(read(255, 0), "-2 ");
  EXPECT_EQ(read(257, 0), "");
}

TEST_F(StreamServiceTest, ReadingAtTheEndGivesNothing) {
  const StreamId id = archive_.Open("market");
  archive_.Append(id, "hello");
  v1::ReadStreamRequest request = ReadRequest(NameOf(id));
  request.set_offset(5);
  EXPECT_THAT(Read(request).status, Succeeds());
  EXPECT_THAT(Read(request).data, IsEmpty());
  archive_.Close(id);
  EXPECT_THAT(Read(request).status, Succeeds());
}

TEST_F(StreamServiceTest, ReadRefusesWhatIsNotThere) {
  const StreamId id = archive_.Open("market");
  archive_.Append(id, "hello");
  v1::ReadStreamRequest request = ReadRequest(NameOf(id));
  request.set_offset(6);
  EXPECT_THAT(Read(request).status,
              Fails(grpc::OUT_OF_RANGE, AllOf(HasSubstr("offset 6 is not there yet"),
                                              HasSubstr("5 bytes of the stream are durable"))));
  archive_.Close(id);
  EXPECT_THAT(Read(request).status, Fails(grpc::OUT_OF_RANGE, HasSubstr("5")));
  request.set_follow(true);
  EXPECT_THAT(Read(request).status, Fails(grpc::OUT_OF_RANGE, HasSubstr("5")));
  EXPECT_THAT(Read(ReadRequest("recordings/market/streams/9-9-9")).status,
              Fails(grpc::NOT_FOUND, HasSubstr("9-9-9")));
  EXPECT_THAT(Read(ReadRequest("recordings/market")).status,
              Fails(grpc::INVALID_ARGUMENT, HasSubstr("streams")));
}

TEST_F(StreamServiceTest, ReadRefusesNegativeNumbers) {
  v1::ReadStreamRequest request = ReadRequest(NameOf(archive_.Open("market")));
  request.set_offset(-1);
  EXPECT_THAT(Read(request).status, Fails(grpc::INVALID_ARGUMENT, HasSubstr("offset -1")));
  request.set_offset(0);
  request.set_limit_bytes(-1);
  EXPECT_THAT(Read(request).status, Fails(grpc::INVALID_ARGUMENT, HasSubstr("limit_bytes -1")));
}

TEST_F(StreamServiceTest, WhatRetentionRemovedIsOutOfRange) {
  const StreamId id = archive_.Open("market");
  constexpr size_t kPiece = 300'000;
  constexpr size_t kPieces = 20;  // 6 MB into 4 MiB
  for (size_t i = 0; i < kPieces; ++i) archive_.Append(id, Pattern(i * kPiece, kPiece));
  ASSERT_THAT(Get(NameOf(id)), Succeeds());
  ASSERT_GT(stream_.begin_offset(), 0);

  v1::ReadStreamRequest request = ReadRequest(NameOf(id));
  request.set_offset(0);
  EXPECT_THAT(Read(request).status,
              Fails(grpc::OUT_OF_RANGE, HasSubstr(absl::StrCat(stream_.begin_offset()))));
  // Without an offset it begins where the stream does now.
  const Received rest = Read(ReadRequest(NameOf(id)));
  EXPECT_THAT(rest.status, Succeeds());
  EXPECT_EQ(rest.begin, stream_.begin_offset());
  EXPECT_TRUE(rest.data == Pattern(static_cast<uint64_t>(rest.begin), rest.data.size()));
  EXPECT_EQ(rest.begin + static_cast<int64_t>(rest.data.size()), int64_t{kPiece * kPieces});
}

TEST_F(StreamServiceTest, AReaderThatIsOvertakenLearnsWhereToGoOn) {
  const StreamId id = archive_.Open("market");
  constexpr size_t kPiece = 300'000;
  uint64_t end = 0;
  const auto append = [&](int pieces) {
    for (int i = 0; i < pieces; ++i, end += kPiece) archive_.Append(id, Pattern(end, kPiece));
  };
  append(9);  // 2.7 MB, all of it there
  grpc::ClientContext context;
  v1::ReadStreamRequest request = ReadRequest(NameOf(id));
  request.set_follow(true);
  const auto client = v1::StreamService::NewStub(Connect(/*small_window=*/true));
  const auto reader = client->ReadStream(&context, request);
  v1::ReadStreamResponse response;
  ASSERT_TRUE(reader->Read(&response));
  // From here on this client reads nothing: the server fills what gRPC buffers, and waits.
  append(60);  // 18 MB: several times all segments
  int64_t next = 0;
  do {
    EXPECT_EQ(response.offset(), next);
    EXPECT_TRUE(response.data() == Pattern(static_cast<uint64_t>(next), response.data().size()));
    next += static_cast<int64_t>(response.data().size());
  } while (reader->Read(&response));
  const grpc::Status status = reader->Finish();
  ASSERT_THAT(Get(NameOf(id)), Succeeds());
  EXPECT_LT(next, stream_.begin_offset());
  EXPECT_THAT(status, Fails(grpc::OUT_OF_RANGE, HasSubstr(absl::StrCat(stream_.begin_offset()))));
}

// ---- follow

TEST_F(StreamServiceTest, FollowsWithoutAGap) {
  const StreamId id = archive_.Open("market");
  archive_.Append(id, Pattern(0, 1000));
  Follower follower(*this, ReadRequest(NameOf(id)));
  ASSERT_TRUE(follower.WaitFor(1000));
  uint64_t end = 1000;
  for (const size_t n : {1u, 50'000u, 700'000u, 4096u, 600'000u, 9u}) {
    archive_.Append(id, Pattern(end, n));
    end += n;
    ASSERT_TRUE(follower.WaitFor(end)) << "new bytes arrive while the stream is open";
  }
  EXPECT_FALSE(follower.done());
  archive_.Close(id);
  const Received& received = follower.Join();
  EXPECT_THAT(received.status, Succeeds());
  EXPECT_TRUE(received.gapless);
  EXPECT_TRUE(received.data == Pattern(0, end));
}

TEST_F(StreamServiceTest, FollowsWhatAnotherProcessWrites) {
  ServeFilesOnly();
  const StreamId id = archive_.Open("market");
  Follower follower(*this, ReadRequest(NameOf(id)));
  uint64_t end = 0;
  for (const size_t n : {10u, 400'000u, 800'000u, 3u}) {
    archive_.Append(id, Pattern(end, n));
    end += n;
    ASSERT_TRUE(follower.WaitFor(end));
  }
  archive_.Close(id);
  const Received& received = follower.Join();
  EXPECT_THAT(received.status, Succeeds());
  EXPECT_TRUE(received.data == Pattern(0, end));
}

TEST_F(StreamServiceTest, FollowingEndsWhenNobodyWritesAnyMore) {
  ServeFilesOnly();
  const StreamId id = archive_.Open("market");
  archive_.Append(id, "hello");
  Follower follower(*this, ReadRequest(NameOf(id)));
  ASSERT_TRUE(follower.WaitFor(5));
  EXPECT_FALSE(follower.done());
  archive_.Abandon();  // as if it had been killed: the stream is open in the catalog
  const Received& received = follower.Join();
  EXPECT_THAT(received.status, Succeeds());
  EXPECT_EQ(received.data, "hello");
}

TEST_F(StreamServiceTest, FollowsFromAnOffsetThatIsNotThereYet) {
  const StreamId id = archive_.Open("market");
  archive_.Append(id, Pattern(0, 10));
  v1::ReadStreamRequest request = ReadRequest(NameOf(id));
  request.set_offset(1000);
  Follower follower(*this, request);
  archive_.Append(id, Pattern(10, 500));
  archive_.Append(id, Pattern(510, 1000));
  ASSERT_TRUE(follower.WaitFor(510));
  archive_.Close(id);
  const Received& received = follower.Join();
  EXPECT_THAT(received.status, Succeeds());
  EXPECT_EQ(received.begin, 1000);
  EXPECT_TRUE(received.data == Pattern(1000, 510));
}

TEST_F(StreamServiceTest, FollowsUpToALimit) {
  const StreamId id = archive_.Open("market");
  v1::ReadStreamRequest request = ReadRequest(NameOf(id));
  request.set_limit_bytes(100);
  Follower follower(*this, request);
  archive_.Append(id, Pattern(0, 60));
  ASSERT_TRUE(follower.WaitFor(60));
  archive_.Append(id, Pattern(60, 60));
  const Received& received = follower.Join();
  EXPECT_THAT(received.status, Succeeds());
  EXPECT_TRUE(received.data == Pattern(0, 100));
}

TEST_F(StreamServiceTest, FollowingADeletedRecordingEnds) {
  const StreamId id = archive_.Open("market");
  archive_.Append(id, "hello");
  Follower follower(*this, ReadRequest(NameOf(id)));
  ASSERT_TRUE(follower.WaitFor(5));
  archive_.Seal("market");
  archive_.PutRecording("market", RecordingState::kStopped);
  ASSERT_TRUE(archive_.keeper().DeleteRecording("market").ok());
  EXPECT_THAT(follower.Join().status, Fails(grpc::NOT_FOUND, HasSubstr("stream")));
}

TEST_F(StreamServiceTest, CancellingIsPrompt) {
  const StreamId id = archive_.Open("market");
  archive_.Append(id, "hello");
  Serve({.recorder = &recorder_, .readers_max = 1});
  {
    Follower follower(*this, ReadRequest(NameOf(id)));
    ASSERT_TRUE(follower.WaitFor(5));
    follower.Cancel();
    EXPECT_EQ(follower.Join().status.error_code(), grpc::CANCELLED);
  }
  // The server has noticed as well: its only place is free again.
  const absl::Time deadline = absl::Now() + absl::Seconds(5);
  grpc::Status status = Read(ReadRequest(NameOf(id))).status;
  while (!status.ok() && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(20));
    status = Read(ReadRequest(NameOf(id))).status;
  }
  EXPECT_THAT(status, Succeeds());
}

TEST_F(StreamServiceTest, ADeadlineEndsFollowing) {
  const StreamId id = archive_.Open("market");
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  v1::ReadStreamRequest request = ReadRequest(NameOf(id));
  request.set_follow(true);
  EXPECT_EQ(Read(request, &context).status.error_code(), grpc::DEADLINE_EXCEEDED);
}

TEST_F(StreamServiceTest, ShutdownEndsFollowingWithUnavailable) {
  const StreamId id = archive_.Open("market");
  archive_.Append(id, "hello");
  Follower follower(*this, ReadRequest(NameOf(id)));
  ASSERT_TRUE(follower.WaitFor(5));
  const absl::Time before = absl::Now();
  server_->Shutdown();
  EXPECT_LT(absl::Now() - before, absl::Milliseconds(1500)) << "nothing had to be cancelled";
  EXPECT_THAT(follower.Join().status, Fails(grpc::UNAVAILABLE, HasSubstr("shutting down")));
}

TEST_F(StreamServiceTest, ShutdownDoesNotWaitForAClientThatDoesNotRead) {
  const StreamId id = archive_.Open("market");
  for (uint64_t end = 0; end < 3'000'000; end += 300'000) {
    archive_.Append(id, Pattern(end, 300'000));
  }
  grpc::ClientContext context;
  const auto client = v1::StreamService::NewStub(Connect(/*small_window=*/true));
  const auto reader = client->ReadStream(&context, ReadRequest(NameOf(id)));
  v1::ReadStreamResponse response;
  ASSERT_TRUE(reader->Read(&response));
  const absl::Time before = absl::Now();
  server_->Shutdown();
  EXPECT_LT(absl::Now() - before, absl::Seconds(10));
  while (reader->Read(&response)) continue;
  EXPECT_THAT(reader->Finish(), Fails(grpc::UNAVAILABLE, HasSubstr("")));
}

TEST_F(StreamServiceTest, ReadersAreLimited) {
  const StreamId id = archive_.Open("market");
  archive_.Append(id, "hello");
  Serve({.recorder = &recorder_, .readers_max = 2});
  Follower first(*this, ReadRequest(NameOf(id)));
  Follower second(*this, ReadRequest(NameOf(id)));
  ASSERT_TRUE(first.WaitFor(5));
  ASSERT_TRUE(second.WaitFor(5));
  EXPECT_THAT(Read(ReadRequest(NameOf(id))).status,
              Fails(grpc::RESOURCE_EXHAUSTED, HasSubstr("2 calls are reading streams already")));
  EXPECT_THAT(Get(NameOf(id)), Succeeds()) << "other calls have threads of their own";
}

}  // namespace
}  // namespace sluice
