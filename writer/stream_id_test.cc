#include "writer/stream_id.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(StreamIdTest, NamesComeBack) {
  for (const StreamIdParts parts : {StreamIdParts{0, 0, 0}, StreamIdParts{3, 0, 17},
                                    StreamIdParts{0xFFFFFF, 0xFF, 0xFFFFFFFF}}) {
    const StreamId id = MakeStreamId(parts);
    EXPECT_EQ(SplitStreamId(id).epoch, parts.epoch);
    EXPECT_EQ(SplitStreamId(id).lane, parts.lane);
    EXPECT_EQ(SplitStreamId(id).counter, parts.counter);
    EXPECT_EQ(ParseStreamId(StreamIdToString(id)), id);
  }
  EXPECT_EQ(StreamIdToString(MakeStreamId({3, 0, 17})), "3-0-17");
}

TEST(StreamIdTest, IdsGrowWithTheEpochThenTheLane) {
  EXPECT_LT(MakeStreamId({1, 9, 0xFFFFFFFF}), MakeStreamId({2, 0, 1}));
  EXPECT_LT(MakeStreamId({1, 1, 0xFFFFFFFF}), MakeStreamId({1, 2, 1}));
}

TEST(StreamIdTest, OneSpellingOnly) {
  for (const char* text :
       {"", "1", "1-2", "1-2-", "1--3", "1-2-3-4", "01-2-3", "1-2-+3", "1-2- 3", "a-2-3", "1-256-3",
        "16777216-0-1", "1-0-4294967296", "1-2-99999999999999999999", "-1-2-3"}) {
    EXPECT_FALSE(ParseStreamId(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace sluice
