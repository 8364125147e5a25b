// How often and how long something was waited for.
#ifndef WRITER_SEGMENT_WAIT_TIMES_H_
#define WRITER_SEGMENT_WAIT_TIMES_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace sluice {

// Of waits that are over. Can be summed over tracks.
struct WaitTimes {
  static constexpr size_t kClasses = 16;

  uint64_t count = 0;
  absl::Duration total;
  absl::Duration longest;
  // classes[i]: how many were shorter than 2^i ms and are in no class before; the last has all that
  // were longer.
  std::array<uint64_t, kClasses> classes = {};

  void Add(absl::Duration wait) {
    ++count;
    total += wait;
    longest = std::max(longest, wait);
    size_t at = 0;
    while (at + 1 < kClasses && wait >= absl::Milliseconds(int64_t{1} << at)) ++at;
    ++classes[at];
  }
  WaitTimes& operator+=(const WaitTimes& other) {
    count += other.count;
    total += other.total;
    longest = std::max(longest, other.longest);
    for (size_t i = 0; i < kClasses; ++i) classes[i] += other.classes[i];
    return *this;
  }
};

// How long segments were on their way to a track, by what took the time, whether anybody waited
// for them meanwhile or not.
struct LoanTimes {
  WaitTimes in_line;  // behind other work of the keeper's
  WaitTimes catalog;  // until the catalog had forgotten what the segment held before
  WaitTimes disk;     // until the segment's header was on stable storage

  LoanTimes& operator+=(const LoanTimes& other) {
    in_line += other.in_line;
    catalog += other.catalog;
    disk += other.disk;
    return *this;
  }
};

}  // namespace sluice

#endif  // WRITER_SEGMENT_WAIT_TIMES_H_
