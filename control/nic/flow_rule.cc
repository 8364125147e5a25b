#include "control/nic/flow_rule.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr size_t kIPv4Bytes = 4;
constexpr size_t kIPv6Bytes = 16;
constexpr uint32_t kBitsPerByte = 8;

uint32_t TypeOf(const FlowMatch& match) {
  const bool tcp = match.protocol == FlowMatch::Protocol::kTcp;
  if (match.family == 4) return tcp ? TCP_V4_FLOW : UDP_V4_FLOW;
  return tcp ? TCP_V6_FLOW : UDP_V6_FLOW;
}

void PutMask(uint32_t bits, uint8_t* mask, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    const uint32_t here = std::min(bits, kBitsPerByte);
    mask[i] = static_cast<uint8_t>(0xFF00U >> here);
    bits -= here;
  }
}

// Nothing: the mask is no prefix.
std::optional<uint32_t> BitsOf(const uint8_t* mask, size_t size) {
  uint32_t bits = 0;
  bool ended = false;
  for (size_t i = 0; i < size * kBitsPerByte; ++i) {
    const bool on = (mask[i / kBitsPerByte] >> (kBitsPerByte - 1 - i % kBitsPerByte) & 1) != 0;
    if (on && ended) return std::nullopt;
    if (on) {
      ++bits;
    } else {
      ended = true;
    }
  }
  return bits;
}

// TCP's and UDP's specs are one struct for IPv4, and one for IPv6.
template <class Spec, class Address>
void Put(const FlowMatch& match, Spec& value, Spec& mask, Address Spec::* source,
         Address Spec::* destination) {
  const auto put = [&](const FlowMatch::Network& network, Address Spec::* field) {
    std::memcpy(&(value.*field), network.address.data(), sizeof(Address));
    PutMask(network.bits, reinterpret_cast<uint8_t*>(&(mask.*field)), sizeof(Address));
  };
  put(match.source, source);
  put(match.destination, destination);
  value.psrc = htons(match.source_port);
  value.pdst = htons(match.destination_port);
  mask.psrc = match.source_port == 0 ? 0 : 0xFFFF;
  mask.pdst = match.destination_port == 0 ? 0 : 0xFFFF;
}

template <class Spec, class Address>
bool Get(const Spec& value, const Spec& mask, Address Spec::* source, Address Spec::* destination,
         FlowMatch* match) {
  const auto get = [&](Address Spec::* field, FlowMatch::Network* network) {
    const auto bits = BitsOf(reinterpret_cast<const uint8_t*>(&(mask.*field)), sizeof(Address));
    if (!bits) return false;
    network->bits = *bits;
    if (*bits > 0) std::memcpy(network->address.data(), &(value.*field), sizeof(Address));
    return true;
  };
  const auto port = [](uint16_t number, uint16_t bits, uint16_t* to) {
    if (bits == 0) return true;
    *to = ntohs(number);
    return bits == 0xFFFF && *to != 0;
  };
  return get(source, &match->source) && get(destination, &match->destination) &&
         port(value.psrc, mask.psrc, &match->source_port) &&
         port(value.pdst, mask.pdst, &match->destination_port);
}

FlowRule RuleOf(const FlowMatch& match) {
  FlowRule rule;
  rule.spec.flow_type = TypeOf(match);
  rule.spec.location = RX_CLS_LOC_ANY;
  if (match.family == 4) {
    Put(match, rule.spec.h_u.tcp_ip4_spec, rule.spec.m_u.tcp_ip4_spec, &ethtool_tcpip4_spec::ip4src,
        &ethtool_tcpip4_spec::ip4dst);
  } else {
    Put(match, rule.spec.h_u.tcp_ip6_spec, rule.spec.m_u.tcp_ip6_spec, &ethtool_tcpip6_spec::ip6src,
        &ethtool_tcpip6_spec::ip6dst);
  }
  return rule;
}

