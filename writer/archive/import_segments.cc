#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_files.h"
#include "writer/archive/carried_segment.h"
#include "writer/catalog/catalog.h"
#include "writer/segment/file_io.h"
#include "writer/segment/segment_codec.h"

namespace sluice {
namespace {

constexpr uint64_t kCopyBytes = uint64_t{1} << 20;

std::string Text(const Uuid& uuid) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(uuid.data()), uuid.size()});
}

ArchiveOptions Options(const std::string& directory) {
  ArchiveOptions options;
  options.directory = directory;
  options.create = false;
  options.purpose = "import";
  return options;
}

absl::Status CheckTogether(const std::vector<CarriedSegment>& segments) {
  if (segments.empty()) return absl::InvalidArgumentError("no segment to import was named");
  std::set<uint64_t> ids;
  for (const CarriedSegment& segment : segments) {
    const SegmentHeader& first = segments.front().header;
    if (segment.header.archive_uuid != first.archive_uuid ||
        segment.header.segment_bytes != first.segment_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(segment.path, " and ", segments.front().path,
                       " are of different archives: import each into a directory of its own"));
    }
    if (!ids.insert(segment.header.segment_id).second) {
      return absl::InvalidArgumentError(absl::StrCat("segment ", segment.header.segment_id,
                                                     " was named twice, the second time as ",
                                                     segment.path));
    }
  }
  return absl::OkStatus();
}

// An archive for imported segments, without slots yet but for those that these need.
absl::Status MakeArchive(const std::vector<CarriedSegment>& segments,
                         const std::string& directory) {
  const SegmentHeader& first = segments.front().header;
  ArchiveMeta meta;
  meta.uuid = first.archive_uuid;
  meta.segment = {first.segment_bytes};
  meta.segment_count = static_cast<uint32_t>(segments.size());
  meta.created = {first.created_ns};
  meta.imported = true;
  for (const CarriedSegment& segment : segments) {
    meta.epoch = std::max(meta.epoch, segment.header.epoch);
  }
  SLUICE_RETURN_IF_ERROR(MakeDirectory(directory));
  SLUICE_RETURN_IF_ERROR(MakeSlots(directory, 0, meta.segment_count, meta.segment));
  return ReplaceFile(directory, "ARCHIVE", EncodeMeta(meta));
}

// More slots for an archive of imported segments.
absl::Status Grow(const Archive& archive, uint32_t slots) {
  ArchiveMeta meta = archive.meta();
  if (meta.disks.size() > 1 || meta.segment_count + slots > kSegmentCountMax) {
    return absl::ResourceExhaustedError(absl::StrCat("archive ", archive.directory(),
                                                     " cannot grow any more: import into ",
                                                     "another directory"));
  }
  SLUICE_RETURN_IF_ERROR(MakeSlots(archive.directory(), meta.segment_count, slots, meta.segment));
  meta.segment_count += slots;
  if (!meta.disks.empty()) meta.disks.front().slot_count = meta.segment_count;
  return ReplaceFile(archive.directory(), "ARCHIVE", EncodeMeta(meta));
}

struct Slots {
  std::vector<uint32_t> free;
  std::set<uint64_t> ids;  // of the segments that are there
};

absl::StatusOr<Slots> LookAt(const Archive& archive) {
  Slots slots;
  for (uint32_t slot = 0; slot < archive.meta().segment_count; ++slot) {
    if (archive.segment_fd(slot) < 0) continue;
    AlignedBuffer block(kBlockBytes);
    SLUICE_RETURN_IF_ERROR(
        ReadFully(archive.segment_fd(slot), archive.SegmentPath(slot), {0}, block.span()));
    const absl::StatusOr<SegmentHeader> header = ParseSegmentHeader(block.span());
    if (absl::IsNotFound(header.status())) slots.free.push_back(slot);
    if (header.ok()) slots.ids.insert(header->segment_id);
  }
  return slots;
}

