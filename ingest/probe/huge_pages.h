// What the system has of huge pages.
#ifndef INGEST_PROBE_HUGE_PAGES_H_
#define INGEST_PROBE_HUGE_PAGES_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "ingest/units.h"

namespace sluice {

struct HugePages {
  uint64_t total = 0;  // reserved, of the default size
  uint64_t free = 0;
  ByteCount size;
  std::string transparent;  // "always", "madvise", "never"; empty: the kernel has none
};

HugePages ReadHugePages();

// From the text of /proc/meminfo and of /sys/kernel/mm/transparent_hugepage/enabled.
HugePages ParseHugePages(absl::string_view meminfo, absl::string_view transparent);

}  // namespace sluice

#endif  // INGEST_PROBE_HUGE_PAGES_H_
