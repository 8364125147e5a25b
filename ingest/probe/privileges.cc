#include "ingest/probe/privileges.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

namespace sluice {
namespace {

// The inode of the first user namespace: PROC_USER_INIT_INO of include/linux/proc_ns.h.
constexpr ino_t kInitialUserNamespace = 0xEFFFFFFD;

uint64_t EffectiveCapabilities() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data = {};
  if (syscall(SYS_capget, &header, data.data()) != 0) return 0;
  return data[0].effective | uint64_t{data[1].effective} << 32;
}

bool InInitialUserNamespace() {
  struct stat info = {};
  // Without /proc there is nothing to say against it.
  return stat("/proc/self/ns/user", &info) != 0 || info.st_ino == kInitialUserNamespace;
}

}  // namespace

Privileges ReadPrivileges() {
  const uint64_t capabilities = EffectiveCapabilities();
  Privileges privileges;
  privileges.net_admin = (capabilities >> CAP_NET_ADMIN & 1) != 0;
  privileges.ipc_lock = (capabilities >> CAP_IPC_LOCK & 1) != 0;
  privileges.initial_user_namespace = InInitialUserNamespace();
  rlimit limit = {};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    privileges.locked_bytes_max = limit.rlim_cur;
  }
  return privileges;
}

}  // namespace sluice
