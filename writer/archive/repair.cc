#include "writer/archive/repair.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_files.h"
#include "writer/archive/disk.h"
#include "writer/archive/read_pace.h"
#include "writer/archive/verify_segment.h"
#include "writer/catalog/catalog.h"
#include "writer/catalog/catalog_integrity.h"
#include "writer/segment/segment_reader.h"

namespace sluice {
namespace {

// What ReplaceFile leaves when it is cut off.
constexpr const char* kTemporaries[] = {"ARCHIVE.tmp", "RETENTION.tmp", "VERIFIED.tmp", "DISK.tmp"};

class Repair {
 public:
  Repair(std::string directory, const RepairOptions& options, const RepairProgress& progress)
      : directory_(std::move(directory)),
        options_(options),
        progress_(progress),
        pace_(options.bytes_per_second) {}

  absl::StatusOr<RepairReport> Run();

 private:
  // In this order; each adds its steps. With `dry_run` nothing is changed.
  absl::Status LookAtHome();
  void LookAtFiles(const Archive& archive);
  absl::Status LookAtCatalog();
  absl::Status Pass(bool dry_run, bool read_payload);
  absl::Status Mend(Archive& archive, bool dry_run);
  void ReadExtents(const Archive& archive);
  absl::Status RemoveTemporaries(const std::string& directory);
  absl::Status WriteAudit(Catalog& catalog);

  void Step(std::string place, std::string finding, std::string action) {
    report_.steps.push_back({std::move(place), std::move(finding), std::move(action)});
  }
  std::string CatalogPath() const { return Archive::CatalogPath(directory_); }

