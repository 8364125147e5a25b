#include "control/query/extent_window.h"

#include <algorithm>
#include <cstring>

#include "ingest/check.h"
#include "writer/extent/format.h"

namespace sluice {

absl::StatusOr<absl::Span<const std::byte>> ExtentWindow::Get(FileOffset at, ByteCount bytes,
                                                              ByteCount ahead, FileOffset limit) {
  SLUICE_CHECK(at.value % kBlockBytes == 0 && bytes.value % kBlockBytes == 0);
  const FileOffset need = at + bytes;
  if (at < begin_ || at > end_) {
    next_.reset();
    begin_ = end_ = at;
  }
  if (need > end_) {
    TakeNext(at);
    const FileOffset want = std::max(need, std::min(at + ahead, limit));
    if (need > end_) {
      absl::Status read = ReadOn(at, want);
      // What lies ahead may be unreadable for reasons of its own.
      if (!read.ok() && want > need) read = ReadOn(at, need);
      if (!read.ok()) return read;
    }
    if (ahead >= kAheadMax) StartNext(limit);
  }
  return absl::MakeConstSpan(Address(at), bytes.value);
}

// Keeps what is there from `at` on, and reads the rest.
absl::Status ExtentWindow::ReadOn(FileOffset at, FileOffset end) {
  const uint64_t kept = (end_ - at).value;
  const uint64_t capacity = (end - at).value;
  if (memory_.size() < capacity) {
    AlignedBuffer memory(capacity);
    if (kept > 0) std::memcpy(memory.data(), Address(at), kept);
    memory_ = std::move(memory);
  } else if (kept > 0) {
    std::memmove(memory_.data(), Address(at), kept);
  }
  offset_ = 0;
  begin_ = at;
  ++reads_;
  const absl::Status read =
      segment_->Read(end_, absl::MakeSpan(memory_.data() + kept, capacity - kept));
  if (read.ok()) end_ = end;
  return read;
}

void ExtentWindow::TakeNext(FileOffset at) {
  if (next_ == nullptr) return;
  const std::unique_ptr<Next> next = std::move(next_);
  // If it failed, or the segment was reused, reading it once more will say so.
  if (!next->done.get()) return;
  const ByteCount kept = end_ - at;
  if (kept > kHeadroom) return;
  const uint64_t offset = (kHeadroom - kept).value;
  if (kept.value > 0) std::memcpy(next->memory.data() + offset, Address(at), kept.value);
  offset_ = offset;
  spare_ = std::exchange(memory_, std::move(next->memory));
  begin_ = at;
  end_ = end_ + next->bytes;
}

void ExtentWindow::StartNext(FileOffset limit) {
  if (next_ != nullptr || end_ >= limit) return;
  if (next_segment_ == nullptr) {
    absl::StatusOr<std::unique_ptr<SegmentReader>> segment = SegmentReader::Open(path_);
    if (!segment.ok() || (*segment)->id() != segment_->id()) return;
    next_segment_ = *std::move(segment);
  }
  next_ = std::make_unique<Next>();
  next_->bytes = std::min(kAheadMax, limit - end_);
  next_->memory = std::move(spare_);
  const ByteCount capacity = kHeadroom + kAheadMax;
  if (next_->memory.size() < capacity.value) next_->memory = AlignedBuffer(capacity.value);
  next_->done =
      std::async(std::launch::async,
                 [segment = next_segment_.get(), at = end_,
                  out = next_->memory.span().subspan(kHeadroom.value, next_->bytes.value)] {
                   return segment->Read(at, out).ok() && segment->StillHolds();
                 });
}

}  // namespace sluice
