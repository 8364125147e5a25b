// How fast a counter grows, smoothed for people.
#ifndef CONTROL_CLI_RATE_METER_H_
#define CONTROL_CLI_RATE_METER_H_

#include <cmath>
#include <cstdint>

#include "absl/time/time.h"

namespace sluice {

// An average that forgets: what happened two seconds ago counts a third of what happens now.
class RateMeter {
 public:
  RateMeter(absl::Time start, uint64_t count) : at_(start), count_(count) {}

  void Update(absl::Time now, uint64_t count) {
    const double seconds = absl::ToDoubleSeconds(now - at_);
    if (seconds <= 0) return;
    const double rate = count >= count_ ? static_cast<double>(count - count_) / seconds : 0;
    const double old = has_rate_ ? std::exp(-seconds / 2) : 0;
    rate_ = old * rate_ + (1 - old) * rate;
    has_rate_ = true;
    at_ = now;
    count_ = count;
  }

  double per_second() const { return rate_; }

 private:
  absl::Time at_;
  uint64_t count_;
  double rate_ = 0;
  bool has_rate_ = false;
};

}  // namespace sluice

#endif  // CONTROL_CLI_RATE_METER_H_
