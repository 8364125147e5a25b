#include "control/cli/options.h"

#include <CLI/CLI.hpp>
#include <functional>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "control/config/size.h"

namespace sluice {
namespace {

// An option whose text is read by `parse`. CLI11 learns of bad values by its exception.
template <class T>
CLI::Option* AddParsed(CLI::App& app, const std::string& name, T& target, const std::string& help,
                       const char* type, absl::StatusOr<T> (*parse)(absl::string_view)) {
  const auto store = [name, &target, parse](const std::string& text) {
    absl::StatusOr<T> value = parse(text);
    if (!value.ok()) throw CLI::ValidationError(name, std::string(value.status().message()));
    target = *std::move(value);
  };
  return app.add_option_function<std::string>(name, store, help)->type_name(type);
}

void AddParsedOptional(CLI::App& app, const std::string& name,
                       std::optional<absl::Duration>& target, const std::string& help) {
  const auto store = [name, &target](const std::string& text) {
    const absl::StatusOr<absl::Duration> value = ParseDurationOption(text);
    if (!value.ok()) throw CLI::ValidationError(name, std::string(value.status().message()));
    target = *value;
  };
  app.add_option_function<std::string>(name, store, help)->type_name("DURATION");
}

// Zero would be taken for a size that was not given.
absl::StatusOr<ByteCount> ParseSizeAboveZero(absl::string_view text) {
  absl::StatusOr<ByteCount> size = ParseBytes(text);
  if (size.ok() && size->value == 0) return absl::InvalidArgumentError("must be more than 0");
  return size;
}

}  // namespace

CLI::Option* AddOutputOption(CLI::App& app, OutputFormat& format, const std::string& text) {
  const auto store = [text, &format](const std::string& value) {
    if (value != text && value != "json") {
      throw CLI::ValidationError(
          "--output", absl::StrCat("\"", value, "\" is neither \"", text, "\" nor \"json\""));
    }
    format = value == "json" ? OutputFormat::kJson : OutputFormat::kText;
  };
  return app
      .add_option_function<std::string>(
          "-o,--output", store,
          absl::StrCat(text, " for people, json for programs (default: ", text, ")"))
      ->type_name("FORMAT");
}

CLI::Option* AddSizeOption(CLI::App& app, const std::string& name, ByteCount& target,
                           const std::string& help) {
  return AddParsed(app, name, target, help, "SIZE", &ParseSizeAboveZero);
}

CLI::Option* AddDurationOption(CLI::App& app, const std::string& name, absl::Duration& target,
                               const std::string& help) {
  return AddParsed(app, name, target, help, "DURATION", &ParseDurationOption);
}

void AddBackPressureOptions(CLI::App& app, BackPressure& back_pressure,
                            std::optional<absl::Duration>& lag_limit) {
  const auto store = [&back_pressure](const std::string& text) {
    for (const BackPressure known :
         {BackPressure::kLossless, BackPressure::kDropNewest, BackPressure::kDropOldest}) {
      if (text != NameOf(known)) continue;
      back_pressure = known;
      return;
    }
    throw CLI::ValidationError(
        "--back-pressure",
        absl::StrCat("\"", text, "\" is none of lossless, drop-newest and drop-oldest"));
  };
  app.add_option_function<std::string>(
         "--back-pressure", store,
         "When the disk is too slow. lossless: senders wait; drop-newest: what arrives is\n"
         "dropped; drop-oldest: what has waited longest is (default: lossless)")
      ->type_name("POLICY");
  AddParsedOptional(app, "--lag-limit", lag_limit,
                    "How long bytes may wait for the disk before some are dropped (default: 1s)");
}

CLI::Option* AddBoolOption(CLI::App& app, const std::string& name, bool& target,
                           const std::string& help) {
  return AddParsed(app, name, target, help, "BOOL", &ParseBool);
}

absl::StatusOr<ByteCount> ParseBytes(absl::string_view text) {
  uint64_t number = 0;
  // Positions and lengths are signed in the API.
  if (absl::SimpleAtoi(text, &number) &&
      number <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return ByteCount{number};
  }
  return ParseSize(text);
}

absl::StatusOr<absl::Duration> ParseDurationOption(absl::string_view text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) || duration == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "duration \"", text, "\" is not a number and a unit, as in \"500ms\" or \"1m30s\""));
  }
  if (duration < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat("duration \"", text, "\" is negative"));
  }
  return duration;
}

absl::StatusOr<bool> ParseBool(absl::string_view text) {
  bool value = false;
  if (absl::EqualsIgnoreCase(text, "on") || absl::EqualsIgnoreCase(text, "off")) {
    return absl::EqualsIgnoreCase(text, "on");
  }
  if (absl::SimpleAtob(text, &value)) return value;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is neither \"true\" nor \"false\""));
}

}  // namespace sluice
