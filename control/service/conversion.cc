#include "control/service/conversion.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "control/config/recording_rules.h"
#include "control/service/names.h"
#include "ingest/receive/socket_address.h"
#include "ingest/status_macros.h"
#include "writer/ledger.h"

namespace sluice {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr int64_t kProtoSecondsMax = 315'576'000'000;  // 10,000 years: google.protobuf.Duration

// Counts that would take centuries to leave int64, which is what the API style wants.
int64_t Count(uint64_t value) { return static_cast<int64_t>(value); }
int64_t Count(ByteCount bytes) { return Count(bytes.value); }

v1::Recording::State ToProto(RecordingState state) {
  switch (state) {
    case RecordingState::kRecording:
      return v1::Recording::RECORDING;
    case RecordingState::kStopped:
      return v1::Recording::STOPPED;
    case RecordingState::kFailed:
      return v1::Recording::FAILED;
    case RecordingState::kInterrupted:
      return v1::Recording::INTERRUPTED;
  }
  return v1::Recording::STATE_UNSPECIFIED;
}

v1::Stream::CloseReason ToProto(CloseReason reason) {
  switch (reason) {
    case CloseReason::kNone:
      return v1::Stream::CLOSE_REASON_UNSPECIFIED;
    case CloseReason::kEndOfStream:
      return v1::Stream::END_OF_STREAM;
    case CloseReason::kReset:
      return v1::Stream::RESET;
    case CloseReason::kError:
      return v1::Stream::ERROR;
    case CloseReason::kStopped:
      return v1::Stream::RECORDING_STOPPED;
    case CloseReason::kDiskLost:
      return v1::Stream::DISK_LOST;
    case CloseReason::kInterrupted:
      return v1::Stream::INTERRUPTED;
  }
  return v1::Stream::CLOSE_REASON_UNSPECIFIED;
}

void FillWaits(const WaitTimes& waits, v1::RecordingFigures::SegmentWaits* to) {
  to->set_count(Count(waits.count));
  *to->mutable_total() = ToProtoDuration(waits.total);
  *to->mutable_longest() = ToProtoDuration(waits.longest);
  for (const uint64_t of_class : waits.classes) to->add_classes(Count(of_class));
}

v1::RecordingFigures FiguresToProto(const RecordingStatus& status) {
  const Ledger& ledger = status.ledger;
  v1::RecordingFigures figures;
  figures.set_bytes_received(Count(ledger.received));
  figures.set_bytes_written(Count(ledger.written));
  figures.set_bytes_dropped(Count(ledger.dropped()));
  figures.mutable_dropped()->set_policy(Count(ledger.dropped_policy));
  figures.mutable_dropped()->set_socket(Count(ledger.dropped_socket));
  figures.mutable_dropped()->set_device(Count(ledger.dropped_device));
  figures.mutable_dropped()->set_truncated(Count(ledger.dropped_truncated));
  figures.mutable_dropped()->set_disk(Count(ledger.dropped_disk));
  figures.set_bytes_zero_copy(Count(ledger.zero_copy));
  figures.set_bytes_copied(Count(ledger.copied));
  figures.set_bytes_packed(Count(ledger.packed));
  figures.set_bytes_durable(Count(status.durable));
  figures.set_bytes_disk(Count(status.disk));
  figures.set_streams_open(Count(status.streams_open));
  figures.set_streams_opened(Count(status.streams_opened));
  figures.set_streams_closed(Count(status.streams_closed));
  figures.set_connections_refused(Count(status.connections_refused));
  figures.set_connect_failures(Count(status.connect_failures));
  figures.set_buffer_waits(Count(status.buffer_waits));
  figures.set_write_errors(Count(status.write_errors));
  v1::RecordingFigures::ZeroCopyReceive& zero_copy = *figures.mutable_zero_copy_receive();
  zero_copy.set_completions(Count(status.zero_copy.completions));
  zero_copy.set_queue_full(Count(status.zero_copy.queue_full));
  zero_copy.set_area_exhausted(Count(status.zero_copy.area_exhausted));
  zero_copy.set_handed_to_copy(Count(status.zero_copy.handed_to_copy));
  zero_copy.set_steered_away(Count(status.zero_copy.steered_away));
  figures.set_handed_over(Count(status.handed_over));
  FillWaits(status.segment_waits, figures.mutable_segment_waits());
  FillWaits(status.loans.in_line, figures.mutable_segment_loans()->mutable_in_line());
  FillWaits(status.loans.catalog, figures.mutable_segment_loans()->mutable_catalog());
  FillWaits(status.loans.disk, figures.mutable_segment_loans()->mutable_disk());
  *figures.mutable_longest_write() = ToProtoDuration(status.longest_write);
  *figures.mutable_durable_lag() = ToProtoDuration(status.durable_lag);
  return figures;
}

void FillFromCatalog(const RecordingRow& row, v1::Recording* to) {
  to->set_name(MakeRecordingName(row.id));
  to->set_uid(absl::StrFormat("%016x", row.uid));
  absl::string_view source = row.source;
  if (absl::ConsumePrefix(&source, "tcp://")) {
    to->mutable_tcp_listen()->set_address(std::string(source));
  } else if (absl::ConsumePrefix(&source, "tcp-connect://")) {
    to->mutable_tcp_connect()->set_address(std::string(source));
  }
  to->set_state(ToProto(row.state));
  to->set_failure(row.failure);
  to->set_retention_class(row.retention_class.empty() ? kDefaultClass : row.retention_class);
  if (row.created.value != 0) *to->mutable_create_time() = ToTimestamp(row.created);
  if (row.stopped.value != 0) *to->mutable_stop_time() = ToTimestamp(row.stopped);
  to->set_stored_streams(Count(row.stream_count));
  to->set_stored_bytes(Count(row.payload));
}

void FillFromRecorder(const RecordingStatus& status, v1::Recording* to) {
  const RecordingSpec& spec = status.spec;
  to->set_name(MakeRecordingName(spec.id));
  to->set_uid(absl::StrFormat("%016x", status.uid));
  if (spec.source == SourceKind::kTcpListen) {
    to->mutable_tcp_listen()->set_address(spec.address.ToString());
  } else {
    to->mutable_tcp_connect()->set_address(spec.address.ToString());
  }
  to->set_payload_crc(spec.payload_crc);
  *to->mutable_flush_interval() = ToProtoDuration(spec.flush_interval);
  *to->mutable_sync_interval() = ToProtoDuration(spec.sync_interval);
  to->set_back_pressure(ToProto(spec.back_pressure));
  if (spec.back_pressure != BackPressure::kLossless) {
    *to->mutable_lag_limit() = ToProtoDuration(spec.lag_limit);
  }
  to->set_state(ToProto(status.state));
  to->set_failure(status.failure);
  to->set_waiting(status.waiting);
  to->set_retention_class(spec.retention_class.empty() ? kDefaultClass : spec.retention_class);
  *to->mutable_create_time() = ToTimestamp(status.created);
  if (status.state == RecordingState::kRecording) {
    to->clear_stop_time();
    if (status.bound.family != 0) to->set_bound_address(status.bound.ToString());
  }
  *to->mutable_figures() = FiguresToProto(status);
}

absl::StatusOr<SocketAddress> ParseAddress(absl::string_view field, const std::string& text) {
  if (text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(field, " is missing, such as \"0.0.0.0:9000\""));
  }
  absl::StatusOr<SocketAddress> address = SocketAddress::Parse(text);
  if (address.ok()) return address;
  return absl::Status(address.status().code(),
                      absl::StrCat(field, ": ", address.status().message()));
}

