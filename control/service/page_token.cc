#include "control/service/page_token.h"

#include <algorithm>
#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr char kVersion = 1;
constexpr size_t kHashBytes = sizeof(uint64_t);
constexpr size_t kPageDefault = 100;
constexpr size_t kPageMax = 1000;

std::string HashToBytes(RequestHash hash) {
  std::string bytes(kHashBytes, '\0');
  for (size_t i = 0; i < kHashBytes; ++i) {
    bytes[i] = static_cast<char>(static_cast<uint64_t>(hash) >> (8 * i));
  }
  return bytes;
}

}  // namespace

// FNV-1a, with the length of each part, so that "a" + "bc" is not "ab" + "c". The same in every
// process: a token survives a restart of the daemon.
RequestHash HashRequest(std::initializer_list<absl::string_view> parts) {
  uint64_t hash = 0xCBF29CE484222325;
  const auto add = [&hash](unsigned char byte) { hash = (hash ^ byte) * 0x100000001B3; };
  for (const absl::string_view part : parts) {
    for (size_t shift = 0; shift < 64; shift += 8) {
      add(static_cast<unsigned char>(uint64_t{part.size()} >> shift));
    }
    for (const char c : part) add(static_cast<unsigned char>(c));
  }
  return RequestHash{hash};
}

std::string MakePageToken(RequestHash request, absl::string_view position) {
  return absl::WebSafeBase64Escape(
      absl::StrCat(std::string(1, kVersion), HashToBytes(request), position));
}

absl::StatusOr<std::string> ReadPageToken(RequestHash request, absl::string_view token) {
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(token, &bytes) || bytes.size() <= 1 + kHashBytes ||
      bytes[0] != kVersion) {
    return absl::InvalidArgumentError(
        "page_token is not one that this service gave out; leave it empty for the first page");
  }
  if (bytes.compare(1, kHashBytes, HashToBytes(request)) != 0) {
    return absl::InvalidArgumentError(
        "page_token belongs to another request; repeat that request with only the token changed");
  }
  return bytes.substr(1 + kHashBytes);
}

absl::StatusOr<size_t> PageSize(int32_t asked) {
  if (asked < 0) {
    return absl::InvalidArgumentError(absl::StrCat("page_size ", asked, " is negative"));
  }
  if (asked == 0) return kPageDefault;
  return std::min(static_cast<size_t>(asked), kPageMax);
}

}  // namespace sluice
