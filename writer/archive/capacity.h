// How much of a disk an archive takes, and how that is cut into segments.
#ifndef WRITER_ARCHIVE_CAPACITY_H_
#define WRITER_ARCHIVE_CAPACITY_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "ingest/units.h"

namespace sluice {

struct CapacityWish {
  std::string directory;  // exists
  ByteCount capacity;     // zero: `capacity_default`, or less on a small disk
  ByteCount capacity_default = GiB(16);
  ByteCount segment;         // zero: capacity / 64, between 16 MiB and 256 MiB
  uint32_t slots_min = 1;    // an archive has a few, a further disk one
  uint32_t slots_max = 0;    // that have a number left
  bool with_catalog = true;  // which needs some room beside the segments
  ByteCount catalog = {};    // how much; zero: CatalogFor(the capacity)
};

// What is set aside for the catalog of so many bytes of segments, if nobody says otherwise: a
// thirty-second part, between 8 MiB and 16 GiB. A stream takes some 240 bytes.
ByteCount CatalogFor(ByteCount capacity);

struct CapacityPlan {
  ByteCount segment;
  uint32_t slots = 0;
  ByteCount catalog;
};

// INVALID_ARGUMENT: the wish contradicts itself; RESOURCE_EXHAUSTED: the disk has no such room. The
// numbers are in the message.
absl::StatusOr<CapacityPlan> PlanCapacity(const CapacityWish& wish);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_CAPACITY_H_
