// What the parts of one simulation share: dice, a clock, names. For tests.
#ifndef INGEST_RING_SIM_WORLD_H_
#define INGEST_RING_SIM_WORLD_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <random>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "ingest/units.h"

namespace sluice {

// One seed decides everything. Time stands still unless somebody lets it pass.
class SimWorld {
 public:
  explicit SimWorld(uint64_t seed) : dice_(seed) {}
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;

  // Below `below`; 0 when that is 0.
  uint64_t Roll(uint64_t below) { return below == 0 ? 0 : dice_() % below; }
  // One in so many chances; 0 is never.
  bool OneIn(uint32_t chances) { return chances != 0 && Roll(chances) == 0; }
  std::mt19937_64& dice() { return dice_; }

  absl::Duration now() const { return now_; }
  UnixNanos real_time() const {
    return {1'700'000'000'000'000'000 + absl::ToInt64Nanoseconds(now_)};
  }
  void Pass(absl::Duration time) { now_ += time; }
  void PassUntil(absl::Duration moment) { now_ = std::max(now_, moment); }

  // Runs in RunTimers(), when so much time has passed.
  void After(absl::Duration delay, std::function<void()> work) {
    timers_.push_back({now_ + delay, std::move(work)});
  }
  void RunTimers() {
    for (size_t i = 0; i < timers_.size();) {
      if (timers_[i].at > now_) {
        ++i;
        continue;
      }
      auto work = std::move(timers_[i].work);
      timers_.erase(timers_.begin() + static_cast<int64_t>(i));
      work();
    }
  }
  absl::Duration next_timer() const {
    absl::Duration next = absl::InfiniteDuration();
    for (const Timer& timer : timers_) next = std::min(next, timer.at);
    return next;
  }

  int NewDescriptor() { return next_descriptor_++; }
  int NewPeer() { return ++last_peer_; }

 private:
  struct Timer {
    absl::Duration at;
    std::function<void()> work;
  };

  std::mt19937_64 dice_;
  absl::Duration now_ = absl::Seconds(1);
  std::vector<Timer> timers_;
  int next_descriptor_ = 3;
  int last_peer_ = 0;
};

}  // namespace sluice

#endif  // INGEST_RING_SIM_WORLD_H_
