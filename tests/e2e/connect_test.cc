// The recorder dials the sender, again and again.
#include <csignal>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

class ConnectTest : public E2eTest {
 protected:
  ChildOptions Record(uint16_t port, const Words& more = {}) {
    Words words = {"record",
                   "--tcp",
                   absl::StrCat("127.0.0.1:", port),
                   "--connect",
                   "--archive",
                   archive(),
                   "--capacity",
                   "64MiB",
                   "--segment-size",
                   "4MiB",
                   "--sync-interval",
                   "50ms",
                   "--output",
                   "json"};
    words.insert(words.end(), more.begin(), more.end());
    return Command(words);
  }
};

TEST_F(ConnectTest, DialsAgainWhenTheSenderHasClosed) {
  Server server;
  Child recorder(Record(server.port(), {"--exit-after-streams", "3"}));
  const uint64_t lengths[] = {300'001, 0, 5'000'003};
  for (const uint64_t length : lengths) {
    Peer peer(content(), length, server.Accept());
    EXPECT_TRUE(peer.Send(length));
    peer.FinishSending();
    EXPECT_TRUE(peer.AwaitClose());
  }
  EXPECT_EQ(recorder.Wait(), 0) << recorder.err();
  const Json summary = Json::Parse(recorder.out());
  EXPECT_EQ(summary["streamsClosed"].int64(), 3);
  EXPECT_EQ(summary["bytesDurable"].int64(), 5'300'004);
  EXPECT_EQ(Verify(archive()), "");

  const std::vector<Json> streams = AskSluice({"streams", "--archive", archive()}).elements();
  ASSERT_EQ(streams.size(), 3u);
  for (size_t i = 0; i < streams.size(); ++i) {
    EXPECT_EQ(streams[i]["peerAddress"].text(), absl::StrCat("127.0.0.1:", server.port()));
    EXPECT_EQ(streams[i]["closeReason"].text(), "END_OF_STREAM");
    EXPECT_EQ(CompareExport(StreamId(streams[i]), target(), content(),
                            {.number = lengths[i], .end = lengths[i]}),
              "");
  }
}

TEST_F(ConnectTest, CountsRefusedConnectionsAndComesBack) {
  auto server = std::make_unique<Server>();
  const uint16_t port = server->port();
  Daemon daemon(directory(), absl::StrCat("archive { directory: \"", archive(),
                                          "\" capacity: \"64MiB\" } recording { id: \"feed\" "
                                          "tcp_connect { address: \"127.0.0.1:",
                                          port, "\" } sync_interval: \"50ms\" }"));
  const std::string source = absl::StrCat("127.0.0.1:", port);
  {
    Peer peer(content(), 1, server->Accept());
    server.reset();  // from here on nobody listens
    EXPECT_TRUE(peer.Send(1'000'001));
    AwaitDurable(daemon.target(), source, 1'000'001);
    peer.Reset();
  }
  Await([&] { return daemon.Recording("feed"); },
        [](const Json& feed) { return feed["figures"]["connectFailures"].int64() >= 3; });

  server = std::make_unique<Server>(port);
  Peer peer(content(), 2, server->Accept());
  server.reset();  // else the recorder's next attempt would be a third stream
  EXPECT_TRUE(peer.Send(2'000'003));
  peer.FinishSending();
  EXPECT_TRUE(peer.AwaitClose());
  const Json feed =
      Await([&] { return daemon.Recording("feed"); },
            [](const Json& now) { return now["figures"]["streamsClosed"].int64() == 2; });
  EXPECT_EQ(feed["state"].text(), "RECORDING");
  EXPECT_EQ(daemon.Stop(), 0) << daemon.child().err();

  const std::vector<Json> streams = AskSluice({"streams", "--archive", archive()}).elements();
  ASSERT_EQ(streams.size(), 2u);
  EXPECT_EQ(streams[0]["closeReason"].text(), "RESET");
  EXPECT_EQ(
      CompareExport(StreamId(streams[0]), target(), content(), {.number = 1, .end = 1'000'001}),
      "");
  EXPECT_EQ(streams[1]["closeReason"].text(), "END_OF_STREAM");
  EXPECT_EQ(
      CompareExport(StreamId(streams[1]), target(), content(), {.number = 2, .end = 2'000'003}),
      "");
  EXPECT_EQ(Verify(archive()), "");
}

TEST_F(ConnectTest, StartsBeforeTheSender) {
  const uint16_t port = UnusedPort();
  Child recorder(Record(port, {"--exit-after-streams", "1"}));
  ASSERT_TRUE(recorder.AwaitErr("connecting to")) << recorder.err();
  Server server(port);
  Peer peer(content(), 1, server.Accept());
  EXPECT_TRUE(peer.Send(12'345));
  peer.FinishSending();
  EXPECT_EQ(recorder.Wait(), 0) << recorder.err();
  EXPECT_EQ(Json::Parse(recorder.out())["bytesDurable"].int64(), 12'345);
}

TEST_F(ConnectTest, ASignalEndsItWhileNobodyListens) {
  Child recorder(Record(UnusedPort()));
  ASSERT_TRUE(recorder.AwaitErr("connecting to")) << recorder.err();
  recorder.Signal(SIGTERM);
  EXPECT_EQ(recorder.Wait(), 0) << recorder.err();
  EXPECT_EQ(Json::Parse(recorder.out())["state"].text(), "STOPPED");
}

TEST_F(ConnectTest, ASignalDrainsAnOpenConnection) {
  Server server;
  Child recorder(Record(server.port()));
  Peer peer(content(), 1, server.Accept());
  EXPECT_TRUE(peer.Send(3'000'001));
  peer.AwaitAcknowledged();
  recorder.Signal(SIGTERM);
  EXPECT_EQ(recorder.Wait(), 0) << recorder.err();
  const Json stream = FindStream(target(), absl::StrCat("127.0.0.1:", server.port()));
  EXPECT_EQ(stream["closeReason"].text(), "RECORDING_STOPPED");
  EXPECT_EQ(CompareExport(StreamId(stream), target(), content(), {.number = 1, .end = 3'000'001}),
            "");
}

}  // namespace
}  // namespace sluice
