// What holds for a recording however it is asked for: by file, by RPC, on the command line.
#ifndef CONTROL_CONFIG_RECORDING_RULES_H_
#define CONTROL_CONFIG_RECORDING_RULES_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "writer/back_pressure.h"

namespace sluice {

inline constexpr absl::Duration kIntervalMin = absl::Milliseconds(1);
inline constexpr absl::Duration kIntervalMax = absl::Hours(1);

// [a-z]([a-z0-9-]*[a-z0-9])?, at most 63 characters.
absl::Status CheckRecordingId(absl::string_view id);

// `field` is "flush_interval" or "sync_interval", for the message.
absl::Status CheckInterval(absl::string_view field, absl::Duration interval);

// Of a lag limit that was given; `field` is what it is called there.
absl::Status CheckLagLimit(absl::string_view field, absl::Duration limit,
                           BackPressure back_pressure);

// How long a disk may let a write wait before it is taken out of use. Shorter than this minimum,
// and a disk that is merely busy would be.
inline constexpr absl::Duration kStallLimitMin = absl::Milliseconds(100);
absl::Status CheckStallLimit(absl::string_view field, absl::Duration limit);

}  // namespace sluice

#endif  // CONTROL_CONFIG_RECORDING_RULES_H_