  const std::string directory_;
  const RepairOptions options_;
  const RepairProgress& progress_;
  ReadPace pace_;
  RepairReport report_;
  bool create_ = false;            // ARCHIVE is gone
  bool rebuild_ = false;           // the catalog is of no use
  bool catalog_is_there_ = false;  // though damaged
};

// ARCHIVE itself. Archive::Open writes it anew from what the segments say, if they do.
absl::Status Repair::LookAtHome() {
  const absl::Status meta = Archive::ReadMeta(directory_).status();
  if (absl::IsNotFound(meta) && CountSlots(directory_) == 0) return meta;
  if (!absl::IsNotFound(meta) && !absl::IsDataLoss(meta)) return meta;
  create_ = absl::IsNotFound(meta);
  Step(directory_ + "/ARCHIVE",
       create_ ? "it is missing" : absl::StrCat("it is damaged (", meta.message(), ")"),
       "it is written anew from what the segments say");
  return absl::OkStatus();
}

void Repair::LookAtFiles(const Archive& archive) {
  std::vector<std::string> directories;
  const ArchiveMeta& meta = archive.meta();
  for (const DiskStatus& disk : archive.disks()) {
    if (!disk.in_use()) {
      report_.notes.push_back(absl::StrCat("disk ", disk.number, " (", disk.directory,
                                           ") is not in use: ", "nothing of it is looked at"));
      continue;
    }
    directories.push_back(disk.directory);
  }
  for (const std::string& directory : directories) {
    for (const char* name : kTemporaries) {
      const std::string path = absl::StrCat(directory, "/", name);
      if (access(path.c_str(), F_OK) != 0) continue;
      Step(path, "it was left by a replacement that was cut off", "it is removed");
    }
  }
  for (uint32_t slot = 0; slot < meta.segment_count; ++slot) {
    if (!archive.HasDiskOf(slot) || !meta.disks[meta.DiskOf(slot)].Has(slot)) continue;
    const std::string path = archive.SegmentPath(slot);
    struct stat info = {};
    if (stat(path.c_str(), &info) != 0) {
      if (errno == ENOENT) Step(path, "it is missing", "it is allocated again, and empty");
    } else if (static_cast<uint64_t>(info.st_size) < meta.segment.value) {
      Step(path, absl::StrCat("it has only ", info.st_size, " of ", meta.segment.value, " bytes"),
           "it is made whole again, without what was cut off");
    }
  }
}

absl::Status Repair::LookAtCatalog() {
  const absl::Status status = CheckCatalogIntegrity(CatalogPath());
  if (status.ok()) return status;
  if (!absl::IsNotFound(status) && !absl::IsDataLoss(status)) return status;
  rebuild_ = true;
  catalog_is_there_ = absl::IsDataLoss(status);
  if (catalog_is_there_) {
    Step(
        CatalogPath(), std::string(status.message()),
        absl::StrCat("it is kept as ", CatalogPath(), ".damaged, and made anew from the segments"));
  } else {
    Step(CatalogPath(), "it is missing", "it is made anew from the segments");
  }
  return absl::OkStatus();
}

absl::Status Repair::RemoveTemporaries(const std::string& directory) {
  for (const char* name : kTemporaries) {
    const std::string path = absl::StrCat(directory, "/", name);
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return Refused("remove", path, errno);
  }
  return absl::OkStatus();
}

// What recovery does, on the archive as it was found or, when it is only tried and the catalog is
// of no use, with a catalog that nobody sees.
absl::Status Repair::Mend(Archive& archive, bool dry_run) {
  if (!dry_run) {
    for (const DiskStatus& disk : archive.disks()) {
      if (disk.in_use()) SLUICE_RETURN_IF_ERROR(RemoveTemporaries(disk.directory));
    }
    if (catalog_is_there_) SLUICE_RETURN_IF_ERROR(MoveCatalogAside(CatalogPath()));
  }
  const bool unseen = dry_run && rebuild_;
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog,
                          Catalog::Open(unseen ? "" : CatalogPath(), Catalog::Mode::kReadWrite));
  RecoveryOptions options;
  options.rebuild = rebuild_;
  options.compare_catalog = true;
  options.dry_run = dry_run;
  SLUICE_ASSIGN_OR_RETURN(RecoveryReport recovered, Recover(archive, *catalog, options));
  std::move(recovered.steps.begin(), recovered.steps.end(), std::back_inserter(report_.steps));
  return dry_run ? absl::OkStatus() : WriteAudit(*catalog);
}

absl::Status Repair::WriteAudit(Catalog& catalog) {
  std::vector<AuditRow> rows;
  for (const RecoveryStep& step : report_.steps) {
    AuditRow row;
    row.time = {absl::GetCurrentTimeNanos()};
    row.actor = options_.actor;
    row.action = step.action.empty() ? "damage left" : "repaired";
    row.object = step.place;
    row.detail = step.action.empty() ? step.finding : absl::StrCat(step.finding, ": ", step.action);
    rows.push_back(std::move(row));
  }
  return catalog.Atomically([&] { return catalog.AddAudit(rows); });
}

// Of every segment that has a footer.
void Repair::ReadExtents(const Archive& archive) {
  std::vector<std::unique_ptr<SegmentReader>> sealed;
  ByteCount total;
  for (uint32_t slot = 0; slot < archive.meta().segment_count; ++slot) {
    if (!archive.HasDiskOf(slot)) continue;
    auto reader = SegmentReader::Open(archive.SegmentPath(slot));
    if (!reader.ok()) continue;
    const auto footer = (*reader)->ReadFooter();
    if (!footer.ok()) continue;
    for (const ExtentRecord& extent : footer->extents) total += {extent.extent_bytes};
    sealed.push_back(*std::move(reader));
  }
  ByteCount done;
  const auto advance = [&](ByteCount bytes) {
    done += bytes;
    pace_.Wait(bytes);
    if (progress_) progress_(done, total);
    return true;
  };
  for (const auto& reader : sealed) {
    const SegmentResult result =
        VerifySealedSegment(*reader, std::nullopt, VerifyDepth::kFull, advance);
    for (const std::string& finding : result.findings) Step(reader->path(), finding, "");
  }
}

// All of it once: tried, or done.
absl::Status Repair::Pass(bool dry_run, bool read_payload) {
  report_ = {};
  create_ = rebuild_ = catalog_is_there_ = false;
  SLUICE_RETURN_IF_ERROR(LookAtHome());
  ArchiveOptions wanted;
  wanted.directory = directory_;
  wanted.create = create_;
  wanted.purpose = "repair";
  wanted.look_only = true;
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Archive> archive, Archive::Open(wanted));
  LookAtFiles(*archive);
  SLUICE_RETURN_IF_ERROR(LookAtCatalog());
  if (!dry_run) {
    archive.reset();  // gives up the lock
    wanted.look_only = false;
    SLUICE_ASSIGN_OR_RETURN(archive, Archive::Open(wanted));
    report_.done = true;
  }
  SLUICE_RETURN_IF_ERROR(Mend(*archive, dry_run));
  if (read_payload) ReadExtents(*archive);
  return absl::OkStatus();
}

absl::StatusOr<RepairReport> Repair::Run() {
  if (options_.dry_run) {
    SLUICE_RETURN_IF_ERROR(Pass(/*dry_run=*/true, options_.read_payload));
    return std::move(report_);
  }
  // What is as it should be is not even opened for writing.
  SLUICE_RETURN_IF_ERROR(Pass(/*dry_run=*/true, /*read_payload=*/false));
  const bool nothing = report_.mendable() == 0;
  SLUICE_RETURN_IF_ERROR(Pass(/*dry_run=*/nothing, options_.read_payload));
  return std::move(report_);
}

}  // namespace

size_t RepairReport::mendable() const {
  return static_cast<size_t>(std::count_if(
      steps.begin(), steps.end(), [](const RecoveryStep& step) { return !step.action.empty(); }));
}

absl::StatusOr<RepairReport> RepairArchive(const std::string& directory,
                                           const RepairOptions& options,
                                           const RepairProgress& progress) {
  return Repair(directory, options, progress).Run();
}

}  // namespace sluice
