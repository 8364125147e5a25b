#include "writer/stream_id.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace sluice {
namespace {

// Decimal digits only and no leading zero, so that a stream has one name.
std::optional<uint64_t> ParsePart(absl::string_view text, uint64_t max) {
  uint64_t value = 0;
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  if (text.find_first_not_of("0123456789") != absl::string_view::npos) return std::nullopt;
  if (!absl::SimpleAtoi(text, &value) || value > max) return std::nullopt;
  return value;
}

}  // namespace

std::string StreamIdToString(StreamId id) {
  const StreamIdParts parts = SplitStreamId(id);
  return absl::StrCat(parts.epoch, "-", parts.lane, "-", parts.counter);
}

std::optional<StreamId> ParseStreamId(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '-');
  if (parts.size() != 3) return std::nullopt;
  const std::optional<uint64_t> epoch = ParsePart(parts[0], 0xFFFFFF);
  const std::optional<uint64_t> lane = ParsePart(parts[1], 0xFF);
  const std::optional<uint64_t> counter = ParsePart(parts[2], 0xFFFFFFFF);
  if (!epoch || !lane || !counter) return std::nullopt;
  return MakeStreamId({static_cast<uint32_t>(*epoch), static_cast<uint8_t>(*lane),
                       static_cast<uint32_t>(*counter)});
}

}  // namespace sluice
