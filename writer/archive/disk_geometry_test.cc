#include "writer/archive/disk_geometry.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

class QueueTest : public testing::Test {
 protected:
  QueueTest() {
    fs::remove_all(sys_);
    fs::create_directories(disk_ + "/queue");
    fs::create_directories(disk_ + "/vda1");
    fs::create_directories(sys_ + "/dev/block");
    fs::create_directory_symlink("../../devices/vda", sys_ + "/dev/block/254:0");
    fs::create_directory_symlink("../../devices/vda/vda1", sys_ + "/dev/block/254:1");
    Put("vda1/partition", "1");
    Put("queue/max_sectors_kb", "1280");
    Put("queue/max_segments", "127");
    Put("queue/virt_boundary_mask", "4095");
  }
  void Put(const std::string& name, const std::string& value) {
    std::ofstream(disk_ + "/" + name) << value << "\n";
  }

  const std::string sys_ = testing::TempDir() + "/sys";
  const std::string disk_ = sys_ + "/devices/vda";
  DiskGeometry geometry_;
};

TEST_F(QueueTest, ADisk) {
  ASSERT_TRUE(DiskGeometry::ReadQueue(sys_, makedev(254, 0), &geometry_));
  EXPECT_EQ(geometry_.device, "vda");
  EXPECT_EQ(geometry_.write_bytes_max, 1280u << 10);
  EXPECT_EQ(geometry_.ranges_max, 127u);
  EXPECT_EQ(geometry_.virt_boundary, 4095u);
}

TEST_F(QueueTest, APartitionHasItsDisksQueue) {
  ASSERT_TRUE(DiskGeometry::ReadQueue(sys_, makedev(254, 1), &geometry_));
  EXPECT_EQ(geometry_.device, "vda1");
  EXPECT_EQ(geometry_.ranges_max, 127u);
}

TEST_F(QueueTest, LimitsAreCapped) {
  Put("queue/max_sectors_kb", "2147483647");
  Put("queue/max_segments", "65535");
  ASSERT_TRUE(DiskGeometry::ReadQueue(sys_, makedev(254, 0), &geometry_));
  EXPECT_EQ(geometry_.write_bytes_max, 4u << 20);
  EXPECT_EQ(geometry_.ranges_max, 256u);
  Put("queue/max_sectors_kb", "3");
  Put("queue/max_segments", "0");
  ASSERT_TRUE(DiskGeometry::ReadQueue(sys_, makedev(254, 0), &geometry_));
  EXPECT_EQ(geometry_.write_bytes_max, 4096u);
  EXPECT_EQ(geometry_.ranges_max, 1u);
}

TEST_F(QueueTest, WhatCannotBeSeenIsNotKnown) {
  EXPECT_FALSE(DiskGeometry::ReadQueue(sys_, makedev(1, 2), &geometry_));
  EXPECT_FALSE(DiskGeometry::ReadQueue(sys_ + "/none", makedev(254, 0), &geometry_));
  Put("queue/max_segments", "many");
  EXPECT_FALSE(DiskGeometry::ReadQueue(sys_, makedev(254, 0), &geometry_));
}

TEST(DiskGeometryTest, AnswersForARealFile) {
  const std::string path = testing::TempDir() + "/geometry";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_GE(fd, 0);
  const auto geometry = DiskGeometry::Probe(fd);
  ASSERT_TRUE(geometry.ok()) << geometry.status();
  EXPECT_GE(geometry->write_bytes_max, 4096u);
  EXPECT_EQ(geometry->write_bytes_max % 4096, 0u);
  EXPECT_GE(geometry->ranges_max, 1u);
  EXPECT_LE(geometry->memory_align, 4096u);
  EXPECT_GE(geometry->memory_align, 1u);
  EXPECT_LE(geometry->offset_align, 4096u);
  close(fd);
}

TEST(DiskGeometryTest, ABadDescriptorIsAnError) { EXPECT_FALSE(DiskGeometry::Probe(-1).ok()); }

}  // namespace
}  // namespace sluice
