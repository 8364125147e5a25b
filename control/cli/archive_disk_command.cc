#include "control/cli/archive_disk_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "control/cli/human.h"
#include "control/cli/options.h"
#include "control/cli/target.h"
#include "control/service/callers.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_keeper.h"
#include "writer/archive/disk_place.h"
#include "writer/catalog/catalog.h"

namespace sluice {
namespace {

struct Options {
  TargetOptions target;
  std::string disk;
  ByteCount capacity;
  bool discard = false;
};

absl::StatusOr<std::unique_ptr<Archive>> Open(const Options& options, const std::string& purpose) {
  ArchiveOptions wanted;
  wanted.directory = options.target.archive;
  wanted.create = false;
  wanted.purpose = purpose;
  return Archive::Open(wanted);
}

// As the next start of a recorder would, so that what the disk holds can be read at once.
absl::Status Recover(const Options& options, const std::string& purpose,
                     const std::optional<uint32_t>& added = std::nullopt) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Archive> archive, Open(options, purpose));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<ArchiveKeeper> keeper,
                          ArchiveKeeper::Start(*archive));
  if (added) {
    keeper->Audit(UserActor(getuid()), "disk added", absl::StrCat("disks/", *added), options.disk);
  }
  for (const std::string& warning : archive->warnings()) Note(warning);
  for (const std::string& note : keeper->recovery().notes) std::cout << Printable(note) << '\n';
  const uint32_t found = keeper->recovery().segments_indexed + keeper->recovery().segments_sealed;
  if (found > 0) std::cout << found << " segments were taken in\n";
  return absl::OkStatus();
}

absl::Status AddDisk(const Options& options) {
  uint32_t number = 0;
  {
    SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Archive> archive, Open(options, "add-disk"));
    SLUICE_ASSIGN_OR_RETURN(number, archive->AddDisk({options.disk, options.capacity}));
  }
  SLUICE_RETURN_IF_ERROR(Recover(options, "add-disk", number));
  std::cout << options.disk << " is disk " << number << " of archive " << options.target.archive
            << std::endl;
  return absl::OkStatus();
}

// By its number, or by its directory.
absl::StatusOr<uint32_t> FindDisk(const Archive& archive, const std::string& name) {
  uint32_t number = 0;
  const bool is_number = absl::SimpleAtoi(name, &number);
  const absl::StatusOr<std::string> directory = DiskDirectory(name);
  const absl::StatusOr<std::string> home = DiskDirectory(archive.directory());
  for (const DiskStatus& disk : archive.disks()) {
    const std::string& place = disk.number == 0 && home.ok() ? *home : disk.directory;
    if (is_number ? disk.number == number : directory.ok() && place == *directory) {
      return disk.number;
    }
  }
  return absl::NotFoundError(absl::StrCat("archive ", archive.directory(), " has no disk ", name,
                                          ": `sluice archive info` lists them"));
}

// Nobody writes, so the catalog is ours.
absl::Status TellCatalog(const Archive& archive, uint32_t disk, bool discarded) {
  SLUICE_ASSIGN_OR_RETURN(
      const std::unique_ptr<Catalog> catalog,
      Catalog::Open(Archive::CatalogPath(archive.directory()), Catalog::Mode::kReadWrite));
  const UnixNanos now{absl::GetCurrentTimeNanos()};
  const std::string actor = UserActor(getuid());
  SLUICE_RETURN_IF_ERROR(catalog->AddAudit(
      {{0, now, actor, "disk removed", absl::StrCat("disks/", disk),
        discarded ? "it is forgotten with what it held" : "what it holds stays readable"}}));
  if (!discarded) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(const std::vector<SegmentRow> segments, catalog->Segments());
  const RemovalCause cause{RemovalReason::kRetention, absl::StrCat("disk ", disk, " was discarded"),
                           now, actor};
  for (const SegmentRow& segment : segments) {
    if (archive.meta().disks[disk].Has(segment.slot)) {
      SLUICE_RETURN_IF_ERROR(catalog->ForgetSegment(segment.id, cause));
    }
  }
  return absl::OkStatus();
}

absl::Status RemoveDisk(const Options& options) {
  // What a crash left open there is sealed first: nothing will be written there any more.
  if (!options.discard) SLUICE_RETURN_IF_ERROR(Recover(options, "remove-disk"));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Archive> archive, Open(options, "remove-disk"));
  SLUICE_ASSIGN_OR_RETURN(const uint32_t number, FindDisk(*archive, options.disk));
  SLUICE_RETURN_IF_ERROR(archive->RemoveDisk(number, options.discard));
  SLUICE_RETURN_IF_ERROR(TellCatalog(*archive, number, options.discard));
  std::cout << "disk " << number << " of archive " << options.target.archive
            << (options.discard
                    ? " is forgotten with what it held"
                    : " is out of use; what it holds can be read as long as it is there")
            << std::endl;
  return absl::OkStatus();
}

using Run = absl::Status (*)(const Options&);

CLI::App& Add(CLI::App& group, const std::shared_ptr<Options>& options, Action& action,
              const std::string& name, const std::string& help, Run run) {
  CLI::App& app = *group.add_subcommand(name, help);
  AddArchiveOption(app, options->target);
  app.callback(
      [&action, options, run] { action = [options, run] { return ExitCodeOf(run(*options)); }; });
  return app;
}

}  // namespace

void AddArchiveDiskCommands(CLI::App& group, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App& add = Add(group, options, action, "add-disk",
                      "Add a directory on another disk, or take one in again that failed, was "
                      "removed, or has moved",
                      &AddDisk);
  add.add_option("directory", options->disk, "The disk's directory, made if there is none")
      ->type_name("DIR")
      ->required();
  AddSizeOption(add, "--capacity", options->capacity,
                "Of a new disk (default: as the archive's directory, or less on a small disk)");
  add.footer("Nobody may be recording into the archive: stop the daemon first.");
  CLI::App& remove = Add(group, options, action, "remove-disk",
                         "Take a disk out of use; what it holds stays readable", &RemoveDisk);
  remove.add_option("disk", options->disk, "Its directory or its number")
      ->type_name("DIR|NUMBER")
      ->required();
  remove.add_flag("--discard", options->discard, "Give up what it holds, and forget it");
  remove.footer("Nobody may be recording into the archive: stop the daemon first.");
}

}  // namespace sluice
