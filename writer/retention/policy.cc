#include "writer/retention/policy.h"

#include "absl/strings/str_cat.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

std::string Time(UnixNanos time) {
  return absl::FormatTime(absl::RFC3339_full, absl::FromUnixNanos(time.value), absl::UTCTimeZone());
}

}  // namespace

std::string ToString(const Selector& selector) {
  std::string text =
      absl::StrCat("recordings/", selector.recording.empty() ? "-" : selector.recording);
  if (selector.stream) absl::StrAppend(&text, "/streams/", StreamIdToString(*selector.stream));
  if (selector.from != kBeginOfTime) absl::StrAppend(&text, " from ", Time(selector.from));
  if (selector.to != kEndOfTime) absl::StrAppend(&text, " to ", Time(selector.to));
  return text;
}

absl::string_view RetentionRuleName(RetentionRule rule) {
  switch (rule) {
    case RetentionRule::kAge:
      return "age";
    case RetentionRule::kQuota:
      return "quota";
    case RetentionRule::kPressure:
      return "pressure";
    case RetentionRule::kCatalog:
      return "catalog";
  }
  return "unknown";
}

}  // namespace sluice
