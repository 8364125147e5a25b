#include "writer/segment/durable_mark.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(DurableMarkTest, NothingIsDurableBeforeASync) {
  DurableMark mark({4096});
  EXPECT_EQ(mark.written(), FileOffset{4096});
  EXPECT_EQ(mark.durable(), FileOffset{4096});
  mark.OnWrittenUpTo({8192});
  EXPECT_EQ(mark.written(), FileOffset{8192});
  EXPECT_EQ(mark.durable(), FileOffset{4096});
  mark.OnSyncStarted();
  EXPECT_EQ(mark.durable(), FileOffset{4096});
  mark.OnSynced();
  EXPECT_EQ(mark.durable(), FileOffset{8192});
}

// What is written while a sync runs may be in it, or not.
TEST(DurableMarkTest, ASyncCoversWhatWasWrittenWhenItStarted) {
  DurableMark mark({4096});
  mark.OnWrittenUpTo({8192});
  mark.OnSyncStarted();
  mark.OnWrittenUpTo({12288});
  mark.OnSynced();
  EXPECT_EQ(mark.durable(), FileOffset{8192});
  EXPECT_EQ(mark.written(), FileOffset{12288});
  mark.OnSyncStarted();
  mark.OnSynced();
  EXPECT_EQ(mark.durable(), FileOffset{12288});
}

TEST(DurableMarkTest, ASyncOfNothingNewChangesNothing) {
  DurableMark mark({4096});
  mark.OnSyncStarted();
  mark.OnSynced();
  EXPECT_EQ(mark.durable(), FileOffset{4096});
  mark.OnWrittenUpTo({4096});
  EXPECT_EQ(mark.written(), FileOffset{4096});
}

TEST(DurableMarkDeathTest, TheMarkDoesNotGoBack) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  DurableMark mark({4096});
  mark.OnWrittenUpTo({8192});
  EXPECT_DEATH(mark.OnWrittenUpTo({4096}), "end >= written_");
}

}  // namespace
}  // namespace sluice
