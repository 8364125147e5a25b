// Little memory that may be locked, few descriptors.
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr rlim_t kLocked = 8 * kMiB;  // what many systems allow: rings, but no region
const Words kSmall = {"--capacity", "64MiB", "--segment-size", "4MiB"};

void Limit(int what, rlim_t value) {
  const rlimit limit = {value, value};
  if (setrlimit(static_cast<__rlimit_resource>(what), &limit) != 0) _exit(99);
}

// From the bounding set, so that root does not get it back with exec.
void DropLockCapability() { prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0); }

size_t CountLines(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class LimitsTest : public E2eTest {
 protected:
  void ExpectRecorded(Recorder& recorder, uint64_t bytes) {
    Peer peer(content(), 1, recorder.port());
    EXPECT_TRUE(peer.Send(bytes));
    peer.FinishSending();
    EXPECT_TRUE(peer.AwaitClose());
    const Json summary = recorder.Stop();
    EXPECT_EQ(summary["bytesDurable"].int64(), static_cast<int64_t>(bytes));
    EXPECT_EQ(summary["bytesDropped"].int64(), 0);
    EXPECT_EQ(Verify(archive()), "");
    EXPECT_EQ(CompareExport(StreamId(FindStream(target(), peer.address())), target(), content(),
                            {.number = 1, .end = bytes}),
              "");
  }
};

TEST_F(LimitsTest, WithoutLockedMemoryItWarnsOnceAndRecords) {
  Recorder recorder(archive(), kSmall, [] {
    DropLockCapability();
    Limit(RLIMIT_MEMLOCK, kLocked);
  });
  ExpectRecorded(recorder, 40 * kMiB + 3);
  const std::string said = recorder.child().err();
  EXPECT_EQ(CountLines(said, "note: "), 1u) << said;
  EXPECT_THAT(said, AllOf(HasSubstr("64 MiB of memory was refused by the limit on locked memory"),
                          HasSubstr("ulimit -l"), HasSubstr("LimitMEMLOCK")));
}

TEST_F(LimitsTest, WithoutLockedMemoryTwoLanesWarnOnce) {
  Words words = kSmall;
  words.insert(words.end(), {"--lanes", "2"});
  Recorder recorder(archive(), words, [] {
    DropLockCapability();
    Limit(RLIMIT_MEMLOCK, kLocked);
  });
  recorder.Stop();
  EXPECT_EQ(CountLines(recorder.child().err(), "note: "), 1u) << recorder.child().err();
}

// Since 6.14 a kernel counts the rings too.
TEST_F(LimitsTest, WithoutMemoryForTheRingsItSaysSo) {
  Words words = kSmall;
  words.insert(words.end(), {"--duration", "50ms"});
  words.insert(words.begin(), {"record", "--tcp", "127.0.0.1:0", "--archive", archive()});
  ChildOptions options = Command(words);
  options.before_exec = [] {
    DropLockCapability();
    Limit(RLIMIT_MEMLOCK, 4096);
  };
  const Outcome outcome = RunToEnd(options);
  EXPECT_LE(outcome.code, 1);
  EXPECT_EQ(CountLines(outcome.err, "ulimit -l"), 1u) << outcome.err;
}

TEST_F(LimitsTest, QuietSaysNothing) {
  Words words = kSmall;
  words.insert(words.end(), {"--duration", "50ms", "--quiet"});
  words.insert(words.begin(), {"record", "--tcp", "127.0.0.1:0", "--archive", archive()});
  ChildOptions options = Command(words);
  options.before_exec = [] {
    DropLockCapability();
    Limit(RLIMIT_MEMLOCK, kLocked);
  };
  const Outcome outcome = RunToEnd(options);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err + outcome.out, "");
}

TEST_F(LimitsTest, ASmallRegionIsEnough) {
  Words words = kSmall;
  words.insert(words.end(), {"--region", "16MiB"});
  Recorder recorder(archive(), words);
  ExpectRecorded(recorder, 40 * kMiB + 5);
}

TEST_F(LimitsTest, TooFewDescriptorsForTheSegments) {
  AskSluice({"archive", "create", "--archive", archive(), "--capacity", "256MiB", "--segment-size",
             "1MiB"});
  ChildOptions options = Command({"record", "--tcp", "127.0.0.1:0", "--archive", archive()});
  options.before_exec = [] { Limit(RLIMIT_NOFILE, 200); };
  const Outcome outcome = RunToEnd(options);
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("open files"), HasSubstr("200"), HasSubstr("ulimit -n"),
                                 HasSubstr("LimitNOFILE")));
}

// Who finds no descriptor waits in the kernel's line, and gets one when another stream ends.
TEST_F(LimitsTest, MoreConnectionsThanDescriptors) {
  Words words = kSmall;
  words.insert(words.end(), {"--sync-interval", "50ms"});
  constexpr rlim_t kDescriptors = 16 + 512;  // what the archive asks for
  Recorder recorder(archive(), words, [] { Limit(RLIMIT_NOFILE, kDescriptors); });
  std::vector<Peer> peers;
  for (uint64_t number = 0; number < kDescriptors + 20; ++number) {
    peers.emplace_back(content(), number, recorder.port());
    ASSERT_TRUE(peers.back().Send(number + 1));
  }
  Json list = Await([&] { return AskSluice({"streams", "--archive", archive()}); },
                    [&](const Json& streams) { return streams.elements().size() > 400; });
  for (Peer& peer : peers) peer.FinishSending();
  for (Peer& peer : peers) EXPECT_TRUE(peer.AwaitClose());
  const Json summary = recorder.Stop();
  EXPECT_EQ(summary["streamsOpened"].int64(), static_cast<int64_t>(peers.size()));
  EXPECT_GT(summary["figures"]["connectionsRefused"].int64(), 0);
  EXPECT_EQ(Verify(archive()), "");
}

}  // namespace
}  // namespace sluice
