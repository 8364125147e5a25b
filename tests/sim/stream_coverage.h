// Which bytes of which streams.
#ifndef TESTS_SIM_STREAM_COVERAGE_H_
#define TESTS_SIM_STREAM_COVERAGE_H_

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>

namespace sluice {

class StreamCoverage {
 public:
  // False if any of it was there before.
  bool Add(uint64_t stream, uint64_t begin, uint64_t end) {
    std::map<uint64_t, uint64_t>& runs = streams_[stream];
    if (begin == end) return true;
    bool is_new = true;
    auto next = runs.lower_bound(begin);
    if (next != runs.begin()) {
      const auto before = std::prev(next);
      is_new = before->second <= begin;
      if (before->second >= begin) {
        begin = before->first;
        end = std::max(end, before->second);
      }
    }
    while (next != runs.end() && next->first <= end) {
      is_new &= next->first == end;
      end = std::max(end, next->second);
      next = runs.erase(next);
    }
    runs[begin] = end;
    return is_new;
  }

  bool Covers(uint64_t stream, uint64_t begin, uint64_t end) const {
    if (begin == end) return true;
    const auto found = streams_.find(stream);
    if (found == streams_.end()) return false;
    const auto next = found->second.upper_bound(begin);
    return next != found->second.begin() && std::prev(next)->second >= end;
  }

  // Whether each byte is in this one or in the other.
  bool CoversWith(const StreamCoverage& other, uint64_t stream, uint64_t begin,
                  uint64_t end) const {
    while (begin < end) {
      const uint64_t reached = std::max(ReachFrom(stream, begin), other.ReachFrom(stream, begin));
      if (reached <= begin) return false;
      begin = reached;
    }
    return true;
  }

  uint64_t BytesOf(uint64_t stream) const {
    uint64_t sum = 0;
    const auto found = streams_.find(stream);
    if (found == streams_.end()) return 0;
    for (const auto& [begin, end] : found->second) sum += end - begin;
    return sum;
  }

  // By stream: begin to end, merged.
  const std::map<uint64_t, std::map<uint64_t, uint64_t>>& streams() const { return streams_; }

 private:
  // The end of the run that has the byte at `at`; 0: none has.
  uint64_t ReachFrom(uint64_t stream, uint64_t at) const {
    const auto found = streams_.find(stream);
    if (found == streams_.end()) return 0;
    const auto next = found->second.upper_bound(at);
    return next == found->second.begin() ? 0 : std::prev(next)->second;
  }

  std::map<uint64_t, std::map<uint64_t, uint64_t>> streams_;
};

}  // namespace sluice

#endif  // TESTS_SIM_STREAM_COVERAGE_H_
