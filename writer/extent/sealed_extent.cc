#include "writer/extent/sealed_extent.h"

#include "writer/extent/extent_codec.h"

namespace sluice {

void PlaceExtent(SealedExtent& extent, SegmentId segment, uint32_t sequence, FileOffset durable) {
  ExtentHeader& header = extent.header();
  header.segment_id = static_cast<uint64_t>(segment);
  header.sequence = sequence;
  header.durable_bytes = durable.value;
  SealExtentHeader({extent.slot.header(), header.header_bytes});
}

}  // namespace sluice
