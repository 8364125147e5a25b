#include "tests/bench/stream_check.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/bench/command_line.h"

namespace sluice {
namespace {

// As many bytes as there are, up to the size of the buffer.
size_t ReadFully(int file, std::vector<char>& buffer) {
  size_t size = 0;
  while (size < buffer.size()) {
    const int64_t got = OrDie(read(file, buffer.data() + size, buffer.size() - size), "read");
    if (got == 0) break;
    size += got;
  }
  return size;
}

// How many of the bytes at `found` are those of `part`.
size_t MatchingBytes(const ContentPart& part, const char* found) {
  size_t matching = 0;
  for (int i = 0; i < part.count(); ++i) {
    const auto* expected = static_cast<const char*>(part.vectors()[i].iov_base);
    const size_t size = part.vectors()[i].iov_len;
    if (std::memcmp(expected, found + matching, size) != 0) {
      const auto differ = std::mismatch(expected, expected + size, found + matching);
      return matching + (differ.first - expected);
    }
    matching += size;
  }
  return matching;
}

}  // namespace

std::string CheckStream(const StreamContent& content, int64_t stream, int64_t bytes, int file,
                        uint64_t begin) {
  std::vector<char> buffer(16 * StreamContent::kFrameBytes);
  uint64_t position = 0;
  for (size_t size; (size = ReadFully(file, buffer)) > 0; position += size) {
    if (stream < 0) {
      StreamContent::Stamp first = {};
      std::memcpy(&first, buffer.data(), std::min(size, sizeof(first)));
      stream = static_cast<int64_t>(first.stream);
    }
    const ContentPart part(content, stream, begin + position, size);
    const size_t matching = MatchingBytes(part, buffer.data());
    if (matching < size)
      return absl::StrCat("differs from stream ", stream, " at byte ", begin + position + matching);
  }
  if (bytes >= 0 && position != static_cast<uint64_t>(bytes)) {
    return absl::StrCat("holds ", position, " bytes of stream ", stream, ", not ", bytes);
  }
  return "";
}

}  // namespace sluice
