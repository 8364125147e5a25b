#include "ingest/ring/why_no_queue.h"

#include <net/if.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ingest/probe/driver.h"
#include "ingest/probe/kernel_release.h"
#include "ingest/probe/privileges.h"

namespace sluice {
namespace {

struct Refusal {
  absl::StatusCode code = absl::StatusCode::kFailedPrecondition;
  std::string cause;
  std::string remedy;
};

Refusal Because(std::string cause, std::string remedy) {
  return {absl::StatusCode::kFailedPrecondition, std::move(cause), std::move(remedy)};
}

Refusal NotAllowed() {
  // The kernel asks the initial user namespace, whatever this process holds in its own.
  if (!ReadPrivileges().initial_user_namespace) {
    return Because(
        "it needs CAP_NET_ADMIN in the initial user namespace, and this process is in another",
        "run it outside of that (rootless) container");
  }
  return Because("it needs CAP_NET_ADMIN",
                 "run as root, or grant it (systemd AmbientCapabilities=CAP_NET_ADMIN, `setcap "
                 "cap_net_admin+ep`)");
}

Refusal NotThere(const std::string& interface) {
  if (if_nametoindex(interface.c_str()) != 0) {
    return Because(absl::StrCat(interface, " is down"),
                   absl::StrCat("bring it up: `ip link set ", interface, " up`"));
  }
  return {absl::StatusCode::kNotFound,
          absl::StrCat("there is no interface ", interface, " in this network namespace"),
          "`ip link` lists those that are"};
}

Refusal NotSupported(const std::string& interface) {
  const Driver driver = DriverOf(interface);
  if (!driver.hardware) {
    return Because(absl::StrCat(interface, " is not a network card"),
                   "use one whose driver lends queues (bnxt_en, mlx5_core, gve, fbnic), or the "
                   "copying receiver");
  }
  if (CanLendQueues(driver.name)) {
    return Because(
        absl::StrCat(driver.name, ", the driver of ", interface, ", lends queues but refuses here"),
        "update the card's firmware (bnxt_en) or turn off what excludes it (mlx5_core: "
        "HTB, time stamps by PTP queues), or use the copying receiver");
  }
  return Because(
      absl::StrCat(driver.name.empty() ? "the" : driver.name + ", the", " driver of ", interface,
                   driver.name.empty() ? "" : ",", " does not lend queues to programs"),
      "use a card with bnxt_en, mlx5_core, gve or fbnic, or the copying receiver");
}

Refusal NoSuchQueue(const InterfaceQueueOptions& options) {
  const std::string& interface = options.interface;
  if (options.queue == 0) {  // every interface has one
    return Because(absl::StrCat("the driver of ", interface, " keeps queue 0 for itself"),
                   absl::StrCat("choose another one of `ethtool -l ", interface, "`"));
  }
  return Because(absl::StrCat(interface, " has no receive queue ", options.queue),
                 absl::StrCat("`ethtool -l ", interface, "` shows how many it has, `ethtool -L ",
                              interface, " combined N` gives it more"));
}

Refusal NotDeviceLess(const std::string& release) {
  if (IsAtLeast(release, 7, 2)) {
    return Because(absl::StrCat("this kernel (", release, ") refuses how it was asked"),
                   "use the copying receiver, and report this as a bug");
  }
  return Because(absl::StrCat("this kernel (", release, ") does not have it"),
                 "Linux 7.2 or newer is needed");
}

Refusal NotSplit(const std::string& interface, const std::string& release) {
  // Register operations that a kernel does not know are EINVAL, too.
  if (!IsAtLeast(release, 6, 15)) {
    return Because(absl::StrCat("this kernel (", release, ") does not have it"),
                   "Linux 6.15 or newer is needed");
  }
  return Because(
      absl::StrCat(interface, " does not split headers from payload at every length"),
      absl::StrCat("turn that on: `ethtool -G ", interface, " tcp-data-split on hds-thresh 0`"));
}

Refusal OutOfMemory() {
  return {absl::StatusCode::kResourceExhausted,
          "the limit on locked memory is too low, or memory is short (the area counts twice: once "
          "for the queue and once for writes)",
          "raise the limit (`ulimit -l`, systemd LimitMEMLOCK=), grant CAP_IPC_LOCK, or choose a "
          "smaller region"};
}

Refusal Unforeseen(int error) {
  return {absl::ErrnoToStatusCode(error),
          absl::StrCat("the kernel says \"", strerror(error), "\" (errno ", error, ")"),
          "use the copying receiver, and report this as a bug"};
}

Refusal OfADevice(int error, const InterfaceQueueOptions& options) {
  const std::string& interface = options.interface;
  switch (error) {
    case ENODEV:
      return NotThere(interface);
    case EOPNOTSUPP:
      return NotSupported(interface);
    case EINVAL:
      return NotSplit(interface, KernelRelease());
    case ERANGE:
      return NoSuchQueue(options);
    case EEXIST:
      return Because(
          absl::StrCat("a program has that queue, or had it until just now, or an XDP program is "
                       "attached to ",
                       interface),
          absl::StrCat("end it (`ip link show ", interface,
                       "` shows XDP), wait a few seconds, or choose another queue"));
    case EBUSY:
      return Because("the queue is lent to AF_XDP or to a virtual interface",
                     "choose another queue, or end that use");
    case ENODATA:
      return Because(
          absl::StrCat("the driver of ", interface, " restarted the queue without our memory"),
          absl::StrCat("turn header split on (`ethtool -G ", interface,
                       " tcp-data-split on`), or use the copying receiver"));
    default:
      return Unforeseen(error);
  }
}

Refusal Explain(int error, const InterfaceQueueOptions& options) {
  // In the order in which the kernel looks: these come before it asks what for.
  if (error == EPERM) return NotAllowed();
  if (error == ENOMEM) return OutOfMemory();
  if (!options.interface.empty()) return OfADevice(error, options);
  if (error == EINVAL) return NotDeviceLess(KernelRelease());
  return Unforeseen(error);
}

}  // namespace

absl::Status WhyNoInterfaceQueue(int error, const InterfaceQueueOptions& options) {
  const Refusal refusal = Explain(error, options);
  const std::string what =
      options.interface.empty()
          ? "device-less zero-copy receive"
          : absl::StrCat("zero-copy receive on queue ", options.queue, " of ", options.interface);
  return absl::Status(
      refusal.code, absl::StrCat(what, " is not possible: ", refusal.cause, "; ", refusal.remedy));
}

}  // namespace sluice
