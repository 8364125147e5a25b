// The slab of a lane's region: headers and packed blocks of the extents on their way to disk.
#ifndef WRITER_EXTENT_EXTENT_SLAB_H_
#define WRITER_EXTENT_EXTENT_SLAB_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "ingest/check.h"
#include "ingest/region/region.h"
#include "ingest/units.h"
#include "writer/extent/format.h"

namespace sluice {

// The largest header: 256 bytes, and 2,040 fragments or 510 events.
inline constexpr ByteCount kExtentHeaderMax = KiB(64);

class ExtentSlab;

// A place in the slab: a header buffer and blocks for packed bytes. Move-only; goes back when
// it is destroyed.
class [[nodiscard]] SlabSlot {
 public:
  SlabSlot(ExtentSlab& home, uint32_t index) : home_(&home), index_(index) {}
  SlabSlot(SlabSlot&& from) noexcept
      : home_(std::exchange(from.home_, nullptr)), index_(from.index_) {}
  SlabSlot& operator=(SlabSlot&& from) noexcept {
    SlabSlot old(std::move(from));
    std::swap(home_, old.home_);
    std::swap(index_, old.index_);
    return *this;
  }
  inline ~SlabSlot();

  inline std::byte* header() const;  // kExtentHeaderMax bytes
  inline std::byte* pack() const;    // pack_bytes() of the slab; begins a block

 private:
  ExtentSlab* home_;
  uint32_t index_;
};

// A fixed number of slots, shared by a lane's tracks; outlives them. On one lane's thread.
class ExtentSlab {
 public:
  // One block of zeros for pads, then the slots. `pack` is whole blocks, at least one.
  static constexpr ByteCount SizeFor(uint32_t slots, ByteCount pack = {kBlockBytes}) {
    return ByteCount{kBlockBytes} + (kExtentHeaderMax + pack) * slots;
  }

  ExtentSlab(Region& region, uint32_t slots, ByteCount pack = {kBlockBytes})
      : region_(&region), slots_(slots), pack_(pack) {
    free_.reserve(slots);
    for (uint32_t i = 0; i < slots; ++i) free_.push_back(slots - 1 - i);
  }
  ExtentSlab(const ExtentSlab&) = delete;
  ExtentSlab& operator=(const ExtentSlab&) = delete;
  ~ExtentSlab() { SLUICE_CHECK(free_.size() == slots_); }

  bool empty() const { return free_.empty(); }
  // Not when empty().
  SlabSlot Take() {
    SLUICE_CHECK(!free_.empty());
    const uint32_t index = free_.back();
    free_.pop_back();
    return {*this, index};
  }
  ByteCount pack_bytes() const { return pack_; }
  std::byte* zeros() const { return region_->At(region_->slab_begin()); }

 private:
  friend class SlabSlot;
  std::byte* Slot(uint32_t index) const {
    return region_->At(region_->slab_begin() + ByteCount{kBlockBytes} +
                       (kExtentHeaderMax + pack_) * index);
  }

  Region* region_;
  const uint32_t slots_;
  const ByteCount pack_;  // of a slot
  std::vector<uint32_t> free_;
};

SlabSlot::~SlabSlot() {
  if (home_ != nullptr) home_->free_.push_back(index_);
}
std::byte* SlabSlot::header() const { return home_->Slot(index_); }
std::byte* SlabSlot::pack() const { return home_->Slot(index_) + kExtentHeaderMax.value; }

}  // namespace sluice

#endif  // WRITER_EXTENT_EXTENT_SLAB_H_
