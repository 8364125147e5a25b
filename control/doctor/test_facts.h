// Machines that tests start from.
#ifndef CONTROL_DOCTOR_TEST_FACTS_H_
#define CONTROL_DOCTOR_TEST_FACTS_H_

#include "control/doctor/facts.h"

namespace sluice {

// Everything is there: Linux 7.3, a card with a queue to lend, a disk with small units.
inline DoctorFacts GoodFacts() {
  DoctorFacts facts;
  KernelFacts& kernel = facts.kernel;
  kernel.release = "7.3.4";
  kernel.single_issuer = kernel.defer_taskrun = kernel.cqe32 = kernel.cqe_mixed = true;
  kernel.receive_zero_copy = kernel.write_fixed_vectored = kernel.incremental_buffers = true;
  kernel.zero_copy = zcrx::QueryAnswer{.register_flags = 3,
                                       .area_flags = 1,
                                       .control_operations = 4,
                                       .features = 3,
                                       .refill_header_bytes = 128,
                                       .refill_header_align = 64,
                                       .reserved = 0};
  kernel.privileges.net_admin = kernel.privileges.ipc_lock = true;
  kernel.huge_pages = {.total = 64, .free = 64, .size = MiB(2), .transparent = "madvise"};
  facts.interface = InterfaceFacts{.name = "eth1",
                                   .index = 3,
                                   .up = true,
                                   .driver = {"bnxt_en", true},
                                   .receive_queues = 8,
                                   .header_split = HeaderSplit::kOn,
                                   .header_split_threshold = 0,
                                   .xdp = false};
  facts.queue = 7;
  facts.queue_facts = QueueFacts{.napi = 531, .user = QueueUser::kKernel};
  facts.device_trial = absl::OkStatus();
  facts.device_less_trial = absl::OkStatus();
  facts.disk = DiskGeometry{.direct = true,
                            .memory_align = 4,
                            .offset_align = 512,
                            .virt_boundary = 0,
                            .write_bytes_max = 1 << 20,
                            .ranges_max = 128,
                            .device = "nvme0n1"};
  return facts;
}

// Linux 6.18 without a card: what most development machines are.
inline DoctorFacts PlainFacts() {
  DoctorFacts facts = GoodFacts();
  facts.kernel.release = "6.18.44";
  facts.kernel.zero_copy.reset();
  facts.interface.reset();
  facts.queue.reset();
  facts.queue_facts.reset();
  facts.device_trial.reset();
  facts.device_less_trial = absl::FailedPreconditionError(
      "device-less zero-copy receive is not possible: this kernel (6.18.44) does not have it; "
      "Linux 7.2 or newer is needed");
  facts.disk.reset();
  return facts;
}

}  // namespace sluice

#endif  // CONTROL_DOCTOR_TEST_FACTS_H_
