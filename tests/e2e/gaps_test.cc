// A stream that lacks bytes, as those who read it see it: from the files and through a daemon,
// afterwards and while it is recorded. Gaps are made by a disk that stands still while more is sent
// than memory takes, to a recording that drops the newest bytes rather than let its sender wait.
#include <fcntl.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/sluice/v1/streams.grpc.pb.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/own_disk.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kSome = 3 * kMiB + 7;
constexpr uint64_t kFlood = 64 * kMiB;  // far more than sockets and the region hold

// With the parameter true through a daemon, else from the files beside a recorder.
class GapsTest : public E2eTest, public ::testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    disk_.emplace(directory());
    if (!disk_->why_not().empty()) GTEST_SKIP() << "no disk to freeze: " << disk_->why_not();
    place_ = disk_->mount() + "/archive";
    // By memory alone: how long bytes wait is the machine's to say.
    if (GetParam()) {
      daemon_ = std::make_unique<Daemon>(
          directory(),
          absl::StrCat("archive { directory: \"", place_,
                       "\" capacity: \"192MiB\" segment_size: \"16MiB\" }\nregion_size: "
                       "\"16MiB\"\nrecording { id: \"a\" tcp_listen { address: \"127.0.0.1:0\" } "
                       "sync_interval: \"50ms\" back_pressure: DROP_NEWEST lag_limit: \"10m\" }"));
      source_ = daemon_->target();
      port_ = daemon_->Port("a");
    } else {
      recorder_ = std::make_unique<Recorder>(
          place_, Words{"--capacity", "192MiB", "--segment-size", "16MiB", "--region", "16MiB",
                        "--sync-interval", "50ms", "--back-pressure", "drop-newest", "--lag-limit",
                        "10m", "--name", "a"});
      source_ = {"--archive", place_};
      port_ = recorder_->port();
    }
    ASSERT_NE(port_, 0);
    peer_.emplace(content(), 1, port_);
  }

  // Sends more while the disk stands still, and waits until what was kept of it is durable.
  void Drop() {
    disk_->Freeze();
    ASSERT_EQ(disk_->why_not(), "");
    ASSERT_TRUE(peer_->Send(kFlood));  // waits for nobody, or this would not end
    disk_->Thaw();
    AwaitSent();
  }
  void SendSome() {
    ASSERT_TRUE(peer_->Send(kSome));
    AwaitSent();
  }
  void AwaitSent() { id_ = StreamId(AwaitDurable(source_, peer_->address(), peer_->sent())); }

  // Bytes, a gap, bytes, a gap, bytes, and the end.
  void RecordWithTwoGaps() {
    SendSome();
    Drop();
    SendSome();
    Drop();
    SendSome();
    peer_->FinishSending();
    ASSERT_TRUE(peer_->AwaitClose());
    Await([&] { return FindStream(source_, peer_->address()); },
          [](const Json& stream) { return stream["state"].text() == "CLOSED"; });
  }

  // `sluice export` of the stream.
  Words ExportWords(const Words& more) const {
    Words words = {"export", id_};
    words.insert(words.end(), source_.begin(), source_.end());
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Outcome Export(const Words& more) const { return RunSluice(ExportWords(more)); }
  std::vector<SentGap> Gaps() const {
    const std::string list = directory() + "/gaps";
    const Outcome exported = Export({"--to", "/dev/null", "--gap-list", list});
    std::vector<SentGap> gaps = ReadGapList(list);
    EXPECT_EQ(exported.code, gaps.empty() ? 0 : 3) << exported.err;
    return gaps;
  }
  // "" when the file has this part of the stream, and nothing more.
  std::string Compare(const std::string& file, const Expected& expected,
                      const std::vector<SentGap>& gaps, GapBytes shown) const {
    const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    std::string fault = CompareAroundGaps(fd, content(), expected, gaps, shown);
    char surplus = 0;
    if (fault.empty() && read(fd, &surplus, 1) != 0) fault = "goes on";
    close(fd);
    return fault;
  }

  std::optional<OwnDisk> disk_;
  std::string place_;
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<Recorder> recorder_;
  Words source_;
  uint16_t port_ = 0;
  std::optional<Peer> peer_;
  std::string id_;
};

