#include "writer/archive/test_archive.h"

#include <stdlib.h>

#include <filesystem>

#include "gtest/gtest.h"
#include "ingest/check.h"

namespace sluice {

// With a short name: a build's directories can be deep, and an archive keeps its disks' paths.
std::string FreshDirectory() {
  std::string path = testing::TempDir() + "/XXXXXX";
  SLUICE_CHECK(mkdtemp(path.data()) != nullptr);
  return path;
}

TestArchive::TestArchive(uint32_t slots, uint32_t disks)
    : directory_(FreshDirectory() + "/archive") {
  ArchiveOptions options;
  options.directory = directory_;
  options.segment = MiB(1);
  options.capacity = MiB(slots);
  for (uint32_t disk = 1; disk < disks; ++disk) options.disks.push_back({DiskDirectory(disk), {}});
  absl::StatusOr<std::unique_ptr<Archive>> archive = Archive::Open(options);
  if (!archive.ok()) ADD_FAILURE() << archive.status();
  SLUICE_CHECK(archive.ok());
  archive_ = *std::move(archive);
  meta_ = archive_->meta();
}

std::string TestArchive::DiskDirectory(uint32_t disk) const {
  return directory_ + "-disk" + std::to_string(disk);
}

void TestArchive::Unmount(uint32_t disk) {
  std::filesystem::rename(DiskDirectory(disk), DiskDirectory(disk) + "-away");
  std::filesystem::create_directory(DiskDirectory(disk));
}

void TestArchive::Mount(uint32_t disk) {
  std::filesystem::remove(DiskDirectory(disk));  // only when nothing was written there
  std::filesystem::rename(DiskDirectory(disk) + "-away", DiskDirectory(disk));
}

void TestArchive::Reopen() {
  archive_.reset();
  ArchiveOptions options;
  options.directory = directory_;
  absl::StatusOr<std::unique_ptr<Archive>> archive = Archive::Open(options);
  if (!archive.ok()) ADD_FAILURE() << archive.status();
  SLUICE_CHECK(archive.ok());
  archive_ = *std::move(archive);
}

TestSegmentOptions TestArchive::Segment(uint64_t id, uint32_t slot, const std::string& recording,
                                        uint64_t uid) const {
  TestSegmentOptions options;
  options.uuid = meta_.uuid;
  options.id = SegmentId{id};
  options.slot = slot;
  options.size = meta_.segment;
  options.recording = recording;
  options.recording_uid = uid;
  return options;
}

}  // namespace sluice
