#include "writer/archive/archive_codec.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "ingest/check.h"
#include "ingest/status_macros.h"
#include "writer/archive/format.h"
#include "writer/extent/crc32c.h"

namespace sluice {
namespace {

template <class Block>
uint32_t CrcOf(Block block) {
  block.crc32c = 0;
  return Crc32c({reinterpret_cast<const std::byte*>(&block), sizeof(block)});
}

template <class Block>
std::array<std::byte, kMetaBytes> Seal(Block& block) {
  static_assert(sizeof(block) == kMetaBytes);
  block.crc32c = CrcOf(block);
  std::array<std::byte, kMetaBytes> bytes;
  std::memcpy(bytes.data(), &block, sizeof(block));
  return bytes;
}

// Magic, version, checksum. `what`: "an archive's".
template <class Block>
absl::StatusOr<Block> Unseal(absl::Span<const std::byte> file, uint64_t magic,
                             absl::string_view what) {
  Block block;
  if (file.size() != sizeof(block)) {
    return absl::DataLossError(
        absl::StrCat("it has ", file.size(), " bytes instead of ", sizeof(block)));
  }
  std::memcpy(&block, file.data(), sizeof(block));
  if (block.magic != magic) return absl::DataLossError(absl::StrCat("it is not ", what));
  if (block.version > kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat("it is of format version ", block.version,
                                                      "; this program knows up to ", kFormatVersion,
                                                      ": use a newer one"));
  }
  if (CrcOf(block) != block.crc32c) return absl::DataLossError("its checksum is wrong");
  if (block.version == 0) return absl::DataLossError("it says what cannot be");
  return block;
}

bool IsSegmentSize(uint64_t bytes) {
  return bytes >= kSegmentBytesMin.value && bytes <= kSegmentBytesMax.value &&
         bytes % kBlockBytes == 0;
}

bool IsSlotRange(uint32_t first, uint32_t count) {
  return count > 0 && count <= kSegmentCountMax && first <= kSegmentCountMax - count;
}

DiskRecord RecordOf(const DiskEntry& disk) {
  DiskRecord record;
  record.uuid = disk.uuid;
  record.first_slot = disk.first_slot;
  record.slot_count = disk.slot_count;
  record.state = static_cast<uint8_t>(disk.state);
  record.seen_epoch = disk.seen_epoch;
  record.since_ns = disk.since.value;
  SLUICE_CHECK(disk.directory.size() < record.directory.size());
  std::memcpy(record.directory.data(), disk.directory.data(), disk.directory.size());
  return record;
}

// Nothing: it says what cannot be.
std::optional<DiskEntry> EntryOf(const DiskRecord& record) {
  const bool terminated = record.directory.back() == '\0';
  if (record.state < static_cast<uint8_t>(DiskState::kActive) ||
      record.state > static_cast<uint8_t>(DiskState::kRemoved) || !terminated) {
    return std::nullopt;
  }
  return DiskEntry{.uuid = record.uuid,
                   .first_slot = record.first_slot,
                   .slot_count = record.slot_count,
                   .state = static_cast<DiskState>(record.state),
                   .seen_epoch = record.seen_epoch,
                   .since = {record.since_ns},
                   .directory = record.directory.data()};
}

// The disks of a block whose checksum is right. False: it says what cannot be.
bool ParseDisks(const ArchiveBlock& block, ArchiveMeta* meta) {
  DiskEntry home{.slot_count = block.segment_count};
  if (block.disks.front().state != 0) {
    const std::optional<DiskEntry> entry = EntryOf(block.disks.front());
    if (!entry) return false;
    home.state = entry->state;
    home.since = entry->since;
  }
  meta->disks.push_back(home);
  meta->segment_count = home.slot_count;
  for (uint32_t number = 1; number < kDisksMax; ++number) {
    const DiskRecord& record = block.disks[number];
    if (record.state == 0) continue;
    const std::optional<DiskEntry> entry = EntryOf(record);
    if (!entry || !IsSlotRange(entry->first_slot, entry->slot_count) || entry->directory.empty()) {
      return false;
    }
    const uint32_t end = entry->first_slot + entry->slot_count;
    for (const DiskEntry& other : meta->disks) {
      if (entry->first_slot < other.first_slot + other.slot_count && other.first_slot < end) {
        return false;
      }
    }
    meta->disks.resize(number + 1);
    meta->disks[number] = *entry;
    meta->segment_count = std::max(meta->segment_count, end);
  }
  return true;
}

// One line, whatever the text was.
std::string OneLine(const std::string& text) {
  return absl::StrReplaceAll(text, {{"\n", " "}, {"\r", " "}});
}

}  // namespace

