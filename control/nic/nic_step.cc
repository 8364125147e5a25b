#include "control/nic/nic_step.h"

#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/nic/ethtool.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

// "weight 1 1 0 1" would be ethtool's; for an even spread it has a shorter word.
std::string SpreadText(const Indirection& table) {
  if (table.empty()) return "equal 0";
  const auto [low, high] = std::minmax_element(table.begin(), table.end());
  std::vector<uint32_t> weight(*high + 1);
  for (const uint32_t queue : table) ++weight[queue];
  bool even = true;
  for (size_t i = 0; i < table.size(); ++i) {
    even = even && table[i] == *low + i % (*high - *low + 1);
  }
  if (!even) return absl::StrCat("weight ", absl::StrJoin(weight, " "));
  return *low == 0 ? absl::StrCat("equal ", *high + 1)
                   : absl::StrCat("start ", *low, " equal ", *high - *low + 1);
}

const char* Word(HeaderSplit split) {
  switch (split) {
    case HeaderSplit::kOn:
      return "on";
    case HeaderSplit::kOff:
      return "off";
    case HeaderSplit::kUnknown:
      break;
  }
  return "auto";
}

std::string Text(const SetChannels& step) {
  std::string text;
  const auto put = [&](const char* name, uint32_t count, uint32_t max) {
    if (max > 0 || count > 0) absl::StrAppend(&text, " ", name, " ", count);
  };
  put("rx", step.to.receive, step.to.receive_max);
  put("tx", step.to.transmit, step.to.transmit_max);
  put("combined", step.to.combined, step.to.combined_max);
  return text;
}

std::string Text(const SetRings& step) {
  std::string text;
  if (step.receive) absl::StrAppend(&text, " rx ", *step.receive);
  if (step.header_split) absl::StrAppend(&text, " tcp-data-split ", Word(*step.header_split));
  if (step.header_split_threshold) {
    absl::StrAppend(&text, " hds-thresh ", *step.header_split_threshold);
  }
  return text;
}

std::string Action(const FlowRule& rule) {
  if (const auto queue = rule.queue()) return absl::StrCat(" action ", *queue);
  if (const auto context = rule.rss_context()) return absl::StrCat(" context ", *context);
  return "";
}

std::string Text(const FlowRule& rule) {
  const std::optional<FlowMatch> match = rule.match();
  std::string text = match ? ToString(*match) : absl::StrCat(rule.spec.flow_type & 0xFFFF);
  absl::StrAppend(&text, Action(rule));
  if (rule.location() < RX_CLS_LOC_SPECIAL) absl::StrAppend(&text, " loc ", rule.location());
  return text;
}

absl::Status Tell(NicPort& port, const NicState& now, const SetChannels& step,
                  const std::string& what) {
  return TellEthtool(port, now.interface, ETHTOOL_MSG_CHANNELS_SET, ETHTOOL_A_CHANNELS_HEADER, what,
                     [&](GenetlinkRequest& request) {
                       // What does not change is not named: a driver refuses what it does not have.
                       const Channels from = now.channels.value_or(Channels());
                       const auto put = [&](uint16_t type, uint32_t before, uint32_t after) {
                         if (before != after) request.Put(type, after);
                       };
                       put(ETHTOOL_A_CHANNELS_RX_COUNT, from.receive, step.to.receive);
                       put(ETHTOOL_A_CHANNELS_TX_COUNT, from.transmit, step.to.transmit);
                       put(ETHTOOL_A_CHANNELS_COMBINED_COUNT, from.combined, step.to.combined);
                     });
}

uint8_t Number(HeaderSplit split) {
  switch (split) {
    case HeaderSplit::kOn:
      return ETHTOOL_TCP_DATA_SPLIT_ENABLED;
    case HeaderSplit::kOff:
      return ETHTOOL_TCP_DATA_SPLIT_DISABLED;
    case HeaderSplit::kUnknown:
      break;
  }
  return ETHTOOL_TCP_DATA_SPLIT_UNKNOWN;
}

absl::Status Tell(NicPort& port, const NicState& now, const SetRings& step,
                  const std::string& what) {
  return TellEthtool(port, now.interface, ETHTOOL_MSG_RINGS_SET, ETHTOOL_A_RINGS_HEADER, what,
                     [&](GenetlinkRequest& request) {
                       if (step.receive) request.Put(ETHTOOL_A_RINGS_RX, *step.receive);
                       if (step.header_split) {
                         request.PutByte(ETHTOOL_A_RINGS_TCP_DATA_SPLIT,
                                         Number(*step.header_split));
                       }
                       if (step.header_split_threshold) {
                         request.Put(ETHTOOL_A_RINGS_HDS_THRESH, *step.header_split_threshold);
                       }
                     });
}

