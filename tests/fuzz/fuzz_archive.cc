#include "tests/fuzz/fuzz_archive.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

#include "control/query/stream_reader.h"
#include "ingest/check.h"
#include "tests/fuzz/spoiled_segment.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_codec.h"
#include "writer/archive/archive_keeper.h"
#include "writer/archive/verify.h"
#include "writer/catalog/catalog.h"
#include "writer/segment/format.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

void WriteFile(const std::string& path, absl::Span<const std::byte> bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  SLUICE_CHECK(file.good());
}

// Only blocks that hold anything, so that most of the file is a hole.
void WriteSparse(const std::string& path, absl::Span<const std::byte> bytes) {
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  SLUICE_CHECK(fd.get() >= 0);
  static const std::vector<std::byte> zeros(kBlockBytes);
  SLUICE_CHECK(ftruncate(fd.get(), static_cast<off_t>(bytes.size())) == 0);
  for (size_t at = 0; at < bytes.size(); at += kBlockBytes) {
    const auto block = bytes.subspan(at, kBlockBytes);
    if (std::memcmp(block.data(), zeros.data(), kBlockBytes) == 0) continue;
    SLUICE_CHECK(WriteFully(fd.get(), path, {at}, block).ok());
  }
}

// To its end, over its gaps.
void ReadStream(const std::string& directory, Catalog& catalog, const StreamRow& row) {
  const absl::StatusOr<std::unique_ptr<StreamReader>> reader =
      StreamReader::Open(directory, catalog, row.id, row.begin);
  if (!reader.ok()) return;
  std::vector<std::byte> buffer(size_t{64} << 10);
  for (int reads = 0;; ++reads) {
    SLUICE_CHECK(reads < 1000);  // there are not so many bytes
    const absl::StatusOr<size_t> read = (*reader)->Read(absl::MakeSpan(buffer));
    if (!read.ok()) return;
    SLUICE_CHECK(*read <= buffer.size());
    if ((*reader)->gap()) {
      (*reader)->SkipGap();
    } else if (*read == 0) {
      return;
    }
  }
}

}  // namespace

FuzzArchive::FuzzArchive() {
  // A disk would be waited for.
  parent_ = access("/dev/shm", W_OK) == 0 ? "/dev/shm/fuzz-XXXXXX" : "/tmp/fuzz-XXXXXX";
  SLUICE_CHECK(mkdtemp(parent_.data()) != nullptr);
  directory_ = parent_ + "/archive";
}

FuzzArchive::~FuzzArchive() { fs::remove_all(parent_); }

void FuzzArchive::Clear() { fs::remove_all(directory_); }

void FuzzArchive::Write(const std::vector<std::vector<std::byte>>& segments) {
  Clear();
  fs::create_directories(directory_ + "/segments");
  ArchiveMeta meta;
  SegmentHeader header;
  std::memcpy(&header, GoodSegments().front().data(), sizeof(header));
  meta.uuid = header.archive_uuid;
  meta.segment = kFuzzSegment;
  meta.segment_count = static_cast<uint32_t>(segments.size());
  meta.epoch = 1;
  meta.created = {1000};
  WriteFile(directory_ + "/ARCHIVE", EncodeMeta(meta));
  for (uint32_t slot = 0; slot < segments.size(); ++slot) {
    WriteSparse(Archive::SegmentPath(directory_, slot), segments[slot]);
  }
}

void FuzzArchive::WriteCatalog(absl::Span<const std::byte> bytes) {
  WriteFile(Archive::CatalogPath(directory_), bytes);
}

void FuzzArchive::ReadAll() {
  const absl::StatusOr<std::unique_ptr<Catalog>> opened =
      Catalog::Open(Archive::CatalogPath(directory_), Catalog::Mode::kReadOnly);
  if (!opened.ok()) return;
  Catalog& catalog = **opened;
  catalog.Recordings().IgnoreError();
  catalog.Recording("other").IgnoreError();
  catalog.LastSegmentId().IgnoreError();
  catalog.DeletedRecordings().IgnoreError();
  catalog.Removals().IgnoreError();
  catalog.Audit(0, 100).IgnoreError();
  catalog.Policy().IgnoreError();
  const absl::StatusOr<std::vector<SegmentRow>> segments = catalog.Segments();
  for (const SegmentRow& row : segments.value_or(std::vector<SegmentRow>())) {
    catalog.SegmentParts(row.id).IgnoreError();
  }
  StreamSearch search;
  search.limit = 2;
  for (int pages = 0; pages < 10; ++pages) {
    const absl::StatusOr<StreamPage> page = catalog.FindStreams(search);
    if (!page.ok()) return;
    for (const StreamRow& row : page->rows) {
      SLUICE_CHECK(!row.peer.ToString().empty());
      catalog.StreamParts(row.id).IgnoreError();
      ReadStream(directory_, catalog, row);
    }
    if (!page->next) return;
    search.after = page->next;
  }
}

void FuzzArchive::Start() {
  ArchiveOptions options;
  options.directory = directory_;
  options.create = false;
  options.purpose = "fuzz";
  const absl::StatusOr<std::unique_ptr<Archive>> archive = Archive::Open(options);
  SLUICE_CHECK(archive.ok());  // ARCHIVE is whole
  {
    absl::StatusOr<std::unique_ptr<ArchiveKeeper>> keeper = ArchiveKeeper::Start(**archive);
    if (!keeper.ok()) return;
    VerifyArchive(directory_, [](ByteCount, ByteCount) {}).IgnoreError();
    const TrackIdentity track{.recording = "other", .recording_uid = 8};
    (*keeper)->RequestSegment(track, [&](const absl::StatusOr<SegmentLoan>& loan) {
      if (loan.ok()) (*keeper)->ReturnSegment(loan->id);
    });
  }
}

void FuzzArchive::Use() {
  ReadAll();
  Start();
  ReadAll();
  Start();
}

namespace {

std::vector<std::byte> MakeCatalog() {
  FuzzArchive archive;
  archive.Write(GoodSegments());
  ArchiveOptions options;
  options.directory = archive.directory();
  options.create = false;
  options.purpose = "fuzz";
  {
    const absl::StatusOr<std::unique_ptr<Archive>> opened = Archive::Open(options);
    SLUICE_CHECK(opened.ok());
    SLUICE_CHECK(ArchiveKeeper::Start(**opened).ok());
  }
  const std::string path = Archive::CatalogPath(archive.directory());
  {
    const absl::StatusOr<std::unique_ptr<Catalog>> catalog =
        Catalog::Open(path, Catalog::Mode::kReadWrite);
    SLUICE_CHECK(catalog.ok());
    RecordingRow other = (*catalog)->Recording("other").value();
    other.state = RecordingState::kRecording;
    SLUICE_CHECK((*catalog)->PutRecording(other).ok());
    SLUICE_CHECK((*catalog)->AddAudit({{AuditRow{}}}).ok());
    // As it was begun: nothing of it is durable.
    SegmentRow open = (*catalog)->Segments().value().back();
    SLUICE_CHECK((*catalog)->ForgetSegment(open.id).ok());
    open.sealed = false;
    open.durable = {kBlockBytes};
    open.payload = {};
    SLUICE_CHECK((*catalog)->BeginSegment(open).ok());
  }
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto* const bytes = reinterpret_cast<const std::byte*>(text.data());
  return {bytes, bytes + text.size()};
}

}  // namespace

const std::vector<std::byte>& GoodCatalog() {
  static const std::vector<std::byte> catalog = MakeCatalog();
  return catalog;
}

}  // namespace sluice
