// sluice archive: info, create, rebuild; the rest is in files of its own.
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "control/cli/archive_disk_command.h"
#include "control/cli/archive_view.h"
#include "control/cli/command.h"
#include "control/cli/human.h"
#include "control/cli/json.h"
#include "control/cli/options.h"
#include "control/cli/target.h"
#include "control/cli/terminal.h"
#include "control/service/conversion.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_files.h"
#include "writer/archive/recovery.h"
#include "writer/catalog/catalog.h"

namespace sluice {
namespace {

struct Options {
  TargetOptions target;
  OutputFormat output = OutputFormat::kText;
  ByteCount capacity;
  ByteCount segment;
  ByteCount catalog = {};
  std::vector<std::string> disks;
};

void Show(const v1::Archive& archive, OutputFormat output) {
  if (output == OutputFormat::kJson) {
    std::cout << ToJson(archive) << std::endl;
    return;
  }
  Properties properties(std::cout);
  AddArchive(archive, properties);
}

// What is said without a lock, and without changing anything.
absl::StatusOr<v1::Archive> Look(const std::string& directory) {
  SLUICE_ASSIGN_OR_RETURN(const ArchiveMeta meta, Archive::ReadMeta(directory));
  v1::Archive archive = ToProto(meta, directory);
  const absl::StatusOr<ArchiveHolder> holder = Archive::Holder(directory);
  if (holder.ok()) *archive.mutable_holder() = ToProto(*holder);
  const absl::StatusOr<std::unique_ptr<Catalog>> catalog =
      Catalog::Open(Archive::CatalogPath(directory), Catalog::Mode::kReadOnly);
  if (!catalog.ok()) {
    Note(catalog.status().message());
    return archive;
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<SegmentRow> segments, (*catalog)->Segments());
  archive.set_segments_used(static_cast<int32_t>(segments.size()));
  for (const SegmentRow& segment : segments) {
    if (!segment.sealed) archive.set_segments_open(archive.segments_open() + 1);
    archive.set_stored_bytes(archive.stored_bytes() + static_cast<int64_t>(segment.payload.value));
  }
  AddDisks(LookAtDisks(directory, meta), segments, &archive);
  AddChainHeads(segments, &archive);
  SLUICE_ASSIGN_OR_RETURN(const CatalogSize size, (*catalog)->Size());
  *archive.mutable_catalog() = ToProto(size, meta.catalog);
  return archive;
}

absl::Status Info(const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const v1::Archive archive, Look(options.target.archive));
  Show(archive, options.output);
  return absl::OkStatus();
}

absl::Status Create(const Options& options) {
  const std::string& directory = options.target.archive;
  if (Archive::ReadMeta(directory).ok()) {
    return absl::AlreadyExistsError(
        absl::StrCat(directory, " is an archive already; `sluice archive info --archive ",
                     directory, "` describes it"));
  }
  ArchiveOptions wanted;
  wanted.directory = directory;
  wanted.capacity = options.capacity;
  wanted.segment = options.segment;
  wanted.catalog = options.catalog;
  wanted.purpose = "create";
  for (const std::string& disk : options.disks) wanted.disks.push_back({disk, {}});
  {
    SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Archive> archive, Archive::Open(wanted));
    SLUICE_ASSIGN_OR_RETURN(
        const std::unique_ptr<Catalog> catalog,
        Catalog::Open(Archive::CatalogPath(directory), Catalog::Mode::kReadWrite));
    SLUICE_RETURN_IF_ERROR(catalog->SetAside(archive->meta().catalog));
  }
  return Info(options);
}

absl::StatusOr<RecoveryReport> RecoverInto(Archive& archive, const std::string& catalog_path) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog,
                          Catalog::Open(catalog_path, Catalog::Mode::kReadWrite));
  LiveLine line;
  RecoveryOptions options;
  options.rebuild = true;
  options.progress = [&line, drawn = absl::InfinitePast()](uint32_t done, uint32_t of) mutable {
    constexpr absl::Duration kRedraw = absl::Milliseconds(100);
    const absl::Time now = absl::Now();
    if (!line.visible() || (now - drawn < kRedraw && done < of)) return;
    drawn = now;
    line.Draw(absl::StrCat("rebuild  ", done, " of ", of, " segments").substr(0, line.width() - 1));
  };
  return Recover(archive, *catalog, options);
}

