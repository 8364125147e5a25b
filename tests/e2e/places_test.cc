// Archives on disks that are full, read-only, or none.
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include "absl/cleanup/cleanup.h"
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

// In the child: mounts that only it sees.
bool EnterMountNamespace() {
  return unshare(CLONE_NEWNS) == 0 && mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}
bool MakeReadOnly(const std::string& directory) {
  const char* const path = directory.c_str();
  return mount(path, path, nullptr, MS_BIND, nullptr) == 0 &&
         mount(nullptr, path, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) == 0;
}
bool MountMemory(const std::string& directory, const char* options) {
  return mount("tmpfs", directory.c_str(), "tmpfs", 0, options) == 0;
}

class PlacesTest : public E2eTest {
 protected:
  static bool MayMount() {
    return RunToEnd({.command = {"/bin/true"},
                     .before_exec =
                         [] {
                           if (!EnterMountNamespace()) _exit(1);
                         }})
               .code == 0;
  }

  // In a mount namespace that `prepare` has changed.
  static Outcome RunIn(const std::function<bool()>& prepare, const Words& words) {
    ChildOptions options = Command(words);
    options.before_exec = [&prepare] {
      if (!EnterMountNamespace() || !prepare()) _exit(99);
    };
    return RunToEnd(options);
  }

  static void ExpectRefusal(const Outcome& outcome, const Words& says) {
    EXPECT_EQ(outcome.code, 1) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    for (const std::string& part : says) EXPECT_THAT(outcome.err, HasSubstr(part));
  }
};

TEST_F(PlacesTest, AReadOnlyDisk) {
  if (!MayMount()) GTEST_SKIP() << "no mount namespaces for this user";
  for (const std::string& place : {directory(), directory() + "/new"}) {
    ExpectRefusal(RunIn([&] { return MakeReadOnly(directory()); },
                        {"record", "--tcp", "127.0.0.1:0", "--archive", place}),
                  {place, "Read-only file system"});
  }
}

TEST_F(PlacesTest, AnArchiveOnAReadOnlyDiskCanBeRead) {
  if (!MayMount()) GTEST_SKIP() << "no mount namespaces for this user";
  Recorder recorder(archive(), {"--capacity", "64MiB"});
  Peer peer(content(), 1, recorder.port());
  ASSERT_TRUE(peer.Send(100'001));
  peer.FinishSending();
  EXPECT_TRUE(peer.AwaitClose());
  recorder.Stop();

  const auto read_only = [this] { return MakeReadOnly(directory()); };
  ExpectRefusal(RunIn(read_only, {"record", "--tcp", "127.0.0.1:0", "--archive", archive()}),
                {archive(), "Read-only file system"});
  for (const Words& words : {Words{"streams"}, Words{"status"}, Words{"verify"},
                             Words{"export", "1-0-1"}, Words{"archive", "info"}}) {
    Words all = words;
    all.insert(all.end(), {"--archive", archive()});
    const Outcome outcome = RunIn(read_only, all);
    EXPECT_EQ(outcome.code, 0) << testing::PrintToString(words) << outcome.err;
    EXPECT_EQ(outcome.err, "");
  }
}

TEST_F(PlacesTest, ADirectoryOfSomebodyElse) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  ASSERT_EQ(chmod(directory().c_str(), 0500), 0);
  ExpectRefusal(RunSluice({"record", "--tcp", "127.0.0.1:0", "--archive", archive()}),
                {archive(), "Permission denied"});
  ASSERT_EQ(chmod(directory().c_str(), 0700), 0);
}

TEST_F(PlacesTest, ADiskThatIsTooSmall) {
  struct statvfs disk = {};
  ASSERT_EQ(statvfs(directory().c_str(), &disk), 0);
  const uint64_t free = uint64_t{disk.f_bavail} * disk.f_frsize;
  ExpectRefusal(RunSluice({"record", "--tcp", "127.0.0.1:0", "--archive", archive(), "--capacity",
                           std::to_string(free + 1024 * kMiB)}),
                {archive(), "the disk has", "free"});
  EXPECT_FALSE(std::filesystem::exists(archive() + "/segments")) << "something is left behind";
}

TEST_F(PlacesTest, AMemoryFileSystemThatIsTooSmall) {
  if (!MayMount()) GTEST_SKIP() << "no mount namespaces for this user";
  ExpectRefusal(
      RunIn([&] { return MountMemory(directory(), "size=32m"); },
            {"record", "--tcp", "127.0.0.1:0", "--archive", archive(), "--capacity", "64MiB"}),
      {archive(), "64 MiB", " MiB free"});
}

// Kernels before 6.6 have no direct I/O there: then it works with a warning.
TEST_F(PlacesTest, AMemoryFileSystemWorks) {
  constexpr int64_t kMemoryFileSystem = 0x01021994;  // TMPFS_MAGIC
  struct statfs memory = {};
  if (statfs("/dev/shm", &memory) != 0 || memory.f_type != kMemoryFileSystem ||
      memory.f_bavail * static_cast<uint64_t>(memory.f_bsize) < 128 * kMiB) {
    GTEST_SKIP() << "no /dev/shm with 128 MiB free";
  }
  char name[] = "/dev/shm/sluice-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const absl::Cleanup remove = [&name] { std::filesystem::remove_all(name); };
  const Words place = {"--archive", std::string(name) + "/archive"};
  Recorder recorder(place[1], {"--capacity", "64MiB"});
  Peer peer(content(), 1, recorder.port());
  ASSERT_TRUE(peer.Send(20 * kMiB + 1));
  peer.FinishSending();
  EXPECT_TRUE(peer.AwaitClose());
  EXPECT_EQ(recorder.Stop()["bytesDurable"].int64(), static_cast<int64_t>(20 * kMiB + 1));
  EXPECT_EQ(Verify(place[1]), "");
  EXPECT_EQ(CompareExport("1-0-1", place, content(), {.number = 1, .end = 20 * kMiB + 1}), "");
}

}  // namespace
}  // namespace sluice
