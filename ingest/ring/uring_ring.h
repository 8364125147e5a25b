// Ring over io_uring. The only place that knows liburing.
#ifndef INGEST_RING_URING_RING_H_
#define INGEST_RING_URING_RING_H_

#include <memory>

#include "absl/status/statusor.h"
#include "ingest/ring/ring.h"

namespace sluice {

struct UringOptions {
  uint32_t submission_entries = 1024;
  // Receiving pauses when the completion queue is full; nothing is lost.
  uint32_t completion_entries = 16384;
  // Completions of 32 bytes, which zero-copy receive needs (Linux 6.15).
  bool zero_copy = false;
};

// Opens a ring with IORING_SETUP_SINGLE_ISSUER and DEFER_TASKRUN for the calling thread.
// FAILED_PRECONDITION says in one sentence what this kernel or its settings lack: Linux 6.12 is
// needed for incremental receive buffers; io_uring may be disabled by sysctl or a container.
absl::StatusOr<std::unique_ptr<Ring>> OpenUringRing(const UringOptions& options);

}  // namespace sluice

#endif  // INGEST_RING_URING_RING_H_
