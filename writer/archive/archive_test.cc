#include "writer/archive/archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/archive/test_archive.h"
#include "writer/segment/test_segment.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class ArchiveTest : public testing::Test {
 protected:
  ArchiveTest() : directory_(FreshDirectory() + "/data") {
    options_.directory = directory_;
    options_.segment = MiB(1);
    options_.capacity = MiB(6);
    options_.purpose = "test";
  }

  std::unique_ptr<Archive> Open() {
    auto archive = Archive::Open(options_);
    EXPECT_TRUE(archive.ok()) << archive.status();
    return archive.ok() ? *std::move(archive) : nullptr;
  }
  absl::Status Refusal() { return Archive::Open(options_).status(); }
  std::string Refusing() { return std::string(Refusal().message()); }

  const std::string directory_;
  ArchiveOptions options_;
};

TEST_F(ArchiveTest, IsCreatedWholeAndFound) {
  const auto archive = Open();
  EXPECT_EQ(archive->meta().segment_count, 6u);
  EXPECT_EQ(archive->meta().epoch, 1u);
  EXPECT_EQ(archive->meta().capacity(), MiB(6));
  for (uint32_t slot = 0; slot < 6; ++slot) {
    struct stat info = {};
    ASSERT_EQ(stat(Archive::SegmentPath(directory_, slot).c_str(), &info), 0);
    EXPECT_EQ(info.st_size, 1 << 20);
    EXPECT_GE(info.st_blocks * 512, 1 << 20) << "sparse";
    EXPECT_GE(archive->segment_fd(slot), 0);
  }
  EXPECT_EQ(Archive::SegmentPath(directory_, 5), directory_ + "/segments/000005.seg");
  const auto meta = Archive::ReadMeta(directory_);
  ASSERT_TRUE(meta.ok());
  EXPECT_EQ(meta->uuid, archive->meta().uuid);
  EXPECT_EQ(meta->epoch, 1u);
}

TEST_F(ArchiveTest, EveryOpeningRaisesTheEpoch) {
  const auto uuid = Open()->meta().uuid;
  options_.capacity = {};
  options_.segment = {};
  for (uint32_t epoch = 2; epoch < 5; ++epoch) {
    const auto archive = Open();
    EXPECT_EQ(archive->meta().epoch, epoch);
    EXPECT_EQ(archive->meta().uuid, uuid);
    EXPECT_THAT(archive->warnings(), archive->geometry().direct ? SizeIs(0) : SizeIs(1));
  }
}

TEST_F(ArchiveTest, ItsShapeStays) {
  Open();
  Open();  // asking for the same is fine
  options_.capacity = MiB(7);
  EXPECT_TRUE(absl::IsFailedPrecondition(Refusal()));
  EXPECT_THAT(Refusing(), HasSubstr("6 MiB"));
  EXPECT_THAT(Refusing(), HasSubstr("7 MiB"));
  options_.capacity = MiB(6);
  options_.segment = MiB(2);
  EXPECT_TRUE(absl::IsFailedPrecondition(Refusal()));
  EXPECT_EQ(Archive::ReadMeta(directory_)->epoch, 2u) << "a refusal changes nothing";
}

TEST_F(ArchiveTest, WhatCannotBeIsRefused) {
  options_.segment = {MiB(1).value + 1};
  EXPECT_TRUE(absl::IsInvalidArgument(Refusal())) << Refusal();
  options_.segment = {MiB(1).value - 4096};
  EXPECT_TRUE(absl::IsInvalidArgument(Refusal())) << Refusal();
  options_.segment = MiB(2);
  EXPECT_TRUE(absl::IsInvalidArgument(Refusal())) << Refusal();
  EXPECT_THAT(Refusing(), HasSubstr("at least 4 segments"));
  EXPECT_TRUE(absl::IsNotFound(Archive::ReadMeta(directory_).status()));
  options_.directory = "";
  EXPECT_TRUE(absl::IsInvalidArgument(Refusal()));
}

TEST_F(ArchiveTest, AFullDiskIsSaidInNumbers) {
  options_.capacity = GiB(1 << 20);
  options_.segment = GiB(1);
  options_.capacity = GiB(60000);
  EXPECT_TRUE(absl::IsResourceExhausted(Refusal())) << Refusal();
  EXPECT_THAT(Refusing(), HasSubstr("58.6 TiB"));
  EXPECT_THAT(Refusing(), HasSubstr("free"));
  EXPECT_THAT(Refusing(), HasSubstr("--capacity"));
  EXPECT_FALSE(fs::exists(directory_ + "/segments"));
}

