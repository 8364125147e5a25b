#include "tests/e2e/exported.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// The first of `size` bytes at `found` that is not the stream's at `position`; `size` when all are.
size_t FirstDifference(const StreamContent& content, uint64_t number, uint64_t position,
                       const char* found, size_t size) {
  size_t at = 0;
  while (at < size) {
    const ContentPart part(content, number, position + at, size - at);
    for (int i = 0; i < part.count(); ++i) {
      const auto* const wanted = static_cast<const char*>(part.vectors()[i].iov_base);
      const size_t length = part.vectors()[i].iov_len;
      if (std::memcmp(wanted, found + at, length) != 0) {
        return at + static_cast<size_t>(std::mismatch(wanted, wanted + length, found + at).first -
                                        wanted);
      }
      at += length;
    }
  }
  return size;
}

}  // namespace

std::string CompareBytes(int fd, const StreamContent& content, uint64_t number, uint64_t begin,
                         uint64_t bytes) {
  std::vector<char> buffer(1 << 18);
  uint64_t got = 0;
  while (got < bytes) {
    const ssize_t n = read(fd, buffer.data(), std::min<uint64_t>(buffer.size(), bytes - got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::StrCat("read: errno ", errno);
    if (n == 0) return absl::StrCat("ends after ", got, " bytes instead of ", bytes);
    const auto size = static_cast<size_t>(n);
    const size_t same = FirstDifference(content, number, begin + got, buffer.data(), size);
    if (same < size) return absl::StrCat("differs at stream offset ", begin + got + same);
    got += size;
  }
  return "";
}

std::string CompareExport(const std::string& id, const Words& target, const StreamContent& content,
                          const Expected& expected, const Words& more) {
  Words words = {"export", id, "--to", "-"};
  words.insert(words.end(), target.begin(), target.end());
  words.insert(words.end(), more.begin(), more.end());
  ChildOptions options = Command(words);
  options.raw_out = true;
  Child child(options);
  std::string fault = CompareBytes(child.out_fd(), content, expected.number, expected.begin,
                                   expected.end - expected.begin);
  char surplus = 0;
  if (fault.empty() && read(child.out_fd(), &surplus, 1) != 0) fault = "goes on";
  child.CloseOut();
  const int code = child.Wait();
  if (code != 0) absl::StrAppend(&fault, fault.empty() ? "" : "; ", "exit code ", code);
  if (!fault.empty()) fault = absl::StrCat("export of ", id, ": ", fault, "; ", child.err());
  return fault;
}

}  // namespace sluice
