// A disk that stands still for ten seconds, under each back-pressure policy: what is exported is
// what was sent, but for what the gaps and the ledger say.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/own_disk.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr std::chrono::seconds kStall(10);
constexpr uint64_t kHead = 8 * kMiB;    // sent before the disk stands still
constexpr uint64_t kFlood = 96 * kMiB;  // meanwhile: far more than sockets and regions hold
constexpr uint64_t kTail = 8 * kMiB;    // after it

class StalledDiskTest : public E2eTest {
 protected:
  // One recording under one policy, and its sender.
  struct Case {
    std::string policy;
    Words target;
    std::unique_ptr<Recorder> recorder;
    std::unique_ptr<Peer> peer;
    bool sent = false;
    std::thread sender;
  };

  std::vector<SentGap> Gaps(const Case& one, const std::string& id, const std::string& file) {
    const std::string list = absl::StrCat(directory(), "/", one.policy, ".gaps");
    Words words = {"export", id, "--to", file, "--gap-list", list};
    words.insert(words.end(), one.target.begin(), one.target.end());
    const Outcome exported = RunSluice(words);
    std::vector<SentGap> gaps = ReadGapList(list);
    EXPECT_EQ(exported.code, gaps.empty() ? 0 : 3) << exported.err;
    return gaps;
  }

  // The file has the sender's bytes, but for the gaps'; nothing more.
  void ExpectSent(const std::string& file, const std::vector<SentGap>& gaps, uint64_t sent) {
    const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    EXPECT_EQ(CompareAroundGaps(fd, content(), {1, 0, sent}, gaps, GapBytes::kLeftOut), "");
    char surplus = 0;
    EXPECT_EQ(read(fd, &surplus, 1), 0) << "more than was sent";
    close(fd);
  }

  void ExpectAccounted(Case& one) {
    SCOPED_TRACE(one.policy);
    const uint64_t total = kHead + kFlood + kTail;
    const Json summary = one.recorder->Stop();
    EXPECT_EQ(summary["bytesReceived"].int64(), static_cast<int64_t>(total));
    const Json stream = FindStream(one.target, one.peer->address());
    const std::string file = absl::StrCat(directory(), "/", one.policy, ".bytes");
    const std::vector<SentGap> gaps = Gaps(one, StreamId(stream), file);
    uint64_t dropped = 0;
    for (const SentGap& gap : gaps) dropped += gap.end - gap.begin;

    // The ledger, the catalog and the gaps say the same; and so do the bytes.
    EXPECT_EQ(summary["bytesDropped"].int64(), static_cast<int64_t>(dropped));
    EXPECT_EQ(summary["figures"]["dropped"]["policy"].int64(), static_cast<int64_t>(dropped));
    EXPECT_EQ(summary["bytesDurable"].int64(), static_cast<int64_t>(total - dropped));
    EXPECT_EQ(stream["durableBytes"].int64(), static_cast<int64_t>(total));
    EXPECT_EQ(stream["droppedBytes"].int64(), static_cast<int64_t>(dropped));
    ExpectSent(file, gaps, total);
    EXPECT_EQ(Verify(one.target.back()), "");

    if (one.policy == "lossless") {
      EXPECT_THAT(gaps, IsEmpty());
      return;
    }
    ASSERT_FALSE(gaps.empty());
    EXPECT_GT(dropped, kFlood / 4);
    EXPECT_THAT(one.recorder->child().err(), HasSubstr("bytes were dropped until now"));
    // What was sent when the disk went, and what was sent after all.
    EXPECT_GE(gaps.front().begin, kHead);
    EXPECT_LE(gaps.back().end, kHead + kFlood);
    if (one.policy == "drop-oldest") {
      EXPECT_LE(gaps.back().end, kHead + kFlood - kMiB) << "the newest bytes were dropped";
    } else {
      EXPECT_GE(gaps.front().begin, kHead + kMiB) << "the oldest bytes were dropped";
    }
  }
};

TEST_F(StalledDiskTest, EachPolicyLosesWhatItSaysAndNothingElse) {
  OwnDisk disk(directory());
  if (!disk.why_not().empty()) GTEST_SKIP() << "no disk that can be frozen: " << disk.why_not();

  std::vector<Case> cases;
  for (const char* policy : {"lossless", "drop-newest", "drop-oldest"}) {
    Case& one = cases.emplace_back();
    one.policy = policy;
    const std::string archive = absl::StrCat(disk.mount(), "/", policy);
    one.target = {"--archive", archive};
    Words more = {"--capacity", "192MiB",          "--segment-size", "16MiB",           "--region",
                  "16MiB",      "--sync-interval", "100ms",          "--back-pressure", policy};
    // By memory alone: how long the bytes wait is the machine's to say.
    if (one.policy != "lossless") more.insert(more.end(), {"--lag-limit", "10m"});
    one.recorder = std::make_unique<Recorder>(archive, more);
    ASSERT_NE(one.recorder->port(), 0);
    one.peer = std::make_unique<Peer>(content(), 1, one.recorder->port());
    ASSERT_TRUE(one.peer->Send(kHead));
    AwaitDurable(one.target, one.peer->address(), kHead);
  }

  disk.Freeze();
  if (!disk.why_not().empty()) GTEST_SKIP() << "no disk that can be frozen: " << disk.why_not();
  const auto frozen = std::chrono::steady_clock::now();
  for (Case& one : cases) {
    one.sender = std::thread([&one] { one.sent = one.peer->Send(kFlood); });
  }
  // The senders of those that may drop never wait for the disk, or this would not end.
  cases[1].sender.join();
  cases[2].sender.join();
  std::this_thread::sleep_until(frozen + kStall);
  disk.Thaw();

  cases[0].sender.join();
  for (Case& one : cases) {
    SCOPED_TRACE(one.policy);
    ASSERT_TRUE(one.sent);
    AwaitDurable(one.target, one.peer->address(), kHead + kFlood);
    ASSERT_TRUE(one.peer->Send(kTail));
    one.peer->FinishSending();
    EXPECT_TRUE(one.peer->AwaitClose());
  }
  for (Case& one : cases) ExpectAccounted(one);
}

}  // namespace
}  // namespace sluice
