// A rule by which the NIC sends packets to a receive queue (ethtool's "ntuple" filters).
#ifndef CONTROL_NIC_FLOW_RULE_H_
#define CONTROL_NIC_FLOW_RULE_H_

#include <linux/ethtool.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace sluice {

// Which packets: an address or port that is not given may be any.
struct FlowMatch {
  enum class Protocol { kTcp, kUdp };
  Protocol protocol = Protocol::kTcp;
  int family = 4;  // 4 or 6
  struct Network {
    std::array<uint8_t, 16> address = {};  // of IPv4 the first four bytes
    uint32_t bits = 0;                     // length of the prefix; 0: any address
    bool operator==(const Network&) const = default;
  };
  Network source;
  Network destination;
  uint16_t source_port = 0;  // 0: any
  uint16_t destination_port = 0;
  bool operator==(const FlowMatch&) const = default;
};

// "tcp4 dst-port 9000", as ethtool would have it.
std::string ToString(const FlowMatch& match);

// A rule as the kernel stores it. Bytes that no one of ours would set are kept, so that a rule of
// somebody else's can be put back as it was.
struct FlowRule {
  ethtool_rx_flow_spec spec = {};
  uint32_t context = 0;  // of RSS; counts when the spec has FLOW_RSS

  bool operator==(const FlowRule& other) const;
  uint32_t location() const { return spec.location; }
  // Nothing: the packets go to a context, to a virtual function, or are dropped.
  std::optional<uint32_t> queue() const;
  std::optional<uint32_t> rss_context() const;
  // Nothing: it looks at more than a FlowMatch can say.
  std::optional<FlowMatch> match() const;
  std::string ToString() const;
};

// Its location is for the driver to choose (RX_CLS_LOC_ANY), or for the caller to set.
FlowRule RuleToQueue(const FlowMatch& match, uint32_t queue);
FlowRule RuleToContext(const FlowMatch& match, uint32_t context);

}  // namespace sluice

#endif  // CONTROL_NIC_FLOW_RULE_H_
