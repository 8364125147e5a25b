#include "control/cli/recording_view.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "control/cli/human.h"
#include "control/cli/names.h"

namespace sluice {
namespace {

std::string Size(int64_t bytes) { return HumanSize({static_cast<uint64_t>(bytes)}); }

std::string Source(const v1::Recording& recording) {
  if (recording.has_tcp_connect()) {
    return absl::StrCat("tcp, connects to ", recording.tcp_connect().address());
  }
  if (!recording.bound_address().empty()) {
    return absl::StrCat("tcp, listens on ", recording.bound_address());
  }
  return recording.has_tcp_listen() ? absl::StrCat("tcp, ", recording.tcp_listen().address()) : "-";
}

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

void AddFigures(const v1::RecordingFigures& figures, Properties& properties) {
  properties.Add("Received", Size(figures.bytes_received()));
  properties.Add("Written", Size(figures.bytes_written()));
  properties.Add("Durable", Size(figures.bytes_durable()));
  properties.Add("Lost", Size(figures.bytes_dropped()));
  if (figures.dropped().policy() > 0) {
    properties.Add("Dropped by policy", absl::StrCat(Size(figures.dropped().policy()), " (",
                                                     figures.dropped().policy(), ")"));
  }
  properties.Add("On disk", Size(figures.bytes_disk()));
  properties.Add("Streams now",
                 absl::StrCat(figures.streams_open(), " open, ", figures.streams_closed(),
                              " closed of ", figures.streams_opened()));
  properties.Add("Durable lag", HumanDuration(ToDuration(figures.durable_lag())));
  if (figures.connections_refused() > 0) {
    properties.Add("Refused connections", absl::StrCat(figures.connections_refused()));
  }
  if (figures.connect_failures() > 0) {
    properties.Add("Failed connects", absl::StrCat(figures.connect_failures()));
  }
  if (figures.buffer_waits() > 0) {
    properties.Add("Waits for memory", absl::StrCat(figures.buffer_waits()));
  }
  if (figures.segment_waits().count() > 0) {
    properties.Add("Waits for a segment",
                   absl::StrCat(figures.segment_waits().count(), ", the longest ",
                                HumanDuration(ToDuration(figures.segment_waits().longest()))));
    const auto longest = [](const v1::RecordingFigures::SegmentWaits& waits) {
      return HumanDuration(ToDuration(waits.longest()));
    };
    const v1::RecordingFigures::SegmentLoans& loans = figures.segment_loans();
    properties.Add("Longest part of one",
                   absl::StrCat("catalog ", longest(loans.catalog()), ", disk ",
                                longest(loans.disk()), ", in line ", longest(loans.in_line())));
  }
  if (figures.write_errors() > 0) {
    properties.Add("Write errors", absl::StrCat(figures.write_errors()));
  }
}

}  // namespace

std::string ShowTime(const google::protobuf::Timestamp& time) {
  return HumanTime(absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos()));
}

Table RecordingTable(std::ostream& out) {
  return Table(out, {{"RECORDING"},
                     {"STATE"},
                     {"STREAMS", Table::Align::kRight},
                     {"STORED", Table::Align::kRight},
                     {"CREATED"},
                     {"SOURCE"}});
}

void AddRecordingRow(const v1::Recording& recording, Table& table) {
  table.AddRow({ShortName(recording.name()), v1::Recording::State_Name(recording.state()),
                absl::StrCat(recording.stored_streams()), Size(recording.stored_bytes()),
                ShowTime(recording.create_time()), Source(recording)});
}

void PrintRecording(const v1::Recording& recording, std::ostream& out) {
  Properties properties(out);
  properties.Add("Name", recording.name());
  properties.Add("UID", recording.uid());
  properties.Add("State", v1::Recording::State_Name(recording.state()));
  properties.Add("Failure", recording.failure());
  properties.Add("Waiting", recording.waiting());
  properties.Add("Source", Source(recording));
  properties.Add("Class", recording.retention_class());
  if (recording.has_payload_crc()) {
    properties.Add("Payload CRC", recording.payload_crc() ? "on" : "off");
  }
  if (recording.has_flush_interval()) {
    properties.Add("Flush interval", absl::FormatDuration(ToDuration(recording.flush_interval())));
  }
  if (recording.has_sync_interval()) {
    properties.Add("Sync interval", absl::FormatDuration(ToDuration(recording.sync_interval())));
  }
  if (recording.back_pressure() != v1::Recording::BACK_PRESSURE_UNSPECIFIED) {
    std::string policy = v1::Recording::BackPressure_Name(recording.back_pressure());
    if (recording.has_lag_limit()) {
      absl::StrAppend(&policy, ", after ", absl::FormatDuration(ToDuration(recording.lag_limit())));
    }
    properties.Add("Back-pressure", policy);
  }
  properties.Add("Created", ShowTime(recording.create_time()));
  if (recording.has_stop_time()) properties.Add("Stopped", ShowTime(recording.stop_time()));
  properties.Add("Streams stored", absl::StrCat(recording.stored_streams()));
  properties.Add("Bytes stored",
                 absl::StrCat(Size(recording.stored_bytes()), " (", recording.stored_bytes(), ")"));
  if (recording.has_figures()) AddFigures(recording.figures(), properties);
}

}  // namespace sluice
