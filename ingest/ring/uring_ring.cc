#include "ingest/ring/uring_ring.h"

#include <liburing.h>
#include <net/if.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ingest/check.h"
#include "ingest/ring/why_no_queue.h"

namespace sluice {
namespace {

static_assert(Completion::kHasBuffer == IORING_CQE_F_BUFFER);
static_assert(Completion::kMore == IORING_CQE_F_MORE);
static_assert(Completion::kBufferMore == IORING_CQE_F_BUF_MORE);
static_assert(Completion::kBufferShift == IORING_CQE_BUFFER_SHIFT);
static_assert(zcrx::kOpReceive == IORING_OP_RECV_ZC);
static_assert(sizeof(zcrx::QueueRegistration) == sizeof(io_uring_zcrx_ifq_reg));

// Completions of operations that nobody waits for: cancellations, wake-ups.
constexpr OpTag kUnobserved{};
constexpr OpTag kWakeTag{OpKind::kNone, 0, 0, 1};

int64_t ClockNanos(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

std::string KernelRelease() {
  utsname name;
  return uname(&name) == 0 ? name.release : "unknown";
}

absl::Status WhyNoRing(int error) {
  switch (error) {
    case ENOSYS:
      return absl::FailedPreconditionError(absl::StrCat(
          "io_uring is not available on this kernel (", KernelRelease(),
          "): Linux 6.12 or newer is needed, or a container profile that allows io_uring"));
    case EPERM:
      return absl::FailedPreconditionError(
          "io_uring is not permitted here: set the sysctl kernel.io_uring_disabled to 0, or allow "
          "io_uring in the container's seccomp profile");
    case EINVAL:
      return absl::FailedPreconditionError(
          absl::StrCat("this kernel (", KernelRelease(),
                       ") lacks io_uring's single-issuer rings: Linux 6.12 or newer is needed"));
    case ENOMEM:
      return absl::ResourceExhaustedError(
          "io_uring setup: out of memory or locked memory (see `ulimit -l`)");
    default:
      return absl::ErrnoToStatus(error, "io_uring setup");
  }
}

class UringRing final : public Ring {
 public:
  ~UringRing() override {
    for (auto& [group, buffers] : groups_) {
      io_uring_free_buf_ring(&ring_, buffers.ring, buffers.entries, group);
    }
    if (ring_is_open_) io_uring_queue_exit(&ring_);
    if (refill_memory_ != nullptr) munmap(refill_memory_, refill_bytes_);
    if (wake_fd_ >= 0) close(wake_fd_);
  }

  absl::Status Open(const UringOptions& options) {
    io_uring_params params = {};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE |
                   IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL;
    if (options.zero_copy) params.flags |= IORING_SETUP_CQE32;
    params.cq_entries = options.completion_entries;
    // The kernel wants no more submissions than completions.
    const uint32_t submissions = std::min(options.submission_entries, options.completion_entries);
    int result = io_uring_queue_init_params(submissions, &ring_, &params);
    if (result < 0) return WhyNoRing(-result);
    ring_is_open_ = true;

    io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
    has_writev_fixed_ =
        probe != nullptr && io_uring_opcode_supported(probe, IORING_OP_WRITEV_FIXED) != 0;
    io_uring_free_probe(probe);

    wake_fd_ = eventfd(0, EFD_CLOEXEC);
    if (wake_fd_ < 0) return absl::ErrnoToStatus(errno, "eventfd");
    ArmWake();
    completions_.reserve(options.completion_entries);
    return absl::OkStatus();
  }

  absl::Duration Monotonic() const override {
    return absl::Nanoseconds(ClockNanos(CLOCK_MONOTONIC));
  }
  UnixNanos RealTime() const override { return {ClockNanos(CLOCK_REALTIME)}; }

  void AcceptMultishot(OpTag tag, int listener) override {
    io_uring_prep_multishot_accept(Next(tag), listener, nullptr, nullptr, SOCK_CLOEXEC);
  }

  void Connect(OpTag tag, int socket, const SocketAddress& to) override {
    // The kernel copies the address when it is submitted: that is before `connect_address_` is
    // used again.
    if (connect_pending_) io_uring_submit(&ring_);
    const socklen_t length = to.ToSockaddr(&connect_address_);
    io_uring_prep_connect(Next(tag), socket, reinterpret_cast<sockaddr*>(&connect_address_),
                          length);
    connect_pending_ = true;
  }

  void ReceiveMultishot(OpTag tag, int socket, BufferGroup group) override {
    io_uring_sqe* sqe = Next(tag);
    io_uring_prep_recv_multishot(sqe, socket, nullptr, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = group;
  }

  void ReceiveZeroCopy(OpTag tag, int socket) override {
    io_uring_sqe* sqe = Next(tag);
    io_uring_prep_rw(IORING_OP_RECV_ZC, sqe, socket, nullptr, 0, 0);
    sqe->ioprio = IORING_RECV_MULTISHOT;
    sqe->zcrx_ifq_idx = queue_id_;
  }

  void Cancel(OpTag target) override {
    io_uring_prep_cancel64(Next(kUnobserved), target.Pack(), 0);
  }

  absl::StatusOr<int> OpenSocket(const SocketAddress& towards) override {
    const int fd = socket(towards.family == 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return absl::ErrnoToStatus(errno, "socket");
    return fd;
  }

  SocketAddress PeerAddress(int socket) override { return Address(socket, getpeername); }
  SocketAddress LocalAddress(int socket) override { return Address(socket, getsockname); }
  void ShutdownReceive(int socket) override { shutdown(socket, SHUT_RD); }
  void CloseSocket(int socket) override { close(socket); }

  absl::Status OpenBufferGroup(BufferGroup group, uint32_t entries) override {
    int error = 0;
    io_uring_buf_ring* ring =
        io_uring_setup_buf_ring(&ring_, entries, group, IOU_PBUF_RING_INC, &error);
    if (ring == nullptr) {
      if (error == -EINVAL) {
        return absl::FailedPreconditionError(absl::StrCat(
            "this kernel (", KernelRelease(),
            ") lacks incremental receive buffers (IOU_PBUF_RING_INC): Linux 6.12 or newer is "
            "needed"));
      }
      return absl::ErrnoToStatus(-error, "register io_uring receive buffers");
    }
    groups_[group] = {ring, entries};
    return absl::OkStatus();
  }

  void ProvideBuffer(BufferGroup group, uint16_t id, std::span<std::byte> memory) override {
    const Buffers& buffers = groups_.at(group);
    io_uring_buf_ring_add(buffers.ring, memory.data(), static_cast<unsigned>(memory.size()), id,
                          io_uring_buf_ring_mask(buffers.entries), 0);
    io_uring_buf_ring_advance(buffers.ring, 1);
  }

  void CloseBufferGroup(BufferGroup group) override {
    const auto found = groups_.find(group);
    SLUICE_CHECK(found != groups_.end());
    io_uring_free_buf_ring(&ring_, found->second.ring, found->second.entries, group);
    groups_.erase(found);
  }

  absl::StatusOr<RefillRing> OpenInterfaceQueue(const InterfaceQueueOptions& options) override {
    SLUICE_CHECK(refill_memory_ == nullptr && (ring_.flags & IORING_SETUP_CQE32) != 0);
    zcrx::QueueRegistration queue = {};
    if (options.interface.empty()) {
      queue.flags = zcrx::kQueueDeviceLess;
    } else {
      queue.interface_index = if_nametoindex(options.interface.c_str());
      if (queue.interface_index == 0) return WhyNoInterfaceQueue(ENODEV, options);
      queue.receive_queue = options.queue;
    }
    queue.refill_entries = options.refill_entries;

    const zcrx::QueryAnswer known = QueryZeroCopyReceive();
    zcrx::AreaRegistration area = {};
    area.address = reinterpret_cast<uintptr_t>(options.area.data());
    area.bytes = options.area.size();
    queue.area = reinterpret_cast<uintptr_t>(&area);

    // A head, the entries, and statistics behind them. The head is 128 bytes long at most.
    constexpr uint64_t kPage = 4096;
    const uint64_t statistics_at =
        kPage + uint64_t{options.refill_entries} * sizeof(zcrx::RefillEntry);
    refill_bytes_ = statistics_at + kPage;
    void* const memory = mmap(nullptr, refill_bytes_, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) return absl::ErrnoToStatus(errno, "map the refill ring");
    refill_memory_ = static_cast<std::byte*>(memory);
    zcrx::RegionDescription region = {};
    region.user_address = reinterpret_cast<uintptr_t>(memory);
    region.bytes = refill_bytes_;
    region.flags = zcrx::kRegionIsUserMemory;
    queue.region = reinterpret_cast<uintptr_t>(&region);

    zcrx::EventDescription events = {};
    events.user_data = options.event_tag.Pack();
    events.types = (1u << zcrx::kEventCount) - 1;
    events.flags = zcrx::kEventsWithStatistics;
    events.statistics_offset = statistics_at;
    has_events_ = (known.features & zcrx::kFeatureEvents) != 0;
    if (has_events_) queue.events = reinterpret_cast<uintptr_t>(&events);

    if (const int result = Register(zcrx::kRegisterQueue, &queue, 1); result != 0) {
      munmap(refill_memory_, refill_bytes_);
      refill_memory_ = nullptr;
      return WhyNoInterfaceQueue(-result, options);
    }
    queue_id_ = queue.id;
    const auto at = [this](uint64_t offset) { return refill_memory_ + offset; };
    RefillRing ring;
    ring.head = reinterpret_cast<std::atomic<uint32_t>*>(at(queue.offsets.head));
    ring.tail = reinterpret_cast<std::atomic<uint32_t>*>(at(queue.offsets.tail));
    ring.entries = reinterpret_cast<zcrx::RefillEntry*>(at(queue.offsets.entries));
    ring.size = queue.refill_entries;
    if (has_events_) {
      ring.statistics = reinterpret_cast<const zcrx::Statistics*>(at(statistics_at));
    }
    ring.needs_flush = options.interface.empty();
    ring.can_flush = known.control_operations > static_cast<uint32_t>(zcrx::Control::kFlush);
    return ring;
  }

  void FlushRefill() override {
    zcrx::ControlRequest request = {};
    request.id = queue_id_;
    request.operation = static_cast<uint32_t>(zcrx::Control::kFlush);
    SLUICE_CHECK(Register(zcrx::kRegisterControl, &request, 0) == 0);
  }

  void ArmEvent(zcrx::Event type) override {
    if (!has_events_) return;
    zcrx::ControlRequest request = {};
    request.id = queue_id_;
    request.operation = static_cast<uint32_t>(zcrx::Control::kArmEvent);
    request.event_type = static_cast<uint32_t>(type);
    // Refused only where there is none to arm: then one less is counted.
    Register(zcrx::kRegisterControl, &request, 0);
  }

  uint32_t IncomingNapi(int socket) override {
    unsigned napi = 0;
    socklen_t length = sizeof(napi);
    if (getsockopt(socket, SOL_SOCKET, SO_INCOMING_NAPI_ID, &napi, &length) != 0) return 0;
    return napi;
  }

  absl::Status RegisterMemory(std::span<std::byte> memory) override {
    SLUICE_CHECK(registered_.empty());
    if (!has_writev_fixed_) {
      return absl::FailedPreconditionError(
          absl::StrCat("this kernel (", KernelRelease(),
                       ") lacks vectored writes from registered memory (Linux 6.15): writes go "
                       "from unregistered memory, slower"));
    }
    const iovec all = {memory.data(), memory.size()};
    const int result = io_uring_register_buffers(&ring_, &all, 1);
    if (result == -ENOMEM) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "registering ", memory.size() >> 20,
          " MiB of memory was refused by the limit on locked memory: raise it (`ulimit -l`, "
          "systemd LimitMEMLOCK=) or grant CAP_IPC_LOCK; writes go from unregistered memory, "
          "slower"));
    }
    if (result < 0) return absl::ErrnoToStatus(-result, "register memory with io_uring");
    registered_ = memory;
    return absl::OkStatus();
  }

  void Write(OpTag tag, int file, FileOffset at, std::span<const iovec> ranges) override {
    io_uring_sqe* sqe = Next(tag);
    const auto count = static_cast<unsigned>(ranges.size());
    if (IsRegistered(ranges)) {
      io_uring_prep_writev_fixed(sqe, file, ranges.data(), count, at.value, 0, 0);
    } else {
      io_uring_prep_writev(sqe, file, ranges.data(), count, at.value);
    }
  }

  void SyncData(OpTag tag, int file) override {
    io_uring_prep_fsync(Next(tag), file, IORING_FSYNC_DATASYNC);
  }

  void SubmitAndWait(absl::Duration timeout) override {
    connect_pending_ = false;
    __kernel_timespec wait = {};
    const absl::Duration bounded = std::clamp(timeout, absl::ZeroDuration(), absl::Hours(1));
    wait.tv_sec = absl::ToInt64Seconds(bounded);
    wait.tv_nsec = absl::ToInt64Nanoseconds(bounded - absl::Seconds(wait.tv_sec));
    io_uring_cqe* unused = nullptr;
    const int result = io_uring_submit_and_wait_timeout(&ring_, &unused, 1, &wait, nullptr);
    // -EBUSY: completions wait in the kernel for room, which the harvest makes.
    SLUICE_CHECK(result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
                 result == -EBUSY);
  }

  std::span<const Completion> Harvest() override {
    completions_.clear();
    unsigned head = 0;
    unsigned count = 0;
    io_uring_cqe* cqe = nullptr;
    bool woken = false;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      ++count;
      const OpTag tag = OpTag::Unpack(cqe->user_data);
      if (tag.kind != OpKind::kNone) {
        completions_.push_back({tag, cqe->res, cqe->flags, 0});
        if (tag.kind == OpKind::kReceiveZeroCopy) {
          completions_.back().area_offset = cqe->big_cqe[0];
        }
      } else if (tag == kWakeTag) {
        woken = true;
      }
    }
    io_uring_cq_advance(&ring_, count);
    if (woken) ArmWake();
    return completions_;
  }

