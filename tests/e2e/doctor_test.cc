// `sluice doctor` on this machine, and on interfaces made for it.
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kNoNamespace = 98;
constexpr int kNoVeth = 99;

// From the bounding set, so that root does not get them back with exec.
void DropPrivileges() {
  for (const int capability : {CAP_NET_ADMIN, CAP_IPC_LOCK}) {
    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
}

void BecomeNobody() {
  if (setgroups(0, nullptr) != 0 || setgid(65534) != 0 || setuid(65534) != 0) _exit(99);
}

class DoctorTest : public E2eTest {
 protected:
  static Words Doctor(const Words& more) {
    Words words = {"doctor"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  static Json Ask(const Words& more) {
    const Json report = AskSluice(Doctor(more));
    ExpectReport(report);
    return report;
  }
  static Outcome RunAs(void (*become)(), const Words& more) {
    ChildOptions options = Command(Doctor(more));
    options.before_exec = become;
    return RunToEnd(options);
  }

  static Json Find(const Json& report, const std::string& name) {
    for (const Json& check : report["checks"].elements()) {
      if (check["name"].text() == name) return check;
    }
    ADD_FAILURE() << "no check " << name;
    return Json();
  }
  static std::string State(const Json& report, const std::string& name) {
    return Find(report, name)["state"].text();
  }
  static std::string Found(const Json& report, const std::string& name) {
    return Find(report, name)["found"].text();
  }

  // What holds whatever the machine is.
  static void ExpectReport(const Json& report) {
    for (const Json& check : report["checks"].elements()) {
      const std::string name = check["name"].text();
      const std::string state = check["state"].text();
      EXPECT_THAT(state, AnyOf("OK", "WARNING", "MISSING", "NOT_CHECKED")) << name;
      EXPECT_NE(check["found"].text(), "") << name;
      EXPECT_TRUE(state == "OK" || state == "NOT_CHECKED" || !check["remedy"].text().empty())
          << name << ": " << check["found"].text();
    }
    EXPECT_THAT(report["receiver"].text(), AnyOf("NONE", "COPY", "ZERO_COPY"));
    EXPECT_EQ(report["canRecord"].truth(), report["receiver"].text() != "NONE");
    EXPECT_EQ(report["reason"].text().empty(), report["receiver"].text() == "ZERO_COPY");
  }
  static void ExpectText(const Outcome& outcome) {
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.err, "");
    EXPECT_EQ(outcome.out.find('\x1b'), std::string::npos) << "colors, but no terminal";
    for (const absl::string_view line : absl::StrSplit(outcome.out, '\n')) {
      EXPECT_LE(line.size(), 80u) << line;
      EXPECT_FALSE(absl::EndsWith(line, " ")) << line;
    }
  }
};

TEST_F(DoctorTest, AsksNothingMoreThanItIsTold) {
  const Json report = Ask({});
  EXPECT_EQ(report["receiver"].text(), "COPY");
  EXPECT_THAT(report["reason"].text(), HasSubstr("--interface"));
  EXPECT_EQ(State(report, "io_uring"), "OK");
  EXPECT_EQ(State(report, "interface"), "NOT_CHECKED");
  EXPECT_EQ(State(report, "trial"), "NOT_CHECKED");
  EXPECT_EQ(State(report, "disk"), "NOT_CHECKED");
  ExpectText(RunSluice({"doctor"}));
}

TEST_F(DoctorTest, LoopbackIsNoCard) {
  const Json report = Ask({"--interface", "lo", "--queue", "0"});
  EXPECT_EQ(report["receiver"].text(), "COPY");
  EXPECT_EQ(report["amplification"].number(), 1);
  EXPECT_EQ(State(report, "interface"), "MISSING");
  EXPECT_THAT(Found(report, "interface"), AllOf(HasSubstr("lo, up"), HasSubstr("not a network")));
  EXPECT_EQ(State(report, "XDP"), "OK");
  if (State(report, "trial") == "NOT_CHECKED") GTEST_SKIP() << "needs Linux 6.15";
  EXPECT_EQ(State(report, "trial"), "MISSING");
  EXPECT_THAT(report["reason"].text(),
              AnyOf(HasSubstr("lo is not a network card"), HasSubstr("CAP_NET_ADMIN")));
}

TEST_F(DoctorTest, AnInterfaceWithoutAQueue) {
  const Json report = Ask({"--interface", "lo"});
  EXPECT_EQ(State(report, "interface"), "MISSING");
  EXPECT_EQ(State(report, "queue"), "NOT_CHECKED");
  EXPECT_THAT(Found(report, "trial"), HasSubstr("--queue"));
  EXPECT_THAT(report["reason"].text(), HasSubstr("--queue"));
}

TEST_F(DoctorTest, AQueueThatIsNotThere) {
  const Json report = Ask({"--interface", "lo", "--queue", "17"});
  if (State(report, "queue") == "NOT_CHECKED") GTEST_SKIP() << "needs Linux 6.8";
  EXPECT_EQ(State(report, "queue"), "MISSING");
  EXPECT_EQ(Found(report, "queue"), "lo has no receive queue 17");
  EXPECT_EQ(State(report, "queue is free"), "NOT_CHECKED");
}

TEST_F(DoctorTest, TheDiskOfADirectoryAndOfAnArchive) {
  const auto expect_disk = [](const std::string& path) {
    const Json report = Ask({"--archive", path});
    EXPECT_THAT(State(report, "disk"), AnyOf("OK", "WARNING"));
    EXPECT_THAT(Found(report, "alignment"), HasSubstr("memory "));
    EXPECT_THAT(Found(report, "write limits"), HasSubstr(" ranges a write"));
    EXPECT_THAT(report["amplificationReason"].text(), HasSubstr("this disk"));
  };
  expect_disk(directory());
  EXPECT_TRUE(std::filesystem::is_empty(directory())) << "something is left";
  AskSluice({"archive", "create", "--archive", archive(), "--capacity", "64MiB"});
  expect_disk(archive());
  EXPECT_EQ(Verify(archive()), "");
}

TEST_F(DoctorTest, TextFitsAndTellsTheSame) {
  const Outcome outcome =
      RunSluice({"doctor", "--interface", "lo", "--queue", "0", "--archive", directory()});
  ExpectText(outcome);
  for (const char* part : {"kernel ", "locked memory ", "header split ", "device-less trial ",
                           "write limits ", "receiver       copy", "amplification  1.00: "}) {
    EXPECT_THAT(outcome.out, HasSubstr(part));
  }
}

TEST_F(DoctorTest, WithoutPrivilegesItSaysWhichAreMissing) {
  const Outcome outcome =
      RunAs(DropPrivileges, {"--interface", "lo", "--queue", "0", "--output", "json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const Json report = Json::Parse(outcome.out);
  ExpectReport(report);
  EXPECT_EQ(State(report, "CAP_NET_ADMIN"), "MISSING");
  EXPECT_THAT(Found(report, "locked memory"), Not(HasSubstr("CAP_IPC_LOCK")));
  EXPECT_EQ(report["receiver"].text(), "COPY");
  if (State(report, "trial") == "NOT_CHECKED") GTEST_SKIP() << "needs Linux 6.15";
  EXPECT_THAT(Found(report, "trial"), HasSubstr("CAP_NET_ADMIN"));
  EXPECT_THAT(Found(report, "device-less trial"), HasSubstr("CAP_NET_ADMIN"));
}

TEST_F(DoctorTest, NobodyCanAskButNotRecordIntoWhatIsNotHis) {
  ChildOptions version = Command({"--version"});
  version.before_exec = BecomeNobody;
  if (RunToEnd(version).code != 0) GTEST_SKIP() << "cannot become nobody, or not run sluice then";
  ExpectText(RunAs(BecomeNobody, {"--interface", "lo", "--queue", "0"}));

  std::filesystem::permissions(directory(), std::filesystem::perms(0755));
  const Outcome outcome = RunAs(BecomeNobody, {"--archive", directory(), "--output", "json"});
  EXPECT_EQ(outcome.code, 1);
  const Json report = Json::Parse(outcome.out);
  ExpectReport(report);
  EXPECT_FALSE(report["canRecord"].truth());
  EXPECT_EQ(State(report, "disk"), "MISSING");
  EXPECT_THAT(report["reason"].text(),
              AllOf(HasSubstr("recording is not possible"), HasSubstr("Permission denied")));
  EXPECT_TRUE(report["amplification"].is_null());
}

// In a network namespace with a pair of virtual interfaces, of two queues each.
class VethTest : public DoctorTest {
 protected:
  static Outcome RunBeside(const std::string& setup, const Words& more) {
    const ChildOptions sluice = Command(Doctor(more));
    ChildOptions options;
    options.command = {
        "/bin/sh", "-c",
        absl::StrCat("ip link add va numrxqueues 2 numtxqueues 2 type veth peer name vb "
                     "numrxqueues 2 numtxqueues 2 || exit ",
                     kNoVeth, "; ", setup, "; exec \"$0\" \"$@\"")};
    options.command.insert(options.command.end(), sluice.command.begin(), sluice.command.end());
    options.before_exec = [] {
      if (unshare(CLONE_NEWNET) != 0) _exit(kNoNamespace);
    };
    return RunToEnd(options);
  }
  void SetUp() override {
    const int code = RunBeside("true", {"--help"}).code;
    if (code == kNoNamespace) GTEST_SKIP() << "no network namespaces for this user";
    if (code == kNoVeth) GTEST_SKIP() << "no veth in this kernel";
  }
  static Json AskBeside(const std::string& setup, Words more) {
    more.insert(more.end(), {"--output", "json"});
    const Outcome outcome = RunBeside(setup, more);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? Json::Parse(outcome.out) : Json();
  }
};

constexpr char kUp[] = "ip link set va up; ip link set vb up";

TEST_F(VethTest, IsNoCardButHasQueues) {
  const Json report = AskBeside(kUp, {"--interface", "va", "--queue", "1"});
  EXPECT_EQ(report["receiver"].text(), "COPY");
  EXPECT_THAT(Found(report, "interface"), HasSubstr("va, up, driver veth, 2 receive queues"));
  EXPECT_EQ(State(report, "header split"), "MISSING");
  if (State(report, "queue") == "NOT_CHECKED") GTEST_SKIP() << "needs Linux 6.8";
  EXPECT_EQ(State(report, "queue"), "OK");
  EXPECT_EQ(State(report, "queue is free"), "OK");
  if (State(report, "trial") == "NOT_CHECKED") GTEST_SKIP() << "needs Linux 6.15";
  EXPECT_THAT(report["reason"].text(),
              AnyOf(HasSubstr("va is not a network card"), HasSubstr("CAP_NET_ADMIN")));
}

TEST_F(VethTest, OneThatIsDownHasNoQueuesYet) {
  const Json report = AskBeside("true", {"--interface", "va", "--queue", "0"});
  EXPECT_THAT(Found(report, "interface"), HasSubstr("va, down"));
  if (State(report, "queue") == "NOT_CHECKED") GTEST_SKIP() << "needs Linux 6.8";
  EXPECT_EQ(State(report, "queue"), "MISSING");
  EXPECT_THAT(Find(report, "queue")["remedy"].text(), HasSubstr("`ip link set va up`"));
}

TEST_F(VethTest, InterfacesOfOtherNamespacesAreNotThere) {
  const Outcome outcome = RunSluice({"doctor", "--interface", "va", "--queue", "0"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("no interface \"va\" in this network namespace"));
}

}  // namespace
}  // namespace sluice
