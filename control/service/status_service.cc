#include "control/service/status_service.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "control/recorder/drop_watch.h"
#include "control/service/answer.h"
#include "control/service/conversion.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"
#include "writer/catalog/catalog.h"

namespace sluice {
namespace {

absl::Status FillFromCatalog(Catalog& catalog, const ArchiveMeta& meta,
                             const std::vector<DiskStatus>& disks, v1::Archive* to) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<SegmentRow> segments, catalog.Segments());
  int32_t open = 0;
  uint64_t payload = 0;
  for (const SegmentRow& segment : segments) {
    if (!segment.sealed) ++open;
    payload += segment.payload.value;
  }
  to->set_segments_used(static_cast<int32_t>(segments.size()));
  to->set_segments_open(open);
  to->set_stored_bytes(static_cast<int64_t>(payload));
  AddDisks(disks, segments, to);
  SLUICE_ASSIGN_OR_RETURN(const CatalogSize size, catalog.Size());
  *to->mutable_catalog() = ToProto(size, meta.catalog);
  return absl::OkStatus();
}

// The rows of those that the recorder reports, and the use of the segments.
absl::Status AddFromCatalog(const ServedArchive& archive,
                            std::map<std::string, KnownRecording>* recordings, v1::Archive* to) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog, archive.OpenCatalog());
  SLUICE_ASSIGN_OR_RETURN(std::vector<RecordingRow> rows, catalog->Recordings());
  for (RecordingRow& row : rows) {
    const auto known = recordings->find(row.id);
    if (known != recordings->end()) known->second.stored = std::move(row);
  }
  const Archive& open = archive.recorder()->archive();
  return FillFromCatalog(*catalog, open.meta(), open.disks(), to);
}

}  // namespace

v1::Status StatusService::GetFromRecorder() {
  Recorder* const recorder = archive_->recorder();
  RecorderStatus status = recorder->Status();
  v1::Status response;
  *response.mutable_daemon() = DaemonToProto(status);
  *response.mutable_archive() = ToProto(status.archive, status.archive_directory);
  *response.mutable_archive()->mutable_geometry() = ToProto(status.geometry);
  for (const std::string& warning : status.warnings) response.add_warnings(warning);
  *response.mutable_recovery() = ToProto(recorder->keeper().recovery());
  std::map<std::string, KnownRecording> recordings;
  for (RecordingStatus& live : status.recordings) {
    if (live.ledger.dropped_policy > 0) response.add_warnings(DropWarning(live));
    const std::string id = live.spec.id;
    recordings[id].live = std::move(live);
  }
  const absl::Status catalog = AddFromCatalog(*archive_, &recordings, response.mutable_archive());
  if (!catalog.ok()) {
    response.add_warnings(absl::StrCat("the catalog cannot be read: ", catalog.message()));
  }
  for (const auto& [id, known] : recordings) *response.add_recordings() = ToProto(known);
  if (verification_) *response.mutable_verification() = ToProto(verification_());
  return response;
}

absl::StatusOr<v1::Status> StatusService::GetFromFiles() {
  v1::Status response;
  SLUICE_ASSIGN_OR_RETURN(const ArchiveMeta meta, Archive::ReadMeta(archive_->directory()));
  *response.mutable_archive() = ToProto(meta, archive_->directory());
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> catalog, archive_->OpenCatalog());
  SLUICE_RETURN_IF_ERROR(FillFromCatalog(*catalog, meta, LookAtDisks(archive_->directory(), meta),
                                         response.mutable_archive()));
  SLUICE_ASSIGN_OR_RETURN(const auto recordings, archive_->All());
  for (const auto& [id, known] : recordings) *response.add_recordings() = ToProto(known);
  return response;
}

absl::StatusOr<v1::Status> StatusService::Get() {
  v1::Status response;
  if (archive_->recorder() != nullptr) {
    response = GetFromRecorder();
  } else {
    SLUICE_ASSIGN_OR_RETURN(response, GetFromFiles());
  }
  if (const absl::StatusOr<ArchiveHolder> holder = Archive::Holder(archive_->directory());
      holder.ok()) {
    *response.mutable_archive()->mutable_holder() = ToProto(*holder);
  }
  return response;
}

grpc::Status StatusService::GetStatus(grpc::ServerContext* /*context*/,
                                      const v1::GetStatusRequest* /*request*/,
                                      v1::Status* response) {
  return Answer(Get(), response);
}

}  // namespace sluice
