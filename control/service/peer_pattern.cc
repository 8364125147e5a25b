#include "control/service/peer_pattern.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace sluice {
namespace {

constexpr int kOctetMax = 255;
constexpr size_t kOctets = 4;

// "10.0.0.1" of "10.0.0.1:80", "fe80::1" of "[fe80::1%2]:80".
absl::string_view HostOf(absl::string_view text) {
  absl::string_view host = text.substr(0, text.rfind(':'));
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    host = host.substr(1, host.size() - 2);
  }
  return host.substr(0, host.find('%'));
}

// The numbers from 0 to 255 that begin with these digits; false when there are none.
bool OctetsBeginningWith(absl::string_view digits, uint8_t* first, uint8_t* last) {
  bool any = false;
  for (int octet = 0; octet <= kOctetMax; ++octet) {
    if (!absl::StartsWith(absl::StrCat(octet), digits)) continue;
    if (!any) *first = static_cast<uint8_t>(octet);
    *last = static_cast<uint8_t>(octet);
    any = true;
  }
  return any;
}

// The IPv4 addresses that may begin with the text.
std::optional<AddressRange> IPv4BeginningWith(absl::string_view text) {
  const std::vector<absl::string_view> octets = absl::StrSplit(text, '.');
  if (octets.size() > kOctets) return std::nullopt;
  AddressRange range;
  range.family = 4;
  std::fill_n(range.last.begin(), kOctets, static_cast<uint8_t>(kOctetMax));
  for (size_t i = 0; i < octets.size(); ++i) {
    uint8_t first = 0;
    uint8_t last = 0;
    if (!OctetsBeginningWith(octets[i], &first, &last)) return std::nullopt;
    const bool whole = i + 1 < octets.size();
    if (whole && absl::StrCat(first) != octets[i]) return std::nullopt;
    range.first.at(i) = first;
    range.last.at(i) = whole ? first : last;
  }
  return range;
}

}  // namespace

absl::StatusOr<PeerPattern> PeerPattern::Parse(absl::string_view text) {
  PeerPattern pattern;
  if (absl::StatusOr<AddressRange> range = AddressRange::Parse(text); range.ok()) {
    pattern.range_ = *range;
    return pattern;
  }
  pattern.text_ = std::string(text);
  if (text == SocketAddress().ToString()) return pattern;
  const absl::StatusOr<AddressRange> host = AddressRange::Parse(HostOf(text));
  if (!host.ok() || absl::StrContains(text, '/') || !absl::StrContains(text, ':')) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text,
                     "\" is not a peer; write \"10.0.0.1:40112\", \"10.0.0.1\", \"10.0.0.0/8\" or "
                     "\"10.0.0.1*\""));
  }
  pattern.range_ = *host;
  return pattern;
}

PeerPattern PeerPattern::BeginningWith(absl::string_view text) {
  PeerPattern pattern;
  pattern.text_ = std::string(text);
  pattern.is_prefix_ = true;
  if (absl::StartsWith(text, "[")) {
    pattern.range_ = *AddressRange::Parse("::/0");
  } else if (absl::StrContains(text, ':')) {
    if (const auto host = AddressRange::Parse(HostOf(text)); host.ok()) pattern.range_ = *host;
  } else if (!text.empty()) {
    pattern.range_ = IPv4BeginningWith(text);
  }
  return pattern;
}

bool PeerPattern::Matches(const SocketAddress& peer) const {
  if (range_ && !range_->Contains(peer)) return false;
  if (!text_) return true;
  const std::string name = peer.ToString();
  return is_prefix_ ? absl::StartsWith(name, *text_) : name == *text_;
}

}  // namespace sluice
