#include "ingest/ring/why_no_queue.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ingest/probe/kernel_release.h"
#include "ingest/probe/privileges.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

InterfaceQueueOptions Queue(const std::string& interface, uint32_t queue = 0) {
  InterfaceQueueOptions options;
  options.interface = interface;
  options.queue = queue;
  return options;
}

std::string Why(int error, const InterfaceQueueOptions& options) {
  return std::string(WhyNoInterfaceQueue(error, options).message());
}

// Whatever the kernel says: what, cause, remedy.
TEST(WhyNoQueueTest, EveryErrorIsOneSentence) {
  for (const std::string interface : {"", "lo", "nothere0"}) {
    for (int error = 1; error < 134; ++error) {
      const absl::Status status = WhyNoInterfaceQueue(error, Queue(interface, 3));
      EXPECT_FALSE(status.ok());
      const std::string message(status.message());
      EXPECT_THAT(message,
                  StartsWith(interface.empty() ? "device-less zero-copy receive is not possible: "
                                               : absl::StrCat("zero-copy receive on queue 3 of ",
                                                              interface, " is not possible: ")));
      EXPECT_EQ(std::count(message.begin(), message.end(), ';'), 1) << message;
      EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 0) << message;
      EXPECT_LT(message.size(), 320u) << message;
    }
  }
}

TEST(WhyNoQueueTest, PrivilegesComeFirst) {
  for (const std::string interface : {"", "lo", "nothere0"}) {
    EXPECT_THAT(Why(EPERM, Queue(interface)), HasSubstr("CAP_NET_ADMIN"));
    EXPECT_EQ(absl::StrContains(Why(EPERM, Queue(interface)), "initial user namespace"),
              !ReadPrivileges().initial_user_namespace);
  }
}

TEST(WhyNoQueueTest, MemoryIsALimit) {
  EXPECT_TRUE(absl::IsResourceExhausted(WhyNoInterfaceQueue(ENOMEM, Queue("lo"))));
  EXPECT_THAT(Why(ENOMEM, Queue("")), AllOf(HasSubstr("ulimit -l"), HasSubstr("LimitMEMLOCK")));
}

TEST(WhyNoQueueTest, AnInterfaceThatIsNotThereOrDown) {
  EXPECT_TRUE(absl::IsNotFound(WhyNoInterfaceQueue(ENODEV, Queue("nothere0"))));
  EXPECT_THAT(Why(ENODEV, Queue("nothere0")), HasSubstr("there is no interface nothere0"));
  // lo is there; the kernel would say so only were it down.
  EXPECT_THAT(Why(ENODEV, Queue("lo")), HasSubstr("`ip link set lo up`"));
}

TEST(WhyNoQueueTest, WhatIsNoCardHasNoDriverToBlame) {
  EXPECT_THAT(Why(EOPNOTSUPP, Queue("lo")),
              AllOf(HasSubstr("lo is not a network card"), HasSubstr("copying receiver")));
}

TEST(WhyNoQueueTest, HeaderSplitOrAnOldKernel) {
  const std::string why = Why(EINVAL, Queue("lo"));
  if (IsAtLeast(KernelRelease(), 6, 15)) {
    EXPECT_THAT(why, HasSubstr("`ethtool -G lo tcp-data-split on hds-thresh 0`"));
  } else {
    EXPECT_THAT(why, HasSubstr("Linux 6.15 or newer is needed"));
  }
}

TEST(WhyNoQueueTest, DeviceLessNeedsANewKernel) {
  const std::string why = Why(EINVAL, Queue(""));
  EXPECT_THAT(why, HasSubstr(KernelRelease()));
  EXPECT_EQ(absl::StrContains(why, "Linux 7.2 or newer is needed"),
            !IsAtLeast(KernelRelease(), 7, 2));
  EXPECT_THAT(why, Not(HasSubstr("ethtool")));
}

TEST(WhyNoQueueTest, QueuesThatAreNotThereOrTaken) {
  EXPECT_THAT(Why(ERANGE, Queue("lo", 7)),
              AllOf(HasSubstr("lo has no receive queue 7"), HasSubstr("`ethtool -l lo`")));
  EXPECT_THAT(Why(ERANGE, Queue("lo", 0)), HasSubstr("keeps queue 0 for itself"));
  EXPECT_THAT(Why(EEXIST, Queue("lo")), AllOf(HasSubstr("a program has"), HasSubstr("XDP")));
  EXPECT_THAT(Why(EBUSY, Queue("lo")), HasSubstr("AF_XDP"));
  EXPECT_THAT(Why(ENODATA, Queue("lo")), HasSubstr("tcp-data-split"));
}

TEST(WhyNoQueueTest, TheRestKeepsItsNumber) {
  EXPECT_THAT(Why(EFAULT, Queue("lo")), AllOf(HasSubstr("errno 14"), HasSubstr("report")));
  EXPECT_THAT(Why(EOPNOTSUPP, Queue("")), HasSubstr("errno 95"));
}

}  // namespace
}  // namespace sluice