absl::Status Tell(NicPort& port, const NicState& now, const SetNtuple& step,
                  const std::string& what) {
  ethtool_value flags = {.cmd = ETHTOOL_GFLAGS, .data = 0};
  SLUICE_RETURN_IF_ERROR(port.Ethtool(now.interface, &flags, what));
  flags.cmd = ETHTOOL_SFLAGS;
  flags.data &= ~static_cast<uint32_t>(ETH_FLAG_NTUPLE);
  if (step.on) flags.data |= ETH_FLAG_NTUPLE;
  return port.Ethtool(now.interface, &flags, what);
}

// `size`: 0 is the driver's own table, or, of a context that is not the main one, its end.
absl::Status TellRss(NicPort& port, const NicState& now, uint32_t context, const Indirection& table,
                     const std::string& what) {
  std::vector<uint32_t> command(sizeof(ethtool_rxfh) / sizeof(uint32_t));
  ethtool_rxfh head = {};
  head.cmd = ETHTOOL_SRSSH;
  head.rss_context = context;
  head.indir_size = static_cast<uint32_t>(table.size());
  head.input_xfrm = RXH_XFRM_NO_CHANGE;
  std::memcpy(command.data(), &head, sizeof(head));
  command.insert(command.end(), table.begin(), table.end());
  return port.Ethtool(now.interface, command.data(), what);
}

absl::Status Tell(NicPort& port, const NicState& now, const SetIndirection& step,
                  const std::string& what) {
  return TellRss(port, now, 0, step.to.value_or(Indirection()), what);
}
absl::Status Tell(NicPort& port, const NicState& now, const CreateContext& step,
                  const std::string& what) {
  return TellRss(port, now, ETH_RXFH_CONTEXT_ALLOC, step.to, what);
}
absl::Status Tell(NicPort& port, const NicState& now, const DeleteContext& step,
                  const std::string& what) {
  return TellRss(port, now, step.id, {}, what);
}

absl::Status Tell(NicPort& port, const NicState& now, const InsertRule& step,
                  const std::string& what) {
  ethtool_rxnfc command = {};
  command.cmd = ETHTOOL_SRXCLSRLINS;
  command.fs = step.rule.spec;
  if (step.rule.rss_context()) command.rss_context = *step.rule.rss_context();
  return port.Ethtool(now.interface, &command, what);
}

absl::Status Tell(NicPort& port, const NicState& now, const DeleteRule& step,
                  const std::string& what) {
  ethtool_rxnfc command = {};
  command.cmd = ETHTOOL_SRXCLSRLDEL;
  command.fs.location = step.rule.location();
  return port.Ethtool(now.interface, &command, what);
}

// What to do about an error, by what was tried.
std::string Remedy(const NicState& now, const NicStep& step, absl::StatusCode code) {
  const std::string driver = now.driver.name.empty() ? "its driver" : now.driver.name;
  switch (code) {
    case absl::StatusCode::kPermissionDenied:
      return "it needs CAP_NET_ADMIN: run as root, or give the service that capability";
    case absl::StatusCode::kUnimplemented:
      return absl::StrCat(driver, " cannot do this");
    case absl::StatusCode::kNotFound:
      return absl::StrCat(now.interface,
                          " is gone, or was set otherwise meanwhile: look with "
                          "`sluice nic show ",
                          now.interface, "` and try again");
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnavailable:
      return absl::StrCat(
          "a program has one of its queues (io_uring, AF_XDP), or an XDP program is "
          "attached: `sluice nic show ",
          now.interface, "` says which; stop it first");
    case absl::StatusCode::kResourceExhausted:
      if (std::holds_alternative<InsertRule>(step)) {
        return absl::StrCat("the table of flow rules is full (", now.rules.size(), " of ",
                            now.rules_max, "): delete one with `ethtool -N ", now.interface,
                            " delete LOCATION`");
      }
      return absl::StrCat(driver, " has no more room or memory for it");
    case absl::StatusCode::kInvalidArgument:
      if (std::holds_alternative<InsertRule>(step)) {
        return absl::StrCat(driver, " cannot match on this combination of addresses and ports");
      }
      return absl::StrCat(driver, " does not take this value");
    default:
      return "see the kernel's log (`dmesg`)";
  }
}

}  // namespace

std::string AsCommand(const std::string& interface, const NicStep& step) {
  const auto command = [&](const char* option, absl::string_view rest) {
    return absl::StrCat("ethtool ", option, " ", interface, rest);
  };
  return std::visit(
      Overloaded{
          [&](const SetChannels& s) { return command("-L", Text(s)); },
          [&](const SetRings& s) { return command("-G", Text(s)); },
          [&](const SetNtuple& s) { return command("-K", s.on ? " ntuple on" : " ntuple off"); },
          [&](const SetIndirection& s) {
            return command("-X", s.to ? absl::StrCat(" ", SpreadText(*s.to)) : " default");
          },
          [&](const CreateContext& s) {
            return command("-X", absl::StrCat(" context new ", SpreadText(s.to)));
          },
          [&](const DeleteContext& s) {
            return command("-X", absl::StrCat(" context ", s.id, " delete"));
          },
          [&](const InsertRule& s) {
            return command("-N", absl::StrCat(" flow-type ", Text(s.rule)));
          },
          [&](const DeleteRule& s) {
            return command("-N", absl::StrCat(" delete ", s.rule.location()));
          },
      },
      step);
}

