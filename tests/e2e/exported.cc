#include "tests/e2e/exported.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

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

// "" when the next `bytes` are zeros.
std::string CompareZeros(int fd, uint64_t begin, uint64_t bytes) {
  std::vector<char> buffer(1 << 18);
  uint64_t got = 0;
  while (got < bytes) {
    const ssize_t n = read(fd, buffer.data(), std::min<uint64_t>(buffer.size(), bytes - got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::StrCat("read: errno ", errno);
    if (n == 0) return absl::StrCat("ends after ", got, " zeros instead of ", bytes);
    const auto end = buffer.begin() + n;
    const auto other = std::find_if(buffer.begin(), end, [](char c) { return c != 0; });
    if (other != end) {
      return absl::StrCat("is not zero at stream offset ",
                          begin + got + static_cast<uint64_t>(other - buffer.begin()));
    }
    got += static_cast<uint64_t>(n);
  }
  return "";
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

std::vector<SentGap> ReadGapList(const std::string& file) {
  std::vector<SentGap> gaps;
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    const Json gap = Json::Parse(line);
    uint64_t offset = 0;
    uint64_t length = 0;
    EXPECT_TRUE(absl::SimpleAtoi(gap["offset"].text(), &offset)) << line;
    EXPECT_TRUE(absl::SimpleAtoi(gap["length"].text(), &length)) << line;
    EXPECT_EQ(gap["cause"].text(), "POLICY") << line;
    gaps.push_back({offset, offset + length});
  }
  return gaps;
}

std::string CompareAroundGaps(int fd, const StreamContent& content, const Expected& expected,
                              const std::vector<SentGap>& gaps, GapBytes shown) {
  uint64_t at = expected.begin;
  for (const SentGap& gap : gaps) {
    const uint64_t begin = std::max(gap.begin, at);
    const uint64_t end = std::min(gap.end, expected.end);
    if (begin >= end) continue;
    std::string fault = CompareBytes(fd, content, expected.number, at, begin - at);
    if (fault.empty() && shown == GapBytes::kZeros) fault = CompareZeros(fd, begin, end - begin);
    if (!fault.empty()) return fault;
    at = end;
  }
  return CompareBytes(fd, content, expected.number, at, std::max(at, expected.end) - at);
}

}  // namespace sluice
