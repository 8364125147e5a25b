#include "ingest/ring/op_table.h"

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

using Table = OpTable<int>;

// Finishes what is left, so that the table may be destroyed.
void FinishAll(Table& table) {
  table.ForEach([&table](OpTag tag, int&) { table.Finish(tag); });
}

TEST(OpTagTest, EveryFieldComesBack) {
  std::mt19937_64 dice(1);
  for (int i = 0; i < 10'000; ++i) {
    const OpTag tag{static_cast<OpKind>(dice() % 6), static_cast<uint8_t>(dice()),
                    static_cast<uint32_t>(dice()) & OpTag::kFieldMask,
                    static_cast<uint32_t>(dice()) & OpTag::kFieldMask};
    EXPECT_EQ(OpTag::Unpack(tag.Pack()), tag);
  }
}

TEST(OpTagTest, FieldsDoNotRunIntoEachOther) {
  constexpr uint32_t kMax = OpTag::kFieldMask;
  EXPECT_EQ((OpTag{OpKind::kAccept, 0, 0, kMax}.Pack()), 0x0100'0000'00FF'FFFFu);
  EXPECT_EQ((OpTag{OpKind::kAccept, 0, kMax, 0}.Pack()), 0x0100'FFFF'FF00'0000u);
  EXPECT_EQ((OpTag{OpKind::kAccept, 255, 0, 0}.Pack()), 0x01FF'0000'0000'0000u);
  // What does not fit is cut off, and does not change its neighbour.
  EXPECT_EQ((OpTag{OpKind::kAccept, 1, kMax + 1, kMax + 1}),
            (OpTag{OpKind::kAccept, 1, 1u << 24, 1u << 24}));
  EXPECT_EQ((OpTag{OpKind::kAccept, 1, kMax + 1, kMax + 1}.Pack()),
            (OpTag{OpKind::kAccept, 1, 0, 0}.Pack()));
}

TEST(OpTableTest, IsFullAtItsCapacityAndNotBefore) {
  Table table(OpKind::kWrite, 3, 4);
  OpTag tag;
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(table.full());
    EXPECT_EQ(table.size(), static_cast<uint32_t>(i));
    int* const op = table.Start(int{i}, &tag);
    ASSERT_NE(op, nullptr);
    EXPECT_EQ(*op, i);
    EXPECT_EQ(tag.kind, OpKind::kWrite);
    EXPECT_EQ(tag.track, 3);
    EXPECT_LT(tag.slot, 4u);
  }
  EXPECT_TRUE(table.full());
  const OpTag before = tag;
  EXPECT_EQ(table.Start(9, &tag), nullptr);
  EXPECT_EQ(tag, before);  // nothing was done
  table.Finish(tag);
  EXPECT_NE(table.Start(9, &tag), nullptr);
  FinishAll(table);
}

TEST(OpTableTest, ALateCompletionIsRecognised) {
  Table table(OpKind::kReceive, 0, 1);
  OpTag first, second;
  table.Start(1, &first);
  table.Finish(first);
  EXPECT_EQ(table.Find(first), nullptr);  // its slot is free
  table.Start(2, &second);
  EXPECT_EQ(second.slot, first.slot);
  EXPECT_EQ(table.Find(first), nullptr);  // ... and now somebody else's
  ASSERT_NE(table.Find(second), nullptr);
  EXPECT_EQ(*table.Find(second), 2);
  FinishAll(table);
}

TEST(OpTableTest, AnOperationDoesNotMove) {
  OpTable<std::unique_ptr<int>> table(OpKind::kWrite, 0, 64);
  std::vector<std::pair<OpTag, std::unique_ptr<int>*>> started;
  for (int i = 0; i < 64; ++i) {
    OpTag tag;
    started.emplace_back(tag, table.Start(std::make_unique<int>(i), &tag));
    started.back().first = tag;
  }
  for (int i = 0; i < 64; i += 2) table.Finish(started[static_cast<size_t>(i)].first);
  for (int i = 1; i < 64; i += 2) {
    const auto& [tag, at] = started[static_cast<size_t>(i)];
    EXPECT_EQ(table.Find(tag), at);
    EXPECT_EQ(**at, i);
    table.Finish(tag);
  }
}

TEST(OpTableTest, FinishDestroysTheOperation) {
  OpTable<std::shared_ptr<int>> table(OpKind::kWrite, 0, 2);
  const auto owned = std::make_shared<int>(1);
  OpTag tag;
  table.Start(std::shared_ptr<int>(owned), &tag);
  EXPECT_EQ(owned.use_count(), 2);
  table.Finish(tag);
  EXPECT_EQ(owned.use_count(), 1);
}

TEST(OpTableTest, GenerationsWrapInsideTheTag) {
  Table table(OpKind::kWrite, 0, 1);
  OpTag tag;
  for (uint32_t i = 0; i < OpTag::kFieldMask; ++i) {
    table.Start(0, &tag);
    table.Finish(tag);
  }
  table.Start(1, &tag);
  EXPECT_EQ(tag.generation, OpTag::kFieldMask);
  EXPECT_EQ(OpTag::Unpack(tag.Pack()), tag);
  EXPECT_NE(table.Find(OpTag::Unpack(tag.Pack())), nullptr);
  table.Finish(tag);
  table.Start(2, &tag);
  EXPECT_EQ(tag.generation, 0u);  // not 1 << 24, which would not come back from the kernel
  ASSERT_NE(table.Find(OpTag::Unpack(tag.Pack())), nullptr);
  table.Finish(tag);
}

TEST(OpTableTest, ForEachMayFinishWhatItIsShown) {
  Table table(OpKind::kWrite, 0, 8);
  OpTag tags[6];
  for (int i = 0; i < 6; ++i) table.Start(int{i}, &tags[i]);
  table.Finish(tags[2]);
  std::vector<int> shown;
  table.ForEach([&](OpTag tag, int& op) {
    shown.push_back(op);
    EXPECT_EQ(*table.Find(tag), op);
    if (op % 2 == 1) table.Finish(tag);
  });
  EXPECT_EQ(shown, (std::vector<int>{0, 1, 3, 4, 5}));
  EXPECT_EQ(table.size(), 2u);
  shown.clear();
  table.ForEach([&](OpTag, int& op) { shown.push_back(op); });
  EXPECT_EQ(shown, (std::vector<int>{0, 4}));
  FinishAll(table);
  EXPECT_EQ(table.size(), 0u);
}

// Against a model: which operations are there, which tags are stale.
TEST(OpTableTest, RandomUseAgreesWithAModel) {
  std::mt19937_64 dice(7);
  Table table(OpKind::kSync, 9, 17);
  std::vector<std::pair<OpTag, int>> live;
  std::vector<OpTag> stale;
  for (int i = 0; i < 20'000; ++i) {
    if (dice() % 2 == 0) {
      OpTag tag;
      const bool started = table.Start(int{i}, &tag) != nullptr;
      EXPECT_EQ(started, live.size() < 17);
      if (started) live.emplace_back(tag, i);
    } else if (!live.empty()) {
      const size_t pick = dice() % live.size();
      table.Finish(live[pick].first);
      stale.push_back(live[pick].first);
      live.erase(live.begin() + static_cast<int64_t>(pick));
    }
    ASSERT_EQ(table.size(), live.size());
    for (const auto& [tag, op] : live) ASSERT_EQ(*table.Find(tag), op);
    if (stale.empty()) continue;
    ASSERT_EQ(table.Find(stale[dice() % stale.size()]), nullptr);
  }
  FinishAll(table);
}

using OpTableDeathTest = ::testing::Test;

TEST(OpTableDeathTest, OurOwnBugsDie) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        Table table(OpKind::kWrite, 0, 2);
        OpTag tag;
        table.Start(1, &tag);
      },
      "size\\(\\) == 0");  // destroyed under the kernel
  EXPECT_DEATH(
      {
        Table table(OpKind::kWrite, 0, 2);
        OpTag tag;
        table.Start(1, &tag);
        table.Finish(tag);
        table.Finish(tag);
      },
      "Find\\(tag\\)");
  Table table(OpKind::kWrite, 0, 2);
  EXPECT_DEATH(table.Find({OpKind::kReceive, 0, 0, 0}), "tag.kind");
  EXPECT_DEATH(table.Find({OpKind::kWrite, 0, 0, 2}), "slot_count_");
}

}  // namespace
}  // namespace sluice
