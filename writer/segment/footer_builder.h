// Gathers what a segment's footer will say, extent by extent.
#ifndef WRITER_SEGMENT_FOOTER_BUILDER_H_
#define WRITER_SEGMENT_FOOTER_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "ingest/units.h"
#include "writer/extent/format.h"
#include "writer/segment/file_io.h"
#include "writer/segment/format.h"
#include "writer/segment/segment_codec.h"
#include "writer/segment/segment_link.h"

namespace sluice {

// Used by the lane that writes the segment and by recovery, so that both seal alike. Adding an
// extent costs one lookup per entry of its tables and allocates only as the footer grows.
//
// The footer must always fit. Whoever writes the segment keeps to this rule: an extent of n bytes
// with at most s streams that are new to the segment may be placed at `at` only when
//     at + n + FooterBytesAfter(1, s) <= the segment's size;
// otherwise the segment is sealed and the extent goes into the next one.
class FooterBuilder {
 public:
  FooterBuilder() = default;

  // Forgets everything and keeps the memory, for the next segment.
  void Clear();

  // The next extent: behind all that were added before. Every stream has an event in the segment
  // before or in the extent of its first fragment (kOpen or kContinued).
  void Add(FileOffset at, const ExtentHeader& header, absl::Span<const FragmentEntry> fragments,
           absl::Span<const StreamEvent> events);

  // How many bytes the footer needs now, and after so many more extents and new streams.
  uint64_t FooterBytes() const { return FooterBytesAfter(0, 0); }
  uint64_t FooterBytesAfter(uint64_t more_extents, uint64_t more_streams) const {
    return sluice::FooterBytes(extents_.size() + more_extents, streams_.size() + more_streams);
  }
  // The stream's part in this segment so far; nullptr: none.
  const StreamRecord* Find(StreamId stream) const;

  bool empty() const { return extents_.empty(); }
  size_t extent_count() const { return extents_.size(); }
  FileOffset data_end() const { return data_end_; }
  ByteCount payload() const { return payload_; }
  UnixNanos first_time() const { return first_time_; }
  UnixNanos last_time() const { return last_time_; }
  const Ledger& ledger() const { return ledger_; }  // the last extent's
  absl::Span<const StreamRecord> streams() const { return streams_; }

  // The footer, to be written so that it ends with the segment: at size - Build().size(). Without
  // an origin it is no link of a chain.
  AlignedBuffer Build(SegmentId id, ByteCount segment_bytes, uint16_t flags,
                      const SegmentOrigin& origin = {}) const;
  // The same into memory of FooterBytes() that the caller has.
  void BuildInto(SegmentId id, ByteCount segment_bytes, uint16_t flags, const SegmentOrigin& origin,
                 absl::Span<std::byte> out) const;

 private:
  StreamRecord& RecordOf(uint64_t stream, uint64_t offset);

  std::vector<ExtentRecord> extents_;
  std::vector<StreamRecord> streams_;
  absl::flat_hash_map<uint64_t, uint32_t> index_;  // stream id to its place in streams_
  FileOffset data_end_{kBlockBytes};
  ByteCount payload_;
  UnixNanos first_time_;
  UnixNanos last_time_;
  Ledger ledger_;
};

}  // namespace sluice

#endif  // WRITER_SEGMENT_FOOTER_BUILDER_H_
