#include "control/query/extent_window.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ingest/check.h"
#include "writer/extent/format.h"

namespace sluice {

absl::StatusOr<absl::Span<const std::byte>> ExtentWindow::Get(FileOffset at, ByteCount bytes,
                                                              ByteCount ahead, FileOffset limit) {
  SLUICE_CHECK(at.value % kBlockBytes == 0 && bytes.value % kBlockBytes == 0);
  const FileOffset need = at + bytes;
  if (at < begin_ || at >= end_) {
    begin_ = end_ = at;
  } else if (need > end_) {
    // Keeps the piece of the next extent that came with the last read.
    std::memmove(memory_.data(), memory_.data() + (at - begin_).value, (end_ - at).value);
    begin_ = at;
  }
  if (need > end_) {
    Reserve(std::max(bytes, ahead).value);
    const FileOffset want = std::max(need, std::min(at + ahead, limit));
    absl::Status filled = Fill(want);
    // What lies ahead may be unreadable for reasons of its own.
    if (!filled.ok() && want > need) filled = Fill(need);
    if (!filled.ok()) return filled;
  }
  return absl::MakeConstSpan(memory_.data() + (at - begin_).value, bytes.value);
}

void ExtentWindow::Reserve(uint64_t capacity) {
  if (capacity <= memory_.size()) return;
  AlignedBuffer memory(capacity);
  if (end_ > begin_) std::memcpy(memory.data(), memory_.data(), (end_ - begin_).value);
  memory_ = std::move(memory);
}

absl::Status ExtentWindow::Fill(FileOffset end) {
  ++reads_;
  const absl::Status read = segment_->Read(
      end_, absl::MakeSpan(memory_.data() + (end_ - begin_).value, (end - end_).value));
  if (read.ok()) end_ = end;
  return read;
}

}  // namespace sluice
