#include "control/cli/progress.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "control/cli/human.h"

namespace sluice {
namespace {

constexpr absl::Duration kRedraw = absl::Milliseconds(100);
constexpr size_t kBarMin = 10;
constexpr size_t kBarMax = 30;
constexpr absl::string_view kGap = "  ";

std::string Bar(double share, size_t inner) {
  const size_t filled = static_cast<size_t>(share * static_cast<double>(inner));
  std::string bar(inner, ' ');
  std::fill_n(bar.begin(), filled, '=');
  if (filled < inner) bar[filled] = '>';
  return absl::StrCat("[", bar, "]");
}

// The first of `pieces` that fit into `width` together.
std::string Fit(const std::vector<std::string>& pieces, size_t width) {
  std::string line;
  for (const std::string& piece : pieces) {
    const size_t more = piece.size() + (line.empty() ? 0 : kGap.size());
    if (line.size() + more > width) break;
    absl::StrAppend(&line, line.empty() ? "" : kGap, piece);
  }
  return line.empty() && !pieces.empty() ? pieces.front().substr(0, width) : line;
}

}  // namespace

std::string FormatProgress(absl::string_view label, const ProgressFigures& figures, size_t width) {
  const std::string rate = HumanRate(figures.bytes_per_second);
  if (figures.total.value == 0) {
    return Fit({std::string(label), HumanSize(figures.done), rate}, width);
  }
  const uint64_t done = std::min(figures.done.value, figures.total.value);
  const double share = static_cast<double>(done) / static_cast<double>(figures.total.value);
  std::vector<std::string> pieces = {
      std::string(label), absl::StrFormat("%3d%%", static_cast<int>(share * 100)),
      absl::StrCat(HumanSize(figures.done), " of ", HumanSize(figures.total)), rate};
  if (figures.bytes_per_second > 0) {
    const double left = static_cast<double>(figures.total.value - done) / figures.bytes_per_second;
    // No promises beyond a month.
    if (left < 30 * 86400.0) {
      pieces.push_back(absl::StrCat(HumanDuration(absl::Seconds(left)), " left"));
    }
  }
  const size_t taken = absl::StrJoin(pieces, kGap).size() + kGap.size() + 2;
  if (taken + kBarMin <= width) {
    pieces.insert(pieces.begin() + 1, Bar(share, std::min(width - taken, kBarMax)));
  }
  return Fit(pieces, width);
}

Progress::Progress(std::string label)
    : label_(std::move(label)), rate_(absl::Now(), 0), drawn_(absl::InfinitePast()) {}

void Progress::Update(ByteCount done, ByteCount total) {
  if (!line_.visible()) return;
  const absl::Time now = absl::Now();
  if (now - drawn_ < kRedraw) return;
  drawn_ = now;
  rate_.Update(now, done.value);
  line_.Draw(FormatProgress(label_, {done, total, rate_.per_second()}, line_.width() - 1));
}

}  // namespace sluice
