// A small archive in a fresh directory, for tests.
#ifndef WRITER_ARCHIVE_TEST_ARCHIVE_H_
#define WRITER_ARCHIVE_TEST_ARCHIVE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "writer/archive/archive.h"
#include "writer/segment/test_segment.h"

namespace sluice {

// An empty directory below the test's, another one each time.
std::string FreshDirectory();

class TestArchive {
 public:
  // `slots` segments of 1 MiB on each of `disks` disks.
  explicit TestArchive(uint32_t slots = 8, uint32_t disks = 1);

  // Closes and opens it again, as the next start would.
  void Reopen();
  void Close() { archive_.reset(); }

  Archive& operator*() { return *archive_; }
  Archive* operator->() { return archive_.get(); }
  const std::string& directory() const { return directory_; }
  std::string SegmentPath(uint32_t slot) const {
    return Archive::SegmentPath(directory_, meta_, slot);
  }
  // Of a further disk, whose slots begin at `slots` times its number.
  std::string DiskDirectory(uint32_t disk) const;
  // As if the disk were not mounted, and were again.
  void Unmount(uint32_t disk);
  void Mount(uint32_t disk);
  std::string CatalogPath() const { return Archive::CatalogPath(directory_); }

  // The options of a segment in this archive.
  TestSegmentOptions Segment(uint64_t id, uint32_t slot, const std::string& recording = "test",
                             uint64_t uid = 7) const;

 private:
  std::string directory_;
  std::unique_ptr<Archive> archive_;
  ArchiveMeta meta_;
};

}  // namespace sluice

#endif  // WRITER_ARCHIVE_TEST_ARCHIVE_H_
