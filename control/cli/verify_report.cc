#include "control/cli/verify_report.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/cli/human.h"
#include "control/cli/json.h"

namespace sluice {
namespace {

std::string Count(uint64_t n, absl::string_view noun) {
  return absl::StrCat(n, " ", noun, n == 1 ? "" : "s");
}

std::string Quoted(uint64_t number) { return absl::StrCat("\"", number, "\""); }

// recording "feed": received 5.0GiB, wrote 5.0GiB, dropped 0B
//   2.0GiB are here in 9 segments
//   3.0GiB were removed (reused 3.0GiB)
std::string AccountText(const VerifyAccount& account) {
  const Ledger& ledger = account.ledger;
  std::string text = absl::StrCat(
      "recording \"", Printable(account.recording), "\": received ", HumanSize({ledger.received}),
      ", wrote ", HumanSize({ledger.written}), ", dropped ", HumanSize({ledger.dropped()}), "\n  ",
      HumanSize(account.stored), " are here in ", Count(account.segments, "segment"));
  if (!account.removed.empty()) {
    absl::StrAppend(&text, "\n  ", HumanSize(account.removed_bytes()), " were removed (");
    const char* comma = "";
    for (const auto& [reason, sum] : account.removed) {
      absl::StrAppend(&text, comma, RemovalReasonName(reason), " ", HumanSize(sum.payload));
      comma = ", ";
    }
    absl::StrAppend(&text, ")");
  }
  if (account.lost_in_crashes.value > 0) {
    absl::StrAppend(&text, "\n  ", HumanSize(account.lost_in_crashes), " were lost in crashes");
  }
  if (account.unexplained().value > 0) {
    absl::StrAppend(&text, "\n  of ", HumanSize(account.unexplained()),
                    " nothing here says where they are");
  }
  return text;
}

std::string AccountJson(const VerifyAccount& account) {
  const Ledger& ledger = account.ledger;
  std::string removed;
  for (const auto& [reason, sum] : account.removed) {
    absl::StrAppend(&removed, removed.empty() ? "" : ", ",
                    "{\"reason\": ", JsonString(std::string(RemovalReasonName(reason))),
                    ", \"segments\": ", Quoted(sum.segments),
                    ", \"payloadBytes\": ", Quoted(sum.payload.value), "}");
  }
  return absl::StrCat("{\"recording\": ", JsonString(account.recording), ", \"uid\": \"",
                      absl::Hex(account.recording_uid, absl::kZeroPad16),
                      "\", \"bytesReceived\": ", Quoted(ledger.received),
                      ", \"bytesWritten\": ", Quoted(ledger.written),
                      ", \"dropped\": {\"policy\": ", Quoted(ledger.dropped_policy),
                      ", \"socket\": ", Quoted(ledger.dropped_socket),
                      ", \"device\": ", Quoted(ledger.dropped_device),
                      ", \"truncated\": ", Quoted(ledger.dropped_truncated),
                      ", \"disk\": ", Quoted(ledger.dropped_disk),
                      "}, \"segments\": ", Quoted(account.segments),
                      ", \"bytesStored\": ", Quoted(account.stored.value), ", \"removed\": [",
                      removed, "], \"bytesLostInCrashes\": ", Quoted(account.lost_in_crashes.value),
                      ", \"bytesUnexplained\": ", Quoted(account.unexplained().value), "}");
}

std::string AccountsJson(const std::vector<VerifyAccount>& accounts) {
  std::string text;
  for (const VerifyAccount& account : accounts) {
    absl::StrAppend(&text, text.empty() ? "" : ",", "\n  ", AccountJson(account));
  }
  return text.empty() ? "[]" : absl::StrCat("[", text, "\n ]");
}

}  // namespace

std::string VerifyText(const VerifyReport& report) {
  std::string text;
  for (const std::string& finding : report.findings) {
    absl::StrAppend(&text, "damage: ", Printable(finding), "\n");
  }
  if (report.damaged > report.findings.size()) {
    absl::StrAppend(&text, "damage: and ", report.damaged - report.findings.size(), " more\n");
  }
  for (const std::string& note : report.notes) {
    absl::StrAppend(&text, "note: ", Printable(note), "\n");
  }
  for (const VerifyAccount& account : report.accounts) {
    absl::StrAppend(&text, AccountText(account), "\n");
  }
  absl::StrAppend(&text, "checked ", Count(report.segments, "segment"), ", ",
                  Count(report.extents, "extent"), ", ", Count(report.streams, "stream"), ", ",
                  HumanSize(report.payload), " of payload");
  if (report.segments_known > 0) {
    absl::StrAppend(&text, " (", Count(report.segments_known, "segment"),
                    " verified before, and not read again)");
  }
  if (report.segments_skipped > 0) {
    absl::StrAppend(&text, " (", Count(report.segments_skipped, "segment"),
                    " reused meanwhile and skipped)");
  }
  return absl::StrCat(text, ": ",
                      report.ok() ? "no damage" : Count(report.damaged, "finding") + " of damage",
                      "\n");
}

std::string VerifyJson(const VerifyReport& report) {
  return absl::StrCat(
      "{\n \"ok\": ", report.ok() ? "true" : "false", ",\n \"segments\": ", report.segments,
      ",\n \"segmentsSkipped\": ", report.segments_skipped,
      ",\n \"segmentsKnown\": ", report.segments_known,
      ",\n \"segmentsUnavailable\": ", report.segments_unavailable,
      ",\n \"extents\": ", Quoted(report.extents), ",\n \"fragments\": ", Quoted(report.fragments),
      ",\n \"streams\": ", Quoted(report.streams),
      ",\n \"payloadBytes\": ", Quoted(report.payload.value),
      ",\n \"damaged\": ", Quoted(report.damaged),
      ",\n \"findings\": ", JsonStrings(report.findings),
      ",\n \"notes\": ", JsonStrings(report.notes),
      ",\n \"recordings\": ", AccountsJson(report.accounts), "\n}\n");
}

}  // namespace sluice
