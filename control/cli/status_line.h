// The line that `sluice record` shows while it records.
#ifndef CONTROL_CLI_STATUS_LINE_H_
#define CONTROL_CLI_STATUS_LINE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "ingest/units.h"

namespace sluice {

struct StatusLineFigures {
  absl::Duration elapsed;
  ByteCount received;
  double bytes_per_second = 0;
  uint64_t streams_open = 0;
  uint64_t streams_opened = 0;
  absl::Duration durable_lag;
  ByteCount lost;
};

// "  12.3s    1.2GiB   812.3MiB/s  3 streams (17 seen)  lag 0.4s  lost 0B". Where it does not fit
// it says less: what was lost, bytes, rate and streams stay longest.
std::string FormatStatusLine(const StatusLineFigures& figures, size_t width);

}  // namespace sluice

#endif  // CONTROL_CLI_STATUS_LINE_H_
