// sluice serve, and those who talk to it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;

class DaemonTest : public E2eTest {
 protected:
  DaemonTest() { Start(); }

  void Start() {
    daemon_.reset();
    daemon_ = std::make_unique<Daemon>(
        directory(), absl::StrCat("archive { directory: \"", archive(),
                                  "\" capacity: \"64MiB\" segment_size: \"4MiB\" }\n"
                                  "recording { id: \"feed\" tcp_listen { address: "
                                  "\"127.0.0.1:0\" } sync_interval: \"50ms\" }\n"));
    EXPECT_NE(daemon_->Port("feed"), 0);
  }

  Outcome Ask(const Words& words) {
    Words all = words;
    all.insert(all.end(), {"--socket", daemon_->socket()});
    return RunSluice(all);
  }
  Json AskJson(Words words) {
    words.insert(words.end(), {"--socket", daemon_->socket()});
    return AskSluice(words);
  }
  // A whole stream; its name.
  std::string Record(const std::string& recording, uint64_t number, uint64_t bytes) {
    Peer peer(content(), number, PortOf(daemon_->Recording(recording)["boundAddress"].text()));
    EXPECT_TRUE(peer.Send(bytes));
    peer.FinishSending();
    EXPECT_TRUE(peer.AwaitClose());
    const Json stream = Await(
        [&] { return FindStream(daemon_->target(), peer.address()); },
        [](const Json& found) { return !found.is_null() && found["state"].text() == "CLOSED"; });
    return StreamId(stream);
  }
  std::vector<std::string> RecordingNames() {
    std::vector<std::string> names;
    for (const Json& recording : AskJson({"recordings"}).elements()) {
      names.push_back(recording["name"].text());
    }
    return names;
  }
  std::vector<std::string> Ids(const Words& more) {
    Words words = {"streams"};
    words.insert(words.end(), more.begin(), more.end());
    std::vector<std::string> ids;
    for (const Json& stream : AskJson(words).elements()) ids.push_back(StreamId(stream));
    return ids;
  }

  std::unique_ptr<Daemon> daemon_;
};

TEST_F(DaemonTest, RecordsWhatTheConfigurationNames) {
  const Json feed = daemon_->Recording("feed");
  EXPECT_EQ(feed["name"].text(), "recordings/feed");
  EXPECT_EQ(feed["state"].text(), "RECORDING");
  EXPECT_EQ(feed["syncInterval"].text(), "0.050s");
  EXPECT_EQ(feed["flushInterval"].text(), "0.500s");
  const std::string id = Record("feed", 1, 5'000'001);
  EXPECT_EQ(CompareExport(id, daemon_->target(), content(), {.number = 1, .end = 5'000'001}), "");
}