TEST_P(GapsTest, EachModeShowsGapsAsItSays) {
  ASSERT_NO_FATAL_FAILURE(RecordWithTwoGaps());
  const std::vector<SentGap> gaps = Gaps();
  ASSERT_THAT(gaps, SizeIs(2));
  const uint64_t sent = peer_->sent();
  EXPECT_GE(gaps[0].begin, kSome);
  EXPECT_LE(gaps[0].end, kSome + kFlood);
  EXPECT_GE(gaps[1].begin, 2 * kSome + kFlood);
  EXPECT_LE(gaps[1].end, 2 * (kSome + kFlood));
  uint64_t dropped = 0;
  for (const SentGap& gap : gaps) dropped += gap.end - gap.begin;
  const Json stream = FindStream(source_, peer_->address());
  EXPECT_EQ(stream["droppedBytes"].int64(), static_cast<int64_t>(dropped));
  const std::string sum =
      absl::StrCat("the stream has 2 gaps: ", dropped, " bytes that were received and dropped");

  struct Mode {
    Words words;
    int code;
    GapBytes shown;
    std::string says;
  };
  for (const Mode& mode : {
           Mode{{}, 3, GapBytes::kLeftOut, sum + ", and are not in the output"},
           Mode{{"--gaps", "report"}, 3, GapBytes::kLeftOut, sum + ", and are not in the output"},
           Mode{{"--gaps", "skip"}, 0, GapBytes::kLeftOut, sum + ", and were skipped"},
           Mode{{"--gaps", "zeros"}, 0, GapBytes::kZeros, sum + ", and are zeros in the output"},
       }) {
    SCOPED_TRACE(testing::PrintToString(mode.words));
    const std::string file = directory() + "/bytes";
    const std::string list = directory() + "/list";
    Words words = {"--to", file, "--force", "--gap-list", list};
    words.insert(words.end(), mode.words.begin(), mode.words.end());
    const Outcome exported = Export(words);
    EXPECT_EQ(exported.code, mode.code) << exported.err;
    EXPECT_THAT(exported.err, HasSubstr(mode.says));
    const std::string first =
        absl::StrCat("gap: ", gaps[0].end - gaps[0].begin, " bytes from offset ", gaps[0].begin,
                     " were dropped (POLICY)");
    if (mode.code == 3) {
      EXPECT_THAT(exported.err, HasSubstr(first));
    } else {
      EXPECT_THAT(exported.err, Not(HasSubstr("gap: ")));
    }
    EXPECT_EQ(ReadGapList(list), gaps);
    EXPECT_EQ(std::filesystem::file_size(file),
              mode.shown == GapBytes::kZeros ? sent : sent - dropped);
    EXPECT_EQ(Compare(file, {1, 0, sent}, gaps, mode.shown), "");
  }
  const Outcome unknown = Export({"--to", "/dev/null", "--gaps", "ignore"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("none of report, skip and zeros"));
}

TEST_P(GapsTest, ARangeMayBeginAndEndInAGap) {
  ASSERT_NO_FATAL_FAILURE(RecordWithTwoGaps());
  const std::vector<SentGap> gaps = Gaps();
  ASSERT_THAT(gaps, SizeIs(2));
  const uint64_t begin = gaps[0].begin;
  const uint64_t end = gaps[0].end;
  ASSERT_GT(end - begin, 3 * kMiB);
  for (const Expected& range :
       {Expected{1, begin + kMiB, end - kMiB}, Expected{1, begin + 1, end + 1},
        Expected{1, begin - 1, begin + 1}, Expected{1, begin, end}, Expected{1, end, end + kMiB},
        Expected{1, begin - kMiB, gaps[1].end - 1}}) {
    SCOPED_TRACE(absl::StrCat(range.begin, " to ", range.end));
    // What of the gaps is in the range.
    std::vector<SentGap> inside;
    for (const SentGap& gap : gaps) {
      const SentGap part = {std::max(gap.begin, range.begin), std::min(gap.end, range.end)};
      if (part.begin < part.end) inside.push_back(part);
    }
    const std::string file = directory() + "/part";
    const std::string list = directory() + "/list";
    for (const char* mode : {"zeros", "report"}) {
      Words all = {"--to",
                   file,
                   "--force",
                   "--gap-list",
                   list,
                   "--from",
                   absl::StrCat(range.begin),
                   "--bytes",
                   absl::StrCat(range.end - range.begin),
                   "--gaps",
                   mode};
      const Outcome exported = Export(all);
      const bool zeros = std::string(mode) == "zeros";
      EXPECT_EQ(exported.code, zeros || inside.empty() ? 0 : 3) << exported.err;
      EXPECT_EQ(ReadGapList(list), inside);
      EXPECT_EQ(Compare(file, range, gaps, zeros ? GapBytes::kZeros : GapBytes::kLeftOut), "");
    }
  }
}

TEST_P(GapsTest, FollowersGoOnBehindAGap) {
  SendSome();
  struct Follower {
    std::unique_ptr<Child> child;
    GapBytes shown;
    int code;
  };
  std::vector<Follower> followers;
  for (const bool zeros : {false, true}) {
    ChildOptions options =
        Command(ExportWords({"--follow", "--to", "-", "--gaps", zeros ? "zeros" : "report"}));
    options.raw_out = true;
    followers.push_back({std::make_unique<Child>(options),
                         zeros ? GapBytes::kZeros : GapBytes::kLeftOut, zeros ? 0 : 3});
    // It has begun, and waits.
    ASSERT_EQ(CompareBytes(followers.back().child->out_fd(), content(), 1, 0, kSome), "");
  }
  uint64_t read_until = kSome;
  for (size_t round = 1; round <= 2; ++round) {
    ASSERT_NO_FATAL_FAILURE(Drop());
    SendSome();
    const std::vector<SentGap> gaps = Gaps();
    ASSERT_THAT(gaps, SizeIs(round));
    // The stream is open: the follower writes what there is without having seen the end.
    for (const Follower& follower : followers) {
      EXPECT_EQ(CompareAroundGaps(follower.child->out_fd(), content(),
                                  {1, read_until, peer_->sent()}, gaps, follower.shown),
                "");
    }
    read_until = peer_->sent();
  }
  peer_->FinishSending();
  for (const Follower& follower : followers) {
    char surplus = 0;
    EXPECT_EQ(read(follower.child->out_fd(), &surplus, 1), 0) << "more than was sent";
    EXPECT_EQ(follower.child->Wait(), follower.code) << follower.child->err();
    EXPECT_THAT(follower.child->err(), HasSubstr("the stream has 2 gaps"));
  }
}

INSTANTIATE_TEST_SUITE_P(From, GapsTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Daemon" : "Files"; });

// What a program sees that speaks gRPC to the daemon.
class GapsOfTheApiTest : public GapsTest {};

TEST_P(GapsOfTheApiTest, AGapStandsInPlaceOfItsBytes) {
  ASSERT_NO_FATAL_FAILURE(RecordWithTwoGaps());
  const std::vector<SentGap> gaps = Gaps();
  const auto stub = v1::StreamService::NewStub(
      grpc::CreateChannel("unix:" + daemon_->socket(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::ReadStreamRequest request;
  request.set_name(absl::StrCat("recordings/a/streams/", id_));
  const auto call = stub->ReadStream(&context, request);
  v1::ReadStreamResponse response;
  std::vector<SentGap> told;
  uint64_t at = 0;
  const std::string file = directory() + "/answers";
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  while (call->Read(&response)) {
    EXPECT_EQ(response.offset(), static_cast<int64_t>(at));
    EXPECT_NE(response.has_gap(), !response.data().empty());
    if (response.has_gap()) {
      EXPECT_EQ(response.gap().cause(), v1::ReadStreamResponse::Gap::POLICY);
      const uint64_t end = at + static_cast<uint64_t>(response.gap().length_bytes());
      if (!told.empty() && told.back().end == at) {
        told.back().end = end;  // gaps may follow one another
      } else {
        told.push_back({at, end});
      }
      at = end;
    } else {
      EXPECT_EQ(write(fd, response.data().data(), response.data().size()),
                static_cast<ssize_t>(response.data().size()));
      at += response.data().size();
    }
  }
  close(fd);
  const grpc::Status status = call->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(at, peer_->sent());
  EXPECT_EQ(told, gaps);
  EXPECT_EQ(Compare(file, {1, 0, at}, gaps, GapBytes::kLeftOut), "");
}

INSTANTIATE_TEST_SUITE_P(Of, GapsOfTheApiTest, ::testing::Values(true),
                         [](const auto& /*info*/) { return "Daemon"; });

}  // namespace
}  // namespace sluice
