// What the kernel's refusal of a zero-copy receive queue means, in one sentence.
#ifndef INGEST_RING_WHY_NO_QUEUE_H_
#define INGEST_RING_WHY_NO_QUEUE_H_

#include "absl/status/status.h"
#include "ingest/ring/ring.h"

namespace sluice {

// Explains `error`, an errno of IORING_REGISTER_ZCRX_IFQ for `options`: "WHAT is not possible:
// CAUSE; REMEDY", with no other semicolon. Looks at the kernel's release, this process and the
// interface's driver where an errno alone can mean several things. The order of the kernel's
// checks, which tells what an errno can mean: io_uring/zcrx.c and net/core/netdev_rx_queue.c of
// Linux 7.3.
absl::Status WhyNoInterfaceQueue(int error, const InterfaceQueueOptions& options);

}  // namespace sluice

#endif  // INGEST_RING_WHY_NO_QUEUE_H_
