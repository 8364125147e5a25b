// Over the kernel that is here: no network card is needed to be refused.
#include "ingest/probe/trial.h"

#include <algorithm>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ingest/probe/kernel_probe.h"
#include "ingest/probe/kernel_release.h"

namespace sluice {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

class TrialTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (facts_.io_uring_error != 0) GTEST_SKIP() << "no io_uring here";
    if (!facts_.receive_zero_copy || !facts_.cqe32) GTEST_SKIP() << "no RECV_ZC before Linux 6.15";
  }
  bool allowed() const {
    return facts_.privileges.net_admin && facts_.privileges.initial_user_namespace;
  }
  static void ExpectSentence(const absl::Status& status, const std::string& says) {
    EXPECT_FALSE(status.ok());
    const std::string message(status.message());
    EXPECT_THAT(message, HasSubstr(says));
    EXPECT_EQ(std::count(message.begin(), message.end(), ';'), 1) << message;
  }

  const KernelFacts facts_ = ProbeKernel();
};

TEST_F(TrialTest, LoopbackIsNoCard) {
  ExpectSentence(TryInterfaceQueue("lo", 0),
                 allowed() ? "lo is not a network card" : "CAP_NET_ADMIN");
}

TEST_F(TrialTest, AnInterfaceThatIsNotThere) {
  ExpectSentence(TryInterfaceQueue("no-such-one", 0), "there is no interface no-such-one");
}

TEST_F(TrialTest, DeviceLessIsThereOrNot) {
  const absl::Status status = TryDeviceLess();
  if (!allowed()) {
    ExpectSentence(status, "CAP_NET_ADMIN");
  } else if (facts_.device_less()) {
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(TryDeviceLess().ok()) << "not the second time";
  } else {
    ExpectSentence(status, "Linux 7.2 or newer is needed");
  }
}

}  // namespace
}  // namespace sluice
