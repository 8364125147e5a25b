// How a recording is shown to people.
#ifndef CONTROL_CLI_RECORDING_VIEW_H_
#define CONTROL_CLI_RECORDING_VIEW_H_

#include <google/protobuf/timestamp.pb.h>

#include <ostream>
#include <string>

#include "control/cli/table.h"
#include "proto/sluice/v1/recordings.pb.h"

namespace sluice {

// "2026-05-01 12:00:00Z", or "-" when it is not set.
std::string ShowTime(const google::protobuf::Timestamp& time);

// A table of recordings; rows are added with AddRecordingRow.
Table RecordingTable(std::ostream& out);
void AddRecordingRow(const v1::Recording& recording, Table& table);

// Everything about one.
void PrintRecording(const v1::Recording& recording, std::ostream& out);

}  // namespace sluice

#endif  // CONTROL_CLI_RECORDING_VIEW_H_
