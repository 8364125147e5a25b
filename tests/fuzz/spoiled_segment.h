// Good segments, spoiled as a fuzzer says, with checksums that hold nevertheless.
#ifndef TESTS_FUZZ_SPOILED_SEGMENT_H_
#define TESTS_FUZZ_SPOILED_SEGMENT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/types/span.h"
#include "ingest/units.h"

namespace sluice {

// The fuzzer's bytes, taken one after the other. When there are no more, zeros.
class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  bool empty() const { return left_ == 0; }
  // The next integer, little-endian.
  template <class Number>
  Number Take() {
    Number number = 0;
    const size_t bytes = std::min(left_, sizeof(number));
    std::memcpy(&number, data_, bytes);
    data_ += bytes;
    left_ -= bytes;
    return number;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

inline constexpr ByteCount kFuzzSegment = MiB(1);

// What three segments of one archive look like: two sealed ones of one recording, and one of
// another that is still open. They have streams that go on from one to the next, gaps, extents
// with and without a payload CRC. The header names the slot.
const std::vector<std::vector<std::byte>>& GoodSegments();

// Takes edits from the input until one says that it was the last.
void Spoil(FuzzInput& input, absl::Span<std::byte> segment);

}  // namespace sluice

#endif  // TESTS_FUZZ_SPOILED_SEGMENT_H_
