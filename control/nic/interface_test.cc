// Of lo, which is everywhere, also in a network namespace of its own.
#include "control/nic/interface.h"

#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

TEST(InterfaceTest, Loopback) {
  const absl::StatusOr<InterfaceFacts> lo = ReadInterface("lo");
  ASSERT_TRUE(lo.ok()) << lo.status();
  EXPECT_EQ(lo->index, if_nametoindex("lo"));
  EXPECT_FALSE(lo->driver.hardware);
  EXPECT_EQ(lo->driver.name, "");
  EXPECT_EQ(lo->header_split, HeaderSplit::kUnknown);
  EXPECT_FALSE(lo->xdp);
}

TEST(InterfaceTest, QueuesOfLoopback) {
  const absl::StatusOr<InterfaceFacts> lo = ReadInterface("lo");
  ASSERT_TRUE(lo.ok()) << lo.status();
  const absl::StatusOr<QueueFacts> queue = ReadQueue("lo", 0);
  if (absl::IsUnimplemented(queue.status())) GTEST_SKIP() << queue.status();
  if (!lo->up) GTEST_SKIP() << "lo is down in this network namespace";
  ASSERT_TRUE(queue.ok()) << queue.status();
  EXPECT_EQ(lo->receive_queues, 1u);
  EXPECT_EQ(queue->user, QueueUser::kKernel);
  EXPECT_EQ(queue->napi, std::nullopt);
  EXPECT_TRUE(absl::IsNotFound(NapiOfQueue("lo", 0).status()));
  const absl::Status none = ReadQueue("lo", 1).status();
  EXPECT_TRUE(absl::IsNotFound(none));
  EXPECT_EQ(none.message(), "lo has no receive queue 1");
}

TEST(InterfaceTest, OneThatIsNotThere) {
  for (const char* name : {"nosuchone", "", "a-name-that-is-longer-than-any-interface-has"}) {
    for (const absl::Status& status : {ReadInterface(name).status(), ReadQueue(name, 0).status(),
                                       NapiOfQueue(name, 0).status()}) {
      EXPECT_TRUE(absl::IsNotFound(status)) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("`ip link`"));
    }
  }
}

// In a process that has another lo, of which it may do what it likes.
enum class Result { kHolds, kDoesNotHold, kNotAllowed };
Result InOwnNamespace(const std::function<Result()>& claim) {
  const pid_t child = fork();
  if (child == 0) {
    _exit(unshare(CLONE_NEWNET) == 0 ? static_cast<int>(claim())
                                     : static_cast<int>(Result::kNotAllowed));
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? static_cast<Result>(WEXITSTATUS(status)) : Result::kDoesNotHold;
}
Result Holds(bool claim) { return claim ? Result::kHolds : Result::kDoesNotHold; }

bool BringUp(const char* interface) {
  ifreq request = {};
  strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP;
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool done = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  close(fd);
  return done;
}

long Bpf(bpf_cmd command, bpf_attr* attributes) {
  return syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

// "Pass all", for as long as this process lives.
bool AttachXdp(uint32_t index) {
  bpf_insn program[2] = {};
  program[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  program[0].imm = XDP_PASS;
  program[1].code = BPF_JMP | BPF_EXIT;
  bpf_attr load = {};
  load.prog_type = BPF_PROG_TYPE_XDP;
  load.insns = reinterpret_cast<uintptr_t>(program);
  load.insn_cnt = 2;
  load.license = reinterpret_cast<uintptr_t>("Apache-2.0");
  const long fd = Bpf(BPF_PROG_LOAD, &load);
  if (fd < 0) return false;
  bpf_attr link = {};
  link.link_create.prog_fd = static_cast<uint32_t>(fd);
  link.link_create.target_ifindex = index;
  link.link_create.attach_type = BPF_XDP;
  link.link_create.flags = XDP_FLAGS_SKB_MODE;
  return Bpf(BPF_LINK_CREATE, &link) >= 0;
}

// An AF_XDP socket on queue 0, for as long as this process lives.
bool BindXdpSocket(uint32_t index) {
  constexpr size_t kBytes = 64 << 10;
  const int fd = socket(AF_XDP, SOCK_RAW, 0);
  void* const memory =
      mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (fd < 0 || memory == MAP_FAILED) return false;
  xdp_umem_reg area = {};
  area.addr = reinterpret_cast<uintptr_t>(memory);
  area.len = kBytes;
  area.chunk_size = 4096;
  if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &area, sizeof(area)) != 0) return false;
  const int entries = 16;
  for (const int ring : {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING}) {
    if (setsockopt(fd, SOL_XDP, ring, &entries, sizeof(entries)) != 0) return false;
  }
  sockaddr_xdp address = {};
  address.sxdp_family = AF_XDP;
  address.sxdp_flags = XDP_COPY;
  address.sxdp_ifindex = index;
  return bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
}

TEST(InterfaceTest, DownAndUp) {
  const Result result = InOwnNamespace([] {
    const absl::StatusOr<InterfaceFacts> down = ReadInterface("lo");
    const bool has_none = absl::IsFailedPrecondition(ReadQueue("lo", 0).status());
    if (!BringUp("lo")) return Result::kNotAllowed;
    const absl::StatusOr<InterfaceFacts> up = ReadInterface("lo");
    return Holds(down.ok() && !down->up && has_none && up.ok() && up->up &&
                 up->receive_queues == 1u && ReadQueue("lo", 0).ok());
  });
  if (result == Result::kNotAllowed) GTEST_SKIP() << "no network namespaces for this user";
  EXPECT_EQ(result, Result::kHolds);
}

TEST(InterfaceTest, SeesXdp) {
  const Result result = InOwnNamespace([] {
    const uint32_t index = if_nametoindex("lo");
    if (!BringUp("lo") || !AttachXdp(index)) return Result::kNotAllowed;
    const absl::StatusOr<InterfaceFacts> lo = ReadInterface("lo");
    return Holds(lo.ok() && lo->xdp);
  });
  if (result == Result::kNotAllowed) GTEST_SKIP() << "no XDP in a network namespace for this user";
  EXPECT_EQ(result, Result::kHolds);
}

TEST(InterfaceTest, SeesWhoHasAQueue) {
  const Result result = InOwnNamespace([] {
    const uint32_t index = if_nametoindex("lo");
    if (!BringUp("lo") || !BindXdpSocket(index)) return Result::kNotAllowed;
    const absl::StatusOr<QueueFacts> queue = ReadQueue("lo", 0);
    return Holds(queue.ok() && queue->user == QueueUser::kXsk);
  });
  if (result == Result::kNotAllowed)
    GTEST_SKIP() << "no AF_XDP in a network namespace for this user";
  EXPECT_EQ(result, Result::kHolds);
}

}  // namespace
}  // namespace sluice
