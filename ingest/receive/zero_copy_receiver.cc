#include "ingest/receive/zero_copy_receiver.h"

#include <algorithm>
#include <cerrno>

namespace sluice {
namespace {

// A thousand connections let loose on a few pages would all but some be back in the line.
constexpr size_t kTriesPerTurn = 64;
// The device may hold every page: none comes back from us then, but from packets that are read.
constexpr absl::Duration kTryInterval = absl::Milliseconds(10);

}  // namespace

ZeroCopyReceiver::Verdict ZeroCopyReceiver::Judge(int32_t result) {
  switch (-result) {
    case ENOSPC:  // the completion queue: it has room again, as we have just emptied it
      ++counters_.queue_full;
      return Verdict::kWaits;
    case ENOMEM:
      ++counters_.area_exhausted;
      starved_ = true;
      queue_->OnExhausted();
      return Verdict::kWaits;
    case EINTR:
    case EAGAIN:
      return Verdict::kWaits;
    case EFAULT:  // what comes next lies in another queue's memory
      ++counters_.steered_away;
      [[fallthrough]];
    case EPROTONOSUPPORT:
    case EOPNOTSUPP:
      ++counters_.handed_to_copy;
      return Verdict::kCopyInstead;
    default:
      // More than 0 bytes, and the kernel wants to be asked again.
      return result > 0 ? Verdict::kWaits : Verdict::kEnded;
  }
}

size_t ZeroCopyReceiver::MayTry(absl::Duration now) {
  if (waiting_.empty()) return 0;
  const uint64_t came_back = queue_->returned() - returned_;
  if (starved_ && came_back == 0 && now < try_at_) return 0;
  returned_ = queue_->returned();
  try_at_ = now + kTryInterval;
  const size_t tries =
      starved_ ? std::clamp<size_t>(came_back / 4, 1, kTriesPerTurn) : kTriesPerTurn;
  starved_ = false;
  return tries;
}

}  // namespace sluice
