// The receiver that a recording gets, and the sentence that says why.
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
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

using ::testing::HasSubstr;

std::vector<std::string> Interfaces() {
  std::vector<std::string> names;
  struct if_nameindex* const all = if_nameindex();
  if (all == nullptr) return names;
  for (const struct if_nameindex* each = all; each->if_index != 0; ++each) {
    names.emplace_back(each->if_name);
  }
  if_freenameindex(all);
  return names;
}

void ExpectOneSentence(const std::string& reason) {
  EXPECT_FALSE(reason.empty());
  EXPECT_LT(reason.size(), 300u) << reason;
  EXPECT_EQ(std::count(reason.begin(), reason.end(), '\n'), 0) << reason;
}

using ReceiverTest = E2eTest;

// Whatever interfaces this machine has: none of them lends a queue, or this would be no test.
TEST_F(ReceiverTest, AutoSaysWhyAndRecordsByCopying) {
  uint64_t number = 0;
  for (const std::string& interface : Interfaces()) {
    SCOPED_TRACE(interface);
    const std::string own = absl::StrCat(archive(), "-", interface);
    Recorder recorder(own, {"--capacity", "64MiB", "--interface", interface, "--queue", "0",
                            "--exit-after-streams", "1"});
    Peer peer(content(), ++number, recorder.port());
    EXPECT_TRUE(peer.Send(1'000'003));
    peer.FinishSending();
    const Json summary = recorder.AwaitSummary();
    const std::vector<Json> receivers = summary["receivers"].elements();
    ASSERT_EQ(receivers.size(), 1u);
    if (receivers[0]["kind"].text() == "ZERO_COPY") GTEST_SKIP() << interface << " lends queues";
    EXPECT_EQ(receivers[0]["kind"].text(), "COPY");
    const std::string reason = receivers[0]["reason"].text();
    ExpectOneSentence(reason);
    EXPECT_THAT(reason, HasSubstr(absl::StrCat("queue 0 of ", interface)));
    EXPECT_THAT(recorder.child().err(),
                HasSubstr(absl::StrCat("receiver: copy, because ", reason)));
    EXPECT_EQ(summary["bytesDurable"].int64(), 1'000'003);
    EXPECT_EQ(summary["bytesCopied"].int64(), 1'000'003);
    EXPECT_EQ(Verify(own), "");
  }
}

TEST_F(ReceiverTest, ZeroCopyOrNotAtAll) {
  const Outcome outcome =
      RunSluice({"record", "--tcp", "127.0.0.1:0", "--archive", archive(), "--capacity", "64MiB",
                 "--receiver", "zero-copy", "--interface", "lo", "--queue", "0"});
  EXPECT_NE(outcome.code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("zero-copy receive on queue 0 of lo is not possible: "));
}

TEST_F(ReceiverTest, AnInterfaceThatIsNotThereIsAMistake) {
  const Outcome outcome =
      RunSluice({"record", "--tcp", "127.0.0.1:0", "--archive", archive(), "--capacity", "64MiB",
                 "--interface", "nosuch0", "--queue", "0"});
  EXPECT_NE(outcome.code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("no interface nosuch0"));
}

// In a network namespace of its own, where nobody connects.
TEST_F(ReceiverTest, AVirtualInterfaceLendsNoQueue) {
  constexpr int kNoNamespace = 97;
  constexpr int kNoVeth = 98;
  const ChildOptions sluice =
      Command({"record", "--tcp", "127.0.0.1:0", "--archive", archive(), "--capacity", "64MiB",
               "--interface", "va", "--queue", "0", "--duration", "1ms", "--output", "json"});
  ChildOptions options;
  options.command = {
      "/bin/sh", "-c",
      absl::StrCat("ip link set lo up; ip link add va type veth peer name vb || exit ", kNoVeth,
                   "; ip link set va up; exec \"$0\" \"$@\"")};
  options.command.insert(options.command.end(), sluice.command.begin(), sluice.command.end());
  options.before_exec = [] {
    if (unshare(CLONE_NEWNET) != 0) _exit(kNoNamespace);
  };
  const Outcome outcome = RunToEnd(options);
  if (outcome.code == kNoNamespace) GTEST_SKIP() << "no network namespaces for this user";
  if (outcome.code == kNoVeth) GTEST_SKIP() << "no veth in this kernel";
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::vector<Json> receivers = Json::Parse(outcome.out)["receivers"].elements();
  ASSERT_EQ(receivers.size(), 1u);
  EXPECT_EQ(receivers[0]["kind"].text(), "COPY");
  ExpectOneSentence(receivers[0]["reason"].text());
  EXPECT_THAT(receivers[0]["reason"].text(), HasSubstr("va"));
}

}  // namespace
}  // namespace sluice
