#include "control/config/interface_config.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

namespace pb = config::v1;
using Place = ConfigText::Place;

constexpr uint32_t kPortMax = 65535;
constexpr uint32_t kIPv4Bits = 32;
constexpr uint32_t kIPv6Bits = 128;

struct ParsedNetwork {
  FlowMatch::Network network;
  int family = 4;
};

// The bits behind the prefix are zero, as the kernel shows them.
void Truncate(FlowMatch::Network* network) {
  for (size_t i = 0; i < network->address.size(); ++i) {
    const int keep = std::clamp(static_cast<int>(network->bits) - static_cast<int>(i) * 8, 0, 8);
    network->address[i] &= static_cast<uint8_t>(0xFF00 >> keep);
  }
}

absl::StatusOr<ParsedNetwork> ParseNetwork(const std::string& text) {
  ParsedNetwork parsed;
  const size_t slash = text.find('/');
  const std::string address = text.substr(0, slash);
  if (inet_pton(AF_INET6, address.c_str(), parsed.network.address.data()) == 1) {
    parsed.family = 6;
  } else if (inet_pton(AF_INET, address.c_str(), parsed.network.address.data()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is neither an address nor a network, such as \"10.0.0.0/8\""));
  }
  const uint32_t max = parsed.family == 4 ? kIPv4Bits : kIPv6Bits;
  parsed.network.bits = max;
  if (slash != std::string::npos &&
      (!absl::SimpleAtoi(text.substr(slash + 1), &parsed.network.bits) ||
       parsed.network.bits > max)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text,
                                                   "\": the length of the network is a "
                                                   "number from 0 to ",
                                                   max));
  }
  Truncate(&parsed.network);
  return parsed;
}

// A rule without an address is two: the NIC tells IPv4 and IPv6 apart.
class RuleBuilder {
 public:
  absl::Status SetProtocol(FlowMatch::Protocol protocol) {
    rule_.match.protocol = protocol;
    return absl::OkStatus();
  }
  absl::Status SetSource(const std::string& text) { return SetNetwork(text, &rule_.match.source); }
  absl::Status SetDestination(const std::string& text) {
    return SetNetwork(text, &rule_.match.destination);
  }
  absl::Status SetSourcePort(uint32_t port) { return SetPort(port, &rule_.match.source_port); }
  absl::Status SetDestinationPort(uint32_t port) {
    return SetPort(port, &rule_.match.destination_port);
  }
  void SetQueue(uint32_t queue) { rule_.to_queue = queue; }

  absl::StatusOr<std::vector<DesiredRule>> Build() const {
    const FlowMatch& match = rule_.match;
    if (match.source.bits == 0 && match.destination.bits == 0 && match.source_port == 0 &&
        match.destination_port == 0) {
      return absl::InvalidArgumentError(
          "a rule needs an address or a port, or all traffic would go to one queue");
    }
    DesiredRule rule = rule_;
    rule.match.family = family_.value_or(4);
    std::vector<DesiredRule> rules = {rule};
    if (!family_) {
      rule.match.family = 6;
      rules.push_back(rule);
    }
    return rules;
  }

 private:
  absl::Status SetNetwork(const std::string& text, FlowMatch::Network* network) {
    SLUICE_ASSIGN_OR_RETURN(const ParsedNetwork parsed, ParseNetwork(text));
    if (family_.value_or(parsed.family) != parsed.family) {
      return absl::InvalidArgumentError(
          "one address is IPv4 and the other IPv6: no packet has both");
    }
    family_ = parsed.family;
    *network = parsed.network;
    return absl::OkStatus();
  }
  static absl::Status SetPort(uint32_t port, uint16_t* to) {
    if (port == 0 || port > kPortMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("a port is from 1 to ", kPortMax, ", not ", port));
    }
    *to = static_cast<uint16_t>(port);
    return absl::OkStatus();
  }

  DesiredRule rule_;
  std::optional<int> family_;
};

void ReadRule(const Place& place, const pb::Rule& from, std::vector<DesiredRule>* to) {
  RuleBuilder builder;
  const auto check = [&](absl::string_view field, const absl::Status& status) {
    if (!status.ok()) place.Wrong(field, absl::StrCat(field, ": ", status.message()));
    return status.ok();
  };
  bool ok = true;
  if (from.protocol() == pb::Rule::PROTOCOL_UNSPECIFIED) {
    place.Wrong("protocol", "a rule needs a protocol: TCP or UDP");
    ok = false;
  } else {
    ok = check("protocol",
               builder.SetProtocol(from.protocol() == pb::Rule::UDP ? FlowMatch::Protocol::kUdp
                                                                    : FlowMatch::Protocol::kTcp));
  }
  if (from.has_source_address()) {
    ok = check("source_address", builder.SetSource(from.source_address())) && ok;
  }
  if (from.has_destination_address()) {
    ok = check("destination_address", builder.SetDestination(from.destination_address())) && ok;
  }
  if (from.has_source_port()) {
    ok = check("source_port", builder.SetSourcePort(from.source_port())) && ok;
  }
  if (from.has_destination_port()) {
    ok = check("destination_port", builder.SetDestinationPort(from.destination_port())) && ok;
  }
  if (from.has_to_queue()) builder.SetQueue(from.to_queue());
  if (!ok) return;
  const absl::StatusOr<std::vector<DesiredRule>> rules = builder.Build();
  if (!rules.ok()) {
    place.Wrong(rules.status().message());
    return;
  }
  to->insert(to->end(), rules->begin(), rules->end());
}

