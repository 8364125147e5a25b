#include "writer/segment/segment_reader.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/extent/crc32c.h"
#include "writer/segment/footer_hash.h"

namespace sluice {
namespace {

constexpr size_t kBounceBytes = size_t{1} << 20;

bool IsAligned(uint64_t value) { return value % kBlockBytes == 0; }

absl::StatusOr<UniqueFd> OpenForReading(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  if (fd < 0 && errno == EINVAL) fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError("open", path, errno);
  return UniqueFd(fd);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SegmentReader>> SegmentReader::Open(const std::string& path) {
  auto reader = std::unique_ptr<SegmentReader>(new SegmentReader);
  reader->path_ = path;
  SLUICE_ASSIGN_OR_RETURN(reader->fd_, OpenForReading(path));
  AlignedBuffer block(kBlockBytes);
  SLUICE_RETURN_IF_ERROR(ReadFully(reader->fd_.get(), path, {0}, block.span()));
  absl::StatusOr<SegmentHeader> header = ParseSegmentHeader(block.span());
  if (!header.ok()) return reader->Annotate({0}, header.status());
  reader->header_ = *header;
  struct stat info = {};
  if (fstat(reader->fd_.get(), &info) != 0) return FileError("stat", path, errno);
  if (static_cast<uint64_t>(info.st_size) < header->segment_bytes) {
    return reader->Annotate(
        {0}, absl::DataLossError(
                 absl::StrCat("the file has ", info.st_size, " bytes of ", header->segment_bytes)));
  }
  return reader;
}

absl::Status SegmentReader::Annotate(FileOffset at, const absl::Status& status) const {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(path_, " at ", at.value, ": ", status.message()));
}

absl::Status SegmentReader::Read(FileOffset at, absl::Span<std::byte> out) {
  if (IsAligned(at.value) && IsAligned(out.size()) &&
      IsAligned(reinterpret_cast<uintptr_t>(out.data()))) {
    return ReadFully(fd_.get(), path_, at, out);
  }
  if (bounce_.size() == 0) bounce_ = AlignedBuffer(kBounceBytes);
  while (!out.empty()) {
    const uint64_t begin = RoundDown(at.value, kBlockBytes);
    const uint64_t end =
        std::min(RoundUp(at.value + out.size(), kBlockBytes), begin + bounce_.size());
    SLUICE_RETURN_IF_ERROR(
        ReadFully(fd_.get(), path_, {begin}, bounce_.span().subspan(0, end - begin)));
    const size_t skip = at.value - begin;
    const size_t taken = std::min<size_t>(out.size(), end - at.value);
    std::memcpy(out.data(), bounce_.data() + skip, taken);
    at = at + ByteCount{taken};
    out.remove_prefix(taken);
  }
  return absl::OkStatus();
}

absl::StatusOr<SegmentFooter> SegmentReader::ReadFooter(Sha256* hash) {
  const ByteCount size{header_.segment_bytes};
  const FileOffset last{size.value - kBlockBytes};
  AlignedBuffer block(kBlockBytes);
  SLUICE_RETURN_IF_ERROR(Read(last, block.span()));
  absl::StatusOr<SegmentTrailer> trailer = ParseSegmentTrailer(block.span(), id(), size);
  if (!trailer.ok()) return Annotate(last, trailer.status());
  AlignedBuffer footer(trailer->footer_bytes);
  SLUICE_RETURN_IF_ERROR(Read({trailer->footer_offset}, footer.span()));
  absl::StatusOr<SegmentFooter> parsed = ParseSegmentFooter(footer.span(), id(), size);
  if (!parsed.ok()) return Annotate({trailer->footer_offset}, parsed.status());
  if (hash != nullptr) *hash = FooterSha256(footer.span());
  return parsed;
}

absl::StatusOr<ExtentIndex> SegmentReader::ReadExtentIndex(FileOffset at) {
  const uint64_t size = header_.segment_bytes;
  if (!IsAligned(at.value) || at.value < kBlockBytes || at.value > size - kBlockBytes) {
    return Annotate(at, absl::OutOfRangeError("no extent can begin here"));
  }
  AlignedBuffer block(kBlockBytes);
  SLUICE_RETURN_IF_ERROR(Read(at, block.span()));
  const absl::StatusOr<ExtentHeader> header = ParseExtentHeader(block.span());
  if (!header.ok()) return Annotate(at, header.status());
  if (header->segment_id != header_.segment_id) {
    return Annotate(
        at, absl::OutOfRangeError(absl::StrCat("this extent is of segment ", header->segment_id)));
  }
  if (header->extent_bytes > size - at.value) {
    return Annotate(at, absl::DataLossError("the extent does not fit into the file"));
  }
  AlignedBuffer whole(header->header_bytes);
  std::memcpy(whole.data(), block.data(), kBlockBytes);
  SLUICE_RETURN_IF_ERROR(Read(at + ByteCount{kBlockBytes}, whole.span().subspan(kBlockBytes)));
  absl::StatusOr<ExtentIndex> index = ParseExtentIndex(at, whole.span());
  if (!index.ok()) return Annotate(at, index.status());
  if (index->header.kind != header_.kind) {
    return Annotate(at, absl::DataLossError("the extent is not of the segment's kind"));
  }
  return index;
}

absl::Status SegmentReader::CheckPayload(const ExtentIndex& extent) {
  if ((extent.header.flags & kExtentHasPayloadCrc) == 0) return absl::OkStatus();
  // A window moves over the extent, for small fragments are many and mostly in order.
  const uint64_t extent_end = extent.at.value + extent.header.extent_bytes;
  AlignedBuffer window(std::min<uint64_t>(extent.header.extent_bytes, 4 * kBounceBytes));
  uint64_t window_begin = 0;
  uint64_t window_end = 0;
  uint32_t crc = 0;
  for (const FragmentEntry& fragment : extent.fragments) {
    uint64_t at = extent.at.value + fragment.payload_offset;
    const uint64_t end = at + fragment.length;
    while (at < end) {
      if (at < window_begin || at >= window_end) {
        window_begin = RoundDown(at, kBlockBytes);
        window_end = std::min(window_begin + window.size(), extent_end);
        SLUICE_RETURN_IF_ERROR(
            Read({window_begin}, window.span().subspan(0, window_end - window_begin)));
      }
      const uint64_t stop = std::min(end, window_end);
      crc = ExtendCrc32c(crc, window.span().subspan(at - window_begin, stop - at));
      at = stop;
    }
  }
  if (crc == extent.header.payload_crc32c) return absl::OkStatus();
  return Annotate(extent.at,
                  absl::DataLossError(absl::StrCat(
                      "the payload's checksum is ", absl::Hex(crc, absl::kZeroPad8), " where ",
                      absl::Hex(extent.header.payload_crc32c, absl::kZeroPad8), " is recorded")));
}

bool SegmentReader::StillHolds() {
  AlignedBuffer block(kBlockBytes);
  return ReadFully(fd_.get(), path_, {0}, block.span()).ok() &&
         std::memcmp(block.data(), &header_, sizeof(header_)) == 0;
}

}  // namespace sluice
