#include "control/cli/names.h"

#include <gtest/gtest.h>

#include "writer/stream_id.h"

namespace sluice {
namespace {

TEST(NamesTest, CompletesRecordings) {
  EXPECT_EQ(*CompleteRecordingName("market"), "recordings/market");
  EXPECT_EQ(*CompleteRecordingName("recordings/market"), "recordings/market");
  for (const char* wrong : {"", "Market", "-", "streams/market", "recordings/", "recordings/a/b"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CompleteRecordingName(wrong).status())) << wrong;
  }
}

TEST(NamesTest, Shortens) {
  EXPECT_EQ(ShortName("recordings/market"), "market");
  EXPECT_EQ(ShortName("recordings/market/streams/3-0-17"), "3-0-17");
  EXPECT_EQ(ShortName("market"), "market");
  EXPECT_EQ(RecordingOf("recordings/market/streams/3-0-17"), "market");
}

TEST(NamesTest, Streams) {
  const StreamId id = MakeStreamId({3, 0, 17});
  EXPECT_EQ(ParseStreamArgument("3-0-17")->stream, id);
  EXPECT_EQ(ParseStreamArgument("3-0-17")->recording, "");
  EXPECT_EQ(ParseStreamArgument("recordings/market/streams/3-0-17")->stream, id);
  EXPECT_EQ(ParseStreamArgument("recordings/market/streams/3-0-17")->recording, "market");
  for (const char* wrong : {"", "3-0", "3-0-17-1", "market", "recordings/market/streams/x"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseStreamArgument(wrong).status())) << wrong;
  }
}

}  // namespace
}  // namespace sluice
