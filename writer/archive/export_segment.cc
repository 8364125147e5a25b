#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_files.h"
#include "writer/archive/carried_segment.h"
#include "writer/archive/verify_segment.h"
#include "writer/catalog/catalog.h"
#include "writer/segment/file_hash.h"
#include "writer/segment/segment_reader.h"

namespace sluice {
namespace {

uint64_t Number(SegmentId id) { return static_cast<uint64_t>(id); }

absl::Status Write(int fd, const std::string& path, FileOffset at,
                   absl::Span<const std::byte> bytes) {
  return WriteFully(fd, path, at, bytes);
}

// The header's table, then each fragment's bytes where they are; what lies between stays a hole.
absl::Status CopyExtent(SegmentReader& reader, const ExtentIndex& extent, int fd,
                        const std::string& path) {
  AlignedBuffer header(extent.header.header_bytes);
  SLUICE_RETURN_IF_ERROR(reader.Read(extent.at, header.span()));
  SLUICE_RETURN_IF_ERROR(Write(fd, path, extent.at, header.span()));
  std::vector<std::byte> bytes;
  for (const FragmentEntry& fragment : extent.fragments) {
    const FileOffset at = extent.at + ByteCount{fragment.payload_offset};
    bytes.resize(fragment.length);
    SLUICE_RETURN_IF_ERROR(reader.Read(at, absl::MakeSpan(bytes)));
    SLUICE_RETURN_IF_ERROR(Write(fd, path, at, bytes));
  }
  return absl::OkStatus();
}

absl::Status CopySegment(SegmentReader& reader, int fd, const std::string& path) {
  SegmentHeader header = reader.header();
  header.slot = 0;
  header.replaced = {};  // it speaks of another recording
  SealSegmentHeader(header);
  if (ftruncate(fd, static_cast<off_t>(header.segment_bytes)) != 0) {
    return FileError("set the length of", path, errno);
  }
  SLUICE_ASSIGN_OR_RETURN(const SegmentFooter footer, reader.ReadFooter());
  for (const ExtentRecord& record : footer.extents) {
    SLUICE_ASSIGN_OR_RETURN(const ExtentIndex extent, reader.ReadExtentIndex({record.offset}));
    SLUICE_RETURN_IF_ERROR(CopyExtent(reader, extent, fd, path));
  }
  AlignedBuffer bytes(footer.trailer.footer_bytes);
  SLUICE_RETURN_IF_ERROR(reader.Read({footer.trailer.footer_offset}, bytes.span()));
  SLUICE_RETURN_IF_ERROR(Write(fd, path, {footer.trailer.footer_offset}, bytes.span()));
  AlignedBuffer block(kBlockBytes);
  std::memcpy(block.data(), &header, sizeof(header));
  SLUICE_RETURN_IF_ERROR(Write(fd, path, {0}, block.span()));
  return fsync(fd) == 0 ? absl::OkStatus() : FileError("fsync", path, errno);
}

absl::StatusOr<SegmentRow> Find(const std::string& directory, SegmentId id) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog,
                          Catalog::Open(Archive::CatalogPath(directory), Catalog::Mode::kReadOnly));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<SegmentRow> rows, catalog->Segments());
  const auto row =
      std::find_if(rows.begin(), rows.end(), [&](const SegmentRow& r) { return r.id == id; });
  if (row == rows.end()) {
    return absl::NotFoundError(absl::StrCat("archive ", directory, " has no segment ", Number(id),
                                            ": it never had, or it was removed"));
  }
  if (!row->sealed) {
    return absl::FailedPreconditionError(absl::StrCat(
        "segment ", Number(id), " is still being written: only sealed segments can be carried"));
  }
  return *row;
}

absl::Status CopyTo(SegmentReader& reader, const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
  if (fd.get() < 0) {
    if (errno == EEXIST) {
      return absl::AlreadyExistsError(absl::StrCat(path, " is there already: name another file"));
    }
    return Refused("create", path, errno);
  }
  absl::Status copied = CopySegment(reader, fd.get(), path);
  if (copied.ok() && !reader.StillHolds()) {
    copied = absl::AbortedError(
        absl::StrCat("segment ", Number(reader.id()), " was reused while it was copied"));
  }
  if (!copied.ok()) unlink(path.c_str());
  return copied;
}

}  // namespace

absl::StatusOr<CarriedSegment> VerifyCarriedSegment(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<SegmentReader> reader, SegmentReader::Open(path));
  CarriedSegment segment;
  segment.path = path;
  segment.header = reader->header();
  if (segment.header.segment_bytes % kBlockBytes != 0 ||
      segment.header.segment_bytes < kSegmentBytesMin.value ||
      segment.header.segment_bytes > kSegmentBytesMax.value) {
    return absl::DataLossError(
        absl::StrCat(path, ": no segment can have ", segment.header.segment_bytes, " bytes"));
  }
  const SegmentResult result = VerifySealedSegment(*reader, std::nullopt, VerifyDepth::kFull,
                                                   [](ByteCount) { return true; });
  if (!result.findings.empty()) return absl::DataLossError(result.findings.front());
  SLUICE_ASSIGN_OR_RETURN(const SegmentFooter footer, reader->ReadFooter());
  segment.origin = result.origin;
  segment.footer_sha256 = result.footer_sha256;
  segment.streams = result.stream_ids.size();
  segment.payload = result.payload;
  segment.first_time = {footer.trailer.first_time_ns};
  segment.last_time = {footer.trailer.last_time_ns};
  SLUICE_ASSIGN_OR_RETURN(segment.file_sha256, FileSha256(path));
  return segment;
}

absl::StatusOr<CarriedSegment> ExportSegment(const std::string& directory, SegmentId id,
                                             const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const ArchiveMeta meta, Archive::ReadMeta(directory));
  SLUICE_ASSIGN_OR_RETURN(const SegmentRow row, Find(directory, id));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<SegmentReader> reader,
                          SegmentReader::Open(Archive::SegmentPath(directory, meta, row.slot)));
  if (reader->id() != id) {
    return absl::DataLossError(absl::StrCat(reader->path(), " holds segment ", Number(reader->id()),
                                            " where the catalog says ", Number(id)));
  }
  SLUICE_RETURN_IF_ERROR(CopyTo(*reader, path));
  // What was written is what is vouched for.
  absl::StatusOr<CarriedSegment> written = VerifyCarriedSegment(path);
  if (!written.ok()) unlink(path.c_str());
  return written;
}

}  // namespace sluice
