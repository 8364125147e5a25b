#include "control/recorder/removal_watch.h"

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sluice {

std::optional<std::string> RemovalWatch::Look(const RemovalCounts& now_removed, absl::Time now) {
  if (now - said_at_ < kInterval) return std::nullopt;
  std::optional<std::string> line = Rest(now_removed);
  if (line) said_at_ = now;
  return line;
}

std::optional<std::string> RemovalWatch::Rest(const RemovalCounts& now_removed) {
  std::vector<std::string> reasons;
  uint64_t all = 0;
  const auto add = [&](uint64_t count, const char* reason) {
    if (count == 0) return;
    all += count;
    reasons.push_back(absl::StrCat(count, " ", reason));
  };
  add(now_removed.age - said_.age, "by age");
  add(now_removed.quota - said_.quota, "by quota");
  add(now_removed.catalog - said_.catalog, "because the catalog was full");
  if (all == 0) return std::nullopt;
  said_ = now_removed;
  return absl::StrCat("retention removed ", all,
                      all == 1 ? " segment: " : " segments: ", absl::StrJoin(reasons, ", "));
}

}  // namespace sluice
