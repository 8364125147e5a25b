#include "control/nic/fake_nic.h"

#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sluice {
namespace {

const GenetlinkFamily kEthtool = {ETHTOOL_GENL_NAME, 0x15, ETHTOOL_GENL_VERSION};

uint8_t CommandOf(GenetlinkRequest& request) {
  return static_cast<const genlmsghdr*>(mnl_nlmsg_get_payload(request.message()))->cmd;
}

// What the request puts, or an answer built like one says.
Attributes AttributesOf(GenetlinkRequest& request) {
  const auto* const bytes =
      static_cast<const std::byte*>(mnl_nlmsg_get_payload(request.message())) + GENL_HDRLEN;
  return Attributes({bytes, mnl_nlmsg_get_payload_len(request.message()) - GENL_HDRLEN});
}

absl::Status Answer(int error, absl::string_view what) {
  return error == 0 ? absl::OkStatus() : absl::ErrnoToStatus(error, what);
}

std::string SpecText(const FlowRule& rule) {
  const auto* const bytes = reinterpret_cast<const char*>(&rule.spec);
  std::string text = absl::StrCat(rule.context, ":");
  for (size_t i = 0; i < sizeof(rule.spec); ++i) {
    absl::StrAppend(&text, absl::Hex(static_cast<unsigned char>(bytes[i]), absl::kZeroPad2));
  }
  return text;
}

}  // namespace

FakeNic::Shape FakeNic::Bnxt() {
  Shape shape;
  shape.driver = "bnxt_en";
  shape.channels = {.combined = 4, .receive_max = 37, .transmit_max = 37, .combined_max = 74};
  shape.rings = {.receive = 511,
                 .receive_max = 8191,
                 .transmit = 511,
                 .header_split_threshold = 0,
                 .header_split_threshold_max = 1023};
  shape.table_follows = true;
  shape.chooses_location = true;
  shape.split_by_itself = HeaderSplit::kOn;  // large packets, large receive
  shape.rings.header_split_threshold = 256;
  return shape;
}

FakeNic::Shape FakeNic::Mlx5() {
  Shape shape;
  shape.driver = "mlx5_core";
  shape.channels = {.combined = 8, .combined_max = 63};
  shape.rings = {.receive = 1024, .receive_max = 8192, .transmit = 1024};
  shape.threshold = false;
  shape.table = 256;
  shape.channels_drop_rules = true;
  return shape;
}

FakeNic::Shape FakeNic::Gve() {
  Shape shape;
  shape.driver = "gve";
  shape.channels = {.receive = 8, .transmit = 8, .receive_max = 16, .transmit_max = 16};
  shape.rings = {.receive = 1024, .receive_max = 4096, .transmit = 1024};
  shape.threshold = false;
  shape.contexts = false;
  shape.lists_contexts = false;
  shape.rules_max = 16;
  return shape;
}

FakeNic::FakeNic(Shape shape, std::string interface)
    : shape_(std::move(shape)),
      interface_(std::move(interface)),
      channels_(shape_.channels),
      rings_(shape_.rings),
      table_(Even(shape_.table, channels_.receive_queues())) {}

HeaderSplit FakeNic::split() const {
  return asked_split_ == HeaderSplit::kUnknown ? shape_.split_by_itself : asked_split_;
}

std::string FakeNic::Dump() const {
  std::string text = absl::StrCat(
      "channels ", channels_.receive, " ", channels_.transmit, " ", channels_.combined, "\nring ",
      rings_.receive.value_or(0), "\nsplit ", static_cast<int>(asked_split_), " over ",
      rings_.header_split_threshold.value_or(0), "\nntuple ", ntuple_, "\ntable ",
      table_is_ours_ ? "set " : "own ", absl::StrJoin(table_, ","), "\n");
  for (const auto& [id, table] : contexts_) {
    absl::StrAppend(&text, "context ", id, " ", absl::StrJoin(table, ","), "\n");
  }
  for (const auto& [location, rule] : rules_) {
    absl::StrAppend(&text, "rule ", location, " ", SpecText(rule), "\n");
  }
  return text;
}

int FakeNic::Begin(bool change) {
  if (changes_left_ && *changes_left_ <= 0) return EIO;  // the program is dead
  if (!change) return 0;
  ++changes_;
  if (fail_at_ && fail_at_->at-- == 0) return fail_at_->error;
  if (changes_left_) --*changes_left_;
  return 0;
}

absl::StatusOr<GenetlinkFamily> FakeNic::Family(const std::string& name) {
  if (name == kEthtool.name) return kEthtool;
  return absl::NotFoundError(absl::StrCat("this kernel has no family \"", name, "\""));
}

