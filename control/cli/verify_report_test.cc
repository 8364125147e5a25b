#include "control/cli/verify_report.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

VerifyReport Clean() {
  VerifyReport report;
  report.segments = 1;
  report.extents = 12;
  report.fragments = 30;
  report.streams = 3;
  report.payload = MiB(5);
  return report;
}

TEST(VerifyReportTest, Clean) {
  EXPECT_EQ(VerifyText(Clean()),
            "checked 1 segment, 12 extents, 3 streams, 5.0MiB of payload: no damage\n");
}

TEST(VerifyReportTest, Damage) {
  VerifyReport report = Clean();
  report.damaged = 3;
  report.findings = {"a/1.seg: bad", "a/2.seg: worse"};
  report.notes = {"odd"};
  report.segments_skipped = 2;
  EXPECT_EQ(VerifyText(report),
            "damage: a/1.seg: bad\n"
            "damage: a/2.seg: worse\n"
            "damage: and 1 more\n"
            "note: odd\n"
            "checked 1 segment, 12 extents, 3 streams, 5.0MiB of payload (2 segments reused "
            "meanwhile and skipped): 3 findings of damage\n");
}

TEST(VerifyReportTest, Json) {
  VerifyReport report = Clean();
  report.damaged = 1;
  report.findings = {"say \"bad\"\n"};
  EXPECT_EQ(VerifyJson(report),
            "{\n \"ok\": false,\n \"segments\": 1,\n \"segmentsSkipped\": 0,\n"
            " \"segmentsKnown\": 0,\n \"segmentsUnavailable\": 0,\n"
            " \"extents\": \"12\",\n \"fragments\": \"30\",\n \"streams\": \"3\",\n"
            " \"payloadBytes\": \"5242880\",\n \"damaged\": \"1\",\n"
            " \"findings\": [\"say \\\"bad\\\"\\n\"],\n \"notes\": [],\n \"recordings\": []\n}\n");
}

VerifyReport WithAccount() {
  VerifyReport report = Clean();
  VerifyAccount account;
  account.recording = "feed";
  account.recording_uid = 7;
  account.ledger.received = MiB(9).value;
  account.ledger.written = MiB(8).value;
  account.ledger.dropped_policy = MiB(1).value;
  account.segments = 2;
  account.stored = MiB(3);
  account.removed[RemovalReason::kReused] = {3, MiB(2)};
  account.removed[RemovalReason::kRetention] = {1, MiB(1)};
  account.lost_in_crashes = KiB(1);
  report.accounts.push_back(account);
  return report;
}

TEST(VerifyReportTest, SaysWhereEachRecordingsBytesAre) {
  EXPECT_EQ(VerifyText(WithAccount()),
            "recording \"feed\": received 9.0MiB, wrote 8.0MiB, dropped 1.0MiB\n"
            "  3.0MiB are here in 2 segments\n"
            "  3.0MiB were removed (reused 2.0MiB, retention 1.0MiB)\n"
            "  1.0KiB were lost in crashes\n"
            "  of 2.0MiB nothing here says where they are\n"
            "checked 1 segment, 12 extents, 3 streams, 5.0MiB of payload: no damage\n");
  EXPECT_NE(VerifyJson(WithAccount())
                .find("\"removed\": [{\"reason\": \"reused\", \"segments\": \"3\", "
                      "\"payloadBytes\": \"2097152\"}, "),
            std::string::npos);
}

}  // namespace
}  // namespace sluice