// A damaged catalog is kept, under another name, for whoever wants to look into it.
absl::StatusOr<RecoveryReport> RebuildCatalog(Archive& archive) {
  const std::string path = Archive::CatalogPath(archive.directory());
  absl::StatusOr<RecoveryReport> report = RecoverInto(archive, path);
  if (!absl::IsDataLoss(report.status())) return report;
  SLUICE_RETURN_IF_ERROR(MoveCatalogAside(path));
  Note(absl::StrCat(report.status().message(), "; it is kept as ", path, ".damaged"));
  return RecoverInto(archive, path);
}

void Show(const RecoveryReport& report, OutputFormat output) {
  if (output == OutputFormat::kJson) {
    std::cout << ToJson(ToProto(report)) << std::endl;
    return;
  }
  for (const std::string& note : report.notes) std::cout << Printable(note) << '\n';
  std::cout << "rebuilt the catalog from " << report.segments_indexed + report.segments_sealed
            << " segments";
  if (report.segments_sealed > 0) {
    std::cout << ", of which " << report.segments_sealed << " had been open ("
              << HumanSize(report.payload_recovered) << ")";
  }
  if (report.segments_damaged > 0) std::cout << "; " << report.segments_damaged << " are damaged";
  std::cout << std::endl;
}

absl::Status Rebuild(const Options& options) {
  ArchiveOptions wanted;
  wanted.directory = options.target.archive;
  wanted.create = false;
  wanted.purpose = "rebuild";
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Archive> archive, Archive::Open(wanted));
  SLUICE_ASSIGN_OR_RETURN(const RecoveryReport report, RebuildCatalog(*archive));
  Show(report, options.output);
  return absl::OkStatus();
}

using Run = absl::Status (*)(const Options&);

CLI::App& Add(CLI::App& group, const std::shared_ptr<Options>& options, Action& action,
              const std::string& name, const std::string& help, Run run) {
  CLI::App& app = *group.add_subcommand(name, help);
  AddArchiveOption(app, options->target);
  AddOutputOption(app, options->output, "table");
  app.callback(
      [&action, options, run] { action = [options, run] { return ExitCodeOf(run(*options)); }; });
  return app;
}

}  // namespace

void AddArchiveCommand(CLI::App& program, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App& group = *program.add_subcommand("archive", "Describe, make and mend archives");
  group.require_subcommand(1);
  Add(group, options, action, "info", "Describe an archive; changes nothing", &Info);
  CLI::App& create = Add(group, options, action, "create", "Make an empty archive", &Create);
  AddSizeOption(create, "--capacity", options->capacity,
                "The disk space that it takes, at once (default: 16GiB, or less on a small disk)");
  AddSizeOption(create, "--segment-size", options->segment,
                "The unit in which old data goes (default: capacity / 64, between 16MiB and "
                "256MiB)");
  AddSizeOption(create, "--catalog-size", options->catalog,
                "The most that the catalog takes beside it, set aside at once; a stream costs some "
                "240 bytes (default: capacity / 32, between 8MiB and 16GiB)");
  create
      .add_option("--disk", options->disks,
                  "One more directory, on a disk of its own, as large as the archive's if there is "
                  "room; may be given again")
      ->type_name("DIR");
  AddArchiveDiskCommands(group, action);
  Add(group, options, action, "rebuild",
      "Make the catalog anew from the segments; nobody may have the archive open", &Rebuild);
  AddRepairCommand(group, action);
  AddSegmentCommands(group, action);
  group.footer(
      "Examples:\n"
      "  sluice archive create --archive /srv/archive --capacity 400GiB\n"
      "  sluice archive info --archive /srv/archive\n"
      "  sluice archive add-disk /mnt/b/archive --archive /srv/archive\n"
      "  sluice archive export-segment 17 --to /mnt/stick --archive /srv/archive\n"
      "  sluice archive import /mnt/stick/segment-17.seg --archive /tmp/received");
}

}  // namespace sluice
