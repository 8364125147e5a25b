// From the bytes of an archive's ARCHIVE and LOCK files to structs and back. Pure: no files;
// trusts nothing.
#ifndef WRITER_ARCHIVE_ARCHIVE_CODEC_H_
#define WRITER_ARCHIVE_ARCHIVE_CODEC_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

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
inline constexpr uint32_t kEpochMax = 0x7FFFFF;  // stream ids have room for no more

// The archive's ARCHIVE file.
struct ArchiveMeta {
  std::array<uint8_t, 16> uuid = {};
  ByteCount segment;
  uint32_t segment_count = 0;
  uint32_t epoch = 0;  // how often it was opened for writing
  UnixNanos created;

  ByteCount capacity() const { return segment * segment_count; }
};

// Who holds the lock; what LOCK says.
struct ArchiveHolder {
  int pid = 0;
  std::string purpose;
  std::string socket_path;
};

// All of the ARCHIVE file.
std::array<std::byte, kMetaBytes> EncodeMeta(const ArchiveMeta& meta);
// DATA_LOSS: not one, or damaged. FAILED_PRECONDITION: a newer format.
absl::StatusOr<ArchiveMeta> ParseMeta(absl::Span<const std::byte> file);

// Lines of text, "key value": pid, purpose, socket.
std::string EncodeHolder(const ArchiveHolder& holder);
// Keys that are not known are ignored. DATA_LOSS: no pid in it.
absl::StatusOr<ArchiveHolder> ParseHolder(absl::string_view text);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_ARCHIVE_CODEC_H_
