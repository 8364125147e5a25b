#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/archive/archive.h"
#include "writer/archive/format.h"
#include "writer/archive/test_archive.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// Directories stand for disks: what makes a disk is its DISK file.
class ArchiveDisksTest : public testing::Test {
 protected:
  ArchiveDisksTest() : base_(fs::path(FreshDirectory()).lexically_normal().string()) {
    options_.directory = base_ + "/home";
    options_.segment = MiB(1);
    options_.capacity = MiB(4);
    options_.disks = {{base_ + "/b", MiB(3)}, {base_ + "/c", MiB(5)}};
    options_.purpose = "test";
  }

  std::unique_ptr<Archive> Open() {
    auto archive = Archive::Open(options_);
    EXPECT_TRUE(archive.ok()) << archive.status();
    return archive.ok() ? *std::move(archive) : nullptr;
  }
  // As a start without --disk would.
  std::unique_ptr<Archive> Reopen() {
    options_.disks.clear();
    return Open();
  }
  ArchiveMeta Meta() { return *Archive::ReadMeta(options_.directory); }

  const std::string base_;
  ArchiveOptions options_;
};

TEST_F(ArchiveDisksTest, SlotsAreNumberedThroughOverDisks) {
  Open();
  const auto archive = Reopen();
  EXPECT_EQ(archive->meta().segment_count, 12u);
  EXPECT_EQ(archive->meta().capacity(), MiB(12));
  EXPECT_EQ(archive->SegmentPath(3), base_ + "/home/segments/000003.seg");
  EXPECT_EQ(archive->SegmentPath(4), base_ + "/b/segments/000004.seg");
  EXPECT_EQ(archive->SegmentPath(11), base_ + "/c/segments/000011.seg");
  for (uint32_t slot = 0; slot < 12; ++slot) {
    EXPECT_EQ(fs::file_size(archive->SegmentPath(slot)), 1u << 20);
    EXPECT_GE(archive->segment_fd(slot), 0);
    EXPECT_TRUE(archive->HasDiskOf(slot));
  }
  EXPECT_THAT(archive->disks(), SizeIs(3));
  for (const DiskStatus& disk : archive->disks()) EXPECT_TRUE(disk.in_use()) << disk.problem;
  const auto identity = ReadDisk(base_ + "/c");
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->number, 2u);
  EXPECT_EQ(identity->archive_uuid, archive->meta().uuid);
}

TEST_F(ArchiveDisksTest, AnArchiveOfOneDiskSaysNothingOfDisks) {
  options_.disks.clear();
  Open();
  std::ifstream file(options_.directory + "/ARCHIVE");
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  ASSERT_EQ(bytes.size(), sizeof(ArchiveBlock));
  constexpr size_t kBegin = 52;
  constexpr size_t kSize = offsetof(ArchiveBlock, catalog_bytes) - kBegin;
  EXPECT_TRUE(bytes.substr(kBegin, kSize) == std::string(kSize, '\0'));
}

TEST_F(ArchiveDisksTest, ADiskThatIsGoneIsLeftOutAndComesBack) {
  Open();
  fs::rename(base_ + "/b", base_ + "/away");
  fs::create_directory(base_ + "/b");  // the empty directory below a mount
  {
    const auto archive = Open();  // though --disk names it
    EXPECT_THAT(archive->warnings(), Contains(HasSubstr("disk 1 (" + base_ +
                                                        "/b) of the archive "
                                                        "is not there: is it mounted?")));
    EXPECT_TRUE(fs::is_empty(base_ + "/b")) << "it was made anew";
    EXPECT_EQ(archive->segment_fd(4), -1);
    EXPECT_FALSE(archive->HasDiskOf(4));
    EXPECT_GE(archive->segment_fd(3), 0);
    EXPECT_GE(archive->segment_fd(7), 0);
    EXPECT_FALSE(archive->disks()[1].in_use());
    EXPECT_EQ(archive->disks()[1].state, DiskState::kActive);
  }
  fs::remove(base_ + "/b");
  fs::rename(base_ + "/away", base_ + "/b");
  const auto archive = Open();
  EXPECT_GE(archive->segment_fd(4), 0);
  EXPECT_TRUE(archive->disks()[1].in_use());
}

