#include "control/cli/nic_view.h"

#include <map>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "control/cli/human.h"
#include "control/cli/table.h"

namespace sluice {
namespace {

std::string Word(v1::ReceiveQueue::User user) {
  switch (user) {
    case v1::ReceiveQueue::IO_URING:
      return "io_uring";
    case v1::ReceiveQueue::DMABUF:
      return "dmabuf";
    case v1::ReceiveQueue::XSK:
      return "AF_XDP";
    case v1::ReceiveQueue::LEASED:
      return "leased";
    default:
      return "kernel";
  }
}

// "0-3,6".
std::string Ranges(const std::set<int32_t>& numbers) {
  std::vector<std::string> ranges;
  for (auto at = numbers.begin(); at != numbers.end();) {
    const int32_t first = *at;
    int32_t last = first;
    while (++at != numbers.end() && *at == last + 1) last = *at;
    ranges.push_back(first == last ? absl::StrCat(first) : absl::StrCat(first, "-", last));
  }
  return absl::StrJoin(ranges, ",");
}

std::string Of(int32_t now, bool has_max, int32_t max) {
  return has_max && max > 0 ? absl::StrCat(now, " of at most ", max) : absl::StrCat(now);
}

std::string HeaderSplitText(const v1::NetworkInterface& interface) {
  switch (interface.header_split()) {
    case v1::NetworkInterface::ON:
      return interface.header_split_threshold() > 0
                 ? absl::StrCat("on, for packets over ", interface.header_split_threshold(),
                                " bytes")
                 : "on";
    case v1::NetworkInterface::OFF:
      return "off";
    default:
      return "the driver cannot";
  }
}

void PrintRss(const v1::NetworkInterface& interface, Properties& properties) {
  for (const v1::RssContext& context : interface.rss_contexts()) {
    std::set<int32_t> queues;
    for (const auto& [queue, entries] : context.entries_by_queue()) queues.insert(queue);
    properties.Add(context.id() == 0 ? "RSS" : absl::StrCat("RSS context ", context.id()),
                   absl::StrCat("queues ", Ranges(queues)));
  }
}

}  // namespace

void PrintInterface(const v1::NetworkInterface& interface, std::ostream& out) {
  {
    Properties properties(out);
    properties.Add("interface",
                   Printable(std::string(absl::StripPrefix(interface.name(), "interfaces/"))));
    properties.Add("driver", interface.driver().empty() ? "unknown" : interface.driver());
    if (interface.has_receive_queues()) {
      properties.Add("receive queues",
                     Of(interface.receive_queues(), interface.has_receive_queues_max(),
                        interface.receive_queues_max()));
    }
    if (interface.has_ring_size()) {
      properties.Add("ring size", Of(interface.ring_size(), interface.has_ring_size_max(),
                                     interface.ring_size_max()));
    }
    properties.Add("header split", HeaderSplitText(interface));
    PrintRss(interface, properties);
    if (interface.flow_rules_max() > 0) {
      properties.Add("flow rules", absl::StrCat(interface.flow_rules_enabled() ? "on, " : "off, ",
                                                interface.flow_rules_size(), " of at most ",
                                                interface.flow_rules_max()));
    } else {
      properties.Add("flow rules", "the driver has none");
    }
    for (const v1::FlowRule& rule : interface.flow_rules()) {
      properties.Add(absl::StrCat("  ", rule.location()), rule.text());
    }
    if (interface.has_numa_node()) {
      properties.Add("NUMA node",
                     absl::StrCat(interface.numa_node(), ", CPUs ", interface.near_cpus()));
    } else if (!interface.near_cpus().empty()) {
      properties.Add("near CPUs", interface.near_cpus());
    }
    if (interface.managed()) {
      properties.Add("set by sluice", interface.drift().empty()
                                          ? "yes, and still so"
                                          : "yes, but not so any more: see `sluice nic drift`");
    }
  }
  if (interface.queues().empty()) return;
  out << '\n';
  using Align = Table::Align;
  Table table(out, {{"QUEUE", Align::kRight},
                    {"NAPI", Align::kRight},
                    {"INTERRUPT", Align::kRight},
                    {"CPUS"},
                    {"MEMORY OF"}});
  for (const v1::ReceiveQueue& queue : interface.queues()) {
    table.AddRow({absl::StrCat(queue.id()),
                  queue.has_napi_id() ? absl::StrCat(queue.napi_id()) : "-",
                  queue.has_interrupt() ? absl::StrCat(queue.interrupt()) : "-",
                  queue.cpus().empty() ? "-" : queue.cpus(), Word(queue.user())});
  }
  table.Flush();
}

void PrintPlan(const v1::NicPlan& plan, std::ostream& out) {
  for (const v1::NicPlan::Step& step : plan.steps()) {
    out << step.command() << '\n';
    if (!step.disturbs().empty()) out << "    " << step.disturbs() << '\n';
  }
}

}  // namespace sluice