Attributes FakeNic::ChannelsReply() const {
  GenetlinkRequest reply(kEthtool, ETHTOOL_MSG_CHANNELS_GET_REPLY);
  const auto put = [&](uint16_t max_type, uint32_t max, uint16_t type, uint32_t count) {
    if (max == 0) return;  // as the kernel leaves it out
    reply.Put(max_type, max);
    reply.Put(type, count);
  };
  put(ETHTOOL_A_CHANNELS_RX_MAX, channels_.receive_max, ETHTOOL_A_CHANNELS_RX_COUNT,
      channels_.receive);
  put(ETHTOOL_A_CHANNELS_TX_MAX, channels_.transmit_max, ETHTOOL_A_CHANNELS_TX_COUNT,
      channels_.transmit);
  put(ETHTOOL_A_CHANNELS_COMBINED_MAX, channels_.combined_max, ETHTOOL_A_CHANNELS_COMBINED_COUNT,
      channels_.combined);
  return AttributesOf(reply);
}

Attributes FakeNic::RingsReply() const {
  GenetlinkRequest reply(kEthtool, ETHTOOL_MSG_RINGS_GET_REPLY);
  reply.Put(ETHTOOL_A_RINGS_RX_MAX, *rings_.receive_max);
  reply.Put(ETHTOOL_A_RINGS_RX, *rings_.receive);
  reply.Put(ETHTOOL_A_RINGS_TX, *rings_.transmit);
  reply.PutByte(ETHTOOL_A_RINGS_TCP_DATA_SPLIT, split() == HeaderSplit::kOn
                                                    ? ETHTOOL_TCP_DATA_SPLIT_ENABLED
                                                    : ETHTOOL_TCP_DATA_SPLIT_DISABLED);
  if (shape_.threshold) {
    reply.Put(ETHTOOL_A_RINGS_HDS_THRESH, *rings_.header_split_threshold);
    reply.Put(ETHTOOL_A_RINGS_HDS_THRESH_MAX, *rings_.header_split_threshold_max);
  }
  return AttributesOf(reply);
}

int FakeNic::SetChannels(const Attributes& request) {
  Channels to = channels_;
  const auto take = [&](uint16_t type, uint32_t* count) {
    if (const auto number = request.Number(type)) *count = static_cast<uint32_t>(*number);
  };
  take(ETHTOOL_A_CHANNELS_RX_COUNT, &to.receive);
  take(ETHTOOL_A_CHANNELS_TX_COUNT, &to.transmit);
  take(ETHTOOL_A_CHANNELS_COMBINED_COUNT, &to.combined);
  if (to.receive > to.receive_max || to.combined > to.combined_max || to.receive_queues() == 0) {
    return EINVAL;
  }
  if (bound_ && *bound_ >= to.receive_queues()) return EINVAL;
  const auto beyond = [&](const Indirection& table) {
    return std::any_of(table.begin(), table.end(),
                       [&](uint32_t queue) { return queue >= to.receive_queues(); });
  };
  if (table_is_ours_ && beyond(table_)) return EINVAL;
  for (const auto& [id, table] : contexts_) {
    if (beyond(table)) return EINVAL;
  }
  channels_ = to;
  const size_t size =
      shape_.table_follows ? 64 * ((to.receive_queues() + 63) / 64) * 2 : table_.size();
  if (!table_is_ours_ || size != table_.size()) {
    table_ = Even(size, to.receive_queues());
    table_is_ours_ = false;
  }
  if (shape_.channels_drop_rules) rules_.clear();
  return 0;
}

int FakeNic::SetRings(const Attributes& request) {
  const auto receive = request.Number(ETHTOOL_A_RINGS_RX);
  const auto split = request.Number(ETHTOOL_A_RINGS_TCP_DATA_SPLIT);
  const auto threshold = request.Number(ETHTOOL_A_RINGS_HDS_THRESH);
  if (receive && *receive > *rings_.receive_max) return EINVAL;
  if (threshold && !shape_.threshold) return EOPNOTSUPP;
  if (threshold && *threshold > *rings_.header_split_threshold_max) return EINVAL;
  if (bound_ && (split || threshold)) return EBUSY;
  if (receive) rings_.receive = static_cast<uint32_t>(*receive);
  if (threshold) rings_.header_split_threshold = static_cast<uint32_t>(*threshold);
  if (split) {
    asked_split_ = *split == ETHTOOL_TCP_DATA_SPLIT_ENABLED    ? HeaderSplit::kOn
                   : *split == ETHTOOL_TCP_DATA_SPLIT_DISABLED ? HeaderSplit::kOff
                                                               : HeaderSplit::kUnknown;
  }
  return 0;
}

