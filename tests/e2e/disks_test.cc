// An archive over several disks, of which one fails, goes and comes back. The disks are file
// systems of their own, in files that are mounted.
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMiB = uint64_t{1} << 20;

bool Shell(const std::string& command) {
  const std::string path = "PATH=/usr/sbin:/sbin:/usr/bin:/bin";
  return std::system(absl::StrCat(path, "; (", command, ") >/dev/null 2>&1").c_str()) == 0;
}

// An ext4 of its own, mounted at `path`.
class MountedDisk {
 public:
  explicit MountedDisk(const std::string& path) : path_(path), image_(path + ".img") {
    std::filesystem::create_directory(path_);
    works_ = Shell(absl::StrCat("truncate -s 128M ", image_, " && mkfs.ext4 -q -m0 ", image_)) &&
             Mount();
  }
  ~MountedDisk() {
    if (mounted_) Unmount();
  }

  bool works() const { return works_; }
  // A directory on the disk.
  std::string directory() const { return path_ + "/sluice"; }

  bool Mount() { return mounted_ = Shell(absl::StrCat("mount -o loop ", image_, " ", path_)); }
  bool Unmount() {
    mounted_ = false;
    return Shell(absl::StrCat("umount ", path_));
  }

  // As after an error of the device that the file system cannot live with: nothing can be written
  // any more (EROFS), reading goes on.
  bool TurnReadOnly() { return Shell(absl::StrCat("mount -o remount,abort ", path_)); }
  // As if it had been pulled out: EIO for everything.
  bool Vanish() {
    constexpr unsigned long kShutdown = _IOR('X', 125, uint32_t);  // EXT4_IOC_SHUTDOWN
    uint32_t without_a_flush = 2;
    const int fd = open(path_.c_str(), O_RDONLY | O_DIRECTORY);
    const bool done = ioctl(fd, kShutdown, &without_a_flush) == 0;
    close(fd);
    return done;
  }
  bool Repair() { return Unmount() && Mount(); }

 private:
  const std::string path_;
  const std::string image_;
  bool mounted_ = false;
  bool works_ = false;
};

class DisksTest : public E2eTest {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root may mount file systems";
    // Nobody else sees the mounts, and so nobody keeps them when they are undone.
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      GTEST_SKIP() << "no mounts of its own: " << std::strerror(errno);
    }
    disk_ = std::make_unique<MountedDisk>(directory() + "/b");
    if (!disk_->works()) GTEST_SKIP() << "no file system can be mounted here (loop device, ext4)";
  }

  Words Options() const {
    return {"--capacity",      "64MiB", "--segment-size", "2MiB", "--disk", disk_->directory(),
            "--sync-interval", "50ms"};
  }
  // A stream, to its end.
  std::string Record(Recorder& recorder, uint64_t number, uint64_t bytes) {
    Peer peer(content(), number, recorder.port());
    EXPECT_TRUE(peer.Send(bytes));
    peer.FinishSending();
    EXPECT_TRUE(peer.AwaitClose());
    return StreamId(AwaitDurable(target(), peer.address(), bytes));
  }
  std::string Whole(const std::string& id, uint64_t number, uint64_t bytes) {
    return CompareExport(id, target(), content(), {number, 0, bytes});
  }
  Json Disk(int number) {
    return AskSluice({"archive", "info", "--archive", archive()})["disks"].elements().at(
        static_cast<size_t>(number));
  }
  double UsedOf(int number) { return Disk(number)["segmentsUsed"].number(); }
  Outcome AddDisk() {
    return RunSluice({"archive", "add-disk", disk_->directory(), "--archive", archive()});
  }

  // Records through the failure of the disk; `readable`: what it holds still is.
  void FailInTheMidst(const std::function<bool()>& fail, bool readable);

  std::unique_ptr<MountedDisk> disk_;
};

