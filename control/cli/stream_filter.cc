#include "control/cli/stream_filter.h"

#include <CLI/CLI.hpp>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "control/cli/options.h"

namespace sluice {
namespace {

constexpr int kPortMax = 65'535;

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
}

std::string Quoted(absl::Time time) {
  return Quoted(absl::FormatTime(absl::RFC3339_full, time, absl::UTCTimeZone()));
}

void AddTime(CLI::App& app, const std::string& name, std::optional<absl::Time>& target,
             const std::string& help) {
  const auto store = [name, &target](const std::string& text) {
    const absl::StatusOr<absl::Time> time = ParseTimeOption(text, absl::Now());
    if (!time.ok()) throw CLI::ValidationError(name, std::string(time.status().message()));
    target = *time;
  };
  app.add_option_function<std::string>(name, store, help)->type_name("TIME");
}

void AddBytes(CLI::App& app, const std::string& name, std::optional<ByteCount>& target,
              const std::string& help) {
  const auto store = [name, &target](const std::string& text) {
    const absl::StatusOr<ByteCount> size = ParseBytes(text);
    if (!size.ok()) throw CLI::ValidationError(name, std::string(size.status().message()));
    target = *size;
  };
  app.add_option_function<std::string>(name, store, help)->type_name("SIZE");
}

}  // namespace

absl::StatusOr<absl::Time> ParseTimeOption(absl::string_view text, absl::Time now) {
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return time;
  if (const auto ago = ParseDurationOption(text); ago.ok()) return now - *ago;
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", text, "\" is neither a time such as \"2026-01-01T00:00:00Z\" nor how long ",
      "ago, such as \"90m\""));
}

std::string StreamFilterOptions::ToFilter() const {
  std::vector<std::string> conditions;
  if (!filter.empty()) conditions.push_back(filter);
  // A star is a wildcard where the API has one.
  if (!peer.empty()) conditions.push_back(absl::StrCat("peer_address = ", Quoted(peer)));
  if (port) conditions.push_back(absl::StrCat("local_port = ", *port));
  if (peer_port) conditions.push_back(absl::StrCat("peer_port = ", *peer_port));
  if (from) conditions.push_back(absl::StrCat("end_time >= ", Quoted(*from)));
  if (to) conditions.push_back(absl::StrCat("open_time < ", Quoted(*to)));
  if (size_min) conditions.push_back(absl::StrCat("size >= ", size_min->value));
  if (size_max) conditions.push_back(absl::StrCat("size <= ", size_max->value));
  if (!state.empty()) conditions.push_back(absl::StrCat("state = ", absl::AsciiStrToUpper(state)));
  return absl::StrJoin(conditions, " AND ");
}

void AddStreamFilterOptions(CLI::App& app, StreamFilterOptions& options) {
  app.add_option("--peer", options.peer,
                 "Only those from this address, network or begin of an address: 10.0.0.1, "
                 "10.0.0.0/8, \"10.0.*\"")
      ->type_name("ADDRESS");
  app.add_option("--port", options.port, "Only those that the recorder received on this port")
      ->type_name("N")
      ->check(CLI::Range(0, kPortMax));
  app.add_option("--peer-port", options.peer_port, "Only those from this port")
      ->type_name("N")
      ->check(CLI::Range(0, kPortMax));
  AddTime(app, "--from", options.from,
          "Only those that were alive at this time or later; 90m is 90 minutes ago");
  AddTime(app, "--to", options.to, "Only those that began before this time");
  AddBytes(app, "--min-size", options.size_min, "Only those of which so many bytes are held");
  AddBytes(app, "--max-size", options.size_max, "Only those of which no more bytes are held");
  app.add_option("--state", options.state, "Only those that are open, or closed")
      ->type_name("STATE")
      ->check(CLI::IsMember({"open", "closed"}, CLI::ignore_case));
  app.add_option("--filter", options.filter, "Only those that meet conditions, see below")
      ->type_name("FILTER");
}

}  // namespace sluice
