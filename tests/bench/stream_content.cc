#include "tests/bench/stream_content.h"

#include <algorithm>

namespace sluice {
namespace {

// Small enough to stay in a core's second-level cache beside what the kernel needs:
// the sender must not be what a benchmark measures.
constexpr size_t kBlockBytes = size_t{1} << 20;

uint64_t Mix(uint64_t x) {  // SplitMix64.
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

StreamContent::StreamContent(uint64_t seed) : seed_(Mix(seed)), block_(kBlockBytes / 8) {
  uint64_t counter = seed_;
  for (uint64_t& word : block_) word = Mix(counter++);
}

const char* StreamContent::Body(Stamp stamp) const {
  constexpr size_t kWindows = (kBlockBytes - kBodyBytes) / 64;  // At cache lines: copied faster.
  const uint64_t window = Mix(seed_ ^ Mix(stamp.stream ^ Mix(stamp.position))) % kWindows;
  return reinterpret_cast<const char*>(block_.data()) + 64 * window;
}

ContentPart::ContentPart(const StreamContent& content, uint64_t stream, uint64_t position,
                         uint64_t bytes) {
  uint64_t skip = position % StreamContent::kFrameBytes;
  uint64_t frame = position - skip;
  for (StreamContent::Stamp& stamp : stamps_) {
    stamp = {stream, frame};
    Append(&stamp, sizeof(stamp), &skip, &bytes);
    Append(const_cast<char*>(content.Body(stamp)), StreamContent::kBodyBytes, &skip, &bytes);
    frame += StreamContent::kFrameBytes;
  }
}

void ContentPart::Append(void* data, uint64_t size, uint64_t* skip, uint64_t* left) {
  const uint64_t skipped = std::min(*skip, size);
  const uint64_t used = std::min(*left, size - skipped);
  *skip -= skipped;
  *left -= used;
  if (used == 0) return;
  vectors_[count_++] = {static_cast<char*>(data) + skipped, used};
  bytes_ += used;
}

}  // namespace sluice