std::string Disturbs(const NicStep& step) {
  if (std::holds_alternative<SetChannels>(step)) {
    return "all queues restart: packets are lost for a moment, on some drivers the link goes down";
  }
  if (std::holds_alternative<SetRings>(step)) {
    return "all queues restart: packets are lost for a moment";
  }
  if (std::holds_alternative<SetIndirection>(step)) {
    return "connections change queues: their packets may come out of order for a moment";
  }
  if (std::holds_alternative<SetNtuple>(step)) {
    return std::get<SetNtuple>(step).on ? "" : "some drivers forget their flow rules";
  }
  return "";
}

absl::Status Perform(NicPort& port, const NicState& now, const NicStep& step) {
  const std::string what = absl::StrCat("`", AsCommand(now.interface, step), "`");
  const absl::Status status =
      std::visit([&](const auto& one) { return Tell(port, now, one, what); }, step);
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), ": ", Remedy(now, step, status.code())));
}

NicState Expected(NicState state, const NicStep& step) {
  const uint32_t queues_before = state.receive_queues();
  std::visit(Overloaded{
                 [&](const SetChannels& s) {
                   if (!state.channels) state.channels.emplace();
                   state.channels->receive = s.to.receive;
                   state.channels->transmit = s.to.transmit;
                   state.channels->combined = s.to.combined;
                   if (state.indirection && IsEven(*state.indirection, queues_before)) {
                     state.indirection = Even(state.indirection->size(), state.receive_queues());
                   }
                 },
                 [&](const SetRings& s) {
                   if (!state.rings) state.rings.emplace();
                   if (s.receive) state.rings->receive = s.receive;
                   if (s.header_split) state.rings->header_split = s.header_split;
                   if (s.header_split_threshold) {
                     state.rings->header_split_threshold = s.header_split_threshold;
                   }
                 },
                 [&](const SetNtuple& s) { state.ntuple = s.on; },
                 [&](const SetIndirection& s) {
                   if (s.to) {
                     state.indirection = s.to;
                   } else if (state.indirection && state.receive_queues() > 0) {
                     state.indirection = Even(state.indirection->size(), state.receive_queues());
                   }
                 },
                 [&](const CreateContext& s) {
                   const uint32_t id =
                       state.contexts.empty() ? 1 : state.contexts.rbegin()->first + 1;
                   state.contexts[id] = s.to;
                 },
                 [&](const DeleteContext& s) { state.contexts.erase(s.id); },
                 [&](const InsertRule& s) {
                   FlowRule rule = s.rule;
                   if (rule.location() >= RX_CLS_LOC_SPECIAL) {
                     rule.spec.location = state.rules.empty() ? 0 : state.rules.rbegin()->first + 1;
                   }
                   state.rules[rule.location()] = rule;
                 },
                 [&](const DeleteRule& s) { state.rules.erase(s.rule.location()); },
             },
             step);
  return state;
}

bool IsDone(const NicState& state, const NicStep& step) {
  return std::visit(
      Overloaded{
          [&](const SetChannels& s) {
            return state.channels && state.channels->receive == s.to.receive &&
                   state.channels->transmit == s.to.transmit &&
                   state.channels->combined == s.to.combined;
          },
          [&](const SetRings& s) {
            if (!state.rings) return false;
            const Rings& now = *state.rings;
            return (!s.receive || now.receive == s.receive) &&
                   (!s.header_split || *s.header_split == HeaderSplit::kUnknown ||
                    now.header_split == s.header_split) &&
                   (!s.header_split_threshold ||
                    now.header_split_threshold == s.header_split_threshold);
          },
          [&](const SetNtuple& s) { return state.ntuple == s.on; },
          [&](const SetIndirection& s) { return !s.to || state.indirection == s.to; },
          [&](const CreateContext& s) {
            return std::any_of(state.contexts.begin(), state.contexts.end(),
                               [&](const auto& context) { return context.second == s.to; });
          },
          [&](const DeleteContext& s) { return !state.contexts.contains(s.id); },
          [&](const InsertRule& s) {
            return std::any_of(state.rules.begin(), state.rules.end(), [&](const auto& known) {
              const FlowRule& rule = known.second;
              return rule.match() == s.rule.match() && rule.queue() == s.rule.queue() &&
                     rule.rss_context() == s.rule.rss_context();
            });
          },
          [&](const DeleteRule& s) { return !state.rules.contains(s.rule.location()); },
      },
      step);
}

}  // namespace sluice
