// The bytes of an archive's ARCHIVE file, as writer/FORMAT.md specifies them.
#ifndef WRITER_ARCHIVE_FORMAT_H_
#define WRITER_ARCHIVE_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "writer/extent/format.h"

namespace sluice {

inline constexpr uint64_t kArchiveMagic = 0x31435241'43494C53;  // "SLICARC1"

// The whole file. Replaced by renaming, so it is always one or the other.
struct ArchiveBlock {
  uint64_t magic = kArchiveMagic;
  uint16_t version = kFormatVersion;
  uint16_t reserved0 = 0;
  uint32_t segment_count = 0;
  std::array<uint8_t, 16> uuid = {};
  uint64_t segment_bytes = 0;
  int64_t created_ns = 0;
  uint32_t epoch = 0;
  uint8_t reserved[kBlockBytes - 56] = {};
  uint32_t crc32c = 0;  // over the block with this field zero
};
static_assert(sizeof(ArchiveBlock) == kBlockBytes);
static_assert(offsetof(ArchiveBlock, crc32c) == kBlockBytes - 4);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_FORMAT_H_
