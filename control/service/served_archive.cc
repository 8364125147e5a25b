#include "control/service/served_archive.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"

namespace sluice {

absl::StatusOr<Recorder*> ServedArchive::RequireRecorder() const {
  if (recorder_ != nullptr) return recorder_;
  const std::string no_daemon = absl::StrCat("no daemon serves ", directory_, " here");
  const absl::StatusOr<ArchiveHolder> holder = Archive::Holder(directory_);
  if (!holder.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(no_daemon, ", only its files are read; start `sluice serve` first"));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      no_daemon, ", only its files are read; process ", holder->pid, " (", holder->purpose,
      ") writes it",
      holder->socket_path.empty() ? "" : absl::StrCat(" and answers at ", holder->socket_path)));
}

absl::StatusOr<std::unique_ptr<Catalog>> ServedArchive::OpenCatalog() const {
  return Catalog::Open(Archive::CatalogPath(directory_), Catalog::Mode::kReadOnly);
}

absl::StatusOr<KnownRecording> ServedArchive::Find(const std::string& id) const {
  KnownRecording known;
  if (recorder_ != nullptr) {
    absl::StatusOr<RecordingStatus> live = recorder_->GetRecording(id);
    if (live.ok()) {
      known.live = *std::move(live);
    } else if (!absl::IsNotFound(live.status())) {
      return live.status();
    }
  }
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog, OpenCatalog());
  absl::StatusOr<RecordingRow> stored = catalog->Recording(id);
  if (stored.ok()) {
    known.stored = *std::move(stored);
  } else if (!absl::IsNotFound(stored.status())) {
    return stored.status();
  }
  if (known.live || known.stored) return known;
  return absl::NotFoundError(absl::StrCat("there is no recording \"", id, "\" in ", directory_));
}

absl::StatusOr<std::map<std::string, KnownRecording>> ServedArchive::All() const {
  std::map<std::string, KnownRecording> all;
  if (recorder_ != nullptr) {
    for (RecordingStatus& live : recorder_->Status().recordings) {
      const std::string id = live.spec.id;
      all[id].live = std::move(live);
    }
  }
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog, OpenCatalog());
  SLUICE_ASSIGN_OR_RETURN(std::vector<RecordingRow> rows, catalog->Recordings());
  for (RecordingRow& row : rows) {
    const std::string id = row.id;
    all[id].stored = std::move(row);
  }
  return all;
}

}  // namespace sluice
