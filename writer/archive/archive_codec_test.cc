#include "writer/archive/archive_codec.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "writer/archive/format.h"
#include "writer/extent/crc32c.h"

namespace sluice {
namespace {

ArchiveMeta Sample() {
  ArchiveMeta meta;
  meta.uuid = {1, 2, 3};
  meta.segment = MiB(16);
  meta.segment_count = 64;
  meta.epoch = 5;
  meta.created = {1234};
  return meta;
}

TEST(MetaTest, WhatWasWrittenIsRead) {
  const auto meta = ParseMeta(EncodeMeta(Sample()));
  ASSERT_TRUE(meta.ok()) << meta.status();
  EXPECT_EQ(meta->uuid, Sample().uuid);
  EXPECT_EQ(meta->capacity(), GiB(1));
  EXPECT_EQ(meta->epoch, 5u);
  EXPECT_EQ(meta->created.value, 1234);
}

TEST(MetaTest, EveryFlippedBitIsFound) {
  const auto good = EncodeMeta(Sample());
  for (size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < (at < 64 ? 8 : 1); ++bit) {
      auto bad = good;
      bad[at] ^= std::byte{1} << bit;
      ASSERT_FALSE(ParseMeta(bad).ok()) << "byte " << at << ", bit " << bit;
    }
  }
}

TEST(MetaTest, EveryTruncationIsFound) {
  const auto good = EncodeMeta(Sample());
  for (size_t size = 0; size < good.size(); ++size) {
    ASSERT_TRUE(absl::IsDataLoss(ParseMeta(absl::MakeSpan(good).subspan(0, size)).status()));
  }
}

absl::Status AfterLie(void (*change)(ArchiveBlock&)) {
  auto bytes = EncodeMeta(Sample());
  ArchiveBlock block;
  std::memcpy(&block, bytes.data(), sizeof(block));
  change(block);
  block.crc32c = 0;
  block.crc32c = Crc32c({reinterpret_cast<const std::byte*>(&block), sizeof(block)});
  std::memcpy(bytes.data(), &block, sizeof(block));
  return ParseMeta(bytes).status();
}

TEST(MetaTest, LiesAreRefused) {
  const std::vector<void (*)(ArchiveBlock&)> lies = {
      [](ArchiveBlock& b) { b.magic = 0; },
      [](ArchiveBlock& b) { b.version = 0; },
      [](ArchiveBlock& b) { b.segment_bytes = 0; },
      [](ArchiveBlock& b) { b.segment_bytes = 512 << 10; },
      [](ArchiveBlock& b) { b.segment_bytes += 1; },
      [](ArchiveBlock& b) { b.segment_bytes = ~uint64_t{4095}; },
      [](ArchiveBlock& b) { b.segment_count = 0; },
      [](ArchiveBlock& b) { b.segment_count = 0xFFFFFFFF; },
      [](ArchiveBlock& b) { b.epoch = 0xFFFFFFFF; },
  };
  EXPECT_TRUE(AfterLie([](ArchiveBlock&) {}).ok());
  for (size_t i = 0; i < lies.size(); ++i) {
    EXPECT_TRUE(absl::IsDataLoss(AfterLie(lies[i]))) << "lie " << i;
  }
  const absl::Status newer = AfterLie([](ArchiveBlock& b) { b.version = 2; });
  EXPECT_TRUE(absl::IsFailedPrecondition(newer));
  EXPECT_NE(newer.message().find("version 2"), absl::string_view::npos) << newer;
  EXPECT_NE(newer.message().find("up to 1"), absl::string_view::npos) << newer;
}

TEST(HolderTest, WhatWasWrittenIsRead) {
  const auto holder = ParseHolder(
      EncodeHolder({.pid = 17, .purpose = "serve", .socket_path = "/run/my sluice.sock"}));
  ASSERT_TRUE(holder.ok()) << holder.status();
  EXPECT_EQ(holder->pid, 17);
  EXPECT_EQ(holder->purpose, "serve");
  EXPECT_EQ(holder->socket_path, "/run/my sluice.sock");
}

TEST(HolderTest, OneFieldCannotPassForAnother) {
  const auto holder =
      ParseHolder(EncodeHolder({.pid = 17, .purpose = "x\npid 1", .socket_path = ""}));
  ASSERT_TRUE(holder.ok());
  EXPECT_EQ(holder->pid, 17);
  EXPECT_EQ(holder->purpose, "x pid 1");
}

TEST(HolderTest, WithoutAPidItIsNoHolder) {
  for (const char* text : {"", "\n", "pid", "pid ", "pid x\n", "pid -1\n", "pid 0\n", "purpose a\n",
                           "pid 99999999999\n"}) {
    EXPECT_TRUE(absl::IsDataLoss(ParseHolder(text).status())) << text;
  }
  EXPECT_EQ(ParseHolder("later-key 1\npid 3\n")->pid, 3);
}

}  // namespace
}  // namespace sluice
