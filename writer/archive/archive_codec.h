// From the bytes of an archive's ARCHIVE, DISK and LOCK files to structs and back. Pure: no files;
// trusts nothing.
#ifndef WRITER_ARCHIVE_ARCHIVE_CODEC_H_
#define WRITER_ARCHIVE_ARCHIVE_CODEC_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "ingest/units.h"

namespace sluice {

inline constexpr size_t kMetaBytes = 4096;
inline constexpr ByteCount kSegmentBytesMin = MiB(1);
inline constexpr ByteCount kSegmentBytesMax = GiB(4);
inline constexpr uint32_t kSegmentCountMin = 4;
inline constexpr uint32_t kSegmentCountMax = 65536;
inline constexpr ByteCount kCatalogBytesMin = MiB(1);
inline constexpr ByteCount kCatalogBytesMax = GiB(1024);
inline constexpr uint32_t kEpochMax = 0x7FFFFF;  // stream ids have room for no more

using Uuid = std::array<uint8_t, 16>;

enum class DiskState : uint8_t {
  kActive = 1,
  kFailed = 2,   // taken out because it refused or lost something; nothing is written to it
  kRemoved = 3,  // taken out by a person; likewise
};

// A directory of slots that belongs to an archive. The first is the archive's home.
struct DiskEntry {
  Uuid uuid = {};  // the home has none
  uint32_t first_slot = 0;
  uint32_t slot_count = 0;  // 0: there is no disk of this number (any more)
  DiskState state = DiskState::kActive;
  uint32_t seen_epoch = 0;     // the last one in which it was there
  UnixNanos since = {};        // when the state changed; 0: never
  std::string directory = {};  // absolute; of the home empty: it is where the archive was found

  bool exists() const { return slot_count != 0; }
  bool Has(uint32_t slot) const { return slot >= first_slot && slot - first_slot < slot_count; }
};

// The archive's ARCHIVE file.
struct ArchiveMeta {
  Uuid uuid = {};
  ByteCount segment;
  // Slots are numbered through over all disks, from 0 to segment_count - 1; of a disk that was
  // forgotten the numbers are free.
  uint32_t segment_count = 0;
  uint32_t epoch = 0;  // how often it was opened for writing
  UnixNanos created = {};
  // The most that the catalog may take of the home's disk; 0: nothing was said yet.
  ByteCount catalog = {};
  bool imported = false;  // made by importing segments; nothing is recorded into it
  // By number; the home is the first. Empty means the same as a home that has all slots.
  std::vector<DiskEntry> disks = {};

  ByteCount capacity() const;  // of all disks
  // Which disk has the slot: an index into `disks`, which has it unless it is empty; 0 for slots
  // that no disk has.
  uint32_t DiskOf(uint32_t slot) const;
};

// A disk's DISK file.
struct DiskIdentity {
  Uuid archive_uuid = {};
  Uuid uuid = {};
  uint32_t number = 0;
  ByteCount segment;
  uint32_t first_slot = 0;
  uint32_t slot_count = 0;
  UnixNanos created = {};
};

// Who holds the lock; what LOCK says.
struct ArchiveHolder {
  int pid = 0;
  std::string purpose;
  std::string socket_path;
};

// All of the ARCHIVE file. At most kDisksMax disks, with directories shorter than kDiskPathBytes.
std::array<std::byte, kMetaBytes> EncodeMeta(const ArchiveMeta& meta);
// DATA_LOSS: not one, or damaged. FAILED_PRECONDITION: a newer format.
absl::StatusOr<ArchiveMeta> ParseMeta(absl::Span<const std::byte> file);

std::array<std::byte, kMetaBytes> EncodeDisk(const DiskIdentity& disk);
// As ParseMeta.
absl::StatusOr<DiskIdentity> ParseDisk(absl::Span<const std::byte> file);

// Lines of text, "key value": pid, purpose, socket.
std::string EncodeHolder(const ArchiveHolder& holder);
// Keys that are not known are ignored. DATA_LOSS: no pid in it.
absl::StatusOr<ArchiveHolder> ParseHolder(absl::string_view text);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_ARCHIVE_CODEC_H_
