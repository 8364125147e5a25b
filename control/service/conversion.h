// Between the API's messages and what they stand for. No logic, no I/O but name resolution.
#ifndef CONTROL_SERVICE_CONVERSION_H_
#define CONTROL_SERVICE_CONVERSION_H_

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <grpcpp/support/status.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/recorder/recorder.h"
#include "ingest/units.h"
#include "proto/sluice/v1/recordings.pb.h"
#include "proto/sluice/v1/status.pb.h"
#include "proto/sluice/v1/streams.pb.h"
#include "writer/archive/archive.h"
#include "writer/archive/background_verify.h"
#include "writer/archive/recovery.h"
#include "writer/catalog/catalog.h"

namespace sluice {

// All that is known of one recording: what the archive says, what the recorder says, or both.
struct KnownRecording {
  std::optional<RecordingRow> stored;
  std::optional<RecordingStatus> live;

  RecordingState state() const { return live ? live->state : stored->state; }
};

grpc::Status ToGrpcStatus(const absl::Status& status);

google::protobuf::Timestamp ToTimestamp(UnixNanos time);
google::protobuf::Timestamp ToTimestamp(absl::Time time);
google::protobuf::Duration ToProtoDuration(absl::Duration duration);
// INVALID_ARGUMENT, naming `field`, for what is not a valid Duration.
absl::StatusOr<absl::Duration> FromProtoDuration(absl::string_view field,
                                                 const google::protobuf::Duration& from);

v1::Recording ToProto(const KnownRecording& recording);
v1::Recording::BackPressure ToProto(BackPressure back_pressure);
v1::Stream ToProto(const StreamRow& row);
v1::Archive ToProto(const ArchiveMeta& meta, const std::string& directory);
v1::DiskGeometry ToProto(const DiskGeometry& geometry);
// `used`: the catalog's segments.
void AddDisks(const std::vector<DiskStatus>& disks, const std::vector<SegmentRow>& used,
              v1::Archive* to);
// `segments`: the catalog's, ordered by id.
void AddChainHeads(const std::vector<SegmentRow>& segments, v1::Archive* to);
v1::Catalog ToProto(const CatalogSize& size, ByteCount bound);
v1::ArchiveHolder ToProto(const ArchiveHolder& holder);
v1::Recovery ToProto(const RecoveryReport& report);
v1::Verification ToProto(const BackgroundVerifyStatus& status);
v1::Receiver ToProto(const ReceiverStatus& receiver);
v1::Daemon DaemonToProto(const RecorderStatus& status);

// What a client asks for, checked. INVALID_ARGUMENT names the field.
absl::StatusOr<RecordingSpec> ToSpec(const v1::CreateRecordingRequest& request);

}  // namespace sluice

#endif  // CONTROL_SERVICE_CONVERSION_H_
