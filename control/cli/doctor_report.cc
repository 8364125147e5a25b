#include "control/cli/doctor_report.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "control/cli/human.h"
#include "control/cli/json.h"

namespace sluice {
namespace {

constexpr size_t kColumns = 80;
constexpr absl::string_view kGap = "  ";

struct StateWords {
  absl::string_view text;
  absl::string_view json;
  absl::string_view color;  // what a terminal understands
};

StateWords WordsFor(CheckState state) {
  switch (state) {
    case CheckState::kOk:
      return {"ok", "OK", "\x1b[32m"};
    case CheckState::kWarning:
      return {"warning", "WARNING", "\x1b[33m"};
    case CheckState::kMissing:
      return {"missing", "MISSING", "\x1b[31m"};
    case CheckState::kNotChecked:
      return {"not checked", "NOT_CHECKED", "\x1b[2m"};
  }
  return {};
}
constexpr size_t kStateWidth = 11;  // "not checked"

struct ReceiverWords {
  absl::string_view text;
  absl::string_view json;
};

ReceiverWords WordsFor(ExpectedReceiver receiver) {
  switch (receiver) {
    case ExpectedReceiver::kNone:
      return {"none", "NONE"};
    case ExpectedReceiver::kCopy:
      return {"copy (by the kernel, once)", "COPY"};
    case ExpectedReceiver::kZeroCopy:
      return {"zero-copy", "ZERO_COPY"};
  }
  return {};
}

// In lines of at most `width`, but for words that are longer.
std::vector<std::string> Wrap(absl::string_view text, size_t width) {
  std::vector<std::string> lines(1);
  for (const absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width)
      lines.emplace_back();
    if (!lines.back().empty()) lines.back().push_back(' ');
    absl::StrAppend(&lines.back(), word);
  }
  return lines;
}

std::string Pad(absl::string_view text, size_t width) {
  return absl::StrCat(text, std::string(width > text.size() ? width - text.size() : 0, ' '));
}

// `text` beside what stands in the first `indent` columns already; what does not fit, below it.
void AppendWrapped(absl::string_view text, size_t indent, std::string* out) {
  const std::vector<std::string> lines = Wrap(Printable(text), kColumns - indent);
  for (size_t i = 0; i < lines.size(); ++i) {
    absl::StrAppend(out, i == 0 ? "" : std::string(indent, ' '), lines[i], "\n");
  }
}

void AppendCheck(const Check& check, size_t name_width, bool colors, std::string* out) {
  const StateWords words = WordsFor(check.state);
  const std::string pad(kStateWidth - words.text.size(), ' ');
  const size_t indent = name_width + kGap.size() + kStateWidth + kGap.size();
  absl::StrAppend(out, Pad(check.name, name_width), kGap, colors ? words.color : "", words.text,
                  colors ? "\x1b[0m" : "", pad, kGap);
  AppendWrapped(check.found, indent, out);
  if (check.remedy.empty()) return;
  absl::StrAppend(out, std::string(indent, ' '), "> ");
  AppendWrapped(check.remedy, indent + 2, out);
}

void AppendConclusion(absl::string_view name, absl::string_view text, std::string* out) {
  constexpr size_t kIndent = 15;  // "amplification" and the gap
  if (text.empty()) return;
  absl::StrAppend(out, Pad(name, kIndent));
  AppendWrapped(text, kIndent, out);
}

std::string CheckJson(const Check& check) {
  return absl::StrCat("{\"name\": ", JsonString(check.name), ", \"state\": \"",
                      WordsFor(check.state).json, "\", \"found\": ", JsonString(check.found),
                      ", \"remedy\": ", JsonString(check.remedy), "}");
}

}  // namespace

std::string DoctorText(const Diagnosis& diagnosis, bool colors) {
  size_t name_width = 0;
  for (const Check& check : diagnosis.checks) name_width = std::max(name_width, check.name.size());
  std::string text;
  for (const Check& check : diagnosis.checks) AppendCheck(check, name_width, colors, &text);
  text.push_back('\n');
  AppendConclusion("receiver", WordsFor(diagnosis.receiver).text, &text);
  AppendConclusion("reason", diagnosis.reason, &text);
  const std::string factor =
      diagnosis.amplification ? absl::StrFormat("%.2f: ", *diagnosis.amplification) : "";
  AppendConclusion("amplification", absl::StrCat(factor, diagnosis.amplification_reason), &text);
  return text;
}

std::string DoctorJson(const Diagnosis& diagnosis) {
  std::string json = "{\n \"checks\": [\n";
  for (size_t i = 0; i < diagnosis.checks.size(); ++i) {
    absl::StrAppend(&json, "  ", CheckJson(diagnosis.checks[i]),
                    i + 1 < diagnosis.checks.size() ? ",\n" : "\n");
  }
  const bool can_record = diagnosis.receiver != ExpectedReceiver::kNone;
  absl::StrAppend(
      &json, " ],\n \"canRecord\": ", can_record ? "true" : "false", ",\n \"receiver\": \"",
      WordsFor(diagnosis.receiver).json, "\",\n \"reason\": ", JsonString(diagnosis.reason),
      ",\n \"amplification\": ",
      diagnosis.amplification ? absl::StrFormat("%.4f", *diagnosis.amplification) : "null",
      ",\n \"amplificationReason\": ", JsonString(diagnosis.amplification_reason), "\n}\n");
  return json;
}

}  // namespace sluice
