// Options that say which streams are meant, and the filter that they amount to.
#ifndef CONTROL_CLI_STREAM_FILTER_H_
#define CONTROL_CLI_STREAM_FILTER_H_

#include <CLI/App.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ingest/units.h"

namespace sluice {

struct StreamFilterOptions {
  std::string filter;  // in the API's language; the others are joined to it
  std::string peer;
  std::optional<int> port;
  std::optional<int> peer_port;
  std::optional<absl::Time> from;
  std::optional<absl::Time> to;
  std::optional<ByteCount> size_min;
  std::optional<ByteCount> size_max;
  std::string state;

  // As ListStreamsRequest.filter has it.
  std::string ToFilter() const;
};

void AddStreamFilterOptions(CLI::App& app, StreamFilterOptions& options);

// "2026-01-01T00:00:00Z", or how long before `now`: "90m".
absl::StatusOr<absl::Time> ParseTimeOption(absl::string_view text, absl::Time now);

}  // namespace sluice

#endif  // CONTROL_CLI_STREAM_FILTER_H_
