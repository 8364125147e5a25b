#include "control/config/reload.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kArchive[] = "archive { directory: \"/a\" capacity: \"1GiB\" }\n";
constexpr char kFeed[] = "recording { id: \"feed\" tcp_listen { address: \":9000\" } }\n";
constexpr char kDoor[] = "recording { id: \"door\" tcp_listen { address: \":9001\" } }\n";

ServeConfig Parse(const std::string& text) {
  const absl::StatusOr<ServeConfig> config = ParseConfig(text, "c");
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : ServeConfig();
}
Reload Plan(const std::string& now, const std::string& wanted) {
  return PlanReload(Parse(absl::StrCat(kArchive, now)), Parse(absl::StrCat(kArchive, wanted)));
}

TEST(ReloadTest, WhatIsTheSameStays) {
  EXPECT_TRUE(Plan(kFeed, absl::StrCat("# a comment\n", kFeed)).empty());
  EXPECT_TRUE(Plan(absl::StrCat(kFeed, kDoor), absl::StrCat(kDoor, kFeed)).empty());
}

TEST(ReloadTest, RecordingsComeGoAndChange) {
  Reload reload = Plan(kFeed, absl::StrCat(kFeed, kDoor));
  EXPECT_THAT(reload.to_stop, IsEmpty());
  ASSERT_THAT(reload.to_start, SizeIs(1));
  EXPECT_EQ(reload.to_start[0].id, "door");

  reload = Plan(absl::StrCat(kFeed, kDoor), kFeed);
  EXPECT_THAT(reload.to_stop, ElementsAre("door"));
  EXPECT_THAT(reload.to_start, IsEmpty());

  reload = Plan(kFeed, "recording { id: \"feed\" tcp_listen { address: \":9002\" } }");
  EXPECT_THAT(reload.to_stop, ElementsAre("feed"));
  ASSERT_THAT(reload.to_start, SizeIs(1));
  EXPECT_EQ(reload.to_start[0].address.port, 9002);
  EXPECT_FALSE(reload.classes);
  EXPECT_THAT(reload.later, IsEmpty());
}

TEST(ReloadTest, ClassesAndInterfaces) {
  EXPECT_TRUE(Plan("", "retention_class { name: \"x\" priority: 3 }").classes);
  const std::string eth1 = "interface { name: \"eth1\" ring_size: 64 }";
  EXPECT_THAT(Plan(eth1, eth1).interfaces, IsEmpty());
  EXPECT_THAT(Plan(eth1, "interface { name: \"eth1\" ring_size: 32 }").interfaces, SizeIs(1));
  EXPECT_THAT(Plan(eth1, "").interfaces, IsEmpty());  // it stays as it was set
}

TEST(ReloadTest, WhatCountsFromTheNextStartIsNamed) {
  EXPECT_THAT(Plan("lanes: 1", "lanes: 2").later, ElementsAre("lanes"));
  EXPECT_THAT(Plan("", "lanes: 2 region_size: \"32MiB\"").later,
              ElementsAre("lanes", "region_size"));
  EXPECT_THAT(Plan("verify { interval: \"7d\" }", "").later, ElementsAre("verify"));
  EXPECT_THAT(Plan("api { unix_socket: \"/s\" }", "").later, ElementsAre("api"));
  EXPECT_THAT(
      PlanReload(Parse(kArchive), Parse("archive { directory: \"/a\" capacity: \"2GiB\" }")).later,
      ElementsAre("archive"));
}

}  // namespace
}  // namespace sluice
