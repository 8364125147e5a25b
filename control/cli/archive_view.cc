#include "control/cli/archive_view.h"

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "control/cli/human.h"
#include "control/cli/recording_view.h"

namespace sluice {
namespace {

std::string Size(int64_t bytes) { return HumanSize({static_cast<uint64_t>(bytes)}); }

std::string Holder(const v1::ArchiveHolder& holder) {
  return absl::StrCat("process ", holder.pid(), " (", holder.purpose(), ")",
                      holder.unix_socket().empty() ? "" : ", answers on ", holder.unix_socket());
}

std::string Describe(const v1::Disk& disk) {
  const std::string use =
      disk.problem().empty() ? "" : absl::StrCat("; NOT IN USE: ", disk.problem());
  return absl::StrCat(disk.directory(), ", ", Size(disk.capacity_bytes()), ", ",
                      disk.segments_used(), " of ", disk.segment_count(), " segments used", use);
}

std::string Describe(const v1::Catalog& catalog) {
  std::string text = Size(catalog.used_bytes());
  text += catalog.bound_bytes() == 0 ? ", without a bound"
                                     : absl::StrCat(" of ", Size(catalog.bound_bytes()));
  if (catalog.log_bytes() != 0) absl::StrAppend(&text, " and a log of ", Size(catalog.log_bytes()));
  absl::StrAppend(&text, ", for ", catalog.streams(), " streams");
  if (catalog.streams() != 0) {
    absl::StrAppend(&text, ": ", catalog.bytes_per_stream(), " bytes a stream");
  }
  return text;
}

}  // namespace

void AddArchive(const v1::Archive& archive, Properties& properties) {
  properties.Add("Archive", archive.directory());
  properties.Add("UUID", archive.uuid());
  properties.Add("Created", ShowTime(archive.create_time()));
  properties.Add("Capacity",
                 absl::StrCat(Size(archive.capacity_bytes()), " in ", archive.segment_count(),
                              " segments of ", Size(archive.segment_bytes())));
  properties.Add("Used",
                 absl::StrCat(archive.segments_used(), " segments, ", archive.segments_open(),
                              " of them open, with ", Size(archive.stored_bytes()), " of payload"));
  if (archive.has_catalog()) properties.Add("Catalog", Describe(archive.catalog()));
  properties.Add("Opened", absl::StrCat(archive.epoch(), " times for writing"));
  if (archive.has_geometry()) {
    const v1::DiskGeometry& geometry = archive.geometry();
    properties.Add("Disk", absl::StrCat(geometry.device(), geometry.direct() ? "" : ", not direct",
                                        ", blocks of ", geometry.offset_align(), ", writes up to ",
                                        Size(geometry.write_bytes_max())));
  }
  if (archive.disks_size() > 1 ||
      (archive.disks_size() == 1 && !archive.disks(0).problem().empty())) {
    for (const v1::Disk& disk : archive.disks()) {
      properties.Add(absl::StrCat("Disk ", disk.number()), Describe(disk));
    }
  }
  for (const v1::ChainHead& head : archive.chain_heads()) {
    properties.Add("Chain head", absl::StrCat("segment ", head.segment(), " of ", head.recording(),
                                              ", lane ", head.lane(), ", whose footer has"));
    properties.Add("  SHA-256", head.footer_sha256());
  }
  properties.Add("Held by", archive.has_holder() ? Holder(archive.holder()) : "nobody");
}

}  // namespace sluice
