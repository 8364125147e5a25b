#include "control/nic/interface.h"

#include <libmnl/libmnl.h>
#include <linux/ethtool_netlink.h>
#include <linux/if_link.h>
#include <linux/netdev.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "control/nic/genetlink.h"
#include "control/nic/netlink.h"
#include "ingest/probe/kernel_release.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

absl::Status NoInterface(const std::string& name) {
  return absl::NotFoundError(absl::StrCat("there is no interface \"", name,
                                          "\" in this network namespace: see `ip link`"));
}

absl::StatusOr<uint32_t> IndexOf(const std::string& name) {
  const uint32_t index = if_nametoindex(name.c_str());
  if (index == 0) return NoInterface(name);
  return index;
}

// Up, and XDP: what rtnetlink knows.
absl::Status ReadLink(InterfaceFacts* facts) {
  SLUICE_ASSIGN_OR_RETURN(Netlink netlink, Netlink::Open(NETLINK_ROUTE));
  alignas(nlmsghdr) std::array<char, 256> buffer;
  nlmsghdr* const request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETLINK;
  auto* const which =
      static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
  which->ifi_index = static_cast<int>(facts->index);
  const absl::StatusOr<Netlink::Answer> answer =
      netlink.Do(request, absl::StrCat("ask for interface ", facts->name));
  if (absl::IsNotFound(answer.status())) return NoInterface(facts->name);  // it has just gone
  SLUICE_RETURN_IF_ERROR(answer.status());
  if (answer->empty() || answer->front().size() < sizeof(ifinfomsg)) return absl::OkStatus();
  const std::vector<std::byte>& link = answer->front();
  facts->up = (reinterpret_cast<const ifinfomsg*>(link.data())->ifi_flags & IFF_UP) != 0;
  const Attributes attributes(absl::MakeConstSpan(link).subspan(sizeof(ifinfomsg)));
  facts->xdp = attributes.Nest(IFLA_XDP).Number(IFLA_XDP_ATTACHED).value_or(XDP_ATTACHED_NONE) !=
               XDP_ATTACHED_NONE;
  return absl::OkStatus();
}

absl::StatusOr<Attributes> AskEthtool(Genetlink& netlink, uint8_t command, uint16_t header,
                                      const InterfaceFacts& facts) {
  SLUICE_ASSIGN_OR_RETURN(const GenetlinkFamily family, netlink.Family(ETHTOOL_GENL_NAME));
  GenetlinkRequest request(family, command);
  request.Nest(header, [&] { request.Put(ETHTOOL_A_HEADER_DEV_INDEX, facts.index); });
  return netlink.Do(request, absl::StrCat("ask the driver of ", facts.name));
}

void ReadHeaderSplit(Genetlink& netlink, InterfaceFacts* facts) {
  const absl::StatusOr<Attributes> rings =
      AskEthtool(netlink, ETHTOOL_MSG_RINGS_GET, ETHTOOL_A_RINGS_HEADER, *facts);
  if (!rings.ok()) return;  // most drivers of what is no hardware
  switch (rings->Number(ETHTOOL_A_RINGS_TCP_DATA_SPLIT).value_or(ETHTOOL_TCP_DATA_SPLIT_UNKNOWN)) {
    case ETHTOOL_TCP_DATA_SPLIT_DISABLED:
      facts->header_split = HeaderSplit::kOff;
      break;
    case ETHTOOL_TCP_DATA_SPLIT_ENABLED:
      facts->header_split = HeaderSplit::kOn;
      break;
    default:
      break;
  }
  facts->header_split_threshold = rings->Number(ETHTOOL_A_RINGS_HDS_THRESH);
}

absl::StatusOr<uint32_t> CountQueues(Genetlink& netlink, const InterfaceFacts& facts) {
  SLUICE_ASSIGN_OR_RETURN(const GenetlinkFamily family, netlink.Family(NETDEV_FAMILY_NAME));
  GenetlinkRequest request(family, NETDEV_CMD_QUEUE_GET);
  request.Put(NETDEV_A_QUEUE_IFINDEX, facts.index);
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Attributes> queues,
                          netlink.Dump(request, "list the queues"));
  return static_cast<uint32_t>(
      std::count_if(queues.begin(), queues.end(), [](const Attributes& queue) {
        return queue.Number(NETDEV_A_QUEUE_TYPE) == NETDEV_QUEUE_TYPE_RX;
      }));
}