absl::Status ReadSource(const v1::Recording& from, RecordingSpec* to) {
  switch (from.source_case()) {
    case v1::Recording::kTcpListen: {
      to->source = SourceKind::kTcpListen;
      SLUICE_ASSIGN_OR_RETURN(
          to->address, ParseAddress("recording.tcp_listen.address", from.tcp_listen().address()));
      return absl::OkStatus();
    }
    case v1::Recording::kTcpConnect: {
      to->source = SourceKind::kTcpConnect;
      SLUICE_ASSIGN_OR_RETURN(
          to->address, ParseAddress("recording.tcp_connect.address", from.tcp_connect().address()));
      if (to->address.port != 0) return absl::OkStatus();
      return absl::InvalidArgumentError(
          "recording.tcp_connect.address: port 0 cannot be connected to");
    }
    case v1::Recording::SOURCE_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "recording.source is missing; set recording.tcp_listen or recording.tcp_connect");
}

absl::Status ReadBackPressure(const v1::Recording& from, RecordingSpec* to) {
  switch (from.back_pressure()) {
    case v1::Recording::BACK_PRESSURE_UNSPECIFIED:
    case v1::Recording::LOSSLESS:
      to->back_pressure = BackPressure::kLossless;
      break;
    case v1::Recording::DROP_NEWEST:
      to->back_pressure = BackPressure::kDropNewest;
      break;
    case v1::Recording::DROP_OLDEST:
      to->back_pressure = BackPressure::kDropOldest;
      break;
    default:
      return absl::InvalidArgumentError(absl::StrCat("recording.back_pressure is ",
                                                     static_cast<int>(from.back_pressure()),
                                                     ", which this server does not know"));
  }
  if (!from.has_lag_limit()) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(to->lag_limit,
                          FromProtoDuration("recording.lag_limit", from.lag_limit()));
  return CheckLagLimit("recording.lag_limit", to->lag_limit, to->back_pressure);
}