void DisksTest::FailInTheMidst(const std::function<bool()>& fail, bool readable) {
  std::string before, during, after;
  constexpr uint64_t kBefore = 9 * kMiB + 1;
  constexpr uint64_t kDurable = 5 * kMiB + 7;
  constexpr uint64_t kAfter = 11 * kMiB + 3;
  Json summary;
  {
    Recorder recorder(archive(), Options());
    before = Record(recorder, 1, kBefore);
    EXPECT_GT(UsedOf(0), 0);
    EXPECT_GT(UsedOf(1), 0);
    Peer peer(content(), 2, recorder.port());
    ASSERT_TRUE(peer.Send(kDurable));
    during = StreamId(AwaitDurable(target(), peer.address(), kDurable));
    ASSERT_TRUE(fail());
    // More than what fits into the segments that it has, so that it meets the failure.
    ASSERT_TRUE(peer.Send(12 * kMiB));
    ASSERT_TRUE(recorder.child().AwaitErr("was taken out of use"));
    peer.FinishSending();
    EXPECT_TRUE(peer.AwaitClose());
    after = Record(recorder, 3, kAfter);
    summary = recorder.Stop();
    EXPECT_THAT(recorder.child().err(), HasSubstr("disk 1 (" + disk_->directory() + ")"));
    EXPECT_THAT(recorder.child().err(), HasSubstr("sluice archive add-disk"));
  }
  EXPECT_EQ(summary["state"].text(), "STOPPED");
  const int64_t received = summary["bytesReceived"].int64();
  EXPECT_EQ(received, static_cast<int64_t>(kBefore + kDurable + 12 * kMiB + kAfter));
  EXPECT_EQ(summary["bytesWritten"].int64() + summary["bytesDropped"].int64(), received);
  EXPECT_EQ(summary["bytesDurable"].int64(), summary["bytesWritten"].int64());
  EXPECT_EQ(Disk(1)["state"].text(), "FAILED");
  EXPECT_EQ(Verify(archive()), "");
  EXPECT_EQ(Whole(after, 3, kAfter), "");
  if (readable) {
    EXPECT_EQ(Whole(before, 1, kBefore), "");
    EXPECT_EQ(CompareExport(during, target(), content(), {2, 0, kDurable},
                            {"--bytes", absl::StrCat(kDurable)}),
              "");
  } else {
    const Outcome export_of_it =
        RunSluice({"streams", "get", before, "--archive", archive()});  // it is still known
    EXPECT_EQ(export_of_it.code, 0) << export_of_it.err;
    EXPECT_NE(Whole(before, 1, kBefore), "");
  }

  // It stays out, until it is said to be well.
  EXPECT_EQ(Disk(1)["state"].text(), "FAILED");
  ASSERT_TRUE(disk_->Repair());
  const Outcome added = AddDisk();
  ASSERT_EQ(added.code, 0) << added.err;
  EXPECT_EQ(Disk(1)["state"].text(), "ACTIVE");
  EXPECT_EQ(Verify(archive()), "");
  EXPECT_EQ(Whole(before, 1, kBefore), "");
  EXPECT_EQ(CompareExport(during, target(), content(), {2, 0, kDurable},
                          {"--bytes", absl::StrCat(kDurable)}),
            "");
  EXPECT_EQ(Whole(after, 3, kAfter), "");
  const double used = UsedOf(1);
  std::string again;
  {
    Recorder recorder(archive(), {"--sync-interval", "50ms"});
    again = Record(recorder, 4, 8 * kMiB);
    recorder.Stop();
  }
  EXPECT_GT(UsedOf(1), used);
  EXPECT_EQ(Whole(again, 4, 8 * kMiB), "");
  EXPECT_EQ(Verify(archive()), "");
}

TEST_F(DisksTest, ADiskThatTurnsReadOnlyCostsNothingDurable) {
  FailInTheMidst([this] { return disk_->TurnReadOnly(); }, /*readable=*/true);
}

