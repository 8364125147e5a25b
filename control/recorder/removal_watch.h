// Says what retention removes by itself: a line a minute, however much it removes.
#ifndef CONTROL_RECORDER_REMOVAL_WATCH_H_
#define CONTROL_RECORDER_REMOVAL_WATCH_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "writer/archive/segment_store.h"

namespace sluice {

// A quota that is reached removes with every segment that is begun, so each single one is no news.
// Segments that are used again under pressure are not said: that is how the ring goes round.
// Thread-compatible.
class RemovalWatch {
 public:
  static constexpr absl::Duration kInterval = absl::Minutes(1);

  // One sentence with all that was removed since the last one, when there is something and the last
  // one was kInterval ago. `now_removed` are the counts since the start.
  std::optional<std::string> Look(const RemovalCounts& now_removed, absl::Time now);
  // At the end: what was not said yet, whenever the last one was.
  std::optional<std::string> Rest(const RemovalCounts& now_removed);

 private:
  RemovalCounts said_;
  absl::Time said_at_ = absl::InfinitePast();
};

}  // namespace sluice

#endif  // CONTROL_RECORDER_REMOVAL_WATCH_H_