void ReadQueues(const Place& place, const pb::Queues& from, DesiredNic* to) {
  if (from.purpose() != pb::Queues::ZERO_COPY) {
    place.Wrong("purpose", "queues need a purpose: ZERO_COPY");
  }
  if (from.ids_size() == 0) place.Wrong("ids", "queues need ids, such as [6, 7]");
  for (const uint32_t id : from.ids()) {
    if (!to->zero_copy_queues.insert(id).second) {
      place.Wrong("ids", absl::StrCat("queue ", id, " is named twice"));
    }
  }
}

}  // namespace

InterfaceConfig ReadInterfaceConfig(const Place& place, const pb::Interface& from) {
  InterfaceConfig to;
  to.desired.interface = from.name();
  to.restore_at_shutdown = from.restore_at_shutdown();
  if (from.name().empty() || from.name().size() >= IFNAMSIZ ||
      from.name().find('/') != std::string::npos) {
    place.Wrong("name", absl::StrCat("an interface needs the name of a network card, such as "
                                     "\"eth1\", not \"",
                                     from.name(), "\""));
  }
  for (int i = 0; i < from.queues_size(); ++i) {
    ReadQueues(place.Sub("queues", i), from.queues(i), &to.desired);
  }
  const Place steering = from.has_steering() ? place.Sub("steering") : place;
  for (int i = 0; i < from.steering().rule_size(); ++i) {
    ReadRule(steering.Sub("rule", i), from.steering().rule(i), &to.desired.rules);
  }
  if (from.has_receive_queues()) to.desired.receive_queues = from.receive_queues();
  if (from.has_ring_size()) to.desired.ring_size = from.ring_size();
  for (const auto& [field, given] : {std::pair("receive_queues", to.desired.receive_queues),
                                     {"ring_size", to.desired.ring_size}}) {
    if (given && *given == 0) place.Wrong(field, absl::StrCat(field, " must not be zero"));
  }
  return to;
}

absl::StatusOr<std::vector<DesiredRule>> ParseRule(const std::string& text) {
  const auto wrong = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rule \"", text, "\": ", why,
        "; a rule is \"tcp|udp [src-ip NET] [dst-ip NET] [src-port N] [dst-port N] [to QUEUE]\""));
  };
  std::istringstream stream(text);
  const std::vector<std::string> words{std::istream_iterator<std::string>(stream), {}};
  if (words.empty() || (words[0] != "tcp" && words[0] != "udp")) {
    return wrong("it begins with neither tcp nor udp");
  }
  RuleBuilder builder;
  SLUICE_RETURN_IF_ERROR(builder.SetProtocol(words[0] == "udp" ? FlowMatch::Protocol::kUdp
                                                               : FlowMatch::Protocol::kTcp));
  for (size_t i = 1; i < words.size(); i += 2) {
    if (i + 1 == words.size()) return wrong(absl::StrCat("nothing follows \"", words[i], "\""));
    const std::string& value = words[i + 1];
    absl::Status status;
    uint32_t number = 0;
    const bool is_number = absl::SimpleAtoi(value, &number);
    if (words[i] == "src-ip") {
      status = builder.SetSource(value);
    } else if (words[i] == "dst-ip") {
      status = builder.SetDestination(value);
    } else if (words[i] != "src-port" && words[i] != "dst-port" && words[i] != "to") {
      return wrong(absl::StrCat("\"", words[i], "\" is not known"));
    } else if (!is_number) {
      return wrong(absl::StrCat("\"", value, "\" is not a number"));
    } else if (words[i] == "to") {
      builder.SetQueue(number);
    } else {
      status = words[i] == "src-port" ? builder.SetSourcePort(number)
                                      : builder.SetDestinationPort(number);
    }
    if (!status.ok()) return wrong(status.message());
  }
  absl::StatusOr<std::vector<DesiredRule>> rules = builder.Build();
  if (!rules.ok()) return wrong(rules.status().message());
  return rules;
}

}  // namespace sluice
