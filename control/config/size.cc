#include "control/config/size.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

__extension__ using Uint128 = unsigned __int128;

struct Unit {
  absl::string_view name;
  uint64_t bytes;
};

constexpr uint64_t kKilo = 1000;
constexpr std::array<Unit, 9> kUnits = {{{"B", 1},
                                         {"KiB", uint64_t{1} << 10},
                                         {"MiB", uint64_t{1} << 20},
                                         {"GiB", uint64_t{1} << 30},
                                         {"TiB", uint64_t{1} << 40},
                                         {"kB", kKilo},
                                         {"MB", kKilo* kKilo},
                                         {"GB", kKilo* kKilo* kKilo},
                                         {"TB", kKilo* kKilo* kKilo* kKilo}}};
constexpr absl::string_view kUnitNames = "B, KiB, MiB, GiB, TiB, kB, MB, GB, TB";

// Longer numbers than this are nobody's size, and would overflow the arithmetic below.
constexpr size_t kDigitsMax = 19;
constexpr size_t kDecimalsMax = 12;

absl::Status Wrong(absl::string_view text, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("size \"", text, "\": ", what));
}

absl::string_view TakeDigits(absl::string_view* rest) {
  size_t n = 0;
  while (n < rest->size() && absl::ascii_isdigit((*rest)[n])) ++n;
  const absl::string_view digits = rest->substr(0, n);
  rest->remove_prefix(n);
  return digits;
}

uint64_t ToNumber(absl::string_view digits) {
  uint64_t number = 0;
  for (const char digit : digits) number = number * 10 + static_cast<uint64_t>(digit - '0');
  return number;
}

// The unit that was probably meant: "gib", "G", "kib".
std::string Suggestion(absl::string_view name) {
  for (const Unit& unit : kUnits) {
    if (absl::EqualsIgnoreCase(name, unit.name)) {
      return absl::StrCat("; did you mean \"", unit.name, "\"?");
    }
  }
  for (const Unit& unit : kUnits) {
    if (unit.name.size() == 3 && absl::EqualsIgnoreCase(name, unit.name.substr(0, 1))) {
      return absl::StrCat("; did you mean \"", unit.name, "\"?");
    }
  }
  return "";
}

absl::StatusOr<uint64_t> ParseUnit(absl::string_view text, absl::string_view name) {
  if (name.empty()) return Wrong(text, absl::StrCat("a unit is missing, one of ", kUnitNames));
  for (const Unit& unit : kUnits) {
    if (name == unit.name) return unit.bytes;
  }
  return Wrong(text, absl::StrCat("\"", name, "\" is not a unit, which would be one of ",
                                  kUnitNames, Suggestion(name)));
}

}  // namespace

absl::StatusOr<ByteCount> ParseSize(absl::string_view text) {
  absl::string_view rest = absl::StripAsciiWhitespace(text);
  const absl::string_view digits = TakeDigits(&rest);
  absl::string_view decimals;
  if (digits.empty()) return Wrong(text, "must begin with a number, as in \"16GiB\"");
  if (absl::ConsumePrefix(&rest, ".")) {
    decimals = TakeDigits(&rest);
    if (decimals.empty()) return Wrong(text, "digits are missing after the point");
  }
  SLUICE_ASSIGN_OR_RETURN(const uint64_t unit,
                          ParseUnit(text, absl::StripLeadingAsciiWhitespace(rest)));
  if (decimals.size() > kDecimalsMax) return Wrong(text, "has too many decimals");

  uint64_t scale = 1;
  for (size_t i = 0; i < decimals.size(); ++i) scale *= 10;
  const Uint128 fraction = Uint128{ToNumber(decimals)} * unit;
  if (fraction % scale != 0) return Wrong(text, "is not a whole number of bytes");
  if (digits.size() > kDigitsMax) return Wrong(text, "is too large");
  const Uint128 bytes = Uint128{ToNumber(digits)} * unit + fraction / scale;
  if (bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return Wrong(text, "is too large");
  }
  return ByteCount{static_cast<uint64_t>(bytes)};
}

std::string FormatSize(ByteCount size) {
  static constexpr std::array<absl::string_view, 5> kNames = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t power = 0;
  while (power + 1 < kNames.size() && size.value >> (10 * (power + 1)) != 0) ++power;
  const uint64_t unit = uint64_t{1} << (10 * power);
  if (size.value % unit == 0) return absl::StrCat(size.value / unit, kNames[power]);
  const double value = static_cast<double>(size.value) / static_cast<double>(unit);
  // A tenth of a binary unit is exact only at one half.
  if (size.value % unit == unit / 2) return absl::StrFormat("%.1f%s", value, kNames[power]);
  return absl::StrFormat("%.2f%s", value, kNames[power]);
}

}  // namespace sluice
