#include "control/service/nic_report.h"

#include <net/if.h>

#include <optional>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "control/config/interface_config.h"
#include "control/nic/nic_journal.h"
#include "control/nic/nic_queues.h"
#include "control/nic/nic_state.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

constexpr absl::string_view kCollection = "interfaces/";

v1::RssContext ToProto(uint32_t id, const Indirection& table) {
  v1::RssContext context;
  context.set_id(static_cast<int32_t>(id));
  auto& entries = *context.mutable_entries_by_queue();
  for (const uint32_t queue : table) ++entries[static_cast<int32_t>(queue)];
  return context;
}

v1::ReceiveQueue::User ToProto(QueueUser user) {
  switch (user) {
    case QueueUser::kIoUring:
      return v1::ReceiveQueue::IO_URING;
    case QueueUser::kDmabuf:
      return v1::ReceiveQueue::DMABUF;
    case QueueUser::kXsk:
      return v1::ReceiveQueue::XSK;
    case QueueUser::kLeased:
      return v1::ReceiveQueue::LEASED;
    case QueueUser::kKernel:
      break;
  }
  return v1::ReceiveQueue::KERNEL;
}

v1::NetworkInterface ToProto(const NicState& state) {
  v1::NetworkInterface to;
  to.set_name(InterfaceName(state.interface));
  to.set_driver(state.driver.name);
  const auto put = [](uint32_t value) { return static_cast<int32_t>(value); };
  if (state.channels) {
    to.set_receive_queues(put(state.channels->receive_queues()));
    to.set_receive_queues_max(put(state.channels->receive_max + state.channels->combined_max));
  }
  if (state.rings) {
    const Rings& rings = *state.rings;
    if (rings.receive) to.set_ring_size(put(*rings.receive));
    if (rings.receive_max) to.set_ring_size_max(put(*rings.receive_max));
    if (rings.header_split == HeaderSplit::kOn) to.set_header_split(v1::NetworkInterface::ON);
    if (rings.header_split == HeaderSplit::kOff) to.set_header_split(v1::NetworkInterface::OFF);
    if (rings.header_split_threshold) {
      to.set_header_split_threshold(put(*rings.header_split_threshold));
    }
  }
  to.set_flow_rules_enabled(state.ntuple.value_or(false));
  to.set_flow_rules_max(put(state.rules_max));
  for (const auto& [location, rule] : state.rules) {
    v1::FlowRule& one = *to.add_flow_rules();
    one.set_location(put(location));
    one.set_text(rule.ToString());
    if (const auto queue = rule.queue()) one.set_queue(put(*queue));
    if (const auto context = rule.rss_context()) one.set_rss_context(put(*context));
  }
  if (state.indirection) *to.add_rss_contexts() = ToProto(0, *state.indirection);
  for (const auto& [id, table] : state.contexts) *to.add_rss_contexts() = ToProto(id, table);
  return to;
}

void AddPlacement(const NicPlacement& placement, v1::NetworkInterface* to) {
  for (const NicQueue& queue : placement.queues) {
    v1::ReceiveQueue& one = *to->add_queues();
    one.set_id(static_cast<int32_t>(queue.id));
    if (queue.napi) one.set_napi_id(static_cast<int32_t>(*queue.napi));
    if (queue.interrupt) one.set_interrupt(static_cast<int32_t>(*queue.interrupt));
    one.set_cpus(queue.cpus);
    one.set_user(ToProto(queue.user));
  }
  if (placement.numa_node) to->set_numa_node(*placement.numa_node);
  to->set_near_cpus(placement.near_cpus);
}

}  // namespace

std::string InterfaceName(const std::string& interface) {
  return absl::StrCat(kCollection, interface);
}

absl::StatusOr<std::string> ParseInterfaceName(const std::string& name) {
  const std::string interface =
      absl::StartsWith(name, kCollection) ? name.substr(kCollection.size()) : "";
  if (interface.empty() || interface.size() >= IFNAMSIZ || absl::StrContains(interface, '/') ||
      interface == "." || interface == "..") {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" names no interface: names are like \"interfaces/eth1\""));
  }
  return interface;
}

absl::StatusOr<v1::NetworkInterface> DescribeNic(NicPort& port, const std::string& journals,
                                                 const std::string& interface) {
  SLUICE_ASSIGN_OR_RETURN(const NicState state, ReadNicState(port, interface));
  v1::NetworkInterface shown = ToProto(state);
  const absl::StatusOr<NicPlacement> placement =
      ReadPlacement(port, interface, if_nametoindex(interface.c_str()));
  if (placement.ok()) AddPlacement(*placement, &shown);
  SLUICE_ASSIGN_OR_RETURN(const std::optional<NicJournalEntry> entry,
                          ReadNicJournal(journals, interface));
  if (!entry) return shown;
  shown.set_managed(true);
  const absl::StatusOr<std::vector<NicStep>> steps = Steps(state, entry->desired);
  if (!steps.ok()) {
    shown.add_drift(std::string(steps.status().message()));
    return shown;
  }
  for (const NicStep& step : *steps) shown.add_drift(AsCommand(interface, step));
  return shown;
}

absl::StatusOr<v1::NicPlan> PlanNic(NicPort& port, const std::string& journals,
                                    const DesiredNic& desired) {
  SLUICE_ASSIGN_OR_RETURN(NicState state, ReadNicState(port, desired.interface));
  SLUICE_ASSIGN_OR_RETURN(const std::optional<NicJournalEntry> entry,
                          ReadNicJournal(journals, desired.interface));
  v1::NicPlan plan;
  if (entry && !(entry->desired == desired)) {
    for (const NicStep& step : StepsBack(state, entry->original, entry->desired)) {
      AddStep(desired.interface, step, &plan);
    }
    state = entry->original;
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<NicStep> steps, Steps(state, desired));
  for (const NicStep& step : steps) AddStep(desired.interface, step, &plan);
  return plan;
}

void AddStep(const std::string& interface, const NicStep& step, v1::NicPlan* to) {
  v1::NicPlan::Step& one = *to->add_steps();
  one.set_command(AsCommand(interface, step));
  one.set_disturbs(Disturbs(step));
}

absl::StatusOr<DesiredNic> ToDesired(const std::string& interface,
                                     const v1::InterfaceSettings& from) {
  DesiredNic to;
  to.interface = interface;
  for (const int32_t queue : from.zero_copy_queues()) {
    if (queue < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("settings.zero_copy_queues: queues are counted from 0, not ", queue));
    }
    to.zero_copy_queues.insert(static_cast<uint32_t>(queue));
  }
  for (const std::string& text : from.rules()) {
    SLUICE_ASSIGN_OR_RETURN(const std::vector<DesiredRule> rules, ParseRule(text));
    to.rules.insert(to.rules.end(), rules.begin(), rules.end());
  }
  if (from.receive_queues() < 0 || from.ring_size() < 0) {
    return absl::InvalidArgumentError(
        "settings.receive_queues and settings.ring_size must not be negative");
  }
  if (from.receive_queues() > 0) to.receive_queues = static_cast<uint32_t>(from.receive_queues());
  if (from.ring_size() > 0) to.ring_size = static_cast<uint32_t>(from.ring_size());
  return to;
}

}  // namespace sluice