  void Wake() override {
    const uint64_t one = 1;
    // Cannot fail but when the counter is full, and then the lane is awake anyway.
    [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
  }

 private:
  struct Buffers {
    io_uring_buf_ring* ring;
    uint32_t entries;
  };

  io_uring_sqe* Next(OpTag tag) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {
      io_uring_submit(&ring_);
      sqe = io_uring_get_sqe(&ring_);
    }
    sqe->user_data = tag.Pack();
    return sqe;
  }

  // 0, or a negated errno.
  int Register(unsigned operation, const void* argument, unsigned count) {
    const int result =
        io_uring_register(static_cast<unsigned>(ring_.ring_fd), operation, argument, count);
    return std::min(result, 0);
  }

  // All zero where the kernel does not know the question.
  zcrx::QueryAnswer QueryZeroCopyReceive() {
    zcrx::QueryAnswer answer = {};
    zcrx::QueryHeader query = {};
    query.data = reinterpret_cast<uintptr_t>(&answer);
    query.operation = zcrx::kQueryZeroCopyReceive;
    query.bytes = sizeof(answer);
    if (Register(zcrx::kRegisterQuery, &query, 0) != 0 || query.result < 0) return {};
    return answer;
  }

  void ArmWake() {
    io_uring_prep_read(Next(kWakeTag), wake_fd_, &wake_count_, sizeof(wake_count_), 0);
  }

