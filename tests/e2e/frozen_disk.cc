#include "tests/e2e/frozen_disk.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/e2e/sluice.h"

namespace sluice {

FrozenDisk::FrozenDisk(const std::string& directory)
    : image_(directory + "/disk"), mount_(directory + "/mount") {
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

FrozenDisk::~FrozenDisk() {
  if (root_ < 0) return;
  if (frozen_) Thaw();
  close(root_);
  const Outcome unmounted = RunToEnd({.command = {"/usr/bin/umount", mount_}});
  EXPECT_EQ(unmounted.code, 0) << unmounted.err;
}

void FrozenDisk::Freeze() {
  frozen_ = ioctl(root_, FIFREEZE, 0) == 0;
  if (!frozen_) why_not_ = absl::StrCat("FIFREEZE: errno ", errno);
}

void FrozenDisk::Thaw() {
  EXPECT_EQ(ioctl(root_, FITHAW, 0), 0);
  frozen_ = false;
}

}  // namespace sluice
