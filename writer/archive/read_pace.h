// Keeps reading to so many bytes a second, so that the disk is left to the recorder.
#ifndef WRITER_ARCHIVE_READ_PACE_H_
#define WRITER_ARCHIVE_READ_PACE_H_

#include <algorithm>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ingest/units.h"

namespace sluice {

// Thread-compatible.
class ReadPace {
 public:
  // Zero: no limit.
  explicit ReadPace(ByteCount bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  // So much was read; returns how long to wait before more is.
  absl::Duration Count(ByteCount read) {
    read_ += read;
    if (bytes_per_second_.value == 0) return absl::ZeroDuration();
    const double due =
        static_cast<double>(read_.value) / static_cast<double>(bytes_per_second_.value);
    return std::max(started_ + absl::Seconds(due) - absl::Now(), absl::ZeroDuration());
  }
  void Wait(ByteCount read) {
    const absl::Duration wait = Count(read);
    if (wait > absl::ZeroDuration()) absl::SleepFor(wait);
  }

 private:
  const ByteCount bytes_per_second_;
  const absl::Time started_ = absl::Now();
  ByteCount read_;
};

}  // namespace sluice

#endif  // WRITER_ARCHIVE_READ_PACE_H_