  bool IsRegistered(std::span<const iovec> ranges) const {
    for (const iovec& range : ranges) {
      const auto* begin = static_cast<const std::byte*>(range.iov_base);
      if (registered_.empty() || begin < registered_.data() ||
          begin + range.iov_len > registered_.data() + registered_.size()) {
        return false;
      }
    }
    return true;
  }

  template <class Get>
  static SocketAddress Address(int socket, Get get) {
    sockaddr_storage storage = {};
    socklen_t length = sizeof(storage);
    if (get(socket, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
    return SocketAddress::FromSockaddr(storage);
  }

  io_uring ring_ = {};
  bool ring_is_open_ = false;
  bool has_writev_fixed_ = false;
  int wake_fd_ = -1;
  uint64_t wake_count_ = 0;  // the kernel reads the event counter into this
  sockaddr_storage connect_address_ = {};
  bool connect_pending_ = false;
  std::map<BufferGroup, Buffers> groups_;
  std::span<std::byte> registered_;
  std::byte* refill_memory_ = nullptr;
  size_t refill_bytes_ = 0;
  uint32_t queue_id_ = 0;
  bool has_events_ = false;
  std::vector<Completion> completions_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Ring>> OpenUringRing(const UringOptions& options) {
  auto ring = std::make_unique<UringRing>();
  if (absl::Status opened = ring->Open(options); !opened.ok()) return opened;
  return ring;
}

}  // namespace sluice
