// CRC32C (Castagnoli), as every checksum on disk is.
#ifndef WRITER_EXTENT_CRC32C_H_
#define WRITER_EXTENT_CRC32C_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace sluice {

// Appends bytes to a checksum; the checksum of nothing is 0. The usual inversions before and
// after are part of it, so ExtendCrc32c(ExtendCrc32c(0, a), b) is the checksum of a then b.
uint32_t ExtendCrc32c(uint32_t crc, absl::Span<const std::byte> bytes);

inline uint32_t Crc32c(absl::Span<const std::byte> bytes) { return ExtendCrc32c(0, bytes); }

}  // namespace sluice

#endif  // WRITER_EXTENT_CRC32C_H_
