// Options that several commands have, and how their values are read.
#ifndef CONTROL_CLI_OPTIONS_H_
#define CONTROL_CLI_OPTIONS_H_

#include <CLI/App.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ingest/units.h"
#include "writer/back_pressure.h"

namespace sluice {

enum class OutputFormat { kText, kJson };

// `text` is what the format for people is called: "text" or "table".
CLI::Option* AddOutputOption(CLI::App& app, OutputFormat& format, const std::string& text);

// What `target` holds before parsing is the default.
CLI::Option* AddSizeOption(CLI::App& app, const std::string& name, ByteCount& target,
                           const std::string& help);
CLI::Option* AddDurationOption(CLI::App& app, const std::string& name, absl::Duration& target,
                               const std::string& help);
// --back-pressure and --lag-limit.
void AddBackPressureOptions(CLI::App& app, BackPressure& back_pressure,
                            std::optional<absl::Duration>& lag_limit);
CLI::Option* AddBoolOption(CLI::App& app, const std::string& name, bool& target,
                           const std::string& help);

// A size, or a plain number of bytes.
absl::StatusOr<ByteCount> ParseBytes(absl::string_view text);
// "500ms", "1m30s", "2h"; "0"; never negative.
absl::StatusOr<absl::Duration> ParseDurationOption(absl::string_view text);
absl::StatusOr<bool> ParseBool(absl::string_view text);

}  // namespace sluice

#endif  // CONTROL_CLI_OPTIONS_H_