absl::StatusOr<Attributes> FakeNic::Do(GenetlinkRequest& request, absl::string_view what) {
  const Attributes attributes = AttributesOf(request);
  const uint8_t command = CommandOf(request);
  const bool change = command == ETHTOOL_MSG_CHANNELS_SET || command == ETHTOOL_MSG_RINGS_SET;
  if (const int error = Begin(change)) return Answer(error, what);
  // All headers have the same number.
  if (attributes.Nest(ETHTOOL_A_CHANNELS_HEADER).Text(ETHTOOL_A_HEADER_DEV_NAME) != interface_) {
    return Answer(ENODEV, what);
  }
  if (change && ignores_) return Attributes();
  switch (command) {
    case ETHTOOL_MSG_CHANNELS_GET:
      return ChannelsReply();
    case ETHTOOL_MSG_RINGS_GET:
      return RingsReply();
    case ETHTOOL_MSG_CHANNELS_SET:
      if (const int error = SetChannels(attributes)) return Answer(error, what);
      return Attributes();
    case ETHTOOL_MSG_RINGS_SET:
      if (const int error = SetRings(attributes)) return Answer(error, what);
      return Attributes();
    default:
      return Answer(EOPNOTSUPP, what);
  }
}

absl::StatusOr<std::vector<Attributes>> FakeNic::Dump(GenetlinkRequest& request,
                                                      absl::string_view what) {
  if (const int error = Begin(false)) return Answer(error, what);
  if (CommandOf(request) != ETHTOOL_MSG_RSS_GET || !shape_.lists_contexts) {
    return Answer(EOPNOTSUPP, what);
  }
  std::vector<Attributes> list;
  for (const auto& [id, table] : contexts_) {
    GenetlinkRequest reply(kEthtool, ETHTOOL_MSG_RSS_GET_REPLY);
    reply.Put(ETHTOOL_A_RSS_CONTEXT, id);
    list.push_back(AttributesOf(reply));
  }
  return list;
}

int FakeNic::SetRss(const void* command, uint32_t* context) {
  ethtool_rxfh head = {};
  std::memcpy(&head, command, sizeof(head));
  const auto* const entries = reinterpret_cast<const uint32_t*>(
      static_cast<const std::byte*>(command) + sizeof(ethtool_rxfh));
  const Indirection table(entries, entries + head.indir_size);
  if (head.indir_size != 0 && head.indir_size != table_.size()) return EINVAL;
  if (std::any_of(table.begin(), table.end(),
                  [&](uint32_t queue) { return queue >= channels_.receive_queues(); })) {
    return EINVAL;
  }
  *context = head.rss_context;
  if (head.rss_context == 0) {
    table_is_ours_ = !table.empty();
    table_ = table.empty() ? Even(table_.size(), channels_.receive_queues()) : table;
    return 0;
  }
  if (!shape_.contexts) return EOPNOTSUPP;
  if (head.rss_context == ETH_RXFH_CONTEXT_ALLOC) {
    uint32_t id = 1;
    while (contexts_.contains(id)) ++id;
    contexts_[id] = table;
    *context = id;
    return 0;
  }
  if (!contexts_.contains(head.rss_context)) return ENOENT;
  if (!table.empty()) {
    contexts_[head.rss_context] = table;
    return 0;
  }
  for (const auto& [location, rule] : rules_) {
    if (rule.rss_context() == head.rss_context) return EBUSY;
  }
  contexts_.erase(head.rss_context);
  return 0;
}

int FakeNic::InsertRule(const FlowRule& rule) {
  if (!ntuple_) return EOPNOTSUPP;
  FlowRule placed = rule;
  if (placed.location() >= RX_CLS_LOC_SPECIAL) {
    if (!shape_.chooses_location) return EINVAL;
    uint32_t location = 0;
    while (rules_.contains(location)) ++location;
    placed.spec.location = location;
  }
  if (placed.location() >= shape_.rules_max) {
    return shape_.chooses_location ? ENOSPC : EINVAL;
  }
  if (const auto queue = placed.queue(); queue && *queue >= channels_.receive_queues()) {
    return EINVAL;
  }
  if (const auto context = placed.rss_context(); context && !contexts_.contains(*context)) {
    return EINVAL;
  }
  rules_[placed.location()] = placed;
  return 0;
}

