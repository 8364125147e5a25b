// Sizes as people write them: "16GiB".
#ifndef CONTROL_CONFIG_SIZE_H_
#define CONTROL_CONFIG_SIZE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ingest/units.h"

namespace sluice {

// A number and a unit, with or without a space between: B, KiB, MiB, GiB, TiB (powers of 1024),
// kB, MB, GB, TB (powers of 1000). A fraction must come out at whole bytes. INVALID_ARGUMENT
// says what is wrong and what would be right.
absl::StatusOr<ByteCount> ParseSize(absl::string_view text);

// In the largest binary unit that is not larger than the size. What comes out without decimals,
// or with one, is exact and can be parsed again; two decimals are rounded, for people.
std::string FormatSize(ByteCount size);

}  // namespace sluice

#endif  // CONTROL_CONFIG_SIZE_H_
