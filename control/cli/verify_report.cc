#include "control/cli/verify_report.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "control/cli/human.h"
#include "control/cli/json.h"

namespace sluice {
namespace {

std::string Count(uint64_t n, absl::string_view noun) {
  return absl::StrCat(n, " ", noun, n == 1 ? "" : "s");
}

std::string Quoted(uint64_t number) { return absl::StrCat("\"", number, "\""); }

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
  absl::StrAppend(&text, "checked ", Count(report.segments, "segment"), ", ",
                  Count(report.extents, "extent"), ", ", Count(report.streams, "stream"), ", ",
                  HumanSize(report.payload), " of payload");
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
      ",\n \"extents\": ", Quoted(report.extents), ",\n \"fragments\": ", Quoted(report.fragments),
      ",\n \"streams\": ", Quoted(report.streams),
      ",\n \"payloadBytes\": ", Quoted(report.payload.value),
      ",\n \"damaged\": ", Quoted(report.damaged),
      ",\n \"findings\": ", JsonStrings(report.findings),
      ",\n \"notes\": ", JsonStrings(report.notes), "\n}\n");
}

}  // namespace sluice
