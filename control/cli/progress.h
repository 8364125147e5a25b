// How far a long job has come, drawn on the terminal.
#ifndef CONTROL_CLI_PROGRESS_H_
#define CONTROL_CLI_PROGRESS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/cli/rate_meter.h"
#include "control/cli/terminal.h"
#include "ingest/units.h"

namespace sluice {

struct ProgressFigures {
  ByteCount done;
  ByteCount total;  // zero: nobody knows
  double bytes_per_second = 0;
};

// "export  [=====>    ]  47%  1.2GiB of 2.5GiB  812.3MiB/s  1.7s left", shortened from its least
// important end until it fits: first the bar shrinks and goes, then the rest from the right.
std::string FormatProgress(absl::string_view label, const ProgressFigures& figures, size_t width);

// Draws at most ten times a second; nothing at all when standard error is no terminal.
class Progress {
 public:
  explicit Progress(std::string label);

  void Update(ByteCount done, ByteCount total);
  // Before anything else is printed.
  void Clear() { line_.Clear(); }

 private:
  const std::string label_;
  LiveLine line_;
  RateMeter rate_;
  absl::Time drawn_;
};

}  // namespace sluice

#endif  // CONTROL_CLI_PROGRESS_H_
