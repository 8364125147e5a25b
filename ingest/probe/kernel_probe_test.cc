// Against the kernel that is here: what follows from its version must have been found.
#include "ingest/probe/kernel_probe.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <functional>

#include "gtest/gtest.h"
#include "ingest/probe/kernel_release.h"

namespace sluice {
namespace {

// In a process of its own, which may give up rights.
bool HoldsInChild(const std::function<bool()>& claim) {
  const pid_t child = fork();
  if (child == 0) _exit(claim() ? 0 : 1);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool RefuseIoUring() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter = {4, program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST(KernelProbeTest, FindsWhatTheVersionPromises) {
  const KernelFacts facts = ProbeKernel();
  if (facts.io_uring_error != 0) GTEST_SKIP() << "no io_uring here: " << facts.io_uring_error;
  EXPECT_EQ(facts.release, KernelRelease());
  EXPECT_TRUE(facts.single_issuer);
  EXPECT_TRUE(facts.defer_taskrun);
  EXPECT_TRUE(facts.cqe32);
  if (IsAtLeast(facts.release, 6, 12)) {
    EXPECT_TRUE(facts.incremental_buffers);
  }
  if (IsAtLeast(facts.release, 6, 15)) {
    EXPECT_TRUE(facts.write_fixed_vectored);
  }
}

TEST(KernelProbeTest, DeviceLessComesWithTheAnswer) {
  const KernelFacts facts = ProbeKernel();
  EXPECT_EQ(facts.device_less(), facts.zero_copy && (facts.zero_copy->register_flags & 2) != 0);
  if (!facts.zero_copy) {
    EXPECT_FALSE(facts.flush());
    EXPECT_FALSE(facts.events());
  }
}

TEST(KernelProbeTest, SeesThatIoUringIsForbidden) {
  EXPECT_TRUE(HoldsInChild([] {
    if (!RefuseIoUring()) return false;
    const KernelFacts facts = ProbeKernel();
    return facts.io_uring_error == EPERM && !facts.single_issuer && !facts.receive_zero_copy;
  }));
}

TEST(PrivilegesTest, SeesWhatWasGivenUp) {
  EXPECT_TRUE(HoldsInChild([] {
    const rlimit limit = {4096 * 16, 4096 * 16};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return false;
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[2] = {};
    if (syscall(SYS_capset, &header, none) != 0) return false;
    const Privileges privileges = ReadPrivileges();
    return !privileges.net_admin && !privileges.ipc_lock &&
           privileges.locked_bytes_max == uint64_t{4096} * 16;
  }));
}

}  // namespace
}  // namespace sluice
