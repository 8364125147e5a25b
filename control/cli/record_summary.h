// What `sluice record` says at its end.
#ifndef CONTROL_CLI_RECORD_SUMMARY_H_
#define CONTROL_CLI_RECORD_SUMMARY_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "control/recorder/recorder.h"
#include "ingest/units.h"
#include "writer/catalog/catalog.h"

namespace sluice {

struct RecordSummary {
  RecordingStatus status;
  std::optional<RecordingRow> stored;  // what the archive holds now
  absl::Duration elapsed;              // from listening to the last byte's being durable
  absl::Duration active;               // the same, from the first byte
  ByteCount region;
  std::vector<ReceiverStatus> receivers;  // of each lane
};

// "recorded 12.3GiB in 3 streams, 12.3s, 1.0GiB/s; nothing lost".
std::string SummaryText(const RecordSummary& summary);
// The Recording of the API, and in front what programs want first.
std::string SummaryJson(const RecordSummary& summary);

}  // namespace sluice

#endif  // CONTROL_CLI_RECORD_SUMMARY_H_
