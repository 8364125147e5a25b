// A disk that stands still for ten seconds, under each back-pressure policy: what is exported is
// what was sent, but for what the gaps and the ledger say.
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
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

struct Gap {
  uint64_t begin;
  uint64_t end;
};

// A file system of its own, on a file, which can be frozen: whoever writes to it waits.
class FrozenDisk {
 public:
  explicit FrozenDisk(const std::string& directory)
      : image_(directory + "/disk"), mount_(directory + "/mount") {
    // Seen by nobody but this program and its children.
    if (unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      why_not_ = absl::StrCat("mount namespace: errno ", errno);
      return;
    }
    std::filesystem::create_directory(mount_);
    for (const Words& command : {Words{"/usr/bin/truncate", "-s", "1G", image_},
                                 Words{"/usr/sbin/mkfs.ext4", "-q", "-F", image_},
                                 Words{"/usr/bin/mount", "-o", "loop", image_, mount_}}) {
      const Outcome outcome = RunToEnd({.command = command});
      if (outcome.code == 0) continue;
      why_not_ = absl::StrCat(command.front(), ": ", outcome.err);
      return;
    }
    root_ = open(mount_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  ~FrozenDisk() {
    if (root_ < 0) return;
    if (frozen_) Thaw();
    close(root_);
    const Outcome unmounted = RunToEnd({.command = {"/usr/bin/umount", mount_}});
    EXPECT_EQ(unmounted.code, 0) << unmounted.err;
  }

  const std::string& mount() const { return mount_; }
  // Empty, or why there is none.
  const std::string& why_not() const { return why_not_; }
  void Freeze() {
    frozen_ = ioctl(root_, FIFREEZE, 0) == 0;
    if (!frozen_) why_not_ = absl::StrCat("FIFREEZE: errno ", errno);
  }
  void Thaw() {
    EXPECT_EQ(ioctl(root_, FITHAW, 0), 0);
    frozen_ = false;
  }

 private:
  const std::string image_;
  const std::string mount_;
  std::string why_not_;
  int root_ = -1;
  bool frozen_ = false;
};

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

  std::vector<Gap> Gaps(const Case& one, const std::string& id, const std::string& file) {
    const std::string list = absl::StrCat(directory(), "/", one.policy, ".gaps");
    Words words = {"export", id, "--to", file, "--gap-list", list};
    words.insert(words.end(), one.target.begin(), one.target.end());
    const Outcome exported = RunSluice(words);
    std::vector<Gap> gaps;
    std::ifstream lines(list);
    for (std::string line; std::getline(lines, line);) {
      const Json gap = Json::Parse(line);
      uint64_t offset = 0;
      uint64_t length = 0;
      EXPECT_TRUE(absl::SimpleAtoi(gap["offset"].text(), &offset));
      EXPECT_TRUE(absl::SimpleAtoi(gap["length"].text(), &length));
      EXPECT_EQ(gap["cause"].text(), "POLICY");
      gaps.push_back({offset, offset + length});
    }
    EXPECT_EQ(exported.code, gaps.empty() ? 0 : 3) << exported.err;
    return gaps;
  }

  // The file has the sender's bytes, but for the gaps'; nothing more.
  void ExpectSent(const std::string& file, const std::vector<Gap>& gaps, uint64_t sent) {
    const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    uint64_t at = 0;
    for (const Gap& gap : gaps) {
      ASSERT_LE(at, gap.begin);
      ASSERT_LT(gap.begin, gap.end);
      ASSERT_EQ(CompareBytes(fd, content(), 1, at, gap.begin - at), "");
      at = gap.end;
    }
    ASSERT_LE(at, sent);
    EXPECT_EQ(CompareBytes(fd, content(), 1, at, sent - at), "");
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
    const std::vector<Gap> gaps = Gaps(one, StreamId(stream), file);
    uint64_t dropped = 0;
    for (const Gap& gap : gaps) dropped += gap.end - gap.begin;

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
  FrozenDisk disk(directory());
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
