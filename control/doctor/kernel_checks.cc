#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/doctor/checks.h"
#include "ingest/units.h"

namespace sluice {
namespace {

constexpr ByteCount kRegion = MiB(64);  // what a lane has unless told otherwise
// The region twice, once for zero-copy receive and once for writes, and the rings.
constexpr ByteCount kLocked = MiB(136);

constexpr char kNoRings[] = "io_uring is not usable";

// What only zero-copy receive needs is missing when that was asked about.
CheckState WithoutZeroCopy(const DoctorFacts& facts) {
  return facts.interface ? CheckState::kMissing : CheckState::kWarning;
}

std::string InMiB(ByteCount bytes) { return absl::StrCat(bytes.value >> 20, " MiB"); }

struct Named {
  const char* name;
  bool there;
};
std::string Join(const std::vector<Named>& all, bool there) {
  std::vector<std::string> names;
  for (const Named& each : all) {
    if (each.there == there) names.push_back(each.name);
  }
  return absl::StrJoin(names, ", ");
}
// "A, B; not C"
std::string Inventory(const std::vector<Named>& all) {
  const std::string there = Join(all, true);
  const std::string not_there = Join(all, false);
  if (not_there.empty()) return there;
  return there.empty() ? absl::StrCat("none of ", not_there)
                       : absl::StrCat(there, "; not ", not_there);
}

Check WhyForbidden(const KernelFacts& kernel, Check check) {
  if (kernel.io_uring_disabled.value_or(0) == 2) {
    check.found = "forbidden to all by the sysctl kernel.io_uring_disabled";
    check.remedy = "`sysctl kernel.io_uring_disabled=0`";
  } else if (kernel.io_uring_disabled.value_or(0) == 1) {
    check.found = "forbidden to this user by the sysctl kernel.io_uring_disabled";
    check.remedy = "set it to 0, add the user to the group kernel.io_uring_group, or run as root";
  } else {
    check.found = "forbidden, as container runtimes do by seccomp";
    check.remedy = "use a seccomp profile that allows io_uring_setup, _enter and _register";
  }
  return check;
}

}  // namespace

Check CheckKernel(const DoctorFacts& facts) {
  const KernelFacts& kernel = facts.kernel;
  Check check{"kernel", CheckState::kOk, absl::StrCat("Linux ", kernel.release), ""};
  if (kernel.io_uring_error != 0) return check;  // nothing more is known
  if (!kernel.incremental_buffers) {
    check.state = CheckState::kMissing;
    check.remedy = "Linux 6.12 or newer is needed to record";
  } else if (!kernel.receive_zero_copy || !kernel.write_fixed_vectored) {
    check.state = CheckState::kWarning;
    check.remedy =
        "Linux 6.15 or newer has zero-copy receive, and vectored writes from registered memory";
  }
  return check;
}

Check CheckIoUring(const DoctorFacts& facts) {
  const KernelFacts& kernel = facts.kernel;
  Check check{"io_uring", CheckState::kMissing, "", ""};
  switch (kernel.io_uring_error) {
    case 0:
      return {check.name, CheckState::kOk, "usable", ""};
    case EPERM:
      return WhyForbidden(kernel, check);
    case ENOSYS:
      check.found = "not in this kernel, or hidden by a container's seccomp profile";
      check.remedy = "Linux 6.12 or newer, and a profile that allows io_uring";
      return check;
    case ENOMEM:
      check.found = "the limit on locked memory is too low even for a ring";
      check.remedy = "raise it (`ulimit -l`, systemd LimitMEMLOCK=)";
      return check;
    default:
      check.found = absl::StrCat("refused: ", strerror(kernel.io_uring_error));
      check.remedy = "see the kernel's log";
      return check;
  }
}

Check CheckRingFlags(const DoctorFacts& facts) {
  const KernelFacts& kernel = facts.kernel;
  Check check{"ring flags", CheckState::kOk, "", ""};
  if (kernel.io_uring_error != 0) return {check.name, CheckState::kNotChecked, kNoRings, ""};
  check.found = Inventory({{"SINGLE_ISSUER", kernel.single_issuer},
                           {"DEFER_TASKRUN", kernel.defer_taskrun},
                           {"CQE32", kernel.cqe32},
                           {"CQE_MIXED", kernel.cqe_mixed}});
  // CQE_MIXED would save memory; nothing depends on it.
  if (!kernel.single_issuer || !kernel.defer_taskrun) {
    check.state = CheckState::kMissing;
    check.remedy = "Linux 6.12 or newer is needed to record";
  } else if (!kernel.cqe32) {
    check.state = WithoutZeroCopy(facts);
    check.remedy = "zero-copy receive needs CQE32: Linux 6.15 or newer";
  }
  return check;
}

Check CheckReceiveBuffers(const DoctorFacts& facts) {
  Check check{"receive buffers", CheckState::kOk, "incremental (IOU_PBUF_RING_INC)", ""};
  if (facts.kernel.io_uring_error != 0) return {check.name, CheckState::kNotChecked, kNoRings, ""};
  if (!facts.kernel.incremental_buffers) {
    check.state = CheckState::kMissing;
    check.found = "not incremental (no IOU_PBUF_RING_INC)";
    check.remedy = "Linux 6.12 or newer is needed to record";
  }
  return check;
}

Check CheckOperations(const DoctorFacts& facts) {
  const KernelFacts& kernel = facts.kernel;
  Check check{"operations", CheckState::kOk, "", ""};
  if (kernel.io_uring_error != 0) return {check.name, CheckState::kNotChecked, kNoRings, ""};
  check.found = Inventory(
      {{"RECV_ZC", kernel.receive_zero_copy}, {"WRITEV_FIXED", kernel.write_fixed_vectored}});
  if (!kernel.receive_zero_copy) {
    check.state = WithoutZeroCopy(facts);
    check.remedy =
        "zero-copy receive (RECV_ZC) needs Linux 6.15 or newer, built with NET_RX_BUSY_POLL";
  } else if (!kernel.write_fixed_vectored) {
    check.state = CheckState::kWarning;
    check.remedy = "Linux 6.15 or newer writes from registered memory, which is faster";
  }
  return check;
}

Check CheckZeroCopyFeatures(const DoctorFacts& facts) {
  const KernelFacts& kernel = facts.kernel;
  Check check{"zero-copy features", CheckState::kOk, "", ""};
  if (kernel.io_uring_error != 0) return {check.name, CheckState::kNotChecked, kNoRings, ""};
  if (!kernel.receive_zero_copy) {
    return {check.name, CheckState::kNotChecked, "no zero-copy receive in this kernel", ""};
  }
  check.found = Inventory({{"device-less", kernel.device_less()},
                           {"flush", kernel.flush()},
                           {"events", kernel.events()}});
  if (!kernel.flush() || !kernel.events()) {
    check.state = CheckState::kWarning;
    check.remedy =
        "Linux 7.2 or newer says what it had to copy after all, and takes memory back when told";
  }
  return check;
}

Check CheckLockedMemory(const DoctorFacts& facts) {
  const Privileges& privileges = facts.kernel.privileges;
  Check check{"locked memory", CheckState::kOk, "", ""};
  // The kernel asks for the capability in the initial user namespace.
  if (privileges.ipc_lock && privileges.initial_user_namespace) {
    check.found = "no limit (CAP_IPC_LOCK)";
  } else if (!privileges.locked_bytes_max) {
    check.found = "no limit";
  } else {
    const ByteCount limit{*privileges.locked_bytes_max};
    check.found = absl::StrCat(
        "at most ", limit < MiB(1) ? absl::StrCat(limit.value >> 10, " KiB") : InMiB(limit));
    if (limit >= kLocked) return check;
    check.state = CheckState::kWarning;
    check.remedy = absl::StrCat("raise it to ", InMiB(kLocked),
                                " for each lane (`ulimit -l`, systemd LimitMEMLOCK=) or ",
                                "grant CAP_IPC_LOCK: a region of ", InMiB(kRegion),
                                " counts once for writes and once for zero-copy receive");
  }
  return check;
}

Check CheckHugePages(const DoctorFacts& facts) {
  const HugePages& pages = facts.kernel.huge_pages;
  Check check{"huge pages", CheckState::kOk, "", ""};
  if (pages.size.value == 0 && pages.transparent.empty()) {
    check.found = "none in this kernel";
  } else {
    check.found = absl::StrCat(
        pages.free, " of ", pages.total, " free, ", InMiB(pages.size),
        " each; transparent: ", pages.transparent.empty() ? "none" : pages.transparent);
  }
  const bool enough = pages.free * pages.size.value >= kRegion.value;
  const bool transparent = pages.transparent == "always" || pages.transparent == "madvise";
  if (enough || transparent) return check;
  check.state = CheckState::kWarning;
  check.remedy = "use a kernel with huge pages: writes then have fewer pieces";
  if (pages.size.value != 0) {
    check.remedy = absl::StrCat(
        "`sysctl vm.nr_hugepages=", RoundUp(kRegion.value, pages.size.value) / pages.size.value,
        "` for each lane, or allow transparent ones (`echo madvise > "
        "/sys/kernel/mm/transparent_hugepage/enabled`): writes then have "
        "fewer pieces");
  }
  return check;
}

Check CheckNetAdmin(const DoctorFacts& facts) {
  const Privileges& privileges = facts.kernel.privileges;
  Check check{"CAP_NET_ADMIN", CheckState::kOk, "in effect", ""};
  if (privileges.net_admin && privileges.initial_user_namespace) return check;
  check.state = WithoutZeroCopy(facts);
  if (privileges.initial_user_namespace) {
    check.found = "not in effect";
    check.remedy =
        "only zero-copy receive needs it: run as root, or grant it (systemd "
        "AmbientCapabilities=CAP_NET_ADMIN, `setcap cap_net_admin+ep`)";
  } else {
    check.found = privileges.net_admin
                      ? "in effect only in a user namespace, where it does not count"
                      : "not in effect, in a user namespace where it would not count";
    check.remedy = "only zero-copy receive needs it: run outside of this (rootless) container";
  }
  return check;
}

}  // namespace sluice
