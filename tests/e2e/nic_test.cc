// `sluice nic` on real interfaces: veth has channels, and nothing else that can be set. Each test
// process has a network namespace of its own.
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class NicTest : public E2eTest {
 protected:
  void SetUp() override {
    static const bool alone = unshare(CLONE_NEWNET) == 0;
    if (!alone) GTEST_SKIP() << "not allowed to make a network namespace";
    std::system("ip link delete v0 2>/dev/null");
    if (std::system("ip link add v0 numrxqueues 4 numtxqueues 4 type veth peer name v1 && "
                    "ip link set v0 up && ip link set v1 up") != 0) {
      GTEST_SKIP() << "this kernel has no veth, or iproute2 is missing";
    }
  }

  Words Nic(const std::string& command, const Words& more) const {
    Words words = {"nic", command};
    words.insert(words.end(), more.begin(), more.end());
    words.insert(words.end(), {"--state", directory() + "/nic"});
    return words;
  }
  Json Ask(const std::string& command, const Words& more) const {
    return AskSluice(Nic(command, more));
  }
  Outcome Run(const std::string& command, const Words& more) const {
    return RunSluice(Nic(command, more));
  }
  int64_t Queues() const { return Ask("show", {"v0"})["receiveQueues"].number(); }
};

TEST_F(NicTest, ShowsWhatItIs) {
  const Json shown = Ask("show", {"v0"});
  EXPECT_EQ(shown["name"].text(), "interfaces/v0");
  EXPECT_EQ(shown["driver"].text(), "veth");
  EXPECT_EQ(shown["receiveQueuesMax"].number(), 4);
  EXPECT_FALSE(shown["managed"].truth());
  const Outcome text = Run("show", {"v0"});
  EXPECT_EQ(text.code, 0);
  EXPECT_THAT(text.out, AllOf(HasSubstr("header split    the driver cannot"), HasSubstr("QUEUE")));
}

TEST_F(NicTest, ReceiveQueuesThereAndBack) {
  const int64_t before = Queues();
  const int64_t wanted = before == 2 ? 3 : 2;
  const Words want = {"v0", "--receive-queues", absl::StrCat(wanted)};
  const Json plan = Ask("plan", want);
  ASSERT_EQ(plan["steps"].elements().size(), 1u);
  EXPECT_THAT(plan["steps"].elements()[0]["command"].text(), HasSubstr("ethtool -L v0 rx"));
  EXPECT_EQ(Queues(), before);  // a plan changes nothing

  const Outcome applied = Run("apply", want);
  EXPECT_EQ(applied.code, 0) << applied.err;
  EXPECT_THAT(applied.out, HasSubstr("`sluice nic revert v0` puts it back"));
  EXPECT_EQ(Queues(), wanted);
  EXPECT_TRUE(Ask("show", {"v0"})["managed"].truth());
  EXPECT_EQ(Run("drift", {"v0"}).code, 0);

  // Somebody else changes it.
  ASSERT_EQ(std::system("ethtool -L v0 rx 4 2>/dev/null || true"), 0);
  if (Queues() == 4) {
    const Outcome drift = Run("drift", {"v0"});
    EXPECT_EQ(drift.code, 1);
    EXPECT_THAT(drift.out, HasSubstr(absl::StrCat("rx ", wanted)));
    EXPECT_EQ(Run("apply", want).code, 0);
    EXPECT_EQ(Queues(), wanted);
  }
  const Outcome reverted = Run("revert", {"v0"});
  EXPECT_EQ(reverted.code, 0) << reverted.err;
  EXPECT_EQ(Queues(), before);
  const Outcome again = Run("revert", {"v0"});
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.err, HasSubstr("there is nothing to put back"));
}

class NicDaemonTest : public NicTest {
 protected:
  std::string Config(const std::string& interface) const {
    return absl::StrCat("archive { directory: \"", archive(),
                        "\" capacity: \"64MiB\" segment_size: \"4MiB\" }\n", "interface_state: \"",
                        directory(), "/nic\"\n", "interface { name: \"v0\" ", interface, " }\n");
  }
};

TEST_F(NicDaemonTest, SetsTheCardAndPutsItBackWhenAsked) {
  const int64_t before = Queues();
  const int64_t wanted = before == 2 ? 3 : 2;
  const std::string set = absl::StrCat("receive_queues: ", wanted);
  {
    Daemon daemon(directory(), Config(set + " restore_at_shutdown: true"));
    EXPECT_EQ(Queues(), wanted);
    EXPECT_EQ(Run("drift", {"v0"}).code, 0);
    EXPECT_EQ(daemon.Stop(), 0);
  }
  EXPECT_EQ(Queues(), before);
  {
    Daemon daemon(directory(), Config(set));
    EXPECT_EQ(daemon.Stop(), 0);
  }
  EXPECT_EQ(Queues(), wanted);  // nobody asked
  {
    Daemon daemon(directory(), Config(set + " restore_at_shutdown: true"));
    daemon.child().Signal(SIGKILL);
    daemon.child().Wait();
  }
  EXPECT_EQ(Queues(), wanted);  // it had no chance; but the next one knows what was before
  {
    Daemon daemon(directory(), Config(set + " restore_at_shutdown: true"));
    EXPECT_EQ(daemon.Stop(), 0);
  }
  EXPECT_EQ(Queues(), before);
}

TEST_F(NicDaemonTest, DoesNotStartWithACardThatCannotBeSet) {
  const std::string path = directory() + "/sluice.textproto";
  // It would be under the archive, whose path can be too long for one.
  std::ofstream(path) << Config("receive_queues: 9") << "api { unix_socket: \"/tmp/unused\" }\n";
  const Outcome outcome = RunSluice({"serve", "--config", path});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("v0: it can have 4 receive queues, not 9: ask for fewer"));
}

TEST_F(NicTest, WhatCannotBeIsRefusedInOneSentence) {
  const struct {
    Words want;
    std::string message;
    int code = 1;
  } kCases[] = {
      {{"v0", "--receive-queues", "9"}, "it can have 4 receive queues, not 9"},
      {{"v0", "--receive-queues", "2", "--zero-copy-queues", "1"},
       "its driver veth cannot keep headers and payload apart"},
      {{"v0", "--receive-queues", "2", "--rule", "tcp dst-port 9000 to 1"},
       "its driver veth has no flow rules"},
      {{"v0", "--zero-copy-queues", "7"}, "there is no receive queue 7"},
      {{"nosuch", "--receive-queues", "2"}, "there is no interface \"nosuch\""},
      {{"v0"}, "say what v0 should be", 2},
      {{"v0", "--rule", "tcp"}, "a rule needs an address or a port", 2},
  };
  const int64_t before = Queues();
  for (const auto& one : kCases) {
    for (const char* command : {"plan", "apply"}) {
      const Outcome outcome = Run(command, one.want);
      EXPECT_EQ(outcome.code, one.code) << one.message;
      EXPECT_THAT(outcome.err, HasSubstr(one.message));
      EXPECT_THAT(outcome.out, Not(HasSubstr("ethtool")));
    }
  }
  EXPECT_EQ(Queues(), before);
  EXPECT_FALSE(Ask("show", {"v0"})["managed"].truth());
}

}  // namespace
}  // namespace sluice
