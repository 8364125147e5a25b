#include "writer/archive/archive_codec.h"

#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "writer/archive/format.h"
#include "writer/extent/crc32c.h"

namespace sluice {
namespace {

uint32_t CrcOf(ArchiveBlock block) {
  block.crc32c = 0;
  return Crc32c({reinterpret_cast<const std::byte*>(&block), sizeof(block)});
}

// One line, whatever the text was.
std::string OneLine(const std::string& text) {
  return absl::StrReplaceAll(text, {{"\n", " "}, {"\r", " "}});
}

}  // namespace

std::array<std::byte, kMetaBytes> EncodeMeta(const ArchiveMeta& meta) {
  ArchiveBlock block;
  block.segment_count = meta.segment_count;
  block.uuid = meta.uuid;
  block.segment_bytes = meta.segment.value;
  block.created_ns = meta.created.value;
  block.epoch = meta.epoch;
  block.crc32c = CrcOf(block);
  std::array<std::byte, kMetaBytes> bytes;
  std::memcpy(bytes.data(), &block, sizeof(block));
  return bytes;
}

absl::StatusOr<ArchiveMeta> ParseMeta(absl::Span<const std::byte> file) {
  ArchiveBlock block;
  if (file.size() != sizeof(block)) {
    return absl::DataLossError(
        absl::StrCat("it has ", file.size(), " bytes instead of ", sizeof(block)));
  }
  std::memcpy(&block, file.data(), sizeof(block));
  if (block.magic != kArchiveMagic) return absl::DataLossError("it is not an archive's");
  if (block.version > kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat("it is of format version ", block.version,
                                                      "; this program knows up to ", kFormatVersion,
                                                      ": use a newer one"));
  }
  if (CrcOf(block) != block.crc32c) return absl::DataLossError("its checksum is wrong");
  if (block.version == 0 || block.segment_bytes < kSegmentBytesMin.value ||
      block.segment_bytes > kSegmentBytesMax.value || block.segment_bytes % kBlockBytes != 0 ||
      block.segment_count == 0 || block.segment_count > kSegmentCountMax ||
      block.epoch > kEpochMax) {
    return absl::DataLossError("it says what cannot be");
  }
  return ArchiveMeta{.uuid = block.uuid,
                     .segment = {block.segment_bytes},
                     .segment_count = block.segment_count,
                     .epoch = block.epoch,
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
