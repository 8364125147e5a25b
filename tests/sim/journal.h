// What a simulation has done, and what was wrong with it.
#ifndef TESTS_SIM_JOURNAL_H_
#define TESTS_SIM_JOURNAL_H_

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ingest/ring/sim_world.h"

namespace sluice {

// Failures are always kept, events only when `tracing`, the last few hundred.
class Journal {
 public:
  Journal(const SimWorld& world, bool tracing) : world_(&world), tracing_(tracing) {}

  template <class... Parts>
  void Note(const Parts&... parts) {
    if (!tracing_) return;
    if (events_.size() == kEventsMax) events_.pop_front();
    events_.push_back(absl::StrCat(absl::FormatDuration(world_->now()), " ", parts...));
    // FNV-1a, which is the same everywhere.
    for (const char c : events_.back()) hash_ = (hash_ ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  }
  template <class... Parts>
  void Fail(const Parts&... parts) {
    Note("FAILURE: ", parts...);
    if (failures_.size() < kFailuresMax) failures_.push_back(absl::StrCat(parts...));
  }
  void Expect(bool holds, const char* what) {
    if (!holds) Fail(what);
  }

  bool failed() const { return !failures_.empty(); }
  const std::vector<std::string>& failures() const { return failures_; }
  const std::deque<std::string>& events() const { return events_; }
  // Of every event that there was, the forgotten ones too.
  uint64_t hash() const { return hash_; }

 private:
  static constexpr size_t kEventsMax = 400;
  static constexpr size_t kFailuresMax = 20;

  const SimWorld* world_;
  const bool tracing_;
  uint64_t hash_ = 0xcbf29ce484222325;
  std::vector<std::string> failures_;
  std::deque<std::string> events_;
};

}  // namespace sluice

#endif  // TESTS_SIM_JOURNAL_H_
