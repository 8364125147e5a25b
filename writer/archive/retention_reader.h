// What retention has to know of an archive, from its catalog.
#ifndef WRITER_ARCHIVE_RETENTION_READER_H_
#define WRITER_ARCHIVE_RETENTION_READER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ingest/units.h"
#include "writer/archive/archive_codec.h"
#include "writer/catalog/catalog.h"
#include "writer/retention/retention.h"

namespace sluice {

// What a selector stands for now.
struct Selection {
  std::vector<SegmentId> parts;  // that have a part of its stream; none without one
  bool active = false;           // it is being recorded
};
// NOT_FOUND: there is no such recording, or no such stream in it.
absl::StatusOr<Selection> Select(Catalog& catalog, const Selector& selector);

RetentionSegment RetentionSegmentOf(const SegmentRow& row);

// For those who only look: as the keeper of this archive would know it, if it started now. An
// archive without a policy file has no holds.
absl::StatusOr<Retention> ReadRetention(const std::string& directory, const ArchiveMeta& meta,
                                        Catalog& catalog);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_RETENTION_READER_H_