absl::Status ReadInterval(absl::string_view field, const google::protobuf::Duration& from,
                          absl::Duration* to) {
  SLUICE_ASSIGN_OR_RETURN(*to, FromProtoDuration(field, from));
  return CheckInterval(field, *to);
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

google::protobuf::Timestamp ToTimestamp(UnixNanos time) {
  google::protobuf::Timestamp timestamp;
  int64_t seconds = time.value / kNanosPerSecond;
  int64_t nanos = time.value % kNanosPerSecond;
  if (nanos < 0) {  // before 1970; a timestamp's nanoseconds count forward
    nanos += kNanosPerSecond;
    --seconds;
  }
  timestamp.set_seconds(seconds);
  timestamp.set_nanos(static_cast<int32_t>(nanos));
  return timestamp;
}

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  return ToTimestamp(UnixNanos{absl::ToUnixNanos(time)});
}

google::protobuf::Duration ToProtoDuration(absl::Duration duration) {
  google::protobuf::Duration to;
  to.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  to.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
  return to;
}

absl::StatusOr<absl::Duration> FromProtoDuration(absl::string_view field,
                                                 const google::protobuf::Duration& from) {
  const bool in_range = from.seconds() >= -kProtoSecondsMax && from.seconds() <= kProtoSecondsMax &&
                        from.nanos() > -kNanosPerSecond && from.nanos() < kNanosPerSecond;
  const bool signs_agree =
      (from.seconds() >= 0 || from.nanos() <= 0) && (from.seconds() <= 0 || from.nanos() >= 0);
  if (!in_range || !signs_agree) {
    return absl::InvalidArgumentError(absl::StrCat(field, " is not a valid duration"));
  }
  return absl::Seconds(from.seconds()) + absl::Nanoseconds(from.nanos());
}

v1::Recording::BackPressure ToProto(BackPressure back_pressure) {
  switch (back_pressure) {
    case BackPressure::kLossless:
      return v1::Recording::LOSSLESS;
    case BackPressure::kDropNewest:
      return v1::Recording::DROP_NEWEST;
    case BackPressure::kDropOldest:
      return v1::Recording::DROP_OLDEST;
  }
  return v1::Recording::BACK_PRESSURE_UNSPECIFIED;
}

v1::Recording ToProto(const KnownRecording& recording) {
  v1::Recording to;
  if (recording.stored) FillFromCatalog(*recording.stored, &to);
  if (recording.live) FillFromRecorder(*recording.live, &to);
  return to;
}

