// Senders that behave in all the ways that senders do.
#include <sys/socket.h>

#include <cerrno>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

const Words kSmall = {"--capacity", "64MiB", "--segment-size", "4MiB", "--sync-interval", "50ms"};

class PeersTest : public E2eTest {
 protected:
  PeersTest() : recorder_(archive(), kSmall) {}

  uint16_t port() const { return recorder_.port(); }

  // The one stream that there is, as it ended.
  Json AwaitClosed(const Peer& peer) {
    return Await(
        [&] { return FindStream(target(), peer.address()); },
        [](const Json& stream) { return !stream.is_null() && stream["state"].text() == "CLOSED"; });
  }
  // Recorded to the last byte, closed so.
  void ExpectStream(const Json& stream, const Peer& peer, const std::string& reason) {
    EXPECT_EQ(stream["closeReason"].text(), reason);
    EXPECT_EQ(stream["durableBytes"].int64(), static_cast<int64_t>(peer.sent()));
    EXPECT_EQ(CompareExport(StreamId(stream), target(), content(),
                            {.number = peer.number(), .end = peer.sent()}),
              "");
  }
  void ExpectCounted(uint64_t bytes) {
    const Json summary = recorder_.Stop();
    EXPECT_EQ(summary["streamsOpened"].int64(), 1);
    EXPECT_EQ(summary["streamsClosed"].int64(), 1);
    EXPECT_EQ(summary["bytesReceived"].int64(), static_cast<int64_t>(bytes));
    EXPECT_EQ(summary["bytesDurable"].int64(), static_cast<int64_t>(bytes));
    EXPECT_EQ(summary["bytesDropped"].int64(), 0);
    EXPECT_EQ(Verify(archive()), "");
  }

  Recorder recorder_;
};

TEST_F(PeersTest, ResetsTheConnection) {
  Peer peer(content(), 1, port());
  ASSERT_TRUE(peer.Send(1'000'003));
  AwaitDurable(target(), peer.address(), peer.sent());  // a reset throws away what was not read
  peer.Reset();
  ExpectStream(AwaitClosed(peer), peer, "RESET");
  ExpectCounted(peer.sent());
}

TEST_F(PeersTest, ResetsWhileBytesAreOnTheirWay) {
  Peer peer(content(), 1, port());
  ASSERT_TRUE(peer.Send(20'000'003));
  peer.Reset();
  const Json stream = AwaitClosed(peer);
  const auto durable = static_cast<uint64_t>(stream["durableBytes"].int64());
  EXPECT_LE(durable, peer.sent());
  EXPECT_EQ(CompareExport(StreamId(stream), target(), content(), {.number = 1, .end = durable}),
            "");
  ExpectCounted(durable);
}

TEST_F(PeersTest, HalfClosesAndWaits) {
  Peer peer(content(), 1, port());
  ASSERT_TRUE(peer.Send(1'000'003));
  peer.FinishSending();
  EXPECT_TRUE(peer.AwaitClose());
  ExpectStream(AwaitClosed(peer), peer, "END_OF_STREAM");
  ExpectCounted(peer.sent());
}

TEST_F(PeersTest, ClosesAtOnce) {
  Peer peer(content(), 1, port());
  ASSERT_TRUE(peer.Send(3'000'003));
  peer.Close();
  ExpectStream(AwaitClosed(peer), peer, "END_OF_STREAM");
  ExpectCounted(peer.sent());
}

TEST_F(PeersTest, SendsOneByteAtATime) {
  Peer peer(content(), 1, port());
  for (int i = 0; i < 20'000; ++i) ASSERT_TRUE(peer.Send(1));
  peer.FinishSending();
  EXPECT_TRUE(peer.AwaitClose());
  ExpectStream(AwaitClosed(peer), peer, "END_OF_STREAM");
  ExpectCounted(20'000);
}

TEST_F(PeersTest, SendsNothingAndCloses) {
  Peer peer(content(), 1, port());
  peer.Close();
  ExpectStream(AwaitClosed(peer), peer, "END_OF_STREAM");
  ExpectCounted(0);
}

TEST_F(PeersTest, SendsNothingAndResets) {
  Peer peer(content(), 1, port());
  peer.Reset();
  const auto look = [&] { return AskSluice({"streams", "--archive", archive()}); };
  const Json list = Await(look, [](const Json& streams) {
    return !streams.elements().empty() && streams.elements()[0]["state"].text() == "CLOSED";
  });
  ASSERT_EQ(list.elements().size(), 1u);
  const Json stream = list.elements()[0];
  EXPECT_EQ(stream["closeReason"].text(), "RESET");
  // A socket that is reset before anybody has asked it forgets whose it was.
  EXPECT_THAT(stream["peerAddress"].text(), testing::AnyOf(peer.address(), "unknown"));
  ExpectCounted(0);
}

TEST_F(PeersTest, ConnectsAndStaysIdle) {
  Peer peer(content(), 1, port());
  const Json stream = Await([&] { return FindStream(target(), peer.address()); },
                            [](const Json& found) { return !found.is_null(); });
  EXPECT_EQ(stream["state"].text(), "OPEN");
  EXPECT_EQ(stream["durableBytes"].int64(), 0);
  const Json summary = recorder_.Stop();
  EXPECT_EQ(summary["streamsOpened"].int64(), 1);
  ExpectStream(FindStream(target(), peer.address()), peer, "RECORDING_STOPPED");
}

TEST_F(PeersTest, GoesIdleAfterAFewBytes) {
  Peer peer(content(), 1, port());
  for (const uint64_t more : {1, 3, 5000}) {
    ASSERT_TRUE(peer.Send(more));
    // Nothing pushes them but the flush interval.
    EXPECT_EQ(AwaitDurable(target(), peer.address(), peer.sent())["state"].text(), "OPEN");
  }
  const std::string id = StreamId(FindStream(target(), peer.address()));
  EXPECT_EQ(CompareExport(id, target(), content(), {.number = 1, .end = peer.sent()}), "");
  recorder_.Stop();
  ExpectStream(FindStream(target(), peer.address()), peer, "RECORDING_STOPPED");
}

TEST_F(PeersTest, ReadsNothingBack) {
  Peer peer(content(), 1, port());
  ASSERT_TRUE(peer.Send(10));
  AwaitDurable(target(), peer.address(), 10);
  char byte = 0;
  EXPECT_LT(recv(peer.socket(), &byte, 1, MSG_DONTWAIT), 0);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(PeersTest, ComeOneAfterTheOther) {
  uint64_t bytes = 0;
  for (uint64_t number = 0; number < 200; ++number) {
    Peer peer(content(), number, port());
    ASSERT_TRUE(peer.Send(number * 31));
    bytes += peer.sent();
    peer.FinishSending();
    ASSERT_TRUE(peer.AwaitClose());
  }
  const Json summary = recorder_.Stop();
  EXPECT_EQ(summary["streamsOpened"].int64(), 200);
  EXPECT_EQ(summary["bytesDurable"].int64(), static_cast<int64_t>(bytes));
  const std::vector<Json> streams = AskSluice({"streams", "--archive", archive()}).elements();
  ASSERT_EQ(streams.size(), 200u);
  for (size_t i = 0; i < streams.size(); ++i) {
    EXPECT_EQ(streams[i]["durableBytes"].int64(), static_cast<int64_t>(i * 31));
  }
}

}  // namespace
}  // namespace sluice
