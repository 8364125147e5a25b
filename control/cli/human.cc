#include "control/cli/human.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice {
namespace {

std::string Scaled(double bytes) {
  static constexpr std::array<absl::string_view, 6> kUnits = {"B",   "KiB", "MiB",
                                                              "GiB", "TiB", "PiB"};
  size_t unit = 0;
  // What would be printed as 1024.0 belongs to the next unit.
  while (bytes >= (unit == 0 ? 1024.0 : 1023.95) && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.*f%s", unit == 0 ? 0 : 1, bytes, kUnits[unit]);
}

}  // namespace

std::string HumanSize(ByteCount size) { return Scaled(static_cast<double>(size.value)); }

std::string HumanRate(double bytes_per_second) {
  return absl::StrCat(Scaled(std::max(0.0, bytes_per_second)), "/s");
}

std::string HumanDuration(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return "-";
  duration = std::max(duration, absl::ZeroDuration());
  if (duration < absl::Milliseconds(59950)) {
    return absl::StrFormat("%.1fs", absl::ToDoubleSeconds(duration));
  }
  const int64_t seconds = std::llround(absl::ToDoubleSeconds(duration));
  if (seconds < 3600) return absl::StrFormat("%dm%02ds", seconds / 60, seconds % 60);
  if (seconds < 86400) return absl::StrFormat("%dh%02dm", seconds / 3600, seconds / 60 % 60);
  return absl::StrFormat("%dd%02dh", seconds / 86400, seconds / 3600 % 24);
}

std::string HumanTime(absl::Time time) {
  if (time == absl::UnixEpoch()) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M:%SZ", time, absl::UTCTimeZone());
}

std::string Printable(absl::string_view text) {
  std::string result(text);
  std::replace_if(
      result.begin(), result.end(),
      [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); }, '?');
  return result;
}

}  // namespace sluice
