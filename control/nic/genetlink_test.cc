// Against the kernel that is here: anybody may ask.
#include "control/nic/genetlink.h"

#include <linux/genetlink.h>

#include <algorithm>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(GenetlinkTest, FindsAFamily) {
  absl::StatusOr<Genetlink> netlink = Genetlink::Open();
  ASSERT_TRUE(netlink.ok()) << netlink.status();
  const absl::StatusOr<GenetlinkFamily> family = netlink->Family("nlctrl");
  ASSERT_TRUE(family.ok()) << family.status();
  EXPECT_EQ(family->id, GENL_ID_CTRL);
  EXPECT_GE(family->version, 1);
}

TEST(GenetlinkTest, AFamilyThatThisKernelLacks) {
  absl::StatusOr<Genetlink> netlink = Genetlink::Open();
  ASSERT_TRUE(netlink.ok()) << netlink.status();
  const absl::Status status = netlink->Family("nosuchone").status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"nosuchone\""));
  EXPECT_TRUE(netlink->Family("nlctrl").ok()) << "an error must not end the conversation";
}

TEST(GenetlinkTest, ListsFamilies) {
  absl::StatusOr<Genetlink> netlink = Genetlink::Open();
  ASSERT_TRUE(netlink.ok()) << netlink.status();
  GenetlinkRequest request({"nlctrl", GENL_ID_CTRL, 1}, CTRL_CMD_GETFAMILY);
  const absl::StatusOr<std::vector<Attributes>> families = netlink->Dump(request, "families");
  ASSERT_TRUE(families.ok()) << families.status();
  EXPECT_TRUE(std::any_of(families->begin(), families->end(), [](const Attributes& family) {
    return family.Text(CTRL_ATTR_FAMILY_NAME) == "nlctrl";
  }));
}

TEST(GenetlinkTest, AnErrorSaysWhatWasAsked) {
  absl::StatusOr<Genetlink> netlink = Genetlink::Open();
  ASSERT_TRUE(netlink.ok()) << netlink.status();
  GenetlinkRequest request({"nlctrl", GENL_ID_CTRL, 1}, 200);
  const absl::Status status = netlink->Do(request, "ask for nothing").status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), StartsWith("ask for nothing: "));
}

}  // namespace
}  // namespace sluice