// An interface that is down has no queues yet; its driver says how many it will have.
std::optional<uint32_t> CountChannels(Genetlink& netlink, const InterfaceFacts& facts) {
  const absl::StatusOr<Attributes> channels =
      AskEthtool(netlink, ETHTOOL_MSG_CHANNELS_GET, ETHTOOL_A_CHANNELS_HEADER, facts);
  if (!channels.ok()) return std::nullopt;
  return channels->Number(ETHTOOL_A_CHANNELS_RX_COUNT).value_or(0) +
         channels->Number(ETHTOOL_A_CHANNELS_COMBINED_COUNT).value_or(0);
}

absl::Status CannotTell() {
  return absl::UnimplementedError(
      absl::StrCat("this kernel (", KernelRelease(),
                   ") does not tell about receive queues: Linux 6.8 or newer is needed"));
}

// The kernel's error names an errno; which it is depends on what was wrong with the question.
absl::Status WhyNoQueue(const absl::Status& status, const std::string& interface, uint32_t queue) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return absl::NotFoundError(absl::StrCat(interface, " has no receive queue ", queue));
    case absl::StatusCode::kNotFound:
      return absl::FailedPreconditionError(
          absl::StrCat(interface, " is down: its queues are made when it is up"));
    case absl::StatusCode::kUnimplemented:
      return CannotTell();
    default:
      return status;
  }
}

}  // namespace

QueueUser UserOf(const Attributes& queue) {
  if (queue.Has(NETDEV_A_QUEUE_IO_URING)) return QueueUser::kIoUring;
  if (queue.Has(NETDEV_A_QUEUE_DMABUF)) return QueueUser::kDmabuf;
  if (queue.Has(NETDEV_A_QUEUE_XSK)) return QueueUser::kXsk;
  if (queue.Has(NETDEV_A_QUEUE_LEASE)) return QueueUser::kLeased;
  return QueueUser::kKernel;
}

absl::StatusOr<InterfaceFacts> ReadInterface(const std::string& name) {
  InterfaceFacts facts;
  facts.name = name;
  SLUICE_ASSIGN_OR_RETURN(facts.index, IndexOf(name));
  SLUICE_RETURN_IF_ERROR(ReadLink(&facts));
  facts.driver = DriverOf(name);
  SLUICE_ASSIGN_OR_RETURN(Genetlink netlink, Genetlink::Open());
  ReadHeaderSplit(netlink, &facts);
  const absl::StatusOr<uint32_t> queues = CountQueues(netlink, facts);
  if (queues.ok() && *queues > 0) {
    facts.receive_queues = *queues;
  } else {
    facts.receive_queues = CountChannels(netlink, facts);
  }
  return facts;
}

absl::StatusOr<QueueFacts> ReadQueue(const std::string& interface, uint32_t queue) {
  SLUICE_ASSIGN_OR_RETURN(const uint32_t index, IndexOf(interface));
  SLUICE_ASSIGN_OR_RETURN(Genetlink netlink, Genetlink::Open());
  const absl::StatusOr<GenetlinkFamily> family = netlink.Family(NETDEV_FAMILY_NAME);
  if (absl::IsNotFound(family.status())) return CannotTell();
  SLUICE_RETURN_IF_ERROR(family.status());
  GenetlinkRequest request(*family, NETDEV_CMD_QUEUE_GET);
  request.Put(NETDEV_A_QUEUE_IFINDEX, index);
  request.Put(NETDEV_A_QUEUE_TYPE, uint32_t{NETDEV_QUEUE_TYPE_RX});
  request.Put(NETDEV_A_QUEUE_ID, queue);
  const absl::StatusOr<Attributes> answer =
      netlink.Do(request, absl::StrCat("ask for receive queue ", queue, " of ", interface));
  if (!answer.ok()) return WhyNoQueue(answer.status(), interface, queue);
  QueueFacts facts;
  if (const auto napi = answer->Number(NETDEV_A_QUEUE_NAPI_ID); napi.value_or(0) != 0) {
    facts.napi = static_cast<uint32_t>(*napi);
  }
  facts.user = UserOf(*answer);
  return facts;
}

absl::StatusOr<uint32_t> NapiOfQueue(const std::string& interface, uint32_t queue) {
  SLUICE_ASSIGN_OR_RETURN(const QueueFacts facts, ReadQueue(interface, queue));
  if (facts.napi) return *facts.napi;
  return absl::NotFoundError(
      absl::StrCat("receive queue ", queue, " of ", interface, " has no NAPI instance"));
}

}  // namespace sluice
