// A lane's memory: where payload lands and from where the disk reads it.
#ifndef INGEST_REGION_REGION_H_
#define INGEST_REGION_REGION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "ingest/check.h"
#include "ingest/units.h"

namespace sluice {

// One anonymous mapping `[slab | area]`. The slab holds extent headers, packed blocks and pads;
// the area holds payload. Aligned to 2 MiB, in huge pages where the system has them, touched
// before use so that no page fault happens while recording. Lives as long as the lane, which
// frees it only after the last operation that names it.
class Region {
 public:
  // Sizes are rounded up to 2 MiB together. RESOURCE_EXHAUSTED when there is not that much memory.
  static absl::StatusOr<std::unique_ptr<Region>> Map(ByteCount slab, ByteCount area);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  std::span<std::byte> memory() const { return memory_; }
  RegionOffset slab_begin() const { return {0}; }
  RegionOffset area_begin() const { return {slab_.value}; }
  ByteCount area() const { return {memory_.size() - slab_.value}; }
  bool huge_pages() const { return huge_pages_; }

  std::byte* At(RegionOffset at) const {
    SLUICE_CHECK(at.value < memory_.size());
    return memory_.data() + at.value;
  }
  std::span<std::byte> Span(RegionOffset at, ByteCount length) const {
    SLUICE_CHECK(at.value <= memory_.size() && length.value <= memory_.size() - at.value);
    return memory_.subspan(at.value, length.value);
  }

 private:
  Region(std::span<std::byte> memory, ByteCount slab, bool huge_pages)
      : memory_(memory), slab_(slab), huge_pages_(huge_pages) {}

  std::span<std::byte> memory_;
  ByteCount slab_;
  bool huge_pages_;
};

}  // namespace sluice

#endif  // INGEST_REGION_REGION_H_
