#include "control/cli/gap_report.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "control/cli/command.h"
#include "proto/sluice/v1/streams.pb.h"

namespace sluice {
namespace {

std::string CauseName(GapCause cause) {
  return v1::ReadStreamResponse::Gap::Cause_Name(
      static_cast<v1::ReadStreamResponse::Gap::Cause>(static_cast<int>(cause)));
}

}  // namespace

void GapReport::Add(const StreamGap& gap) {
  if (last_ && last_->end == gap.begin && last_->cause == gap.cause) {
    last_->end = gap.end;
    return;
  }
  Flush();
  last_ = gap;
}

void GapReport::Flush() {
  if (!last_) return;
  const StreamGap gap = *std::exchange(last_, std::nullopt);
  ++count_;
  bytes_ += gap.length();
  if (list_ != nullptr) {
    *list_ << "{\"offset\":\"" << gap.begin.value << "\",\"length\":\"" << gap.length().value
           << "\",\"cause\":\"" << CauseName(gap.cause) << "\"}\n";
  }
  if (say_ && count_ <= kLinesMax) {
    Note(absl::StrCat("gap: ", gap.length().value, " bytes from offset ", gap.begin.value,
                      " were dropped (", CauseName(gap.cause), ")"));
  }
}

std::string GapReport::Finish() {
  Flush();
  if (count_ == 0) return "";
  return absl::StrCat("the stream has ", count_, count_ == 1 ? " gap: " : " gaps: ", bytes_.value,
                      " bytes that were received and dropped");
}

}  // namespace sluice
