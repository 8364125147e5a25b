#include "writer/extent/crc32c.h"

#include "isa-l/crc.h"

namespace sluice {

uint32_t ExtendCrc32c(uint32_t crc, absl::Span<const std::byte> bytes) {
  // ISA-L counts in int, takes a pointer to bytes that it does not change, and leaves the
  // inversions to its caller.
  constexpr size_t kStepBytes = size_t{1} << 30;
  crc = ~crc;
  while (!bytes.empty()) {
    const absl::Span<const std::byte> step = bytes.subspan(0, kStepBytes);
    crc = crc32_iscsi(reinterpret_cast<unsigned char*>(const_cast<std::byte*>(step.data())),
                      static_cast<int>(step.size()), crc);
    bytes.remove_prefix(step.size());
  }
  return ~crc;
}

}  // namespace sluice
