#include "control/service/names.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

const StreamId kStream = MakeStreamId({3, 1, 17});

TEST(NamesTest, RoundTrip) {
  EXPECT_EQ(MakeRecordingName("market"), "recordings/market");
  EXPECT_EQ(ParseRecordingName("recordings/market").value(), "market");
  EXPECT_EQ(MakeStreamName("market", kStream), "recordings/market/streams/3-1-17");
  const StreamName name = ParseStreamName("recordings/market/streams/3-1-17").value();
  EXPECT_EQ(name.recording, "market");
  EXPECT_EQ(name.stream, kStream);
}

TEST(NamesTest, RefusesWhatIsNotARecording) {
  for (const char* name :
       {"", "market", "recordings", "recordings/", "/recordings/market", "recordings/market/",
        "recordings/Market", "recordings/a/b", "recordings/-", "recording/market",
        "recordings/market/streams/3-1-17"}) {
    const absl::Status status = ParseRecordingName(name).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(status.message()), HasSubstr("recordings/{recording}"));
  }
}

TEST(NamesTest, RefusesWhatIsNotAStream) {
  for (const char* name :
       {"", "recordings/market", "recordings/market/streams", "recordings/market/streams/",
        "recordings/market/streams/17", "recordings/market/streams/3-1-17/x",
        "recordings/-/streams/3-1-17", "recordings/market/stream/3-1-17"}) {
    EXPECT_EQ(ParseStreamName(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST(NamesTest, AParentMayStandForAll) {
  EXPECT_EQ(ParseStreamParent("recordings/market").value(), "market");
  EXPECT_EQ(ParseStreamParent("recordings/-").value(), "");
  for (const char* parent : {"", "-", "recordings", "recordings/", "recordings/--"}) {
    const absl::Status status = ParseStreamParent(parent).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << parent;
    EXPECT_THAT(std::string(status.message()), HasSubstr("\"recordings/-\" for all"));
  }
}

}  // namespace
}  // namespace sluice