v1::Stream ToProto(const StreamRow& row) {
  v1::Stream to;
  to.set_name(MakeStreamName(row.recording, row.id));
  to.set_peer_address(row.peer.ToString());
  to.set_local_address(row.local.ToString());
  *to.mutable_open_time() = ToTimestamp(row.opened);
  *to.mutable_last_time() = ToTimestamp(row.last_time);
  to.set_begin_offset(Count(row.begin.value));
  to.set_durable_bytes(Count(row.durable.value));
  to.set_dropped_bytes(Count(row.dropped));
  to.set_state(row.open ? v1::Stream::OPEN : v1::Stream::CLOSED);
  to.set_close_reason(ToProto(row.reason));
  return to;
}

v1::Archive ToProto(const ArchiveMeta& meta, const std::string& directory) {
  v1::Archive to;
  to.set_directory(directory);
  to.set_uuid(absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(meta.uuid.data()), meta.uuid.size())));
  to.set_capacity_bytes(Count(meta.capacity()));
  to.set_segment_bytes(Count(meta.segment));
  to.set_segment_count(static_cast<int32_t>(meta.segment_count));
  to.set_epoch(static_cast<int32_t>(meta.epoch));
  *to.mutable_create_time() = ToTimestamp(meta.created);
  return to;
}

void AddChainHeads(const std::vector<SegmentRow>& segments, v1::Archive* to) {
  std::map<std::pair<uint64_t, LaneId>, const SegmentRow*> heads;
  for (const SegmentRow& row : segments) {
    if (row.sealed && row.footer_sha256 != decltype(row.footer_sha256){}) {
      heads[{row.recording_uid, row.lane}] = &row;
    }
  }
  for (const auto& [track, row] : heads) {
    v1::ChainHead& head = *to->add_chain_heads();
    head.set_recording(MakeRecordingName(row->recording));
    head.set_lane(static_cast<int32_t>(row->lane));
    head.set_segment(static_cast<int64_t>(row->id));
    head.set_footer_sha256(absl::BytesToHexString(absl::string_view(
        reinterpret_cast<const char*>(row->footer_sha256.data()), row->footer_sha256.size())));
  }
}

v1::DiskGeometry ToProto(const DiskGeometry& geometry) {
  v1::DiskGeometry to;
  to.set_direct(geometry.direct);
  to.set_memory_align(static_cast<int32_t>(geometry.memory_align));
  to.set_offset_align(static_cast<int32_t>(geometry.offset_align));
  to.set_write_bytes_max(Count(geometry.write_bytes_max));
  to.set_ranges_max(static_cast<int32_t>(geometry.ranges_max));
  to.set_device(geometry.device);
  return to;
}

v1::Catalog ToProto(const CatalogSize& size, ByteCount bound) {
  v1::Catalog to;
  to.set_bound_bytes(Count(bound));
  to.set_used_bytes(Count(size.used));
  to.set_file_bytes(Count(size.file));
  to.set_log_bytes(Count(size.log));
  to.set_streams(static_cast<int64_t>(size.streams));
  if (size.streams != 0) {
    to.set_bytes_per_stream(static_cast<int64_t>(size.used.value / size.streams));
  }
  return to;
}

void AddDisks(const std::vector<DiskStatus>& disks, const std::vector<SegmentRow>& used,
              v1::Archive* to) {
  for (const DiskStatus& disk : disks) {
    v1::Disk& one = *to->add_disks();
    one.set_number(static_cast<int32_t>(disk.number));
    one.set_directory(disk.directory);
    one.set_state(static_cast<v1::Disk::State>(disk.state));
    one.set_problem(disk.problem);
    one.set_capacity_bytes(Count(disk.capacity));
    one.set_segment_count(static_cast<int32_t>(disk.slot_count));
    one.set_segments_used(
        static_cast<int32_t>(std::count_if(used.begin(), used.end(), [&](const SegmentRow& row) {
          return row.slot >= disk.first_slot && row.slot - disk.first_slot < disk.slot_count;
        })));
    if (!disk.geometry.device.empty()) *one.mutable_geometry() = ToProto(disk.geometry);
  }
}

