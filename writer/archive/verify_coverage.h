// Which bytes of a stream, or of a track's account, were found.
#ifndef WRITER_ARCHIVE_VERIFY_COVERAGE_H_
#define WRITER_ARCHIVE_VERIFY_COVERAGE_H_

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <vector>

namespace sluice {

// Bytes of a stream, or of a track's account, and the segment in which they were found.
struct Range {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t segment = 0;
};

// Ranges of one stream or track. What follows on is joined as it comes, so few remain. An empty one
// says that everything before it is accounted for.
class Coverage {
 public:
  void Add(const Range& range) {
    if (!ranges_.empty() && ranges_.back().end == range.begin &&
        ranges_.back().segment == range.segment) {
      ranges_.back().end = range.end;
    } else {
      ranges_.push_back(range);
    }
  }
  void Add(const Coverage& more) {
    for (const Range& range : more.ranges_) Add(range);
  }

  // In order of their places, calls `overlap` and `gap` with the bounds of what does not fit.
  //
  // A gap at the beginning is what reuse leaves. So is one inside the first segment that still
  // exists: a refused write is repeated in the next segment while later ones succeed in the old
  // one, which then may be reused first.
  template <class Overlap, class Gap>
  void Check(Overlap overlap, Gap gap) {
    std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) {
      return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
    });
    uint64_t oldest = ~uint64_t{0};
    for (const Range& range : ranges_) oldest = std::min(oldest, range.segment);
    uint64_t end = ranges_.empty() ? 0 : ranges_.front().begin;
    uint64_t end_segment = 0;
    const bool begins_late = end > 0;
    for (const Range& range : ranges_) {
      if (range.begin < std::min(end, range.end)) {
        overlap(range.begin, std::min(end, range.end), range.segment);
      }
      if (range.begin > end && !(begins_late && range.segment == oldest)) {
        gap(end, range.begin, end_segment, range.segment);
      }
      if (range.end >= end) end_segment = range.segment;
      end = std::max(end, range.end);
    }
  }

 private:
  std::vector<Range> ranges_;
};

}  // namespace sluice

#endif  // WRITER_ARCHIVE_VERIFY_COVERAGE_H_
