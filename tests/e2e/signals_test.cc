// How a recording ends.
#include <csignal>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMiB = uint64_t{1} << 20;
const Words kSmall = {"--capacity", "64MiB", "--segment-size", "4MiB"};

class SignalTest : public E2eTest, public ::testing::WithParamInterface<int> {
 protected:
  static void ExpectStopped(const Json& summary) {
    EXPECT_EQ(summary["state"].text(), "STOPPED");
    EXPECT_EQ(summary["bytesReceived"].int64(), summary["bytesDurable"].int64());
    EXPECT_EQ(summary["bytesDropped"].int64(), 0);
  }
};

TEST_P(SignalTest, EndsAnIdleRecording) {
  Recorder recorder(archive(), kSmall);
  const Json summary = recorder.Stop(GetParam());
  ExpectStopped(summary);
  EXPECT_EQ(summary["bytesReceived"].int64(), 0);
  EXPECT_EQ(Verify(archive()), "");
}

TEST_P(SignalTest, WhatTheKernelHasConfirmedIsRecorded) {
  Recorder recorder(archive(), kSmall);
  std::vector<Peer> peers;
  for (uint64_t number = 0; number < 5; ++number) {
    peers.emplace_back(content(), number, recorder.port());
    ASSERT_TRUE(peers.back().Send(1));
    AwaitDurable(target(), peers.back().address(), 1);  // and so it is accepted
  }
  // While the recorder stands still, its kernel takes what the socket buffers hold.
  recorder.child().Signal(SIGSTOP);
  for (Peer& peer : peers) peer.SendUntilFull();
  std::vector<uint64_t> confirmed;
  for (const Peer& peer : peers) confirmed.push_back(peer.acknowledged());
  recorder.child().Signal(GetParam());
  recorder.child().Signal(SIGCONT);
  ExpectStopped(recorder.AwaitSummary());

  EXPECT_EQ(Verify(archive()), "");
  for (const Peer& peer : peers) {
    const Json stream = FindStream(target(), peer.address());
    const auto durable = static_cast<uint64_t>(stream["durableBytes"].int64());
    EXPECT_GE(confirmed[peer.number()], 10'000u);
    EXPECT_GE(durable, confirmed[peer.number()]);
    EXPECT_LE(durable, peer.sent());
    EXPECT_EQ(stream["state"].text(), "CLOSED");
    EXPECT_EQ(stream["closeReason"].text(), "RECORDING_STOPPED");
    EXPECT_EQ(CompareExport(StreamId(stream), target(), content(),
                            {.number = peer.number(), .end = durable}),
              "");
  }
}

TEST_P(SignalTest, EverySegmentIsSealed) {
  Recorder recorder(archive(), kSmall);
  Peer peer(content(), 1, recorder.port());
  ASSERT_TRUE(peer.Send(9 * kMiB + 1));
  peer.AwaitAcknowledged();
  ExpectStopped(recorder.Stop(GetParam()));
  const Json info = AskSluice({"archive", "info", "--archive", archive()});
  EXPECT_EQ(info["segmentsOpen"].number(), 0);
  EXPECT_FALSE(info.Has("holder"));
  EXPECT_EQ(AskSluice({"recordings", "get", "default", "--archive", archive()})["state"].text(),
            "STOPPED");
}

INSTANTIATE_TEST_SUITE_P(Each, SignalTest, ::testing::Values(SIGINT, SIGTERM),
                         [](const auto& info) { return info.param == SIGINT ? "INT" : "TERM"; });

class EndTest : public E2eTest {};

TEST_F(EndTest, ASecondSignalForces) {
  Recorder recorder(archive(), kSmall);
  std::vector<Peer> peers;
  for (uint64_t number = 0; number < 4; ++number) {
    peers.emplace_back(content(), number, recorder.port());
    ASSERT_TRUE(peers.back().Send(1));
    AwaitDurable(target(), peers.back().address(), 1);
  }
  recorder.child().Signal(SIGSTOP);
  for (Peer& peer : peers) peer.SendUntilFull();  // much to drain
  recorder.child().Signal(SIGINT);
  recorder.child().Signal(SIGTERM);
  recorder.child().Signal(SIGCONT);
  EXPECT_EQ(recorder.child().Wait(), 1);
  EXPECT_THAT(recorder.child().err(), HasSubstr("second signal"));

  // As after a crash: what was durable is there.
  for (const Peer& peer : peers) {
    const Json stream = FindStream(target(), peer.address());
    const auto durable = static_cast<uint64_t>(stream["durableBytes"].int64());
    EXPECT_GE(durable, 1u);
    EXPECT_EQ(CompareExport(StreamId(stream), target(), content(),
                            {.number = peer.number(), .end = durable}),
              "");
  }
  EXPECT_EQ(Verify(archive()), "");
}

// As timeout(1) does, to its child and to the group that it is in.
TEST_F(EndTest, ASignalThatComesTwiceAtOnceIsOne) {
  Recorder recorder(archive(), kSmall);
  Peer peer(content(), 1, recorder.port());
  ASSERT_TRUE(peer.Send(kMiB));
  peer.AwaitAcknowledged();
  recorder.child().Signal(SIGTERM);
  const Json summary = recorder.Stop(SIGTERM);
  EXPECT_EQ(summary["state"].text(), "STOPPED");
}

TEST_F(EndTest, AfterADuration) {
  Words words = kSmall;
  words.insert(words.end(), {"--duration", "700ms"});
  Recorder recorder(archive(), words);
  Peer peer(content(), 1, recorder.port());
  ASSERT_TRUE(peer.Send(100'001));
  peer.AwaitAcknowledged();
  const Json summary = recorder.AwaitSummary();
  EXPECT_EQ(summary["state"].text(), "STOPPED");
  EXPECT_GE(summary["seconds"].number(), 0.7);
  EXPECT_EQ(summary["bytesDurable"].int64(), 100'001);
}

TEST_F(EndTest, AfterSoManyStreams) {
  Words words = kSmall;
  words.insert(words.end(), {"--exit-after-streams", "3"});
  Recorder recorder(archive(), words);
  Peer stays(content(), 9, recorder.port());
  ASSERT_TRUE(stays.Send(77));
  for (uint64_t number = 0; number < 3; ++number) {
    EXPECT_EQ(kill(recorder.child().pid(), 0), 0);
    Peer peer(content(), number, recorder.port());
    ASSERT_TRUE(peer.Send(kMiB + number));
    peer.FinishSending();
    EXPECT_TRUE(peer.AwaitClose());
  }
  const Json summary = recorder.AwaitSummary();
  EXPECT_EQ(summary["streamsOpened"].int64(), 4);
  EXPECT_EQ(summary["bytesDurable"].int64(), static_cast<int64_t>(3 * kMiB + 0 + 1 + 2 + 77));
}

TEST_F(EndTest, ASenderWithoutEndIsCutOff) {
  Recorder recorder(archive(), kSmall);
  Peer peer(content(), 1, recorder.port());
  std::thread sender([&peer] { peer.Send(uint64_t{1} << 50); });
  AwaitDurable(target(), peer.address(), kMiB);
  const Json summary = recorder.Stop();
  sender.join();
  EXPECT_EQ(summary["state"].text(), "STOPPED");
  EXPECT_EQ(summary["bytesDropped"].int64(), 0);
  const Json stream = FindStream(target(), peer.address());
  EXPECT_EQ(stream["closeReason"].text(), "RECORDING_STOPPED");
  EXPECT_EQ(CompareExport(StreamId(stream), target(), content(),
                          {.number = 1,
                           .begin = static_cast<uint64_t>(stream["beginOffset"].int64()),
                           .end = static_cast<uint64_t>(stream["durableBytes"].int64())}),
            "");
  EXPECT_EQ(Verify(archive()), "");
}

}  // namespace
}  // namespace sluice
