// What this kernel, and what this process is allowed of it, can do for a recorder.
#ifndef INGEST_PROBE_KERNEL_PROBE_H_
#define INGEST_PROBE_KERNEL_PROBE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "ingest/probe/huge_pages.h"
#include "ingest/probe/privileges.h"
#include "ingest/ring/zcrx_uapi.h"

namespace sluice {

// Found out by trying, not by version: distributions and stable kernels carry what is newer than
// their number says.
struct KernelFacts {
  std::string release;

  int io_uring_error = 0;                // errno of a plain io_uring_setup(2); 0: there are rings
  std::optional<int> io_uring_disabled;  // the sysctl: 1 for most users, 2 for all; Linux 6.6
  // Of a ring, each with the ones before it.
  bool single_issuer = false;  // Linux 6.0
  bool defer_taskrun = false;  // 6.1
  bool cqe32 = false;          // with DEFER_TASKRUN: 6.1
  bool cqe_mixed = false;      // 6.18, instead of CQE32
  // Operations (IORING_REGISTER_PROBE).
  bool receive_zero_copy = false;              // RECV_ZC: 6.15
  bool write_fixed_vectored = false;           // WRITEV_FIXED: 6.15
  bool incremental_buffers = false;            // IOU_PBUF_RING_INC: 6.12
  std::optional<zcrx::QueryAnswer> zero_copy;  // IORING_REGISTER_QUERY on zero-copy receive: 7.2

  Privileges privileges;
  HugePages huge_pages;

  bool device_less() const {
    return zero_copy && (zero_copy->register_flags & zcrx::kQueueDeviceLess) != 0;
  }
  bool flush() const {
    return zero_copy &&
           zero_copy->control_operations > static_cast<uint32_t>(zcrx::Control::kFlush);
  }
  bool events() const { return zero_copy && (zero_copy->features & zcrx::kFeatureEvents) != 0; }
};

// On throw-away rings; takes a few milliseconds.
KernelFacts ProbeKernel();

}  // namespace sluice

#endif  // INGEST_PROBE_KERNEL_PROBE_H_
