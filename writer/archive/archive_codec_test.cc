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

ArchiveMeta SampleOfDisks() {
  ArchiveMeta meta = Sample();
  meta.disks = {{.slot_count = 64},
                {},
                {.uuid = {9},
                 .first_slot = 70,
                 .slot_count = 10,
                 .state = DiskState::kFailed,
                 .seen_epoch = 4,
                 .since = {77},
                 .directory = "/mnt/b"}};
  return meta;
}

TEST(MetaTest, DisksAreRead) {
  const auto meta = ParseMeta(EncodeMeta(SampleOfDisks()));
  ASSERT_TRUE(meta.ok()) << meta.status();
  ASSERT_EQ(meta->disks.size(), 3u);
  EXPECT_EQ(meta->segment_count, 80u);
  EXPECT_EQ(meta->capacity(), MiB(16) * 74);
  EXPECT_FALSE(meta->disks[1].exists());
  const DiskEntry& disk = meta->disks[2];
  EXPECT_EQ(disk.uuid, Uuid{9});
  EXPECT_EQ(disk.state, DiskState::kFailed);
  EXPECT_EQ(disk.seen_epoch, 4u);
  EXPECT_EQ(disk.since.value, 77);
  EXPECT_EQ(disk.directory, "/mnt/b");
  EXPECT_EQ(meta->DiskOf(63), 0u);
  EXPECT_EQ(meta->DiskOf(64), 0u) << "nobody's";
  EXPECT_EQ(meta->DiskOf(70), 2u);
  EXPECT_EQ(meta->DiskOf(79), 2u);
}

TEST(DiskTest, WhatWasWrittenIsReadAndDamageIsFound) {
  const DiskIdentity disk{.archive_uuid = {1},
                          .uuid = {2},
                          .number = 3,
                          .segment = MiB(16),
                          .first_slot = 70,
                          .slot_count = 10,
                          .created = {5}};
  const auto good = EncodeDisk(disk);
  const auto read = ParseDisk(good);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->archive_uuid, Uuid{1});
  EXPECT_EQ(read->uuid, Uuid{2});
  EXPECT_EQ(read->number, 3u);
  EXPECT_EQ(read->first_slot, 70u);
  EXPECT_EQ(read->slot_count, 10u);
  EXPECT_TRUE(absl::IsDataLoss(ParseMeta(good).status()));
  for (size_t at = 0; at < good.size(); ++at) {
    auto bad = good;
    bad[at] ^= std::byte{1};
    ASSERT_FALSE(ParseDisk(bad).ok()) << "byte " << at;
  }
  DiskIdentity none = disk;
  none.number = 0;
  EXPECT_FALSE(ParseDisk(EncodeDisk(none)).ok());
  none.number = 16;
  EXPECT_FALSE(ParseDisk(EncodeDisk(none)).ok());
  none = disk;
  none.slot_count = kSegmentCountMax;
  EXPECT_FALSE(ParseDisk(EncodeDisk(none)).ok());
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
  auto bytes = EncodeMeta(SampleOfDisks());
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
      [](ArchiveBlock& b) { b.disks[0].state = 4; },
      [](ArchiveBlock& b) { b.disks[2].state = 4; },
      [](ArchiveBlock& b) { b.disks[2].slot_count = 0; },
      [](ArchiveBlock& b) { b.disks[2].slot_count = kSegmentCountMax; },
      [](ArchiveBlock& b) { b.disks[2].slot_count = 0xFFFFFFFF; },
      [](ArchiveBlock& b) { b.disks[2].first_slot = 63; },
      [](ArchiveBlock& b) { b.disks[15] = b.disks[2]; },
      [](ArchiveBlock& b) { b.disks[2].directory = {}; },
      [](ArchiveBlock& b) { b.disks[2].directory.fill('x'); },
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
