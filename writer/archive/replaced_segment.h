// From what the catalog knows of a segment to what the next header in its slot says, and back.
#ifndef WRITER_ARCHIVE_REPLACED_SEGMENT_H_
#define WRITER_ARCHIVE_REPLACED_SEGMENT_H_

#include "writer/catalog/catalog.h"
#include "writer/catalog/removal.h"
#include "writer/segment/format.h"

namespace sluice {

// Says nothing of a row that held nothing.
ReplacedSegment Replaced(const SegmentRow& row, const RemovalCause& why);
// As the catalog remembers it. For a segment_id that is not 0; trusts no other field.
RemovalRow RemovalOf(const ReplacedSegment& replaced);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_REPLACED_SEGMENT_H_