absl::Status FakeNic::Ethtool(const std::string& interface, void* command, absl::string_view what) {
  uint32_t number = 0;
  std::memcpy(&number, command, sizeof(number));
  const bool change = number == ETHTOOL_SFLAGS || number == ETHTOOL_SRSSH ||
                      number == ETHTOOL_SRXCLSRLINS || number == ETHTOOL_SRXCLSRLDEL;
  if (const int error = Begin(change)) return Answer(error, what);
  if (interface != interface_) return Answer(ENODEV, what);
  if (change && ignores_) return absl::OkStatus();
  auto* const rxnfc = static_cast<ethtool_rxnfc*>(command);
  switch (number) {
    case ETHTOOL_GDRVINFO: {
      auto* const info = static_cast<ethtool_drvinfo*>(command);
      std::strncpy(info->driver, shape_.driver.c_str(), sizeof(info->driver) - 1);
      std::strncpy(info->bus_info, "0000:03:00.0", sizeof(info->bus_info) - 1);
      return absl::OkStatus();
    }
    case ETHTOOL_GFLAGS:
      static_cast<ethtool_value*>(command)->data = ntuple_ ? ETH_FLAG_NTUPLE : 0;
      return absl::OkStatus();
    case ETHTOOL_SFLAGS: {
      const bool on = (static_cast<ethtool_value*>(command)->data & ETH_FLAG_NTUPLE) != 0;
      if (on && shape_.rules_max == 0) return Answer(EOPNOTSUPP, what);
      ntuple_ = on;
      if (!on && shape_.ntuple_drops_rules) rules_.clear();
      return absl::OkStatus();
    }
    case ETHTOOL_GRSSH: {
      ethtool_rxfh head = {};
      std::memcpy(&head, command, sizeof(head));
      if (shape_.table == 0) return Answer(EOPNOTSUPP, what);
      const Indirection* table = &table_;
      if (head.rss_context != 0) {
        const auto context = contexts_.find(head.rss_context);
        if (context == contexts_.end()) return Answer(ENOENT, what);
        table = &context->second;
      }
      const bool all = head.indir_size == table->size();
      head.indir_size = static_cast<uint32_t>(table->size());
      head.key_size = 40;
      std::memcpy(command, &head, sizeof(head));
      if (all) {
        std::memcpy(static_cast<std::byte*>(command) + sizeof(head), table->data(),
                    table->size() * sizeof(uint32_t));
      }
      return absl::OkStatus();
    }
    case ETHTOOL_SRSSH: {
      uint32_t context = 0;
      const int error = SetRss(command, &context);
      std::memcpy(static_cast<std::byte*>(command) + offsetof(ethtool_rxfh, rss_context), &context,
                  sizeof(context));
      return Answer(error, what);
    }
    case ETHTOOL_GRXCLSRLCNT:
      if (shape_.rules_max == 0) return Answer(EOPNOTSUPP, what);
      rxnfc->rule_cnt = static_cast<uint32_t>(rules_.size());
      rxnfc->data = shape_.rules_max | (shape_.chooses_location ? RX_CLS_LOC_SPECIAL : 0);
      return absl::OkStatus();
    case ETHTOOL_GRXCLSRLALL: {
      if (rxnfc->rule_cnt < rules_.size()) return Answer(EMSGSIZE, what);
      rxnfc->data = shape_.rules_max;
      rxnfc->rule_cnt = static_cast<uint32_t>(rules_.size());
      uint32_t i = 0;
      for (const auto& [location, rule] : rules_) rxnfc->rule_locs[i++] = location;
      return absl::OkStatus();
    }
    case ETHTOOL_GRXCLSRULE: {
      const auto rule = rules_.find(rxnfc->fs.location);
      if (rule == rules_.end()) return Answer(ENOENT, what);
      rxnfc->fs = rule->second.spec;
      rxnfc->rss_context = rule->second.context;
      return absl::OkStatus();
    }
    case ETHTOOL_SRXCLSRLINS:
      return Answer(
          InsertRule({rxnfc->fs, (rxnfc->fs.flow_type & FLOW_RSS) != 0 ? rxnfc->rss_context : 0}),
          what);
    case ETHTOOL_SRXCLSRLDEL:
      return Answer(rules_.erase(rxnfc->fs.location) == 0 ? ENOENT : 0, what);
    default:
      return Answer(EOPNOTSUPP, what);
  }
}

absl::StatusOr<std::string> FakeNic::ReadText(const std::string& path) {
  return absl::NotFoundError(path);
}
}  // namespace sluice