TEST_F(ArchiveDisksTest, AnotherDiskInItsPlaceIsNotTouched) {
  Open();
  fs::remove_all(base_ + "/b");
  fs::rename(base_ + "/c", base_ + "/b");
  const auto archive = Reopen();
  EXPECT_EQ(archive->segment_fd(4), -1);
  EXPECT_THAT(archive->warnings(), Contains(HasSubstr("another one")));
  EXPECT_FALSE(fs::exists(base_ + "/b/segments/000004.seg"));
}

TEST_F(ArchiveDisksTest, ACopyOfTheHomeCannotTakeTheDisks) {
  const auto archive = Open();
  fs::copy(base_ + "/home", base_ + "/copy", fs::copy_options::recursive);
  options_.directory = base_ + "/copy";
  const auto copy = Reopen();
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->segment_fd(4), -1);
  EXPECT_THAT(copy->warnings(), Contains(HasSubstr("locked by another process")));
}

TEST_F(ArchiveDisksTest, AFailedDiskStaysOutUntilItIsAddedAgain) {
  {
    const auto archive = Open();
    ASSERT_TRUE(archive->TakeOut(2, "write: Input/output error").ok());
    EXPECT_EQ(archive->disks()[2].problem, "write: Input/output error");
    EXPECT_EQ(archive->disks()[2].state, DiskState::kFailed);
  }
  {
    const auto archive = Reopen();
    EXPECT_EQ(archive->segment_fd(7), -1);
    EXPECT_THAT(archive->warnings(),
                Contains(HasSubstr("disk 2 (" + base_ + "/c) failed and was taken out")));
    const auto number = archive->AddDisk({base_ + "/c", {}});
    ASSERT_TRUE(number.ok()) << number.status();
    EXPECT_EQ(*number, 2u);
  }
  const auto archive = Reopen();
  EXPECT_GE(archive->segment_fd(7), 0);
  EXPECT_TRUE(absl::IsAlreadyExists(archive->AddDisk({base_ + "/c", {}}).status()));
}

TEST_F(ArchiveDisksTest, SeveralDisksAreTakenInAgainOneByOne) {
  {
    const auto archive = Open();
    for (const uint32_t disk : {1, 2}) ASSERT_TRUE(archive->TakeOut(disk, "EIO").ok());
    ASSERT_TRUE(archive->AddDisk({base_ + "/b", {}}).ok());
    EXPECT_EQ(Meta().disks[1].state, DiskState::kActive);
    EXPECT_EQ(Meta().disks[2].state, DiskState::kFailed) << "of it nobody spoke";
    ASSERT_TRUE(archive->AddDisk({base_ + "/c", {}}).ok());
  }
  const auto archive = Reopen();
  for (const DiskStatus& disk : archive->disks()) EXPECT_TRUE(disk.in_use()) << disk.problem;
}

TEST_F(ArchiveDisksTest, TheHomesSegmentsFailLikeOthers) {
  Open();
  Reopen()->TakeOut(0, "write: Input/output error").IgnoreError();
  {
    const auto archive = Reopen();
    EXPECT_EQ(archive->segment_fd(0), -1);
    EXPECT_GE(archive->segment_fd(4), 0);
    EXPECT_EQ(archive->AddDisk({base_ + "/home", {}}).value_or(99), 0u);
  }
  EXPECT_GE(Reopen()->segment_fd(0), 0);
}

TEST_F(ArchiveDisksTest, ARemovedDiskKeepsItsPlaceAForgottenOneDoesNot) {
  {
    const auto archive = Open();
    ASSERT_TRUE(archive->RemoveDisk(1, /*forget=*/false).ok());
    EXPECT_TRUE(absl::IsNotFound(archive->RemoveDisk(5, false)));
    EXPECT_TRUE(absl::IsInvalidArgument(archive->RemoveDisk(0, true)));
  }
  EXPECT_EQ(Reopen()->segment_fd(4), -1);
  EXPECT_EQ(Meta().capacity(), MiB(12));
  {
    const auto archive = Reopen();
    ASSERT_TRUE(archive->RemoveDisk(1, /*forget=*/true).ok());
    EXPECT_FALSE(fs::exists(base_ + "/b/DISK"));
  }
  EXPECT_EQ(Meta().capacity(), MiB(9));
  EXPECT_EQ(Meta().segment_count, 12u) << "the last disk's slots keep their numbers";
  // Its number is free, its slots are not given to another one while later ones are taken.
  const auto number = Reopen()->AddDisk({base_ + "/d", MiB(2)});
  ASSERT_TRUE(number.ok()) << number.status();
  EXPECT_EQ(*number, 1u);
  EXPECT_EQ(Meta().disks[1].first_slot, 12u);
}

