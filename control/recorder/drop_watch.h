// Says when recordings drop bytes: often enough to be noticed, and not more.
#ifndef CONTROL_RECORDER_DROP_WATCH_H_
#define CONTROL_RECORDER_DROP_WATCH_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "control/recorder/recorder.h"

namespace sluice {

// What is said of a recording that has dropped bytes by its policy: one sentence.
std::string DropWarning(const RecordingStatus& recording);

// Thread-compatible.
class DropWatch {
 public:
  static constexpr absl::Duration kInterval = absl::Seconds(10);

  // DropWarning(), when the recording has dropped more since it was last said, and that was
  // kInterval ago.
  std::optional<std::string> Look(const RecordingStatus& recording, absl::Time now);

 private:
  struct Said {
    uint64_t dropped = 0;
    absl::Time at = absl::InfinitePast();
  };
  std::map<uint64_t, Said> said_;  // by uid
};

}  // namespace sluice

#endif  // CONTROL_RECORDER_DROP_WATCH_H_
