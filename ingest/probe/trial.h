// Asks the kernel for a zero-copy receive queue, and gives it back.
#ifndef INGEST_PROBE_TRIAL_H_
#define INGEST_PROBE_TRIAL_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace sluice {

// OK when a receive queue of `interface` can be lent to this process now; else why not, in one
// sentence (WhyNoInterfaceQueue). Where it can, the driver restarts the queue twice, and packets
// on their way through it may be lost. The kernel takes the queue back after the call has
// returned, within seconds.
absl::Status TryInterfaceQueue(const std::string& interface, uint32_t queue);

// The same without a device: then the kernel copies what any socket has received.
absl::Status TryDeviceLess();

}  // namespace sluice

#endif  // INGEST_PROBE_TRIAL_H_
