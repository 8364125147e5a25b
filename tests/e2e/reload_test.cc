// SIGHUP: the configuration is read again while it records.
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

using ::testing::HasSubstr;

constexpr uint64_t kBytes = 300'001;
constexpr char kFeed[] =
    "recording { id: \"feed\" tcp_listen { address: \"127.0.0.1:0\" } sync_interval: \"50ms\" }\n";
constexpr char kDoor[] =
    "recording { id: \"door\" tcp_listen { address: \"127.0.0.1:0\" } retention_class: \"short\" "
    "}\n"
    "retention_class { name: \"short\" max_age: \"1h\" }\n";

class ReloadTest : public E2eTest {
 protected:
  std::string Config(const std::string& more) const {
    return absl::StrCat("archive { directory: \"", archive(),
                        "\" capacity: \"64MiB\" segment_size: \"4MiB\" }\n", more);
  }
  // A whole stream, once it is closed and durable.
  std::string Finish(Peer& peer) {
    peer.FinishSending();
    EXPECT_TRUE(peer.AwaitClose());
    return StreamId(Await(
        [&] { return FindStream(daemon_.target(), peer.address()); },
        [](const Json& found) { return !found.is_null() && found["state"].text() == "CLOSED"; }));
  }
  std::string State(const std::string& recording) const {
    return daemon_.Recording(recording)["state"].text();
  }

  Daemon daemon_{directory(), Config(kFeed)};
};

TEST_F(ReloadTest, RecordingsComeAndGoWhileOthersRun) {
  Peer first(content(), 1, daemon_.Port("feed"));
  EXPECT_TRUE(first.Send(kBytes));

  daemon_.Reload(Config(absl::StrCat(kFeed, kDoor)));
  Peer second(content(), 2, daemon_.Port("door"));
  EXPECT_TRUE(second.Send(kBytes));
  const std::string door = Finish(second);
  EXPECT_EQ(daemon_.Recording("door")["retentionClass"].text(), "short");

  daemon_.Reload(Config(kFeed));
  ASSERT_TRUE(daemon_.child().AwaitErr("recording door stopped")) << daemon_.child().err();
  EXPECT_EQ(State("door"), "STOPPED");
  EXPECT_EQ(State("feed"), "RECORDING");

  EXPECT_TRUE(first.Send(kBytes));  // its connection has not noticed
  const std::string feed = Finish(first);
  EXPECT_EQ(CompareExport(feed, daemon_.target(), content(), {.number = 1, .end = 2 * kBytes}), "");
  EXPECT_EQ(CompareExport(door, daemon_.target(), content(), {.number = 2, .end = kBytes}), "");
  EXPECT_EQ(daemon_.Stop(), 0);
  EXPECT_EQ(Verify(archive()), "");
}

TEST_F(ReloadTest, ABadConfigurationChangesNothing) {
  Peer peer(content(), 1, daemon_.Port("feed"));
  daemon_.Reload(Config(absl::StrCat(kDoor, "bananas: 2\n")));
  ASSERT_TRUE(daemon_.child().AwaitErr("the configuration is refused, and nothing has changed: "))
      << daemon_.child().err();
  EXPECT_THAT(daemon_.child().err(), HasSubstr("unknown field \"bananas\""));
  EXPECT_EQ(State("feed"), "RECORDING");
  EXPECT_EQ(RunSluice({"recordings", "get", "door", "--socket", daemon_.socket()}).code, 1);
  EXPECT_TRUE(peer.Send(kBytes));
  Finish(peer);
}

TEST_F(ReloadTest, WhatCountsFromTheNextStartIsSaid) {
  ASSERT_NE(daemon_.Port("feed"), 0);
  daemon_.Reload(Config(absl::StrCat(kFeed, "lanes: 2\n")));
  EXPECT_TRUE(daemon_.child().AwaitErr("lanes has changed; that counts from the next start"));
  daemon_.Reload(Config(kFeed));
  EXPECT_TRUE(daemon_.child().AwaitErr("the configuration is as it was"));
}

TEST_F(ReloadTest, WhatCannotStartIsTriedAgain) {
  const uint16_t taken = daemon_.Port("feed");
  const std::string door = absl::StrCat(
      "recording { id: \"door\" tcp_listen { address: \"127.0.0.1:", taken, "\" } }\n");
  daemon_.Reload(Config(absl::StrCat(kFeed, door)));
  ASSERT_TRUE(daemon_.child().AwaitErr("SIGHUP: recording \"door\": ")) << daemon_.child().err();
  EXPECT_EQ(State("feed"), "RECORDING");
  daemon_.Reload(Config(door));  // the port is free now
  EXPECT_EQ(daemon_.Port("door"), taken) << daemon_.child().err();
  EXPECT_EQ(State("feed"), "STOPPED");
}

}  // namespace
}  // namespace sluice
