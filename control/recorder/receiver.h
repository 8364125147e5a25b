// How lanes receive payload: what was asked for, and what it came to.
#ifndef CONTROL_RECORDER_RECEIVER_H_
#define CONTROL_RECORDER_RECEIVER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ingest/receive/interface_queue.h"
#include "ingest/units.h"
#include "writer/lane.h"

namespace sluice {

enum class ReceiverMode : uint8_t {
  kAuto,        // zero-copy where a NIC queue is named and can be had, else copying
  kZeroCopy,    // zero-copy, or not at all
  kDeviceLess,  // RECV_ZC without a NIC's help: the kernel copies. For tests
  kCopy,
};

struct ReceiverOptions {
  ReceiverMode mode = ReceiverMode::kAuto;
  std::string interface{};          // of the NIC
  std::vector<uint32_t> queues{};   // of its receive queues: one for each lane
  ByteCount area{};                 // of each lane, for RECV_ZC; zero: what the region has left
  uint32_t completion_entries = 0;  // of each lane's ring; zero: the default
};

enum class ReceiverKind : uint8_t { kCopy = 1, kDeviceLess = 2, kZeroCopy = 3 };

// What one lane does.
struct ReceiverStatus {
  ReceiverKind kind = ReceiverKind::kCopy;
  std::string reason;  // one sentence: why this and not better
  std::string interface;
  uint32_t queue = 0;
  InterfaceQueueCounters counters;  // all zero when copying
};

// "copy", "device-less", "zero-copy", and "auto".
const char* NameOf(ReceiverKind kind);
std::optional<ReceiverMode> ParseReceiverMode(const std::string& name);

// For each of `lanes` the queue that it shall open, or none. INVALID_ARGUMENT when the options
// contradict each other.
absl::StatusOr<std::vector<std::optional<LaneQueueOptions>>> PlanReceivers(
    const ReceiverOptions& options, uint32_t lanes);

ReceiverStatus DescribeReceiver(const ReceiverOptions& options, const LaneStatus& lane);

}  // namespace sluice

#endif  // CONTROL_RECORDER_RECEIVER_H_