absl::Status CheckWelcome(const Archive& archive, const std::vector<CarriedSegment>& segments,
                          const std::set<uint64_t>& there) {
  const std::string& directory = archive.directory();
  const SegmentHeader& first = segments.front().header;
  if (first.archive_uuid != archive.meta().uuid ||
      first.segment_bytes != archive.meta().segment.value) {
    return absl::FailedPreconditionError(absl::StrCat(
        segments.front().path, " is of archive ", Text(first.archive_uuid), ", and ", directory,
        " is archive ", Text(archive.meta().uuid), ": import it into a directory of its own"));
  }
  SLUICE_ASSIGN_OR_RETURN(
      const std::unique_ptr<Catalog> catalog,
      Catalog::Open(Archive::CatalogPath(directory), Catalog::Mode::kReadWrite));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<uint64_t> deleted, catalog->DeletedRecordings());
  for (const CarriedSegment& segment : segments) {
    if (there.contains(segment.header.segment_id)) {
      return absl::AlreadyExistsError(absl::StrCat("archive ", directory, " has segment ",
                                                   segment.header.segment_id, " already, which ",
                                                   segment.path, " is too"));
    }
    if (std::find(deleted.begin(), deleted.end(), segment.header.recording_uid) != deleted.end()) {
      return absl::FailedPreconditionError(absl::StrCat(
          segment.path, " is of recording \"", RecordingName(segment.header),
          "\", which was deleted here a moment ago: run \"sluice archive rebuild\" first"));
    }
  }
  return absl::OkStatus();
}

// The header comes last: until then the slot is free.
absl::Status Put(const CarriedSegment& segment, const std::string& path, uint32_t slot) {
  SLUICE_ASSIGN_OR_RETURN(const UniqueFd from, OpenFile(segment.path, O_RDONLY));
  SLUICE_ASSIGN_OR_RETURN(const UniqueFd to, OpenFile(path, O_RDWR));
  AlignedBuffer buffer(kCopyBytes);
  const uint64_t size = segment.header.segment_bytes;
  for (uint64_t at = kBlockBytes; at < size;) {
    const uint64_t length = std::min(kCopyBytes, size - at);
    SLUICE_RETURN_IF_ERROR(
        ReadFully(from.get(), segment.path, {at}, buffer.span().subspan(0, length)));
    SLUICE_RETURN_IF_ERROR(WriteFully(to.get(), path, {at}, buffer.span().subspan(0, length)));
    at += length;
  }
  if (fsync(to.get()) != 0) return FileError("fsync", path, errno);
  SegmentHeader header = segment.header;
  header.slot = slot;
  header.replaced = {};
  SealSegmentHeader(header);
  AlignedBuffer block(kBlockBytes);
  std::memcpy(block.data(), &header, sizeof(header));
  SLUICE_RETURN_IF_ERROR(WriteFully(to.get(), path, {0}, block.span()));
  return fsync(to.get()) == 0 ? absl::OkStatus() : FileError("fsync", path, errno);
}

}  // namespace

absl::StatusOr<RecoveryReport> ImportSegments(const std::vector<CarriedSegment>& segments,
                                              const std::string& directory) {
  SLUICE_RETURN_IF_ERROR(CheckTogether(segments));
  if (absl::IsNotFound(Archive::ReadMeta(directory).status())) {
    SLUICE_RETURN_IF_ERROR(MakeArchive(segments, directory));
  }
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Archive> archive, Archive::Open(Options(directory)));
  SLUICE_ASSIGN_OR_RETURN(Slots slots, LookAt(*archive));
  SLUICE_RETURN_IF_ERROR(CheckWelcome(*archive, segments, slots.ids));
  if (slots.free.size() < segments.size()) {
    const auto missing = static_cast<uint32_t>(segments.size() - slots.free.size());
    if (!archive->meta().imported) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "archive ", directory, " has ", slots.free.size(), " free segments, and ",
          segments.size(), " are to be imported: import them into a directory of its own"));
    }
    SLUICE_RETURN_IF_ERROR(Grow(*archive, missing));
    archive.reset();
    SLUICE_ASSIGN_OR_RETURN(archive, Archive::Open(Options(directory)));
    SLUICE_ASSIGN_OR_RETURN(slots, LookAt(*archive));
    if (slots.free.size() < segments.size()) {
      return absl::AbortedError("somebody else imports into this archive: try again");
    }
  }
  for (size_t i = 0; i < segments.size(); ++i) {
    const uint32_t slot = slots.free[i];
    SLUICE_RETURN_IF_ERROR(Put(segments[i], archive->SegmentPath(slot), slot));
  }
  SLUICE_ASSIGN_OR_RETURN(
      const std::unique_ptr<Catalog> catalog,
      Catalog::Open(Archive::CatalogPath(directory), Catalog::Mode::kReadWrite));
  return Recover(*archive, *catalog, /*rebuild=*/false);
}

}  // namespace sluice
