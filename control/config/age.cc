#include "control/config/age.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace sluice {

absl::StatusOr<absl::Duration> ParseAge(absl::string_view text) {
  constexpr double kDaysMax = 100'000;
  absl::string_view number = text;
  double days = 0;
  absl::Duration age;
  if (absl::ConsumeSuffix(&number, "d") && absl::SimpleAtod(number, &days)) {
    if (days > 0 && days <= kDaysMax) return absl::Hours(24) * days;
  } else if (absl::ParseDuration(std::string(text), &age) && age > absl::ZeroDuration() &&
             age < absl::InfiniteDuration()) {
    return age;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not an age, such as 30d or 12h"));
}

}  // namespace sluice