TEST_F(ArchiveTest, WhereThereIsNoneOneIsCreatedOnlyOnRequest) {
  options_.create = false;
  EXPECT_TRUE(absl::IsNotFound(Refusal()));
  EXPECT_FALSE(fs::exists(directory_));
  fs::create_directory(directory_);
  EXPECT_TRUE(absl::IsNotFound(Refusal()));
  EXPECT_TRUE(fs::is_empty(directory_));
  EXPECT_TRUE(absl::IsNotFound(Archive::Holder(directory_).status()));
}

TEST_F(ArchiveTest, OneLevelIsCreatedNotMore) {
  options_.directory = directory_ + "/deeper";
  EXPECT_TRUE(absl::IsNotFound(Refusal())) << Refusal();
  EXPECT_THAT(Refusing(), HasSubstr("does not exist"));
}

TEST_F(ArchiveTest, AFileIsNoDirectory) {
  std::ofstream(directory_) << "x";
  EXPECT_TRUE(absl::IsFailedPrecondition(Refusal())) << Refusal();
  EXPECT_THAT(Refusing(), HasSubstr("not a directory"));
}

TEST_F(ArchiveTest, ADirectoryThatCannotBeWrittenIsRefused) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  fs::create_directory(directory_);
  chmod(directory_.c_str(), 0500);
  EXPECT_TRUE(absl::IsPermissionDenied(Refusal())) << Refusal();
}

TEST_F(ArchiveTest, AHalfCreatedOneIsMadeWhole) {
  // As after a crash during creation: some files, of another size, one half allocated.
  fs::create_directories(directory_ + "/segments");
  std::ofstream(directory_ + "/LOCK") << "pid 1\n";
  for (uint32_t slot = 0; slot < 9; ++slot) {
    std::ofstream(Archive::SegmentPath(directory_, slot)) << std::string(slot * 1000, '\0');
  }
  std::ofstream(directory_ + "/ARCHIVE.tmp") << "torn";
  const auto archive = Open();
  ASSERT_NE(archive, nullptr);
  EXPECT_EQ(archive->meta().segment_count, 6u);
  for (uint32_t slot = 0; slot < 6; ++slot) {
    EXPECT_EQ(fs::file_size(Archive::SegmentPath(directory_, slot)), 1u << 20);
  }
  EXPECT_FALSE(fs::exists(Archive::SegmentPath(directory_, 6)));
  EXPECT_FALSE(fs::exists(directory_ + "/ARCHIVE.tmp"));
}

TEST_F(ArchiveTest, MissingAndShortSegmentsAreMadeAnew) {
  Open();
  TestSegmentOptions used;
  used.uuid = Archive::ReadMeta(directory_)->uuid;
  TestSegment(used).WriteTo(Archive::SegmentPath(directory_, 4));
  fs::remove(Archive::SegmentPath(directory_, 2));
  fs::resize_file(Archive::SegmentPath(directory_, 4), 5000);
  const auto archive = Open();
  EXPECT_EQ(archive->slots_recreated(), 2u);
  ASSERT_GE(archive->warnings().size(), 2u);
  EXPECT_THAT(archive->warnings()[archive->warnings().size() - 2],
              HasSubstr("000002.seg is missing"));
  EXPECT_THAT(archive->warnings().back(), HasSubstr("000004.seg has only 5000"));
  EXPECT_EQ(fs::file_size(Archive::SegmentPath(directory_, 2)), 1u << 20);
  EXPECT_EQ(fs::file_size(Archive::SegmentPath(directory_, 4)), 1u << 20);
  // What was left of the short one is still there.
  char magic[8] = {};
  std::ifstream(Archive::SegmentPath(directory_, 4)).read(magic, 8);
  EXPECT_EQ(std::string(magic, 8), "SLICSEG1");
}

