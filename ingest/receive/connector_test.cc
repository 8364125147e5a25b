#include "ingest/receive/connector.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

#include "gtest/gtest.h"
#include "ingest/ring/sim_ring.h"

namespace sluice {
namespace {

const SocketAddress kSource{4, 9000, 0, {10, 0, 0, 9}};

// Turns a connector as its track does, in simulated time.
class ConnectorTest : public ::testing::Test {
 protected:
  // Comes again when the connector asks for it; stops at a connection or at `end`.
  std::optional<int> RunUntil(absl::Duration end) {
    while (ring_.Monotonic() < end) {
      const absl::Duration before = ring_.Monotonic();
      const bool was_idle = connector_.idle();
      const absl::Duration wait = connector_.OnTurn(before);
      EXPECT_GT(wait, absl::ZeroDuration()) << "a lane would spin";
      if (was_idle && !connector_.idle()) attempts_.push_back(before);
      ring_.SubmitAndWait(std::min(wait, end - before));
      for (const Completion& done : ring_.Harvest()) {
        if (auto socket = connector_.OnConnect(done, ring_.Monotonic())) return socket;
      }
    }
    return std::nullopt;
  }
  std::optional<int> RunFor(absl::Duration time) { return RunUntil(ring_.Monotonic() + time); }

  void Disconnect(int socket, bool had_bytes) {
    ring_.CloseSocket(socket);
    connector_.OnDisconnected(had_bytes, ring_.Monotonic());
  }

  // The pause before each attempt but the first, rounded: a completion takes its time too.
  std::vector<int64_t> PausesMs() const {
    std::vector<int64_t> pauses;
    for (size_t i = 1; i < attempts_.size(); ++i) {
      pauses.push_back(absl::ToInt64Milliseconds(attempts_[i] - attempts_[i - 1]));
    }
    return pauses;
  }

  SimRing ring_{1};
  Connector connector_{ring_, 3, kSource};
  std::vector<absl::Duration> attempts_;
};

TEST_F(ConnectorTest, DialsAtOnce) {
  ring_.AddDialledPeer("");
  const absl::Duration start = ring_.Monotonic();
  const std::optional<int> socket = RunFor(absl::Seconds(1));
  ASSERT_TRUE(socket.has_value());
  EXPECT_EQ(attempts_, std::vector<absl::Duration>{start});
  EXPECT_EQ(ring_.PeerAddress(*socket).port, 1);
  EXPECT_EQ(connector_.failures(), 0u);
  EXPECT_TRUE(connector_.idle());
  // One connection at a time, and nothing to come back for.
  EXPECT_EQ(connector_.OnTurn(ring_.Monotonic()), absl::InfiniteDuration());
  EXPECT_TRUE(connector_.idle());
  ring_.CloseSocket(*socket);
}

TEST_F(ConnectorTest, PausesDoubleUpToTenSeconds) {
  EXPECT_FALSE(RunFor(absl::Seconds(60)).has_value());
  EXPECT_EQ(PausesMs(), (std::vector<int64_t>{100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000,
                                              10000, 10000}));
  EXPECT_EQ(connector_.failures(), attempts_.size());
}

TEST_F(ConnectorTest, AConnectionThatBroughtBytesStartsOver) {
  EXPECT_FALSE(RunFor(absl::Seconds(20)).has_value());
  ring_.AddDialledPeer("x");
  const std::optional<int> socket = RunFor(absl::Seconds(20));
  ASSERT_TRUE(socket.has_value());
  attempts_ = {ring_.Monotonic()};
  Disconnect(*socket, /*had_bytes=*/true);
  EXPECT_FALSE(RunFor(absl::Seconds(2)).has_value());
  EXPECT_EQ(PausesMs(), (std::vector<int64_t>{100, 200, 400, 800}));
}

TEST_F(ConnectorTest, AConnectionThatBroughtNothingDoesNot) {
  EXPECT_FALSE(RunFor(absl::Milliseconds(250)).has_value());  // pauses of 100 and 200 ms
  ring_.AddDialledPeer("");
  const std::optional<int> socket = RunFor(absl::Seconds(1));
  ASSERT_TRUE(socket.has_value());
  attempts_ = {ring_.Monotonic()};
  Disconnect(*socket, /*had_bytes=*/false);
  EXPECT_FALSE(RunFor(absl::Seconds(2)).has_value());
  EXPECT_EQ(PausesMs(), (std::vector<int64_t>{400, 800}));
}

// A source that accepts and hangs up is not dialled in a tight loop.
TEST_F(ConnectorTest, ConnectionsWithoutBytesPauseToo) {
  for (int i = 0; i < 4; ++i) {
    ring_.AddDialledPeer("");
    const std::optional<int> socket = RunFor(absl::Seconds(20));
    ASSERT_TRUE(socket.has_value());
    Disconnect(*socket, /*had_bytes=*/false);
  }
  EXPECT_EQ(PausesMs(), (std::vector<int64_t>{100, 200, 400}));
  EXPECT_EQ(connector_.failures(), 0u);
}

TEST_F(ConnectorTest, StoppedWhileConnecting) {
  connector_.OnTurn(ring_.Monotonic());
  ASSERT_FALSE(connector_.idle());
  connector_.Stop();
  EXPECT_FALSE(connector_.idle());  // the kernel still has the socket
  std::vector<Completion> all;
  for (int i = 0; i < 100 && all.empty(); ++i) {
    ring_.SubmitAndWait(absl::Milliseconds(10));
    for (const Completion& done : ring_.Harvest()) all.push_back(done);
  }
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].result, -ECANCELED);
  EXPECT_FALSE(connector_.OnConnect(all[0], ring_.Monotonic()).has_value());
  EXPECT_TRUE(connector_.idle());
  EXPECT_EQ(connector_.failures(), 0u);
  EXPECT_FALSE(RunFor(absl::Seconds(30)).has_value());
  EXPECT_TRUE(attempts_.empty());
}

// The connection came about before the cancellation: nobody wants it any more.
TEST_F(ConnectorTest, StoppedJustAfterItConnected) {
  const int peer = ring_.AddDialledPeer("");
  connector_.OnTurn(ring_.Monotonic());
  ring_.SubmitAndWait(absl::Milliseconds(10));
  const auto done = ring_.Harvest();
  ASSERT_EQ(done.size(), 1u);
  ASSERT_EQ(done[0].result, 0);
  connector_.Stop();
  EXPECT_FALSE(connector_.OnConnect(done[0], ring_.Monotonic()).has_value());
  EXPECT_TRUE(ring_.Gone(peer));
  EXPECT_TRUE(connector_.idle());
  EXPECT_FALSE(RunFor(absl::Seconds(30)).has_value());
  EXPECT_TRUE(attempts_.empty());
}

TEST_F(ConnectorTest, StoppedWhileItPauses) {
  EXPECT_FALSE(RunFor(absl::Milliseconds(50)).has_value());
  connector_.Stop();
  ring_.AddDialledPeer("");
  EXPECT_FALSE(RunFor(absl::Seconds(30)).has_value());
  EXPECT_EQ(attempts_.size(), 1u);
}

}  // namespace
}  // namespace sluice
