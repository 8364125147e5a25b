// What the catalog says of a sealed segment, compared with what the segment says.
#ifndef WRITER_ARCHIVE_ROW_CHECK_H_
#define WRITER_ARCHIVE_ROW_CHECK_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "writer/catalog/catalog.h"
#include "writer/segment/segment_keeper.h"

namespace sluice {

// One sentence; empty: they agree. `row` is the catalog's, `segment` would be published if the
// segment were taken in now, `epoch` is in its header. Does not compare the footer's hash. Errors
// are the catalog's.
absl::StatusOr<std::string> WhatDiffers(Catalog& catalog, const SegmentRow& row, uint32_t epoch,
                                        const SegmentUpdate& segment);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_ROW_CHECK_H_
