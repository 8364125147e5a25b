// Durations that people give in days.
#ifndef CONTROL_CONFIG_AGE_H_
#define CONTROL_CONFIG_AGE_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace sluice {

// "30d", or what Abseil reads: "12h", "1m30s". More than nothing; else INVALID_ARGUMENT.
absl::StatusOr<absl::Duration> ParseAge(absl::string_view text);

}  // namespace sluice

#endif  // CONTROL_CONFIG_AGE_H_
