#include "ingest/probe/kernel_probe.h"

#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <vector>

#include "ingest/probe/kernel_release.h"

namespace sluice {
namespace {

constexpr unsigned kOperationsMax = 256;

// A ring that does nothing but answer. Not liburing's: that asks for what it needs itself.
class BareRing {
 public:
  explicit BareRing(uint32_t flags) {
    io_uring_params params = {};
    params.flags = flags;
    fd_ = static_cast<int>(syscall(__NR_io_uring_setup, 1, &params));
    error_ = fd_ < 0 ? errno : 0;
  }
  BareRing(const BareRing&) = delete;
  BareRing& operator=(const BareRing&) = delete;
  ~BareRing() {
    if (fd_ >= 0) close(fd_);
  }

  int error() const { return error_; }
  bool Register(unsigned operation, void* argument, unsigned count) const {
    return syscall(__NR_io_uring_register, fd_, operation, argument, count) >= 0;
  }

 private:
  int fd_;
  int error_;
};

bool HasFlags(uint32_t flags) { return BareRing(flags).error() == 0; }

void ProbeFlags(KernelFacts* facts) {
  uint32_t flags = IORING_SETUP_SINGLE_ISSUER;
  facts->single_issuer = HasFlags(flags);
  flags |= IORING_SETUP_DEFER_TASKRUN;
  facts->defer_taskrun = HasFlags(flags);
  facts->cqe32 = HasFlags(flags | IORING_SETUP_CQE32);
  facts->cqe_mixed = HasFlags(flags | IORING_SETUP_CQE_MIXED);
}

void ProbeOperations(const BareRing& ring, KernelFacts* facts) {
  std::vector<std::byte> memory(sizeof(io_uring_probe) +
                                kOperationsMax * sizeof(io_uring_probe_op));
  auto* const probe = reinterpret_cast<io_uring_probe*>(memory.data());
  if (!ring.Register(IORING_REGISTER_PROBE, probe, kOperationsMax)) return;
  const auto has = [probe](unsigned operation) {
    return operation < probe->ops_len && (probe->ops[operation].flags & IO_URING_OP_SUPPORTED) != 0;
  };
  facts->receive_zero_copy = has(IORING_OP_RECV_ZC);
  facts->write_fixed_vectored = has(IORING_OP_WRITEV_FIXED);
}

// In the kernel's own memory, so that none of ours need be mapped.
bool HasIncrementalBuffers(const BareRing& ring) {
  io_uring_buf_reg buffers = {};
  buffers.ring_entries = 1;
  buffers.flags = IOU_PBUF_RING_MMAP | IOU_PBUF_RING_INC;
  return ring.Register(IORING_REGISTER_PBUF_RING, &buffers, 1);
}

std::optional<zcrx::QueryAnswer> QueryZeroCopy(const BareRing& ring) {
  zcrx::QueryAnswer answer = {};
  zcrx::QueryHeader query = {};
  query.data = reinterpret_cast<uintptr_t>(&answer);
  query.operation = zcrx::kQueryZeroCopyReceive;
  query.bytes = sizeof(answer);
  if (!ring.Register(zcrx::kRegisterQuery, &query, 0) || query.result < 0) return std::nullopt;
  return answer;
}

std::optional<int> ReadDisabled() {
  std::ifstream file("/proc/sys/kernel/io_uring_disabled");
  int value = 0;
  if (!(file >> value)) return std::nullopt;
  return value;
}

}  // namespace

KernelFacts ProbeKernel() {
  KernelFacts facts;
  facts.release = KernelRelease();
  facts.privileges = ReadPrivileges();
  facts.huge_pages = ReadHugePages();
  facts.io_uring_disabled = ReadDisabled();
  const BareRing ring(0);
  facts.io_uring_error = ring.error();
  if (ring.error() != 0) return facts;
  ProbeFlags(&facts);
  ProbeOperations(ring, &facts);
  facts.incremental_buffers = HasIncrementalBuffers(ring);
  facts.zero_copy = QueryZeroCopy(ring);
  return facts;
}

}  // namespace sluice
