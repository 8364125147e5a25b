// A thousand streams at a time, on one lane and on two.
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "ingest/check.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

constexpr size_t kStreams = 1000;
constexpr uint64_t kLengthMax = uint64_t{3} << 20;
constexpr size_t kComparers = 2;

// Most are short, some are long, one in a hundred is empty.
uint64_t OddLength(std::mt19937_64& random) {
  if (random() % 100 == 0) return 0;
  return (random() % (kLengthMax >> (random() % 8))) | 1;
}

// All connections at once, each in pieces of odd sizes, in the order in which the kernel has room.
class PieceSender {
 public:
  PieceSender(const StreamContent& content, uint16_t port) : content_(content), random_(17) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    for (uint64_t number = 0; number < kStreams; ++number) {
      peers_.emplace_back(content_, number, port);
      lengths_.push_back(number == 0 ? kLengthMax : OddLength(random_));
      Watch(number, EPOLL_CTL_ADD, EPOLLOUT);
    }
  }
  ~PieceSender() { close(epoll_); }

  // Until the recorder has closed every connection, in order.
  void Run() {
    size_t open = kStreams;
    while (open > 0) {
      std::array<epoll_event, 64> events;
      const int n = epoll_wait(epoll_, events.data(), events.size(), 60'000);
      ASSERT_GT(n, 0) << open << " streams do not end";
      for (int i = 0; i < n; ++i) {
        const uint64_t number = events[static_cast<size_t>(i)].data.u64;
        if (peers_[number].sent() < lengths_[number]) {
          const uint64_t left = lengths_[number] - peers_[number].sent();
          peers_[number].TrySend(std::min<uint64_t>(left, random_() % 32'768 * 2 + 1));
        } else if ((events[static_cast<size_t>(i)].events & EPOLLIN) == 0) {
          peers_[number].FinishSending();
          Watch(number, EPOLL_CTL_MOD, EPOLLIN);
        } else {
          EXPECT_TRUE(peers_[number].AwaitClose());
          Watch(number, EPOLL_CTL_DEL, 0);
          --open;
        }
      }
    }
  }

  const std::vector<Peer>& peers() const { return peers_; }

 private:
  void Watch(uint64_t number, int how, uint32_t events) {
    epoll_event interest = {};
    interest.events = events;
    interest.data.u64 = number;
    SLUICE_CHECK(epoll_ctl(epoll_, how, peers_[number].socket(), &interest) == 0);
  }

  const StreamContent& content_;
  std::mt19937_64 random_;
  int epoll_;
  std::vector<Peer> peers_;
  std::vector<uint64_t> lengths_;
};

class ManyStreamsTest : public E2eTest, public ::testing::WithParamInterface<int> {
 protected:
  void SetUp() override {
    rlimit limit = {};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2 * kStreams) GTEST_SKIP() << "ulimit -n is only " << limit.rlim_cur;
  }

  void CompareAll(const std::map<std::string, Json>& streams, const std::vector<Peer>& peers) {
    std::vector<std::thread> comparers;
    for (size_t i = 0; i < kComparers; ++i) {
      comparers.emplace_back([this, i, &streams, &peers] {
        for (size_t number = i; number < peers.size(); number += kComparers) {
          const Peer& peer = peers[number];
          const auto stream = streams.find(peer.address());
          if (stream == streams.end()) {
            ADD_FAILURE() << peer.address() << " is not listed";
            continue;
          }
          EXPECT_EQ(stream->second["state"].text(), "CLOSED");
          EXPECT_EQ(stream->second["closeReason"].text(), "END_OF_STREAM");
          EXPECT_EQ(stream->second["durableBytes"].int64(), static_cast<int64_t>(peer.sent()));
          EXPECT_EQ(CompareExport(StreamId(stream->second), target(), content(),
                                  {.number = peer.number(), .end = peer.sent()}),
                    "");
        }
      });
    }
    for (std::thread& comparer : comparers) comparer.join();
  }
};

TEST_P(ManyStreamsTest, EachIsExact) {
  Recorder recorder(archive(), {"--capacity", "1GiB", "--lanes", std::to_string(GetParam()),
                                "--exit-after-streams", std::to_string(kStreams)});
  PieceSender sender(content(), recorder.port());
  std::thread thread([&sender] { sender.Run(); });
  thread.join();
  const Json summary = recorder.AwaitSummary();

  int64_t sent = 0;
  for (const Peer& peer : sender.peers()) sent += static_cast<int64_t>(peer.sent());
  EXPECT_EQ(summary["bytesReceived"].int64(), sent);
  EXPECT_EQ(summary["bytesDurable"].int64(), sent);
  EXPECT_EQ(summary["bytesDropped"].int64(), 0);
  EXPECT_EQ(summary["streamsOpened"].int64(), kStreams);
  EXPECT_EQ(summary["streamsClosed"].int64(), kStreams);
  EXPECT_EQ(summary["figures"]["connectionsRefused"].int64(), 0);
  EXPECT_EQ(Verify(archive()), "");

  std::map<std::string, Json> streams;
  std::set<char> lanes;  // the middle of "1-0-17"
  for (const Json& stream : AskSluice({"streams", "--archive", archive()}).elements()) {
    streams[stream["peerAddress"].text()] = stream;
    lanes.insert(StreamId(stream)[2]);
  }
  EXPECT_EQ(streams.size(), kStreams);
  EXPECT_EQ(lanes.size(), static_cast<size_t>(GetParam()));  // the kernel has spread them
  CompareAll(streams, sender.peers());
}

INSTANTIATE_TEST_SUITE_P(Lanes, ManyStreamsTest, ::testing::Values(1, 2),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace sluice
