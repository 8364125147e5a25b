#include "control/nic/nic_state.h"

#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "control/nic/ethtool.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

// A driver that does not have a setting says so, one way or another; then it is left out.
template <class T>
absl::Status Optional(absl::StatusOr<T> read, std::optional<T>* to) {
  if (absl::IsUnimplemented(read.status())) return absl::OkStatus();
  SLUICE_RETURN_IF_ERROR(read.status());
  *to = *std::move(read);
  return absl::OkStatus();
}

std::optional<uint32_t> Number(const Attributes& attributes, uint16_t type) {
  const std::optional<uint64_t> number = attributes.Number(type);
  if (!number) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

absl::StatusOr<Channels> ReadChannels(NicPort& port, const std::string& interface) {
  SLUICE_ASSIGN_OR_RETURN(
      const Attributes answer,
      AskEthtool(port, interface, ETHTOOL_MSG_CHANNELS_GET, ETHTOOL_A_CHANNELS_HEADER,
                 absl::StrCat("read how many channels ", interface, " has")));
  const auto get = [&](uint16_t type) { return Number(answer, type).value_or(0); };
  return Channels{.receive = get(ETHTOOL_A_CHANNELS_RX_COUNT),
                  .transmit = get(ETHTOOL_A_CHANNELS_TX_COUNT),
                  .combined = get(ETHTOOL_A_CHANNELS_COMBINED_COUNT),
                  .other = get(ETHTOOL_A_CHANNELS_OTHER_COUNT),
                  .receive_max = get(ETHTOOL_A_CHANNELS_RX_MAX),
                  .transmit_max = get(ETHTOOL_A_CHANNELS_TX_MAX),
                  .combined_max = get(ETHTOOL_A_CHANNELS_COMBINED_MAX),
                  .other_max = get(ETHTOOL_A_CHANNELS_OTHER_MAX)};
}

absl::StatusOr<Rings> ReadRings(NicPort& port, const std::string& interface) {
  SLUICE_ASSIGN_OR_RETURN(const Attributes answer,
                          AskEthtool(port, interface, ETHTOOL_MSG_RINGS_GET, ETHTOOL_A_RINGS_HEADER,
                                     absl::StrCat("read the rings of ", interface)));
  Rings rings;
  rings.receive = Number(answer, ETHTOOL_A_RINGS_RX);
  rings.receive_max = Number(answer, ETHTOOL_A_RINGS_RX_MAX);
  rings.transmit = Number(answer, ETHTOOL_A_RINGS_TX);
  rings.header_split_threshold = Number(answer, ETHTOOL_A_RINGS_HDS_THRESH);
  rings.header_split_threshold_max = Number(answer, ETHTOOL_A_RINGS_HDS_THRESH_MAX);
  if (const auto split = answer.Number(ETHTOOL_A_RINGS_TCP_DATA_SPLIT)) {
    rings.header_split = *split == ETHTOOL_TCP_DATA_SPLIT_ENABLED    ? HeaderSplit::kOn
                         : *split == ETHTOOL_TCP_DATA_SPLIT_DISABLED ? HeaderSplit::kOff
                                                                     : HeaderSplit::kUnknown;
  }
  return rings;
}

absl::StatusOr<bool> ReadNtuple(NicPort& port, const std::string& interface) {
  ethtool_value flags = {.cmd = ETHTOOL_GFLAGS, .data = 0};
  SLUICE_RETURN_IF_ERROR(
      port.Ethtool(interface, &flags, absl::StrCat("read the features of ", interface)));
  return (flags.data & ETH_FLAG_NTUPLE) != 0;
}

// Of a context; 0 is the main one.
absl::StatusOr<Indirection> ReadIndirection(NicPort& port, const std::string& interface,
                                            uint32_t context) {
  const std::string what = absl::StrCat("read the RSS table of ", interface);
  ethtool_rxfh sizes = {};
  sizes.cmd = ETHTOOL_GRSSH;
  sizes.rss_context = context;
  SLUICE_RETURN_IF_ERROR(port.Ethtool(interface, &sizes, what));
  if (sizes.indir_size == 0) return absl::UnimplementedError("no table");
  std::vector<uint32_t> command(sizeof(ethtool_rxfh) / sizeof(uint32_t) + sizes.indir_size +
                                sizes.key_size / sizeof(uint32_t) + 1);
  std::memcpy(command.data(), &sizes, sizeof(sizes));
  SLUICE_RETURN_IF_ERROR(port.Ethtool(interface, command.data(), what));
  const auto begin = command.begin() + sizeof(ethtool_rxfh) / sizeof(uint32_t);
  return Indirection(begin, begin + sizes.indir_size);
}

// Only netlink lists them (Linux 6.12); what rules speak of is known in any case.
absl::StatusOr<std::set<uint32_t>> ListContexts(NicPort& port, const NicState& state) {
  std::set<uint32_t> contexts;
  for (const auto& [location, rule] : state.rules) {
    if (const auto context = rule.rss_context()) contexts.insert(*context);
  }
  const absl::StatusOr<GenetlinkFamily> family = port.Family(ETHTOOL_GENL_NAME);
  if (absl::IsNotFound(family.status())) return contexts;
  SLUICE_RETURN_IF_ERROR(family.status());
  GenetlinkRequest request(*family, ETHTOOL_MSG_RSS_GET);
  request.Nest(ETHTOOL_A_RSS_HEADER,
               [&] { request.Put(ETHTOOL_A_HEADER_DEV_NAME, state.interface); });
  const auto list = port.Dump(request, absl::StrCat("list the RSS contexts of ", state.interface));
  if (!list.ok()) return contexts;
  for (const Attributes& one : *list) {
    if (const auto id = one.Number(ETHTOOL_A_RSS_CONTEXT)) {
      contexts.insert(static_cast<uint32_t>(*id));
    }
  }
  contexts.erase(0);
  return contexts;
}

absl::Status ReadContexts(NicPort& port, NicState* state) {
  SLUICE_ASSIGN_OR_RETURN(const std::set<uint32_t> contexts, ListContexts(port, *state));
  for (const uint32_t context : contexts) {
    absl::StatusOr<Indirection> table = ReadIndirection(port, state->interface, context);
    if (absl::IsNotFound(table.status())) continue;  // it has just gone
    SLUICE_RETURN_IF_ERROR(table.status());
    state->contexts[context] = *std::move(table);
  }
  return absl::OkStatus();
}

absl::Status ReadRules(NicPort& port, NicState* state) {
  const std::string& interface = state->interface;
  const std::string what = absl::StrCat("read the flow rules of ", interface);
  ethtool_rxnfc count = {};
  count.cmd = ETHTOOL_GRXCLSRLCNT;
  const absl::Status counted = port.Ethtool(interface, &count, what);
  if (absl::IsUnimplemented(counted)) return absl::OkStatus();
  SLUICE_RETURN_IF_ERROR(counted);
  state->chooses_location = (count.data & RX_CLS_LOC_SPECIAL) != 0;
  std::vector<uint32_t> command(sizeof(ethtool_rxnfc) / sizeof(uint32_t) + count.rule_cnt);
  ethtool_rxnfc list = {};
  list.cmd = ETHTOOL_GRXCLSRLALL;
  list.rule_cnt = count.rule_cnt;
  std::memcpy(command.data(), &list, sizeof(list));
  SLUICE_RETURN_IF_ERROR(port.Ethtool(interface, command.data(), what));
  std::memcpy(&list, command.data(), sizeof(list));
  state->rules_max = static_cast<uint32_t>(list.data);
  const uint32_t* const locations = command.data() + offsetof(ethtool_rxnfc, rule_locs) / 4;
  for (uint32_t i = 0; i < std::min(list.rule_cnt, count.rule_cnt); ++i) {
    ethtool_rxnfc one = {};
    one.cmd = ETHTOOL_GRXCLSRULE;
    one.fs.location = locations[i];
    SLUICE_RETURN_IF_ERROR(port.Ethtool(interface, &one, what));
    FlowRule rule{one.fs, (one.fs.flow_type & FLOW_RSS) != 0 ? one.rss_context : 0};
    rule.spec.location = locations[i];
    state->rules[locations[i]] = rule;
  }
  return absl::OkStatus();
}

}  // namespace