std::string ToString(int family, const FlowMatch::Network& network) {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(family == 4 ? AF_INET : AF_INET6, network.address.data(), text, sizeof(text));
  const size_t all = (family == 4 ? kIPv4Bytes : kIPv6Bytes) * kBitsPerByte;
  return network.bits == all ? text : absl::StrCat(text, "/", network.bits);
}

}  // namespace

std::string ToString(const FlowMatch& match) {
  std::string text =
      absl::StrCat(match.protocol == FlowMatch::Protocol::kTcp ? "tcp" : "udp", match.family);
  if (match.source.bits > 0) {
    absl::StrAppend(&text, " src-ip ", ToString(match.family, match.source));
  }
  if (match.destination.bits > 0) {
    absl::StrAppend(&text, " dst-ip ", ToString(match.family, match.destination));
  }
  if (match.source_port != 0) absl::StrAppend(&text, " src-port ", match.source_port);
  if (match.destination_port != 0) absl::StrAppend(&text, " dst-port ", match.destination_port);
  return text;
}

bool FlowRule::operator==(const FlowRule& other) const {
  return std::memcmp(&spec, &other.spec, sizeof(spec)) == 0 && rss_context() == other.rss_context();
}

std::optional<uint32_t> FlowRule::queue() const {
  if ((spec.flow_type & FLOW_RSS) != 0 || spec.ring_cookie > ETHTOOL_RX_FLOW_SPEC_RING) {
    return std::nullopt;
  }
  return static_cast<uint32_t>(spec.ring_cookie);
}

std::optional<uint32_t> FlowRule::rss_context() const {
  if ((spec.flow_type & FLOW_RSS) == 0) return std::nullopt;
  return context;
}

std::optional<FlowMatch> FlowRule::match() const {
  if ((spec.flow_type & (FLOW_EXT | FLOW_MAC_EXT)) != 0) return std::nullopt;
  FlowMatch match;
  const uint32_t type = spec.flow_type & ~static_cast<uint32_t>(FLOW_RSS);
  if (type == TCP_V4_FLOW || type == UDP_V4_FLOW) {
    const auto& mask = spec.m_u.tcp_ip4_spec;
    if (mask.tos != 0 || !Get(spec.h_u.tcp_ip4_spec, mask, &ethtool_tcpip4_spec::ip4src,
                              &ethtool_tcpip4_spec::ip4dst, &match)) {
      return std::nullopt;
    }
  } else if (type == TCP_V6_FLOW || type == UDP_V6_FLOW) {
    const auto& mask = spec.m_u.tcp_ip6_spec;
    match.family = 6;
    if (mask.tclass != 0 || !Get(spec.h_u.tcp_ip6_spec, mask, &ethtool_tcpip6_spec::ip6src,
                                 &ethtool_tcpip6_spec::ip6dst, &match)) {
      return std::nullopt;
    }
  } else {
    return std::nullopt;
  }
  match.protocol = type == TCP_V4_FLOW || type == TCP_V6_FLOW ? FlowMatch::Protocol::kTcp
                                                              : FlowMatch::Protocol::kUdp;
  return match;
}

std::string FlowRule::ToString() const {
  const std::optional<FlowMatch> which = match();
  const std::string what =
      which ? sluice::ToString(*which) : absl::StrCat("flow type ", spec.flow_type & 0xFFFF);
  if (const auto to = queue()) return absl::StrCat(what, " to queue ", *to);
  if (const auto to = rss_context()) return absl::StrCat(what, " to RSS context ", *to);
  return absl::StrCat(what, spec.ring_cookie == RX_CLS_FLOW_DISC ? " dropped" : " elsewhere");
}

FlowRule RuleToQueue(const FlowMatch& match, uint32_t queue) {
  FlowRule rule = RuleOf(match);
  rule.spec.ring_cookie = queue;
  return rule;
}

FlowRule RuleToContext(const FlowMatch& match, uint32_t context) {
  FlowRule rule = RuleOf(match);
  rule.spec.flow_type |= FLOW_RSS;
  rule.context = context;
  return rule;
}

}  // namespace sluice