TEST_F(ArchiveTest, ALostMetaFileIsWrittenAnewFromTheSegments) {
  const auto uuid = Open()->meta().uuid;
  for (const char* damage : {"missing", "garbage"}) {
    TestSegmentOptions used;
    used.uuid = uuid;
    used.slot = 3;
    used.epoch = 40;
    TestSegment(used).WriteTo(Archive::SegmentPath(directory_, 3));
    fs::remove(Archive::SegmentPath(directory_, 1));
    fs::remove(directory_ + "/ARCHIVE");
    if (std::string(damage) == "garbage") std::ofstream(directory_ + "/ARCHIVE") << "garbage";
    const auto archive = Open();
    ASSERT_NE(archive, nullptr) << damage;
    EXPECT_EQ(archive->meta().uuid, uuid);
    EXPECT_EQ(archive->meta().segment_count, 6u);
    EXPECT_EQ(archive->meta().epoch, 41u);
    EXPECT_THAT(archive->warnings(), testing::Contains(HasSubstr("written anew")));
  }
}

TEST_F(ArchiveTest, ADamagedMetaFileWithoutSegmentsIsDataLoss) {
  Open();
  std::ofstream(directory_ + "/ARCHIVE") << "garbage";
  EXPECT_TRUE(absl::IsDataLoss(Refusal())) << Refusal();
  EXPECT_THAT(Refusing(), HasSubstr(directory_ + "/ARCHIVE"));
}

TEST_F(ArchiveTest, ANewerFormatIsNamedAndLeftAlone) {
  Open();
  std::fstream file(directory_ + "/ARCHIVE", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(8);
  file.put('\x02');
  file.close();
  EXPECT_TRUE(absl::IsFailedPrecondition(Refusal())) << Refusal();
  EXPECT_THAT(Refusing(), HasSubstr("version 2"));
  EXPECT_TRUE(absl::IsFailedPrecondition(Archive::ReadMeta(directory_).status()));
}

TEST_F(ArchiveTest, ASecondWriterIsToldWhoIsFirst) {
  options_.purpose = "serve";
  options_.socket_path = "/run/sluice.sock";
  const auto archive = Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(Refusal()));
  EXPECT_THAT(Refusing(), HasSubstr(absl::StrCat("process ", getpid(), " (serve)")));
  const auto holder = Archive::Holder(directory_);
  ASSERT_TRUE(holder.ok()) << holder.status();
  EXPECT_EQ(holder->pid, getpid());
  EXPECT_EQ(holder->socket_path, "/run/sluice.sock");
}

TEST_F(ArchiveTest, TheLockDiesWithItsProcess) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    options_.purpose = "record";
    const auto archive = Archive::Open(options_);
    char ok = archive.ok() ? 'y' : 'n';
    if (write(ready[1], &ok, 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  char ok = 0;
  ASSERT_EQ(read(ready[0], &ok, 1), 1);
  ASSERT_EQ(ok, 'y');
  EXPECT_EQ(Archive::Holder(directory_)->pid, child);
  EXPECT_THAT(Refusing(), HasSubstr(absl::StrCat("process ", child, " (record)")));
  EXPECT_EQ(Archive::ReadMeta(directory_)->epoch, 1u);

  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  EXPECT_TRUE(absl::IsNotFound(Archive::Holder(directory_).status()));
  const auto archive = Open();
  ASSERT_NE(archive, nullptr);
  EXPECT_EQ(archive->meta().epoch, 2u);
}

TEST_F(ArchiveTest, ClosingGivesUpTheLock) {
  Open();
  EXPECT_TRUE(absl::IsNotFound(Archive::Holder(directory_).status()));
  EXPECT_NE(Open(), nullptr);
}

TEST_F(ArchiveTest, WithoutWishesItFitsTheDisk) {
  options_.capacity = MiB(64);
  options_.segment = {};
  const auto archive = Open();
  ASSERT_NE(archive, nullptr);
  EXPECT_EQ(archive->meta().segment, MiB(16));
  EXPECT_EQ(archive->meta().segment_count, 4u);
}

TEST_F(ArchiveTest, WorksOnAMemoryFileSystem) {
  const std::string shm = absl::StrCat("/dev/shm/sluice_archive_test_", getpid());
  if (mkdir(shm.c_str(), 0700) != 0) GTEST_SKIP() << "no /dev/shm";
  options_.directory = shm + "/archive";
  {
    const auto archive = Archive::Open(options_);
    EXPECT_TRUE(archive.ok()) << archive.status();
    if (archive.ok()) {
      EXPECT_THAT((*archive)->warnings(), (*archive)->geometry().direct ? SizeIs(0) : SizeIs(1));
    }
  }
  fs::remove_all(shm);
}

}  // namespace
}  // namespace sluice
