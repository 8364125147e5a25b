#include "tests/e2e/own_disk.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/e2e/sluice.h"

namespace sluice {

OwnDisk::OwnDisk(const std::string& directory)
    : image_(directory + "/disk"), mount_(directory + "/mount"), filler_(mount_ + "/filler") {
  if (unshare(CLONE_NEWNS) != 0 ||
      ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    why_not_ = absl::StrCat("mount namespace: errno ", errno);
    return;
  }
  std::filesystem::create_directory(mount_);
  for (const Words& command : {Words{"/usr/bin/truncate", "-s", "1G", image_},
                               Words{"/usr/sbin/mkfs.ext4", "-q", "-F", image_},
                               Words{"/usr/bin/mount", "-o", "loop", image_, mount_}}) {
    const Outcome outcome = RunToEnd({.command = command});
    if (outcome.code == 0) continue;
    why_not_ = absl::StrCat(command.front(), ": ", outcome.err);
    return;
  }
  root_ = open(mount_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

OwnDisk::~OwnDisk() {
  if (root_ < 0) return;
  if (frozen_) Thaw();
  close(root_);
  const Outcome unmounted = RunToEnd({.command = {"/usr/bin/umount", mount_}});
  EXPECT_EQ(unmounted.code, 0) << unmounted.err;
}

void OwnDisk::Freeze() {
  frozen_ = ioctl(root_, FIFREEZE, 0) == 0;
  if (!frozen_) why_not_ = absl::StrCat("FIFREEZE: errno ", errno);
}

void OwnDisk::Thaw() {
  EXPECT_EQ(ioctl(root_, FITHAW, 0), 0);
  frozen_ = false;
}

void OwnDisk::Fill() {
  const int fd = open(filler_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0) << errno;
  struct stat before = {};
  ASSERT_EQ(fstat(fd, &before), 0);
  off_t size = before.st_size;
  for (off_t piece = off_t{1} << 28; piece >= 4096; piece /= 2) {
    while (fallocate(fd, 0, size, piece) == 0) size += piece;
    EXPECT_EQ(errno, ENOSPC);
  }
  close(fd);
}

void OwnDisk::MakeRoom() { EXPECT_EQ(unlink(filler_.c_str()), 0); }

uint64_t OwnDisk::free() const {
  struct statvfs disk = {};
  EXPECT_EQ(statvfs(mount_.c_str(), &disk), 0);
  return uint64_t{disk.f_bavail} * disk.f_frsize;
}

}  // namespace sluice
