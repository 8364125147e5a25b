// One reference on a buffer of receive memory; its destructor is the only way home.
#ifndef INGEST_REGION_REGION_LEASE_H_
#define INGEST_REGION_REGION_LEASE_H_

#include <cstdint>
#include <utility>

#include "ingest/units.h"

namespace sluice {

// Where references go home. One per lane, used only on that lane's thread, outlives its leases.
class LeaseHome {
 public:
  virtual ~LeaseHome() = default;
  virtual void Return(uint32_t buffer, uint32_t references) = 0;
};

// A reference is taken for each completion, and returned once what it holds is on disk. Nothing
// complains when one is returned twice, which frees somebody else's bytes, and nothing when one
// is forgotten, which starves the receiver. So the count lives in the type: a lease can be moved
// but not copied.
class [[nodiscard]] RegionLease {
 public:
  RegionLease(LeaseHome& home, uint32_t buffer) : home_(&home), buffer_(buffer) {}
  RegionLease(RegionLease&& from) noexcept
      : home_(std::exchange(from.home_, nullptr)),
        buffer_(from.buffer_),
        references_(from.references_) {}
  RegionLease& operator=(RegionLease&& from) noexcept {
    RegionLease old(std::move(from));  // then returns what we held before
    std::swap(home_, old.home_);
    std::swap(buffer_, old.buffer_);
    std::swap(references_, old.references_);
    return *this;
  }
  ~RegionLease() {
    if (home_ != nullptr) home_->Return(buffer_, references_);
  }

  bool SharesBufferWith(const RegionLease& other) const {
    return home_ == other.home_ && buffer_ == other.buffer_;
  }
  // Takes over the references of a lease on the same buffer, which then go home with this one's;
  // false when it is another buffer's.
  bool Absorb(RegionLease& other) {
    if (!SharesBufferWith(other)) return false;
    references_ += other.references_;
    other.home_ = nullptr;
    return true;
  }

 private:
  LeaseHome* home_;
  uint32_t buffer_;
  uint32_t references_ = 1;
};

}  // namespace sluice

#endif  // INGEST_REGION_REGION_LEASE_H_
