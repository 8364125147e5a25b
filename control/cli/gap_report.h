// What `sluice export` says of the bytes that a stream lacks.
#ifndef CONTROL_CLI_GAP_REPORT_H_
#define CONTROL_CLI_GAP_REPORT_H_

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>

#include "control/query/stream_gap.h"

namespace sluice {

// Joins gaps that follow each other. The first kLinesMax are told to people, all of them to the
// list.
class GapReport {
 public:
  static constexpr uint64_t kLinesMax = 20;

  // Each gap is a line of JSON in `list`: {"offset":"100","length":"50","cause":"POLICY"}; nullptr:
  // nobody wants it. `say` false: only Finish() tells people.
  GapReport(std::ostream* list, bool say) : list_(list), say_(say) {}

  void Add(const StreamGap& gap);
  // There are bytes between the gaps so far and what comes next, or nothing comes next.
  void Flush();
  // The sum, in one sentence; empty when there was no gap.
  std::string Finish();

  uint64_t count() const { return count_; }

 private:
  std::ostream* const list_;
  const bool say_;
  std::optional<StreamGap> last_;
  uint64_t count_ = 0;
  ByteCount bytes_;
};

}  // namespace sluice

#endif  // CONTROL_CLI_GAP_REPORT_H_
