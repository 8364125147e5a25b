// The area of a lane's region, cut into chunks that copying receivers fill.
#ifndef INGEST_REGION_CHUNK_POOL_H_
#define INGEST_REGION_CHUNK_POOL_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "ingest/check.h"
#include "ingest/region/region_lease.h"
#include "ingest/units.h"

namespace sluice {

// Counts the references on each chunk: one of the receiver while the kernel fills it, one for
// each lease on bytes in it. A chunk without any is free. On one lane's thread.
class ChunkPool final : public LeaseHome {
 public:
  ChunkPool(RegionOffset begin, ByteCount chunk, uint32_t count)
      : begin_(begin), chunk_(chunk), references_(count, 0) {
    free_.reserve(count);
    for (uint32_t i = 0; i < count; ++i) free_.push_back(count - 1 - i);
  }
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;
  ~ChunkPool() override { SLUICE_CHECK(free_.size() == references_.size()); }

  // The chunk that was freed last: its memory is most likely still in the cache.
  std::optional<uint32_t> Take() {
    if (free_.empty()) return std::nullopt;
    const uint32_t chunk = free_.back();
    free_.pop_back();
    references_[chunk] = 1;
    return chunk;
  }
  RegionLease Lease(uint32_t chunk) {
    SLUICE_CHECK(references_.at(chunk) > 0);
    ++references_[chunk];
    return {*this, chunk};
  }
  void Return(uint32_t chunk, uint32_t references = 1) override {
    SLUICE_CHECK(references_.at(chunk) >= references && references > 0);
    references_[chunk] -= references;
    if (references_[chunk] == 0) free_.push_back(chunk);
  }

  RegionOffset Begin(uint32_t chunk) const { return begin_ + chunk_ * chunk; }
  ByteCount chunk_size() const { return chunk_; }
  uint32_t free_count() const { return static_cast<uint32_t>(free_.size()); }
  uint32_t count() const { return static_cast<uint32_t>(references_.size()); }

 private:
  const RegionOffset begin_;
  const ByteCount chunk_;
  std::vector<uint32_t> references_;
  std::vector<uint32_t> free_;
};

}  // namespace sluice

#endif  // INGEST_REGION_CHUNK_POOL_H_
