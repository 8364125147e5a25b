// Reads one segment and says what does not hold in it.
#ifndef WRITER_ARCHIVE_VERIFY_SEGMENT_H_
#define WRITER_ARCHIVE_VERIFY_SEGMENT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "ingest/units.h"
#include "writer/archive/verify_coverage.h"
#include "writer/catalog/catalog.h"
#include "writer/ledger.h"
#include "writer/segment/footer_builder.h"
#include "writer/segment/segment_link.h"
#include "writer/segment/segment_reader.h"

namespace sluice {

enum class VerifyDepth {
  kStructure,  // the header and the footer
  kFull,       // every byte that counts
};

// What one segment contributes, kept apart until it is sure that it was not reused meanwhile.
struct SegmentResult {
  uint64_t extents = 0;
  uint64_t fragments = 0;
  ByteCount payload;
  std::vector<std::string> findings;
  std::set<uint64_t> stream_ids;
  Ledger ledger;  // the last one
  bool drops = false;

  bool sealed = false;
  bool sealed_by_recovery = false;
  SegmentOrigin origin;       // a sealed one's that is chained
  Sha256 footer_sha256 = {};  // zeros: it has no footer that could be read

  bool stopped = false;  // by `advance`: what is here is not all

  // Only when its extents were read.
  bool read_in_full = false;
  std::map<uint64_t, Coverage> streams;         // what they have, and what gaps tell of
  std::map<uint64_t, std::vector<Range>> lost;  // of streams: what gaps say a disk took
  Coverage written;                             // of the track's ledger
  Coverage dropped;                             // likewise, by policy
};

// Told how many bytes were looked at, piece by piece. False: no more is read.
using VerifyAdvance = std::function<bool(ByteCount)>;

// `parts`: what the catalog says of it; none: there is no catalog.
SegmentResult VerifySealedSegment(SegmentReader& reader,
                                  std::optional<absl::Span<const StreamPart>> parts,
                                  VerifyDepth depth, const VerifyAdvance& advance);
// Up to its durable mark; always in full.
SegmentResult VerifyOpenSegment(SegmentReader& reader, absl::Span<const StreamPart> parts,
                                FileOffset durable, const VerifyAdvance& advance);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_VERIFY_SEGMENT_H_