v1::ArchiveHolder ToProto(const ArchiveHolder& holder) {
  v1::ArchiveHolder to;
  to.set_pid(holder.pid);
  to.set_purpose(holder.purpose);
  to.set_unix_socket(holder.socket_path);
  return to;
}

v1::Verification ToProto(const BackgroundVerifyStatus& status) {
  v1::Verification to;
  to.set_segments_verified(static_cast<int64_t>(status.segments_verified));
  to.set_segments_damaged(static_cast<int32_t>(status.segments_damaged));
  for (const std::string& damage : status.damage) to.add_damage(damage);
  to.set_waiting(status.yielding);
  if (status.last_pass != absl::InfinitePast()) {
    *to.mutable_last_pass_time() = ToTimestamp(status.last_pass);
  }
  if (status.next != absl::InfinitePast()) *to.mutable_next_time() = ToTimestamp(status.next);
  return to;
}

v1::Recovery ToProto(const RecoveryReport& report) {
  v1::Recovery to;
  to.set_segments_sealed(static_cast<int32_t>(report.segments_sealed));
  to.set_segments_indexed(static_cast<int32_t>(report.segments_indexed));
  to.set_segments_forgotten(static_cast<int32_t>(report.segments_forgotten));
  to.set_segments_damaged(static_cast<int32_t>(report.segments_damaged));
  to.set_payload_recovered_bytes(Count(report.payload_recovered));
  to.set_streams_interrupted(static_cast<int32_t>(report.streams_interrupted));
  to.set_catalog_rebuilt(report.catalog_rebuilt);
  for (const std::string& note : report.notes) to.add_notes(note);
  return to;
}

v1::Receiver ToProto(const ReceiverStatus& receiver) {
  v1::Receiver to;
  to.set_kind(static_cast<v1::Receiver::Kind>(receiver.kind));
  to.set_reason(receiver.reason);
  to.set_interface(receiver.interface);
  to.set_queue(static_cast<int32_t>(receiver.queue));
  const InterfaceQueueCounters& counters = receiver.counters;
  to.set_completions(Count(counters.completions));
  to.set_returned(Count(counters.returned));
  to.set_area_pages(Count(counters.pages));
  to.set_references_held(Count(counters.leased));
  to.set_kernel_copied_bytes(Count(counters.kernel_copied_bytes));
  to.set_allocation_failures(Count(counters.allocation_failures));
  to.set_flushes(Count(counters.flushes));
  return to;
}

v1::Daemon DaemonToProto(const RecorderStatus& status) {
  v1::Daemon to;
  to.set_pid(getpid());
  *to.mutable_start_time() = ToTimestamp(status.started);
  to.set_lanes(static_cast<int32_t>(status.lanes));
  to.set_region_bytes(Count(status.region));
  to.set_region_registered(status.region_registered);
  to.set_region_huge_pages(status.region_huge_pages);
  for (const ReceiverStatus& receiver : status.receivers) *to.add_receivers() = ToProto(receiver);
  return to;
}

absl::StatusOr<RecordingSpec> ToSpec(const v1::CreateRecordingRequest& request) {
  RecordingSpec spec;
  SLUICE_RETURN_IF_ERROR(CheckRecordingId(request.recording_id()));
  spec.id = request.recording_id();
  const v1::Recording& from = request.recording();
  SLUICE_RETURN_IF_ERROR(ReadSource(from, &spec));
  if (from.has_payload_crc()) spec.payload_crc = from.payload_crc();
  if (from.has_flush_interval()) {
    SLUICE_RETURN_IF_ERROR(
        ReadInterval("recording.flush_interval", from.flush_interval(), &spec.flush_interval));
  }
  if (from.has_sync_interval()) {
    SLUICE_RETURN_IF_ERROR(
        ReadInterval("recording.sync_interval", from.sync_interval(), &spec.sync_interval));
  }
  spec.retention_class = from.retention_class();
  SLUICE_RETURN_IF_ERROR(ReadBackPressure(from, &spec));
  return spec;
}

}  // namespace sluice
