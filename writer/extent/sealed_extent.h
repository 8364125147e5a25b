// An extent that is complete, but for its place in a segment.
#ifndef WRITER_EXTENT_SEALED_EXTENT_H_
#define WRITER_EXTENT_SEALED_EXTENT_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/container/inlined_vector.h"
#include "ingest/region/region_lease.h"
#include "ingest/units.h"
#include "writer/extent/extent_slab.h"
#include "writer/extent/format.h"

namespace sluice {

// Owns what its bytes lie in. Once it is written the leases may go home; the slot, with the
// header, is kept until the extents before it are written too.
struct SealedExtent {
  SlabSlot slot;
  absl::InlinedVector<iovec, 6> ranges;  // header, payload, packed block, pad: extent_bytes in all
  absl::InlinedVector<RegionLease, 4> leases;

  ExtentHeader& header() const { return *reinterpret_cast<ExtentHeader*>(slot.header()); }
  std::span<const FragmentEntry> fragments() const {
    return {reinterpret_cast<const FragmentEntry*>(slot.header() + sizeof(ExtentHeader)),
            header().fragment_count};
  }
  std::span<const StreamEvent> events() const {
    return {reinterpret_cast<const StreamEvent*>(fragments().data() + fragments().size()),
            header().event_count};
  }
};

// Gives a sealed extent its place and the CRC over its header. May be done again for another
// place, when the disk refused the first one.
void PlaceExtent(SealedExtent& extent, SegmentId segment, uint32_t sequence, FileOffset durable);

}  // namespace sluice

#endif  // WRITER_EXTENT_SEALED_EXTENT_H_
