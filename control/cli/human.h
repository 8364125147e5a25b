// Figures as people read them, of a width that does not jump about.
#ifndef CONTROL_CLI_HUMAN_H_
#define CONTROL_CLI_HUMAN_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ingest/units.h"

namespace sluice {

// "0B", "812B", "1.0KiB", "12.3MiB": always one decimal above bytes.
std::string HumanSize(ByteCount size);
// "812.3MiB/s".
std::string HumanRate(double bytes_per_second);
// "0.0s", "12.3s", "4m05s", "3h07m", "12d03h".
std::string HumanDuration(absl::Duration duration);
// "2026-05-01 12:00:00Z": UTC. "-" for the epoch, which stands for unknown.
std::string HumanTime(absl::Time time);

// What other people wrote, fit for a terminal: control characters become '?'.
std::string Printable(absl::string_view text);

}  // namespace sluice

#endif  // CONTROL_CLI_HUMAN_H_
