#include "ingest/ring/sim_disk.h"

#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

const std::string kOld(512, 'o');
const std::string kNew(512, 'n');

TEST(SimDiskTest, PowerTakesOnlyWhatWasNotSynced) {
  SimWorld world(1);
  SimDisk disk(world);
  const int file = disk.AddFile(8192);
  disk.Put(file, 0, kOld);
  disk.Sync(file, disk.writes());
  disk.Put(file, 512, kNew);
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    const std::string image = disk.CrashImage(file);
    EXPECT_EQ(image.substr(0, 512), kOld);
    EXPECT_EQ(image.find_first_not_of('\0', 1024), std::string::npos);
    seen.insert(image.substr(512, 512));
  }
  EXPECT_TRUE(seen.contains(kNew));
  EXPECT_TRUE(seen.contains(std::string(512, '\0')));
  EXPECT_GT(seen.size(), 10u);  // torn in many places
  EXPECT_EQ(disk.Bytes(file).substr(512, 512), kNew);
}

TEST(SimDiskTest, ASyncCoversWhatHadBeenWrittenWhenItWasSubmitted) {
  SimWorld world(1);
  SimDisk disk(world);
  const int file = disk.AddFile(4096);
  disk.Put(file, 0, kOld);
  const uint64_t covers = disk.writes();
  disk.Put(file, 0, kNew);
  disk.Sync(file, covers);
  std::set<char> firsts;
  for (int i = 0; i < 200; ++i) firsts.insert(disk.CrashImage(file)[0]);
  EXPECT_TRUE(firsts.contains('o') && firsts.contains('n'));
  EXPECT_FALSE(firsts.contains('\0'));
}

TEST(SimDiskTest, WhatAFailedSyncCoveredStaysInDoubt) {
  SimWorld world(1);
  SimDisk disk(world);
  const int file = disk.AddFile(4096);
  disk.Put(file, 0, kNew);
  disk.FailSync(file, disk.writes());
  disk.Sync(file, disk.writes());
  std::set<char> firsts;
  for (int i = 0; i < 200; ++i) firsts.insert(disk.CrashImage(file)[0]);
  EXPECT_TRUE(firsts.contains('\0'));
}

TEST(SimDiskTest, WhatIsInDoubtDoesNotComeBackOverWhatIsDurable) {
  SimWorld world(1);
  SimDisk disk(world);
  const int file = disk.AddFile(4096);
  disk.Put(file, 0, kOld + kOld + kOld);
  disk.FailSync(file, disk.writes());
  disk.Put(file, 512, kNew);
  disk.Sync(file, disk.writes());
  std::set<char> before;
  for (int i = 0; i < 200; ++i) {
    const std::string image = disk.CrashImage(file);
    EXPECT_EQ(image.substr(512, 512), kNew);
    before.insert(image[0]);
  }
  EXPECT_TRUE(before.contains('\0') && before.contains('o'));
}

TEST(SimDiskTest, WhatPowerLossLeavesIsDurable) {
  SimWorld world(3);
  SimDisk disk(world);
  std::vector<std::byte> platter(8192);
  const int file = disk.AddFile(platter);
  disk.Put(file, 4096, kNew);
  disk.LosePower();
  const std::string left(disk.Bytes(file));
  EXPECT_EQ(disk.CrashImage(file), left);
  EXPECT_EQ(std::memcmp(platter.data(), left.data(), left.size()), 0);
}

TEST(SimDiskTest, NoticesWhatOthersWrite) {
  SimWorld world(1);
  SimDisk disk(world);
  std::vector<std::byte> platter(8192);
  const int file = disk.AddFile(platter);
  disk.Watch();
  platter[5000] = std::byte{'n'};
  disk.Notice(file);
  std::set<char> seen;
  for (int i = 0; i < 50; ++i) seen.insert(disk.CrashImage(file)[5000]);
  EXPECT_TRUE(seen.contains('n') && seen.contains('\0'));
  disk.Notice(file);  // nothing new
  disk.Sync(file, disk.writes());
  EXPECT_EQ(disk.CrashImage(file)[5000], 'n');
  platter[5000] = std::byte{'m'};
  disk.Revert();
  EXPECT_EQ(disk.Bytes(file)[5000], 'n');
}

}  // namespace
}  // namespace sluice
