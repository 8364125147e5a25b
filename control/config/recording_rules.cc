#include "control/config/recording_rules.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr size_t kIdCharactersMax = 63;

bool IsIdCharacter(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-'; }

absl::Status CheckBetween(absl::string_view field, absl::Duration value, absl::Duration least,
                          absl::Duration most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", absl::FormatDuration(value), ", but must be between ",
                   absl::FormatDuration(least), " and ", absl::FormatDuration(most)));
}

}  // namespace

absl::Status CheckRecordingId(absl::string_view id) {
  const auto wrong = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("recording id \"", id, "\": ", what));
  };
  if (id.empty()) return absl::InvalidArgumentError("a recording needs an id, such as \"market\"");
  if (id.size() > kIdCharactersMax) {
    return wrong(absl::StrCat("has ", id.size(), " characters, at most ", kIdCharactersMax));
  }
  if (!absl::ascii_islower(id.front())) return wrong("must begin with a lower-case letter");
  if (!std::all_of(id.begin(), id.end(), IsIdCharacter)) {
    return wrong("only lower-case letters, digits and hyphens are allowed");
  }
  if (id.back() == '-') return wrong("must not end with a hyphen");
  return absl::OkStatus();
}

absl::Status CheckInterval(absl::string_view field, absl::Duration interval) {
  return CheckBetween(field, interval, kIntervalMin, kIntervalMax);
}

absl::Status CheckStallLimit(absl::string_view field, absl::Duration limit) {
  return CheckBetween(field, limit, kStallLimitMin, kIntervalMax);
}

absl::Status CheckLagLimit(absl::string_view field, absl::Duration limit,
                           BackPressure back_pressure) {
  if (back_pressure == BackPressure::kLossless) {
    return absl::InvalidArgumentError(absl::StrCat(
        field,
        " is for recordings that drop bytes, and this one is lossless: choose drop-newest "
        "or drop-oldest, or leave it out"));
  }
  return CheckInterval(field, limit);
}

}  // namespace sluice
