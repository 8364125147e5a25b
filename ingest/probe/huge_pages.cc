#include "ingest/probe/huge_pages.h"

#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace sluice {
namespace {

std::string ReadText(const char* path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Of a line like "HugePages_Free:       12"; zero when there is none.
uint64_t Figure(absl::string_view meminfo, absl::string_view name) {
  for (const absl::string_view line : absl::StrSplit(meminfo, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(": "), absl::SkipEmpty());
    uint64_t value = 0;
    if (words.size() >= 2 && words[0] == name && absl::SimpleAtoi(words[1], &value)) return value;
  }
  return 0;
}

}  // namespace

HugePages ParseHugePages(absl::string_view meminfo, absl::string_view transparent) {
  HugePages pages;
  pages.total = Figure(meminfo, "HugePages_Total");
  pages.free = Figure(meminfo, "HugePages_Free");
  pages.size = KiB(Figure(meminfo, "Hugepagesize"));
  // "always [madvise] never"
  const size_t open = transparent.find('[');
  const size_t close = transparent.find(']');
  if (open != absl::string_view::npos && close != absl::string_view::npos && open < close) {
    pages.transparent = std::string(transparent.substr(open + 1, close - open - 1));
  }
  return pages;
}

HugePages ReadHugePages() {
  return ParseHugePages(ReadText("/proc/meminfo"),
                        ReadText("/sys/kernel/mm/transparent_hugepage/enabled"));
}

}  // namespace sluice
