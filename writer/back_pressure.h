// What a recording does when the disk is slower than the network.
#ifndef WRITER_BACK_PRESSURE_H_
#define WRITER_BACK_PRESSURE_H_

#include <cstdint>

#include "absl/time/time.h"

namespace sluice {

// Under kLossless memory fills up, then nothing more is received, and the senders' TCP windows
// close. Under the others receiving never stops, and what there is no memory or no time for is
// dropped; each drop is recorded as a gap in its stream. What the disk has been given, and the
// extent in hand, is never dropped.
enum class BackPressure : uint8_t {
  kLossless = 1,
  kDropNewest = 2,  // what arrives, until everything that waited has been given to the disk
  kDropOldest = 3,  // what has waited longest
};

// As it is written on a command line: "lossless", "drop-newest", "drop-oldest".
constexpr const char* NameOf(BackPressure back_pressure) {
  switch (back_pressure) {
    case BackPressure::kLossless:
      break;
    case BackPressure::kDropNewest:
      return "drop-newest";
    case BackPressure::kDropOldest:
      return "drop-oldest";
  }
  return "lossless";
}

// How long received bytes may wait to be given to the disk before a policy drops: then kDropOldest
// drops them, and kDropNewest what arrives after them.
inline constexpr absl::Duration kLagLimitDefault = absl::Seconds(1);

}  // namespace sluice

#endif  // WRITER_BACK_PRESSURE_H_
