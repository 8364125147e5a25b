// The bytes of an archive's ARCHIVE and DISK files, as writer/FORMAT.md specifies them.
#ifndef WRITER_ARCHIVE_FORMAT_H_
#define WRITER_ARCHIVE_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "writer/extent/format.h"

namespace sluice {

inline constexpr uint64_t kArchiveMagic = 0x31435241'43494C53;  // "SLICARC1"

inline constexpr uint64_t kDiskMagic = 0x314B5344'43494C53;  // "SLICDSK1"
inline constexpr uint32_t kDisksMax = 16;                    // the home included
inline constexpr size_t kDiskPathBytes = 200;

// One disk of the archive, in ARCHIVE. All zeros: there is none; as the first: the home is in use.
struct DiskRecord {
  std::array<uint8_t, 16> uuid = {};  // as in its DISK file; the home has none
  uint32_t first_slot = 0;
  uint32_t slot_count = 0;
  uint8_t state = 0;
  uint8_t reserved0[3] = {};
  uint32_t seen_epoch = 0;                          // the last one in which it was there
  int64_t since_ns = 0;                             // when the state changed
  std::array<char, kDiskPathBytes> directory = {};  // zero-terminated
};
static_assert(sizeof(DiskRecord) == 240);

// The whole file. Replaced by renaming, so it is always one or the other.
struct ArchiveBlock {
  uint64_t magic = kArchiveMagic;
  uint16_t version = kFormatVersion;
  uint16_t flags = 0;  // kArchiveImported
  uint32_t segment_count = 0;
  std::array<uint8_t, 16> uuid = {};
  uint64_t segment_bytes = 0;
  int64_t created_ns = 0;
  uint32_t epoch = 0;
  uint32_t reserved1 = 0;
  std::array<DiskRecord, kDisksMax> disks = {};
  uint64_t catalog_bytes = 0;
  uint8_t reserved2[kBlockBytes - 68 - kDisksMax * sizeof(DiskRecord)] = {};
  uint32_t crc32c = 0;  // over the block with this field zero
};
static_assert(sizeof(ArchiveBlock) == kBlockBytes);
static_assert(offsetof(ArchiveBlock, disks) == 56);
static_assert(offsetof(ArchiveBlock, catalog_bytes) == 3896);
static_assert(offsetof(ArchiveBlock, crc32c) == kBlockBytes - 4);

// It has segments of another archive of the same uuid; nothing is recorded into it.
inline constexpr uint16_t kArchiveImported = 1;

// The whole DISK file of a disk that is not the home. Written once.
struct DiskBlock {
  uint64_t magic = kDiskMagic;
  uint16_t version = kFormatVersion;
  uint16_t reserved0 = 0;
  uint32_t number = 0;
  std::array<uint8_t, 16> archive_uuid = {};
  std::array<uint8_t, 16> uuid = {};
  uint64_t segment_bytes = 0;
  uint32_t first_slot = 0;
  uint32_t slot_count = 0;
  int64_t created_ns = 0;
  uint8_t reserved[kBlockBytes - 76] = {};
  uint32_t crc32c = 0;  // over the block with this field zero
};
static_assert(sizeof(DiskBlock) == kBlockBytes);
static_assert(offsetof(DiskBlock, crc32c) == kBlockBytes - 4);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_FORMAT_H_
