// A daemon that reads again what it has sealed, and finds what was damaged under it.
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
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
using ::testing::Not;

constexpr uint64_t kMiB = uint64_t{1} << 20;

class BackgroundVerifyTest : public E2eTest {
 protected:
  std::string Config(const std::string& verify) const {
    return absl::StrCat("archive { directory: \"", archive(),
                        "\" capacity: \"16MiB\" segment_size: \"1MiB\" }\n", verify,
                        "recording { id: \"feed\" tcp_listen { address: \"127.0.0.1:0\" } "
                        "sync_interval: \"50ms\" }\n");
  }
  void Record(Daemon& daemon, uint64_t number, uint64_t bytes) {
    Peer peer(content(), number, daemon.Port("feed"));
    ASSERT_TRUE(peer.Send(bytes));
    peer.FinishSending();
    ASSERT_TRUE(peer.AwaitClose());
  }
  static Json Verification(const Daemon& daemon) {
    return AskSluice({"status", "--socket", daemon.socket()})["verification"];
  }
};

TEST_F(BackgroundVerifyTest, FindsDamageUnderIt) {
  Daemon daemon(directory(), Config("verify { interval: \"1s\" rate: \"1GiB\" }\n"));
  Record(daemon, 1, 4 * kMiB);
  Await([&] { return Verification(daemon); },
        [](const Json& seen) { return seen["segmentsVerified"].int64() > 0; });
  EXPECT_EQ(Verification(daemon)["segmentsDamaged"].number(), 0);
  const std::string file = archive() + "/segments/000000.seg";
  {
    std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(500'000);
    bytes << "changed";
  }
  const Json found = Await([&] { return Verification(daemon); },
                           [](const Json& seen) { return seen["segmentsDamaged"].number() == 1; });
  EXPECT_THAT(found["damage"].elements().at(0).text(), HasSubstr("000000.seg"));
  EXPECT_THAT(RunSluice({"retention", "audit", "--socket", daemon.socket()}).out,
              AllOf(HasSubstr("damage found"), HasSubstr("000000.seg")));
  EXPECT_THAT(RunSluice({"status", "--socket", daemon.socket()}).out,
              AllOf(HasSubstr("1 with damage"), HasSubstr("000000.seg")));
  Record(daemon, 2, kMiB);  // goes on
  EXPECT_EQ(daemon.Stop(), 0);
}

TEST_F(BackgroundVerifyTest, IsOffUnlessItIsAskedFor) {
  Daemon daemon(directory(), Config(""));
  EXPECT_THAT(RunSluice({"status", "--socket", daemon.socket(), "-o", "json"}).out,
              Not(HasSubstr("verification")));
  EXPECT_EQ(daemon.Stop(), 0);
}

}  // namespace
}  // namespace sluice
