// The ARCHIVE and DISK files.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/types/span.h"
#include "ingest/check.h"
#include "writer/archive/archive_codec.h"
#include "writer/archive/format.h"
#include "writer/extent/crc32c.h"

namespace sluice {
namespace {

void Parse(absl::Span<const std::byte> bytes) {
  if (const absl::StatusOr<DiskIdentity> disk = ParseDisk(bytes); disk.ok()) {
    SLUICE_CHECK(ParseDisk(EncodeDisk(*disk)).ok());
  }
  const absl::StatusOr<ArchiveMeta> meta = ParseMeta(bytes);
  if (!meta.ok()) return;
  SLUICE_CHECK(meta->segment_count > 0 && meta->segment >= kSegmentBytesMin);
  SLUICE_CHECK(meta->capacity().value / meta->segment.value <= meta->segment_count);
  for (uint32_t slot = 0; slot < meta->segment_count; ++slot) {
    SLUICE_CHECK(meta->DiskOf(slot) < meta->disks.size());
  }
  const absl::StatusOr<ArchiveMeta> again = ParseMeta(EncodeMeta(*meta));
  SLUICE_CHECK(again.ok() && again->uuid == meta->uuid && again->epoch == meta->epoch &&
               again->segment == meta->segment && again->created == meta->created &&
               again->segment_count == meta->segment_count &&
               again->disks.size() == meta->disks.size());
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  sluice::Parse(bytes);
  // Once more with the checksum made right.
  sluice::ArchiveBlock block;
  if (size != sizeof(block)) return 0;
  std::memcpy(&block, bytes.data(), sizeof(block));
  block.crc32c = 0;
  block.crc32c = sluice::Crc32c({reinterpret_cast<const std::byte*>(&block), sizeof(block)});
  sluice::Parse({reinterpret_cast<const std::byte*>(&block), sizeof(block)});
  return 0;
}
