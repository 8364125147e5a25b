// Gathers fragments into extents, by the enclosing-range rule.
#ifndef WRITER_EXTENT_EXTENT_BUILDER_H_
#define WRITER_EXTENT_EXTENT_BUILDER_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "ingest/receive/lease_sink.h"
#include "ingest/region/region.h"
#include "ingest/units.h"
#include "writer/extent/extent_slab.h"
#include "writer/extent/format.h"
#include "writer/extent/sealed_extent.h"
#include "writer/ledger.h"

namespace sluice {

struct ExtentBuilderOptions {
  uint32_t align = 4096;  // of every range's start and length in memory: a power of two
  uint64_t extent_bytes_max = 1 << 20;
  uint32_t ranges_max = 64;    // payload ranges
  uint32_t entries_max = 510;  // fragments and events together; more do not fit into a header
  uint64_t pack_bytes = 0;     // of a slot, for packed fragments; a block behind it for the tail
  bool payload_crc = true;
  Ledger ledger = {};  // where it begins to count
};

// A run of one stream's bytes that were received and dropped.
struct DroppedBytes {
  StreamId stream{};
  StreamOffset begin;
  ByteCount length;
  ByteCount zero_copy;  // of `length`: the device had placed them

  StreamOffset end() const { return begin + length; }
};

// The enclosing-range rule: a fragment [x, x + n) of region memory is written directly, as
// [floor(x, align), ceil(x + n, align)); neighbouring ranges merge, and the fragment table says
// where the payload lies. What surrounds it goes to disk too and belongs to nobody.
//
// A fragment for which that would be more than kAmplificationMaxPercent of its bytes is packed
// instead: copied, behind others of its kind, into the extent's slot.
//
// When an extent ends inside a block that the kernel may go on filling (Fragment::open_ended),
// that block is copied; the next extent begins with the same block.
//
// Owned by a track, on its lane's thread.
class ExtentBuilder {
 public:
  static constexpr uint64_t kAmplificationMaxPercent = 125;

  ExtentBuilder(Region& region, ExtentSlab& slab, const ExtentBuilderOptions& options);

  // True when the extent in hand must be sealed before `fragment`, or an event, is added.
  bool MustSealBefore(const Fragment& fragment);
  bool MustSealBeforeEvent() const;

  // `segment` is the number of the segment, counted by the track, into which this extent will go:
  // a stream that appears in one for the first time is introduced by an event.
  void Add(const Fragment& fragment, RegionLease&& lease, UnixNanos now, uint64_t segment);
  void AddOpened(const StreamOpened& stream, UnixNanos now, uint64_t segment);
  void AddClosed(StreamId stream, StreamOffset length, CloseReason how, UnixNanos now);
  // Bytes of an open stream that a policy dropped; joined with those before them, if this extent
  // tells of these too.
  void AddGap(const DroppedBytes& gap, UnixNanos now, uint64_t segment);

  // The disk has lost bytes that extents had taken: from here on the ledger says so.
  void TakeBack(ByteCount lost);
  // An event of a stream that may have ended: what a disk has lost of it, or its end once more. The
  // event describes the stream by itself.
  void AddEvent(const StreamEvent& event, UnixNanos now, uint64_t segment);

  bool empty() const { return fragments_.empty() && events_.empty(); }
  UnixNanos first_time() const { return first_time_; }  // of the extent in hand, unless empty()

  // Not when empty(), nor when the slab is.
  SealedExtent Seal();

  const Ledger& ledger() const { return ledger_; }

 private:
  // Of region memory, or of the slot's pack (then counted from its begin).
  struct Range {
    RegionOffset begin, end;  // aligned
    RegionOffset payload_end;
    bool packed = false;
    bool open_ended = false;  // the kernel may fill the rest of the last block
  };
  // What a fragment is going to be: a part of the last range, or a range of its own.
  struct Placement {
    RegionOffset begin, end;  // aligned
    RegionOffset payload;     // where its first byte lies
    uint64_t more;            // bytes by which the extent grows
    bool packed;
    bool extends;
    bool fits;  // into the extent in hand
  };
  struct Packed {
    RegionOffset from;
    uint64_t to;  // in the slot's pack
    uint64_t length;
  };
  struct OpenStream {
    UnixNanos opened;
    SocketAddress peer;
    SocketAddress local;
    uint64_t segment;  // the last one in which it was introduced
    // Its last gap: the extent, counted from 1, that tells of it, and its place in events_.
    uint64_t gap_extent = 0;
    size_t gap_event = 0;
  };

  uint64_t HeaderBytes(size_t fragments, size_t events) const {
    return RoundUp(
        sizeof(ExtentHeader) + fragments * sizeof(FragmentEntry) + events * sizeof(StreamEvent),
        kBlockBytes);
  }
  void Touch(UnixNanos now);
  void Introduce(StreamId id, StreamOffset at, UnixNanos now, uint64_t segment);
  Placement PlaceDirect(const Fragment& fragment) const;
  Placement PlacePacked(const Fragment& fragment) const;
  const Placement& Place(const Fragment& fragment);
  bool IsOpenEnded() const {
    return !ranges_.empty() && ranges_.back().open_ended &&
           ranges_.back().payload_end != ranges_.back().end;
  }
  uint64_t TakePlace(const Fragment& fragment, const Placement& place);
  void FillPack(SlabSlot& slot) const;
  bool PackTail(SlabSlot& slot, SealedExtent& extent, Range& last);

  Region* region_;
  ExtentSlab* slab_;
  const ExtentBuilderOptions options_;

  absl::flat_hash_map<StreamId, OpenStream> streams_;
  // Whom Introduce() was last asked for: most fragments follow one of the same stream.
  StreamId introduced_{};
  uint64_t introduced_in_ = UINT64_MAX;
  Ledger ledger_;

  // Where the next fragment goes, when MustSealBefore() has just been asked.
  Placement next_;
  RegionOffset next_at_{UINT64_MAX};

  uint64_t extents_sealed_ = 0;

  // The extent in hand. Payload offsets count from the end of the header until it is sealed.
  std::vector<FragmentEntry> fragments_;
  std::vector<StreamEvent> events_;
  absl::InlinedVector<Range, 8> ranges_;
  std::vector<Packed> packed_;
  size_t leases_expected_ = 0;  // as many as the last extent had
  absl::InlinedVector<RegionLease, 4> leases_;
  uint64_t range_bytes_ = 0;
  uint64_t payload_bytes_ = 0;
  uint32_t payload_crc32c_ = 0;
  UnixNanos first_time_;
  UnixNanos last_time_;
};

}  // namespace sluice

#endif  // WRITER_EXTENT_EXTENT_BUILDER_H_
