#include "control/recorder/receiver.h"

#include <set>

#include "absl/strings/str_cat.h"

namespace sluice {

const char* NameOf(ReceiverKind kind) {
  switch (kind) {
    case ReceiverKind::kCopy:
      return "copy";
    case ReceiverKind::kDeviceLess:
      return "device-less";
    case ReceiverKind::kZeroCopy:
      return "zero-copy";
  }
  return "unknown";
}

std::optional<ReceiverMode> ParseReceiverMode(const std::string& name) {
  if (name == "auto") return ReceiverMode::kAuto;
  if (name == "zero-copy") return ReceiverMode::kZeroCopy;
  if (name == "device-less") return ReceiverMode::kDeviceLess;
  if (name == "copy") return ReceiverMode::kCopy;
  return std::nullopt;
}

absl::StatusOr<std::vector<std::optional<LaneQueueOptions>>> PlanReceivers(
    const ReceiverOptions& options, uint32_t lanes) {
  std::vector<std::optional<LaneQueueOptions>> plan(lanes);
  const bool names_queue = !options.interface.empty() || !options.queues.empty();
  if (options.mode == ReceiverMode::kCopy || options.mode == ReceiverMode::kDeviceLess) {
    if (names_queue) {
      return absl::InvalidArgumentError(
          "an interface or a queue is named, but the receiver that was asked for uses none: ask "
          "for auto or zero-copy, or leave them out");
    }
    if (options.mode == ReceiverMode::kCopy) return plan;
  } else if (!names_queue) {
    if (options.mode == ReceiverMode::kAuto) return plan;
    return absl::InvalidArgumentError(
        "zero-copy receive needs to know the NIC's queue: name the interface, and a receive queue "
        "for each lane");
  } else if (options.interface.empty()) {
    return absl::InvalidArgumentError("a receive queue is named, but not the interface's");
  } else if (options.queues.size() != lanes) {
    return absl::InvalidArgumentError(
        absl::StrCat("each lane needs a receive queue of ", options.interface, ": there are ",
                     lanes, " lanes, and ", options.queues.size(), " queues are named"));
  } else if (std::set(options.queues.begin(), options.queues.end()).size() != lanes) {
    return absl::InvalidArgumentError("two lanes cannot share a receive queue");
  }
  for (uint32_t i = 0; i < lanes; ++i) {
    LaneQueueOptions& queue = plan[i].emplace();
    queue.interface = options.interface;
    if (!options.queues.empty()) queue.queue = options.queues[i];
    queue.area = options.area;
    queue.required = options.mode != ReceiverMode::kAuto;
  }
  return plan;
}

ReceiverStatus DescribeReceiver(const ReceiverOptions& options, const LaneStatus& lane) {
  ReceiverStatus status;
  status.counters = lane.queue_counters;
  if (!lane.queue) {
    status.reason = !lane.why_copying.empty()             ? lane.why_copying
                    : options.mode == ReceiverMode::kCopy ? "it was asked for"
                                                          : "no NIC queue is named";
    return status;
  }
  status.interface = lane.queue->interface;
  status.queue = lane.queue->queue;
  if (lane.queue->interface.empty()) {
    status.kind = ReceiverKind::kDeviceLess;
    status.reason = "it was asked for; the kernel copies all payload";
  } else {
    status.kind = ReceiverKind::kZeroCopy;
    status.reason = absl::StrCat("queue ", status.queue, " of ", status.interface,
                                 " places payload where the disk reads it");
  }
  return status;
}

}  // namespace sluice