TEST_F(DaemonTest, CreatesGetsListsStopsAndDeletesRecordings) {
  const Json created = AskJson({"recordings", "create", "other", "--tcp", "127.0.0.1:0",
                                "--flush-interval", "20ms", "--sync-interval", "30ms"});
  EXPECT_EQ(created["state"].text(), "RECORDING");
  EXPECT_EQ(created["flushInterval"].text(), "0.020s");
  EXPECT_THAT(RecordingNames(), ElementsAre("recordings/feed", "recordings/other"));
  const std::string id = Record("other", 1, 300'003);

  EXPECT_EQ(Ask({"recordings", "delete", "other"}).code, 1);  // it runs
  const Json stopped = AskJson({"recordings", "stop", "other"});
  EXPECT_EQ(stopped["state"].text(), "STOPPED");
  EXPECT_EQ(stopped["figures"]["bytesDurable"].int64(), 300'003);
  EXPECT_EQ(daemon_->Recording("other")["state"].text(), "STOPPED");
  EXPECT_EQ(CompareExport(id, daemon_->target(), content(), {.number = 1, .end = 300'003}), "");

  EXPECT_EQ(Ask({"recordings", "delete", "other"}).code, 0);
  EXPECT_THAT(RecordingNames(), ElementsAre("recordings/feed"));
  EXPECT_EQ(Ask({"recordings", "get", "other"}).code, 1);
  EXPECT_EQ(Ask({"export", id, "--to", "-"}).code, 1);
  EXPECT_EQ(Verify(archive()), "");
}

TEST_F(DaemonTest, AStoppedRecordingGoesOnUnderItsName) {
  const std::string uid = daemon_->Recording("feed")["uid"].text();
  const std::string first = Record("feed", 1, 1001);
  AskJson({"recordings", "stop", "feed"});
  const Json again = AskJson({"recordings", "create", "feed", "--tcp", "127.0.0.1:0"});
  EXPECT_EQ(again["uid"].text(), uid);
  const std::string second = Record("feed", 2, 2002);
  EXPECT_THAT(Ids({"--recording", "feed"}), ElementsAre(first, second));
}

TEST_F(DaemonTest, RefusesWhatCannotBe) {
  const std::string port = std::to_string(daemon_->Port("feed"));
  EXPECT_THAT(Ask({"recordings", "create", "feed", "--tcp", "127.0.0.1:0"}).err,
              HasSubstr("'feed' is already recording"));
  const Outcome in_use = Ask({"recordings", "create", "b", "--tcp", "127.0.0.1:" + port});
  EXPECT_EQ(in_use.code, 1);
  EXPECT_THAT(in_use.err, AllOf(HasSubstr("listen on 127.0.0.1:" + port), HasSubstr("in use")));
  EXPECT_EQ(Ask({"recordings", "create", "No-Name", "--tcp", "127.0.0.1:0"}).code, 2);
  EXPECT_EQ(Ask({"recordings", "stop", "nothing"}).code, 1);
  EXPECT_EQ(Ask({"recordings", "get", "nothing"}).code, 1);
  EXPECT_EQ(Ask({"recordings", "delete", "nothing"}).code, 1);
  EXPECT_THAT(RecordingNames(), ElementsAre("recordings/feed"));
}

TEST_F(DaemonTest, StoppingDrains) {
  Peer peer(content(), 1, daemon_->Port("feed"));
  ASSERT_TRUE(peer.Send(100'001));
  peer.AwaitAcknowledged();
  const Json stopped = AskJson({"recordings", "stop", "feed", "--drain-limit", "30s"});
  EXPECT_EQ(stopped["state"].text(), "STOPPED");
  EXPECT_EQ(stopped["figures"]["bytesDurable"].int64(), 100'001);
  EXPECT_EQ(stopped["figures"]["bytesDropped"].int64(), 0);
}

TEST_F(DaemonTest, FiltersStreams) {
  AskJson({"recordings", "create", "other", "--tcp", "127.0.0.1:0"});
  const std::string a = Record("feed", 1, 10);
  const std::string b = Record("other", 2, 20);
  Peer open(content(), 3, daemon_->Port("feed"));
  ASSERT_TRUE(open.Send(30));
  const std::string c = StreamId(AwaitDurable(daemon_->target(), open.address(), 30));

  EXPECT_THAT(Ids({}), ElementsAre(a, b, c));
  EXPECT_THAT(Ids({"--recording", "feed"}), ElementsAre(a, c));
  EXPECT_THAT(Ids({"--filter", "state = OPEN"}), ElementsAre(c));
  EXPECT_THAT(Ids({"--filter", "state != OPEN AND close_reason = END_OF_STREAM"}),
              ElementsAre(a, b));
  EXPECT_THAT(Ids({"--filter", "peer_address = \"127.0.0.1*\" AND state = CLOSED"}),
              ElementsAre(a, b));
  EXPECT_THAT(Ids({"--filter", "peer_address = \"10.*\""}), IsEmpty());
  EXPECT_THAT(Ids({"--filter", "open_time >= \"2000-01-01T00:00:00Z\""}), ElementsAre(a, b, c));
  EXPECT_THAT(Ids({"--filter", "open_time < \"2000-01-01T00:00:00Z\""}), IsEmpty());
  const Outcome wrong = Ask({"streams", "--filter", "colour = RED"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.err, AllOf(HasSubstr("character 1"), HasSubstr("colour")));
}

TEST_F(DaemonTest, ListsPageByPage) {
  std::vector<std::string> ids;
  for (uint64_t number = 0; number < 7; ++number) ids.push_back(Record("feed", number, number));
  for (const char* size : {"1", "3", "7", "1000"}) EXPECT_EQ(Ids({"--page-size", size}), ids);
}

TEST_F(DaemonTest, TellsItsStatus) {
  Record("feed", 1, 4321);
  const Json status = AskJson({"status"});
  EXPECT_EQ(status["daemon"]["pid"].number(), daemon_->child().pid());
  EXPECT_EQ(status["daemon"]["lanes"].number(), 1);
  EXPECT_EQ(status["archive"]["capacityBytes"].int64(), int64_t{64} << 20);
  EXPECT_EQ(status["archive"]["holder"]["pid"].number(), daemon_->child().pid());
  EXPECT_EQ(status["archive"]["holder"]["purpose"].text(), "serve");
  const Json feed = status["recordings"].elements().at(0);
  EXPECT_EQ(feed["figures"]["bytesReceived"].int64(), 4321);
  EXPECT_EQ(feed["figures"]["streamsClosed"].int64(), 1);
  EXPECT_EQ(feed["storedBytes"].int64(), 4321);
}

TEST_F(DaemonTest, AnswersForItsArchive) {
  const Json status = AskSluice({"status", "--archive", archive()});
  EXPECT_EQ(status["daemon"]["pid"].number(), daemon_->child().pid());
  // What only a daemon can do.
  AskSluice({"recordings", "create", "more", "--tcp", "127.0.0.1:0", "--archive", archive()});
  EXPECT_THAT(RecordingNames(), ElementsAre("recordings/feed", "recordings/more"));
}

TEST_F(DaemonTest, ASecondWriterIsRefusedAndToldWhoHoldsTheArchive) {
  const Outcome outcome = RunSluice({"record", "--tcp", "127.0.0.1:0", "--archive", archive()});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr(archive()),
                                 HasSubstr(absl::StrCat("process ", daemon_->child().pid())),
                                 HasSubstr("serve")));
  const Outcome rebuild = RunSluice({"archive", "rebuild", "--archive", archive()});
  EXPECT_EQ(rebuild.code, 1);
  EXPECT_THAT(rebuild.err, HasSubstr("already open for writing"));
}

TEST_F(DaemonTest, SigtermDrainsAndEndsInOrder) {
  Peer peer(content(), 1, daemon_->Port("feed"));
  ASSERT_TRUE(peer.Send(1));
  AwaitDurable(daemon_->target(), peer.address(), 1);
  daemon_->child().Signal(SIGSTOP);
  peer.SendUntilFull();
  const uint64_t confirmed = peer.acknowledged();
  daemon_->child().Signal(SIGTERM);
  daemon_->child().Signal(SIGCONT);
  EXPECT_EQ(daemon_->child().Wait(), 0) << daemon_->child().err();
  EXPECT_NE(access(daemon_->socket().c_str(), F_OK), 0);

  const Json stream = FindStream(target(), peer.address());
  const auto durable = static_cast<uint64_t>(stream["durableBytes"].int64());
  EXPECT_GE(durable, confirmed);
  EXPECT_EQ(stream["closeReason"].text(), "RECORDING_STOPPED");
  EXPECT_EQ(CompareExport(StreamId(stream), target(), content(), {.number = 1, .end = durable}),
            "");
  EXPECT_EQ(Verify(archive()), "");
  EXPECT_EQ(AskSluice({"archive", "info", "--archive", archive()})["segmentsOpen"].number(), 0);
}

TEST_F(DaemonTest, SigtermEndsWhileAReaderFollows) {
  Peer peer(content(), 1, daemon_->Port("feed"));
  ASSERT_TRUE(peer.Send(1000));
  const std::string id = StreamId(AwaitDurable(daemon_->target(), peer.address(), 1000));
  ChildOptions options =
      Command({"export", id, "--follow", "--to", "-", "--socket", daemon_->socket()});
  options.raw_out = true;
  Child reader(options);
  ASSERT_EQ(CompareBytes(reader.out_fd(), content(), 1, 0, 1000), "");
  EXPECT_EQ(daemon_->Stop(), 0) << daemon_->child().err();
  reader.CloseOut();
  EXPECT_LE(reader.Wait(), 1);
}

TEST_F(DaemonTest, StartsAgainWithWhatItHad) {
  const std::string uid = daemon_->Recording("feed")["uid"].text();
  const std::string id = Record("feed", 1, 123'457);
  EXPECT_EQ(daemon_->Stop(), 0);
  Start();
  const Json feed = daemon_->Recording("feed");
  EXPECT_EQ(feed["uid"].text(), uid);
  EXPECT_EQ(feed["storedBytes"].int64(), 123'457);
  EXPECT_EQ(CompareExport(id, daemon_->target(), content(), {.number = 1, .end = 123'457}), "");
}

TEST_F(DaemonTest, StartsAgainAfterItWasKilled) {
  const std::string id = Record("feed", 1, 123'457);
  Peer peer(content(), 2, daemon_->Port("feed"));
  ASSERT_TRUE(peer.Send(1000));
  AwaitDurable(daemon_->target(), peer.address(), 1000);
  EXPECT_EQ(daemon_->Stop(SIGKILL), 128 + SIGKILL);
  Start();  // beside the socket's file that the first one left
  const Json recovery = AskJson({"status"})["recovery"];
  EXPECT_EQ(recovery["segmentsSealed"].number(), 1);
  EXPECT_EQ(recovery["streamsInterrupted"].number(), 1);
  EXPECT_EQ(CompareExport(id, daemon_->target(), content(), {.number = 1, .end = 123'457}), "");
  const Json stream = FindStream(daemon_->target(), peer.address());
  EXPECT_EQ(stream["closeReason"].text(), "INTERRUPTED");
  EXPECT_EQ(
      CompareExport(StreamId(stream), daemon_->target(), content(), {.number = 2, .end = 1000}),
      "");
}

TEST_F(DaemonTest, OnlyItsUserMayAsk) {
  struct stat info = {};
  ASSERT_EQ(stat(daemon_->socket().c_str(), &info), 0);
  EXPECT_TRUE(S_ISSOCK(info.st_mode));
  EXPECT_EQ(info.st_mode & 07, 0u);  // nothing for others
}

TEST_F(DaemonTest, NobodyAnswersOnADeadSocket) {
  const std::string socket = daemon_->socket();
  EXPECT_EQ(daemon_->Stop(), 0);
  const Outcome outcome = RunSluice({"status", "--socket", socket});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("no daemon answers on " + socket));
}

TEST_F(DaemonTest, AnswersAClientThatKnowsNothingOfIt) {
  const ChildOptions can_run = {
      .command = {"/usr/bin/python3", "-c", "import grpc, google.protobuf"}};
  if (RunToEnd(can_run).code != 0) GTEST_SKIP() << "python3-grpcio is not installed";
  std::vector<std::string> names;
  for (uint64_t number = 0; number < 5; ++number) {
    names.push_back("recordings/feed/streams/" + Record("feed", number, 400'000 * number));
  }
  const Outcome outcome =
      RunToEnd({.command = {"/usr/bin/python3", "tests/e2e/third_party_client.py",
                            daemon_->socket(), "recordings/feed"}});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json told = Json::Parse(outcome.out);

  std::vector<std::string> services;
  for (const Json& service : told["services"].elements()) services.push_back(service.text());
  EXPECT_THAT(services, IsSupersetOf({"grpc.health.v1.Health", "sluice.v1.RecordingService",
                                      "sluice.v1.StreamService", "sluice.v1.StatusService"}));
  EXPECT_EQ(told["health"].text(), "SERVING");
  EXPECT_EQ(told["status"]["daemon"]["pid"].number(), daemon_->child().pid());

  std::vector<std::string> paged;
  for (const Json& page : told["pages"].elements()) {
    EXPECT_LE(page.elements().size(), 2u);
    for (const Json& name : page.elements()) paged.push_back(name.text());
  }
  EXPECT_EQ(paged, names);
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(told["lengths"][names[i]].number(), 400'000.0 * static_cast<double>(i));
  }
  EXPECT_EQ(told["errors"]["stream"]["code"].text(), "NOT_FOUND");
  EXPECT_EQ(told["errors"]["offset"]["code"].text(), "OUT_OF_RANGE");
  EXPECT_EQ(told["errors"]["parent"]["code"].text(), "NOT_FOUND");
  EXPECT_EQ(told["errors"]["page"]["code"].text(), "INVALID_ARGUMENT");
}

TEST_F(DaemonTest, OutlivesClientsThatTalkNonsense) {
  for (int i = 0; i < 20; ++i) {
    const ChildOptions client = {.command = {"/usr/bin/python3", "-c",
                                             "import socket, sys\n"
                                             "s = socket.socket(socket.AF_UNIX)\n"
                                             "s.connect(sys.argv[1])\n"
                                             "s.send(bytes(range(256)) * 10)\n",
                                             daemon_->socket()}};
    EXPECT_EQ(RunToEnd(client).code, 0);
  }
  EXPECT_EQ(daemon_->Recording("feed")["state"].text(), "RECORDING");
}

}  // namespace
}  // namespace sluice