ByteCount ArchiveMeta::capacity() const {
  uint64_t slots = disks.empty() ? segment_count : 0;
  for (const DiskEntry& disk : disks) slots += disk.slot_count;
  return segment * slots;
}

uint32_t ArchiveMeta::DiskOf(uint32_t slot) const {
  for (uint32_t number = 0; number < disks.size(); ++number) {
    if (disks[number].Has(slot)) return number;
  }
  return 0;
}

std::array<std::byte, kMetaBytes> EncodeMeta(const ArchiveMeta& meta) {
  ArchiveBlock block;
  block.segment_count = meta.disks.empty() ? meta.segment_count : meta.disks.front().slot_count;
  block.uuid = meta.uuid;
  block.segment_bytes = meta.segment.value;
  block.created_ns = meta.created.value;
  block.epoch = meta.epoch;
  block.catalog_bytes = meta.catalog.value;
  if (meta.imported) block.flags |= kArchiveImported;
  SLUICE_CHECK(meta.disks.size() <= kDisksMax);
  for (size_t number = 1; number < meta.disks.size(); ++number) {
    if (meta.disks[number].exists()) block.disks[number] = RecordOf(meta.disks[number]);
  }
  // An archive of one disk in good order says nothing of disks.
  if (!meta.disks.empty() && meta.disks.front().state != DiskState::kActive) {
    DiskRecord& home = block.disks.front();
    home.state = static_cast<uint8_t>(meta.disks.front().state);
    home.since_ns = meta.disks.front().since.value;
  }
  return Seal(block);
}

absl::StatusOr<ArchiveMeta> ParseMeta(absl::Span<const std::byte> file) {
  SLUICE_ASSIGN_OR_RETURN(const ArchiveBlock block,
                          Unseal<ArchiveBlock>(file, kArchiveMagic, "an archive's"));
  ArchiveMeta meta{.uuid = block.uuid,
                   .segment = {block.segment_bytes},
                   .epoch = block.epoch,
                   .created = {block.created_ns},
                   .catalog = {block.catalog_bytes},
                   .imported = (block.flags & kArchiveImported) != 0};
  if (!IsSegmentSize(block.segment_bytes) || !IsSlotRange(0, block.segment_count) ||
      block.epoch > kEpochMax || block.catalog_bytes > kCatalogBytesMax.value ||
      !ParseDisks(block, &meta)) {
    return absl::DataLossError("it says what cannot be");
  }
  return meta;
}

std::array<std::byte, kMetaBytes> EncodeDisk(const DiskIdentity& disk) {
  DiskBlock block;
  block.number = disk.number;
  block.archive_uuid = disk.archive_uuid;
  block.uuid = disk.uuid;
  block.segment_bytes = disk.segment.value;
  block.first_slot = disk.first_slot;
  block.slot_count = disk.slot_count;
  block.created_ns = disk.created.value;
  return Seal(block);
}

absl::StatusOr<DiskIdentity> ParseDisk(absl::Span<const std::byte> file) {
  SLUICE_ASSIGN_OR_RETURN(const DiskBlock block,
                          Unseal<DiskBlock>(file, kDiskMagic, "an archive disk's"));
  if (block.number == 0 || block.number >= kDisksMax || !IsSegmentSize(block.segment_bytes) ||
      !IsSlotRange(block.first_slot, block.slot_count)) {
    return absl::DataLossError("it says what cannot be");
  }
  return DiskIdentity{.archive_uuid = block.archive_uuid,
                      .uuid = block.uuid,
                      .number = block.number,
                      .segment = {block.segment_bytes},
                      .first_slot = block.first_slot,
                      .slot_count = block.slot_count,
                      .created = {block.created_ns}};
}

std::string EncodeHolder(const ArchiveHolder& holder) {
  return absl::StrCat("pid ", holder.pid, "\npurpose ", OneLine(holder.purpose), "\nsocket ",
                      OneLine(holder.socket_path), "\n");
}

absl::StatusOr<ArchiveHolder> ParseHolder(absl::string_view text) {
  ArchiveHolder holder;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::pair<absl::string_view, absl::string_view> words =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    if (words.first == "pid") {
      if (!absl::SimpleAtoi(words.second, &holder.pid) || holder.pid <= 0) {
        return absl::DataLossError("the lock's pid is not a number");
      }
    } else if (words.first == "purpose") {
      holder.purpose = std::string(words.second);
    } else if (words.first == "socket") {
      holder.socket_path = std::string(words.second);
    }
  }
  if (holder.pid == 0) return absl::DataLossError("the lock does not say whose it is");
  return holder;
}

}  // namespace sluice
