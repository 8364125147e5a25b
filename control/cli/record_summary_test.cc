#include "control/cli/record_summary.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

RecordSummary Usual() {
  RecordSummary summary;
  summary.status.spec.id = "default";
  summary.status.state = RecordingState::kStopped;
  summary.status.ledger.received = summary.status.ledger.written = MiB(512).value;
  summary.status.durable = MiB(512);
  summary.status.streams_opened = summary.status.streams_closed = 1;
  summary.elapsed = absl::Seconds(10);
  summary.active = absl::Seconds(2);
  summary.region = MiB(64);
  return summary;
}

TEST(RecordSummaryTest, Text) {
  EXPECT_EQ(SummaryText(Usual()), "recorded 512.0MiB in 1 stream, 10.0s, 256.0MiB/s; nothing lost");
}

TEST(RecordSummaryTest, TextOfLosses) {
  RecordSummary summary = Usual();
  summary.status.ledger.dropped_disk = MiB(2).value;
  summary.status.ledger.dropped_policy = MiB(1).value;
  summary.status.streams_opened = 0;
  EXPECT_EQ(SummaryText(summary),
            "recorded 512.0MiB in 0 streams, 10.0s, 256.0MiB/s; lost 3.0MiB: 1.0MiB by policy, "
            "2.0MiB for want of a disk");
}

TEST(RecordSummaryTest, Json) {
  const std::string json = SummaryJson(Usual());
  for (const char* member :
       {"\"bytesReceived\": \"536870912\"", "\"bytesWritten\": \"536870912\"",
        "\"bytesDropped\": \"0\"", "\"bytesDurable\": \"536870912\"", "\"streamsClosed\": \"1\"",
        "\"seconds\": 10.000000", "\"activeSeconds\": 2.000000", "\"regionBytes\": \"67108864\"",
        "\"name\": \"recordings/default\"", "\"state\": \"STOPPED\""}) {
    EXPECT_NE(json.find(member), std::string::npos) << member << " is not in " << json;
  }
}

}  // namespace
}  // namespace sluice
