#include "control/nic/nic_queues.h"

#include <linux/netdev.h>

#include <algorithm>
#include <map>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

std::string TextOr(NicPort& port, const std::string& path) {
  absl::StatusOr<std::string> text = port.ReadText(path);
  if (!text.ok()) return "";
  absl::StripAsciiWhitespace(&*text);
  return *std::move(text);
}

std::string AffinityPath(uint32_t interrupt) {
  return absl::StrCat("/proc/irq/", interrupt, "/smp_affinity_list");
}

absl::StatusOr<std::vector<Attributes>> List(NicPort& port, uint8_t command, uint16_t field,
                                             uint32_t index, absl::string_view what) {
  const absl::StatusOr<GenetlinkFamily> family = port.Family(NETDEV_FAMILY_NAME);
  if (absl::IsNotFound(family.status())) {
    return absl::UnimplementedError(absl::StrCat(family.status().message(), ": Linux 6.8 has it"));
  }
  SLUICE_RETURN_IF_ERROR(family.status());
  GenetlinkRequest request(*family, command);
  request.Put(field, index);
  return port.Dump(request, what);
}

}  // namespace

absl::StatusOr<NicPlacement> ReadPlacement(NicPort& port, const std::string& interface,
                                           uint32_t index) {
  NicPlacement placement;
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Attributes> queues,
                          List(port, NETDEV_CMD_QUEUE_GET, NETDEV_A_QUEUE_IFINDEX, index,
                               absl::StrCat("list the queues of ", interface)));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Attributes> instances,
                          List(port, NETDEV_CMD_NAPI_GET, NETDEV_A_NAPI_IFINDEX, index,
                               absl::StrCat("list the NAPI instances of ", interface)));
  std::map<uint64_t, uint32_t> interrupts;  // by NAPI instance
  for (const Attributes& instance : instances) {
    const auto id = instance.Number(NETDEV_A_NAPI_ID);
    const auto interrupt = instance.Number(NETDEV_A_NAPI_IRQ);
    if (id && interrupt) interrupts[*id] = static_cast<uint32_t>(*interrupt);
  }
  for (const Attributes& one : queues) {
    if (one.Number(NETDEV_A_QUEUE_TYPE) != NETDEV_QUEUE_TYPE_RX) continue;
    NicQueue& queue = placement.queues.emplace_back();
    queue.id = static_cast<uint32_t>(one.Number(NETDEV_A_QUEUE_ID).value_or(0));
    queue.user = UserOf(one);
    const uint64_t napi = one.Number(NETDEV_A_QUEUE_NAPI_ID).value_or(0);
    if (napi == 0) continue;
    queue.napi = static_cast<uint32_t>(napi);
    if (const auto interrupt = interrupts.find(napi); interrupt != interrupts.end()) {
      queue.interrupt = interrupt->second;
      queue.cpus = TextOr(port, AffinityPath(interrupt->second));
    }
  }
  std::sort(placement.queues.begin(), placement.queues.end(),
            [](const NicQueue& a, const NicQueue& b) { return a.id < b.id; });
  const std::string device = absl::StrCat("/sys/class/net/", interface, "/device/");
  int node = -1;
  if (absl::SimpleAtoi(TextOr(port, device + "numa_node"), &node) && node >= 0) {
    placement.numa_node = node;
  }
  placement.near_cpus = TextOr(port, device + "local_cpulist");
  return placement;
}

}  // namespace sluice