TEST_F(ArchiveDisksTest, TheLastDiskInUseStays) {
  options_.disks.resize(1);
  Open()->RemoveDisk(1, false).IgnoreError();
  EXPECT_TRUE(absl::IsFailedPrecondition(Reopen()->RemoveDisk(0, false)));
}

TEST_F(ArchiveDisksTest, ADiskThatMovedIsFoundByItsDiskFile) {
  Open();
  fs::rename(base_ + "/b", base_ + "/moved");
  EXPECT_EQ(Reopen()->AddDisk({base_ + "/moved", {}}).value_or(99), 1u);
  const auto archive = Reopen();
  EXPECT_EQ(archive->SegmentPath(4), base_ + "/moved/segments/000004.seg");
  EXPECT_GE(archive->segment_fd(4), 0);
}

TEST_F(ArchiveDisksTest, DisksSurviveTheLossOfTheArchiveFile) {
  TestSegmentOptions used;
  used.uuid = Open()->meta().uuid;
  TestSegment(used).WriteTo(base_ + "/home/segments/000000.seg");
  fs::remove(base_ + "/home/ARCHIVE");
  {
    const auto archive = Reopen();
    EXPECT_EQ(archive->meta().segment_count, 4u);
    EXPECT_EQ(archive->AddDisk({base_ + "/c", {}}).value_or(99), 2u);
    EXPECT_EQ(archive->AddDisk({base_ + "/b", {}}).value_or(99), 1u);
  }
  const auto archive = Reopen();
  EXPECT_EQ(archive->meta().segment_count, 12u);
  for (uint32_t slot = 0; slot < 12; ++slot) EXPECT_GE(archive->segment_fd(slot), 0);
}

TEST_F(ArchiveDisksTest, WhatIsNotAPlaceForADiskIsRefused) {
  const auto archive = Open();
  const auto refusal = [&](const std::string& directory, ByteCount capacity = {}) {
    return archive->AddDisk({directory, capacity}).status();
  };
  EXPECT_TRUE(absl::IsAlreadyExists(refusal(base_ + "/home"))) << refusal(base_ + "/home");
  EXPECT_TRUE(absl::IsInvalidArgument(refusal("")));
  EXPECT_TRUE(absl::IsInvalidArgument(refusal("/" + std::string(250, 'x'))));
  EXPECT_TRUE(absl::IsNotFound(refusal(base_ + "/not/there")));
  EXPECT_TRUE(absl::IsInvalidArgument(refusal(base_ + "/d", KiB(4))));
  EXPECT_TRUE(absl::IsResourceExhausted(refusal(base_ + "/d", GiB(60000))) ||
              absl::IsInvalidArgument(refusal(base_ + "/d", GiB(60000))));
  options_.directory = base_ + "/other";
  options_.disks = {{base_ + "/other-b", MiB(1)}};
  Open();
  EXPECT_THAT(refusal(base_ + "/other").message(), HasSubstr("an archive of its own"));
  EXPECT_THAT(refusal(base_ + "/other-b").message(), HasSubstr("another archive"));
  fs::rename(base_ + "/b", base_ + "/away");
  EXPECT_THAT(refusal(base_ + "/b").message(), HasSubstr("disk 1 of the archive belongs in"));
}

TEST_F(ArchiveDisksTest, SixteenAreEnough) {
  options_.disks.clear();
  options_.capacity = MiB(4);
  const auto archive = Open();
  for (uint32_t disk = 1; disk < kDisksMax; ++disk) {
    ASSERT_TRUE(archive->AddDisk({absl::StrCat(base_, "/", disk), MiB(1)}).ok());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(archive->AddDisk({base_ + "/one-more", MiB(1)}).status()));
  EXPECT_FALSE(archive->HasDiskOf(18)) << "until the next opening";
  EXPECT_EQ(archive->segment_fd(18), -1);
  EXPECT_FALSE(fs::exists(base_ + "/one-more"));
  EXPECT_EQ(Meta().segment_count, 19u);
}

}  // namespace
}  // namespace sluice