TEST_F(DisksTest, ADiskThatVanishesCostsNothingDurable) {
  FailInTheMidst([this] { return disk_->Vanish(); }, /*readable=*/false);
}

TEST_F(DisksTest, ADiskThatIsNotMountedIsWaitedFor) {
  std::string first, second;
  constexpr uint64_t kBytes = 10 * kMiB + 5;
  {
    Recorder recorder(archive(), Options());
    first = Record(recorder, 1, kBytes);
    recorder.Stop();
  }
  ASSERT_GT(UsedOf(1), 0);
  ASSERT_TRUE(disk_->Unmount());
  {
    // Though it is named: the directory below the mount is not taken for a disk.
    Recorder recorder(archive(), Options());
    second = Record(recorder, 2, kBytes);
    recorder.Stop();
    EXPECT_THAT(recorder.child().err(), HasSubstr("is not there: is it mounted?"));
  }
  EXPECT_FALSE(std::filesystem::exists(disk_->directory()));
  EXPECT_THAT(Disk(1)["problem"].text(), HasSubstr("is it mounted?"));
  EXPECT_EQ(Whole(second, 2, kBytes), "");
  const Outcome away =
      RunSluice({"export", first, "--archive", archive(), "--to", directory() + "/copy"});
  EXPECT_EQ(away.code, 1);
  EXPECT_THAT(away.err, HasSubstr("disk 1 (" + disk_->directory() + ")"));
  const Outcome verified = RunSluice({"verify", "--archive", archive()});
  EXPECT_EQ(verified.code, 0) << verified.out;
  EXPECT_THAT(verified.out + verified.err, HasSubstr("not verified"));

  ASSERT_TRUE(disk_->Mount());
  EXPECT_EQ(Whole(first, 1, kBytes), "");
  EXPECT_EQ(Whole(second, 2, kBytes), "");
  EXPECT_EQ(Verify(archive()), "");
  {
    Recorder recorder(archive(), Options());
    Record(recorder, 3, kBytes);
    recorder.Stop();
  }
  EXPECT_EQ(Whole(first, 1, kBytes), "");
  EXPECT_EQ(Verify(archive()), "");
}

TEST_F(DisksTest, ADiskIsRemovedAndDiscarded) {
  std::string stream;
  constexpr uint64_t kBytes = 10 * kMiB + 5;
  {
    Recorder recorder(archive(), Options());
    stream = Record(recorder, 1, kBytes);
    const Outcome busy = RunSluice({"archive", "remove-disk", "1", "--archive", archive()});
    EXPECT_EQ(busy.code, 1);
    EXPECT_THAT(busy.err, HasSubstr("already open for writing"));
    recorder.Stop();
  }
  const Outcome removed =
      RunSluice({"archive", "remove-disk", disk_->directory(), "--archive", archive()});
  ASSERT_EQ(removed.code, 0) << removed.err;
  EXPECT_EQ(Disk(1)["state"].text(), "REMOVED");
  EXPECT_EQ(Whole(stream, 1, kBytes), "") << "it is out of use, but there";
  ASSERT_EQ(AddDisk().code, 0);
  EXPECT_EQ(Disk(1)["state"].text(), "ACTIVE");
  const Outcome discarded =
      RunSluice({"archive", "remove-disk", "1", "--discard", "--archive", archive()});
  ASSERT_EQ(discarded.code, 0) << discarded.err;
  EXPECT_EQ(AskSluice({"archive", "info", "--archive", archive()})["disks"].elements().size(), 1u);
  EXPECT_FALSE(std::filesystem::exists(disk_->directory() + "/DISK"));
  {
    Recorder recorder(archive(), {"--sync-interval", "50ms"});
    EXPECT_EQ(Whole(Record(recorder, 2, kBytes), 2, kBytes), "");
    recorder.Stop();
  }
}

}  // namespace
}  // namespace sluice