Indirection Even(size_t size, uint32_t queues) {
  Indirection table(size);
  for (size_t i = 0; i < size && queues > 0; ++i) table[i] = static_cast<uint32_t>(i % queues);
  return table;
}

bool IsEven(const Indirection& table, uint32_t queues) {
  return queues > 0 && table == Even(table.size(), queues);
}

bool NicState::operator==(const NicState& other) const {
  return interface == other.interface && channels == other.channels && rings == other.rings &&
         ntuple == other.ntuple && indirection == other.indirection && contexts == other.contexts &&
         rules == other.rules;
}

absl::StatusOr<NicState> ReadNicState(NicPort& port, const std::string& interface) {
  NicState state;
  state.interface = interface;
  ethtool_drvinfo driver = {};
  driver.cmd = ETHTOOL_GDRVINFO;
  const absl::Status known =
      port.Ethtool(interface, &driver, absl::StrCat("ask who drives ", interface));
  if (absl::IsNotFound(known)) {
    return absl::NotFoundError(absl::StrCat("there is no interface \"", interface,
                                            "\" in this network namespace: see `ip link`"));
  }
  if (!absl::IsUnimplemented(known)) SLUICE_RETURN_IF_ERROR(known);
  state.driver = {driver.driver, driver.bus_info[0] != '\0'};
  SLUICE_RETURN_IF_ERROR(Optional(ReadChannels(port, interface), &state.channels));
  SLUICE_RETURN_IF_ERROR(Optional(ReadRings(port, interface), &state.rings));
  SLUICE_RETURN_IF_ERROR(Optional(ReadNtuple(port, interface), &state.ntuple));
  SLUICE_RETURN_IF_ERROR(Optional(ReadIndirection(port, interface, 0), &state.indirection));
  SLUICE_RETURN_IF_ERROR(ReadRules(port, &state));
  SLUICE_RETURN_IF_ERROR(ReadContexts(port, &state));
  return state;
}

}  // namespace sluice
