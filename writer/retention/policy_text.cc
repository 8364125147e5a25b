#include "writer/retention/policy_text.h"

#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "ingest/status_macros.h"
#include "writer/extent/crc32c.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

constexpr uint64_t kVersion = 1;
constexpr absl::string_view kFirstLine = "sluice-retention ";
constexpr absl::string_view kLastLine = "crc32c ";
constexpr uint64_t kSegmentsOfHoldMax = 1 << 24;  // more than any archive has

uint32_t Checksum(absl::string_view text) {
  return Crc32c({reinterpret_cast<const std::byte*>(text.data()), text.size()});
}

// "  key value\n". What a field does not say has its default.
void AddField(std::string* text, absl::string_view key, absl::string_view value) {
  absl::StrAppend(text, "  ", key, " ", value, "\n");
}
void AddNumber(std::string* text, absl::string_view key, int64_t value, int64_t unless) {
  if (value != unless) AddField(text, key, absl::StrCat(value));
}
void AddText(std::string* text, absl::string_view key, const std::string& value) {
  if (!value.empty()) AddField(text, key, absl::Utf8SafeCHexEscape(value));
}

int64_t Age(const RetentionClass& rule) {
  return rule.max_age == absl::InfiniteDuration() ? -1 : absl::ToInt64Nanoseconds(rule.max_age);
}

void AddClass(std::string* text, const RetentionClass& rule) {
  absl::StrAppend(text, "class ", rule.name, "\n");
  AddNumber(text, "priority", rule.priority, 0);
  AddNumber(text, "quota", static_cast<int64_t>(rule.quota.value), 0);
  AddNumber(text, "max_age_ns", Age(rule), -1);
  AddNumber(text, "reserve", static_cast<int64_t>(rule.reserve.value), 0);
}

// "3 5-9 12", in the order of the ids.
std::string SegmentsText(const std::vector<SegmentId>& ids) {
  std::string text;
  for (size_t i = 0; i < ids.size();) {
    const auto first = static_cast<uint64_t>(ids[i]);
    size_t n = 1;
    while (i + n < ids.size() && static_cast<uint64_t>(ids[i + n]) == first + n) ++n;
    absl::StrAppend(&text, text.empty() ? "" : " ", first);
    if (n > 1) absl::StrAppend(&text, "-", first + n - 1);
    i += n;
  }
  return text;
}

void AddHold(std::string* text, const Hold& hold) {
  absl::StrAppend(text, "hold ", hold.id, "\n");
  AddText(text, "recording", hold.selector.recording);
  if (hold.selector.stream) AddField(text, "stream", StreamIdToString(*hold.selector.stream));
  AddNumber(text, "from_ns", hold.selector.from.value, kBeginOfTime.value);
  AddNumber(text, "to_ns", hold.selector.to.value, kEndOfTime.value);
  AddText(text, "owner", hold.owner);
  AddText(text, "reason", hold.reason);
  AddNumber(text, "created_ns", hold.created.value, 0);
  AddNumber(text, "until_ns", hold.until.value, kEndOfTime.value);
  AddNumber(text, "budget", static_cast<int64_t>(hold.budget.value), 0);
  if (!hold.segments.empty()) AddField(text, "segments", SegmentsText(hold.segments));
}

// Reads line by line; the first thing that is wrong ends it.
class Parser {
 public:
  explicit Parser(absl::string_view text) : lines_(absl::StrSplit(text, '\n')) {}

  absl::StatusOr<RetentionPolicy> Run() {
    for (line_ = 1; line_ < lines_.size(); ++line_) {
      absl::string_view line = lines_[line_];
      if (line.empty()) continue;
      const bool good = absl::ConsumePrefix(&line, "  ") ? Field(line) : Top(line);
      if (!good) {
        return absl::DataLossError(absl::StrCat(
            "line ", line_ + 1, ", \"", absl::CHexEscape(lines_[line_]), "\", is not understood"));
      }
    }
    return std::move(policy_);
  }

 private:
  static std::pair<absl::string_view, absl::string_view> Split(absl::string_view line) {
    return absl::StrSplit(line, absl::MaxSplits(' ', 1));
  }

  bool Top(absl::string_view line) {
    const auto [key, value] = Split(line);
    class_ = nullptr;
    hold_ = nullptr;
    if (key == "generation") return absl::SimpleAtoi(value, &policy_.generation);
    if (value.empty()) return false;
    if (key == "class" && policy_.classes.size() < kClassesMax) {
      class_ = &policy_.classes.emplace_back();
      class_->name = std::string(value);
      return true;
    }
    if (key == "hold" && policy_.holds.size() < kHoldsMax) {
      hold_ = &policy_.holds.emplace_back();
      hold_->id = std::string(value);
      return true;
    }
    return false;
  }

  bool Field(absl::string_view line) {
    const auto [key, value] = Split(line);
    if (class_ != nullptr) return ClassField(key, value);
    return hold_ != nullptr && HoldField(key, value);
  }

  bool ClassField(absl::string_view key, absl::string_view value) {
    if (key == "priority") return absl::SimpleAtoi(value, &class_->priority);
    if (key == "quota") return Bytes(value, &class_->quota);
    if (key == "reserve") return Bytes(value, &class_->reserve);
    int64_t age = 0;
    if (key != "max_age_ns" || !absl::SimpleAtoi(value, &age) || age < 0) return false;
    class_->max_age = absl::Nanoseconds(age);
    return true;
  }

  bool HoldField(absl::string_view key, absl::string_view value) {
    Selector& selector = hold_->selector;
    if (key == "recording") return Text(value, &selector.recording);
    if (key == "stream") return (selector.stream = ParseStreamId(value)).has_value();
    if (key == "from_ns") return absl::SimpleAtoi(value, &selector.from.value);
    if (key == "to_ns") return absl::SimpleAtoi(value, &selector.to.value);
    if (key == "owner") return Text(value, &hold_->owner);
    if (key == "reason") return Text(value, &hold_->reason);
    if (key == "created_ns") return absl::SimpleAtoi(value, &hold_->created.value);
    if (key == "until_ns") return absl::SimpleAtoi(value, &hold_->until.value);
    if (key == "segments") return Segments(value, &hold_->segments);
    return key == "budget" && Bytes(value, &hold_->budget);
  }

  static bool Segments(absl::string_view value, std::vector<SegmentId>* to) {
    uint64_t last = 0;
    for (const absl::string_view run : absl::StrSplit(value, ' ')) {
      const std::pair<absl::string_view, absl::string_view> ends =
          absl::StrSplit(run, absl::MaxSplits('-', 1));
      uint64_t begin = 0;
      uint64_t end = 0;
      if (!absl::SimpleAtoi(ends.first, &begin) || begin <= last) return false;
      if (!absl::SimpleAtoi(ends.second.empty() ? ends.first : ends.second, &end)) return false;
      if (end < begin || end - begin >= kSegmentsOfHoldMax - to->size()) return false;
      for (uint64_t id = begin; id <= end; ++id) to->push_back(SegmentId{id});
      last = end;
    }
    return true;
  }

  static bool Bytes(absl::string_view value, ByteCount* to) {
    int64_t bytes = 0;
    if (!absl::SimpleAtoi(value, &bytes) || bytes < 0) return false;
    to->value = static_cast<uint64_t>(bytes);
    return true;
  }
  static bool Text(absl::string_view value, std::string* to) { return absl::CUnescape(value, to); }

  const std::vector<absl::string_view> lines_;
  size_t line_ = 0;
  RetentionPolicy policy_;
  RetentionClass* class_ = nullptr;
  Hold* hold_ = nullptr;
};

}  // namespace

std::string EncodePolicy(const RetentionPolicy& policy) {
  std::string text = absl::StrCat(kFirstLine, kVersion, "\ngeneration ", policy.generation, "\n");
  for (const RetentionClass& rule : policy.classes) AddClass(&text, rule);
  for (const Hold& hold : policy.holds) AddHold(&text, hold);
  return absl::StrCat(text, kLastLine, absl::StrFormat("%08x", Checksum(text)), "\n");
}

absl::StatusOr<RetentionPolicy> ParsePolicy(absl::string_view text) {
  absl::string_view rest = text;
  uint64_t version = 0;
  if (!absl::ConsumePrefix(&rest, kFirstLine) ||
      !absl::SimpleAtoi(rest.substr(0, rest.find('\n')), &version)) {
    return absl::DataLossError("it does not begin as a retention file does");
  }
  if (version > kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "it has version ", version, "; this program knows up to ", kVersion, ": use a newer one"));
  }
  const size_t end = text.rfind(kLastLine);
  uint32_t crc = 0;
  if (end == absl::string_view::npos || end == 0 || text[end - 1] != '\n' ||
      text.size() != end + kLastLine.size() + 9 || text.back() != '\n' ||
      !absl::SimpleHexAtoi(text.substr(end + kLastLine.size(), 8), &crc)) {
    return absl::DataLossError("its last line, the checksum, is missing");
  }
  if (crc != Checksum(text.substr(0, end))) {
    return absl::DataLossError("its checksum is wrong");
  }
  return Parser(text.substr(0, end)).Run();
}

}  // namespace sluice
