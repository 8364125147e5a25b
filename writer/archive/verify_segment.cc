#include "writer/archive/verify_segment.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "writer/segment/file_io.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

uint64_t Number(SegmentId id) { return static_cast<uint64_t>(id); }

class SegmentVerifier {
 public:
  SegmentVerifier(SegmentReader& reader, const VerifyAdvance& advance)
      : reader_(reader), advance_(advance) {}

  void ReadSealed(VerifyDepth depth, std::optional<absl::Span<const StreamPart>> parts);
  void ReadOpen(FileOffset durable, absl::Span<const StreamPart> parts);
  SegmentResult Take() { return std::move(result_); }

 private:
  void Find(std::string finding) { result_.findings.push_back(std::move(finding)); }
  void ReadExtents(const SegmentFooter& footer);
  void ReadExtentsUpTo(FileOffset durable);
  bool ReadExtent(const ExtentIndex& extent);
  void CheckLedger(const std::string& where, const ExtentHeader& header);
  void CheckFooter(const SegmentFooter& footer);
  void CheckOrigin(const SegmentFooter& footer);
  void CheckParts(absl::Span<const StreamPart> parts, absl::Span<const StreamRecord> records);

  SegmentReader& reader_;
  const VerifyAdvance& advance_;
  FooterBuilder rebuilt_;
  SegmentResult result_;
};

void SegmentVerifier::ReadSealed(VerifyDepth depth,
                                 std::optional<absl::Span<const StreamPart>> parts) {
  result_.sealed = true;
  Sha256 hash;
  const absl::StatusOr<SegmentFooter> footer = reader_.ReadFooter(&hash);
  if (!footer.ok()) return Find(std::string(footer.status().message()));
  result_.footer_sha256 = hash;
  result_.sealed_by_recovery = (footer->trailer.flags & kSealedByRecovery) != 0;
  result_.origin = OriginOf(footer->trailer);
  CheckOrigin(*footer);
  if (depth == VerifyDepth::kFull) {
    ReadExtents(*footer);
  } else {
    result_.extents = footer->extents.size();
    result_.payload = {footer->trailer.payload_bytes};
    result_.ledger = footer->trailer.ledger;
    result_.drops = result_.ledger.dropped() != 0;
    for (const StreamRecord& record : footer->streams) result_.stream_ids.insert(record.stream_id);
  }
  if (result_.findings.empty() && parts) CheckParts(*parts, footer->streams);
}

void SegmentVerifier::ReadExtents(const SegmentFooter& footer) {
  result_.read_in_full = true;
  for (const ExtentRecord& record : footer.extents) {
    const absl::StatusOr<ExtentIndex> extent = reader_.ReadExtentIndex({record.offset});
    if (!extent.ok()) {
      Find(std::string(extent.status().message()));
    } else if (result_.origin.recording_uid != 0 &&
               extent->header.header_crc32c != record.header_crc32c) {
      Find(absl::StrCat(reader_.path(), " at ", record.offset,
                        ": the extent's header was changed after the segment was sealed: it is not "
                        "the one that the footer names"));
    } else {
      ReadExtent(*extent);
    }
    if (!advance_({record.extent_bytes})) {
      result_.stopped = true;
      return;
    }
  }
  if (result_.findings.empty()) CheckFooter(footer);
}

void SegmentVerifier::ReadOpen(FileOffset durable, absl::Span<const StreamPart> parts) {
  result_.read_in_full = true;
  ReadExtentsUpTo(durable);
  if (result_.findings.empty()) CheckParts(parts, rebuilt_.streams());
}

// The footer belongs to the header that it is found behind.
void SegmentVerifier::CheckOrigin(const SegmentFooter& footer) {
  const SegmentOrigin& origin = result_.origin;
  if (origin.recording_uid == 0) return;
  if (origin == OriginOf(reader_.header(), origin.previous)) return;
  Find(absl::StrCat(reader_.path(), " at ", footer.trailer.footer_offset,
                    ": the footer is another archive's, recording's, lane's or epoch's than the "
                    "header"));
}

void SegmentVerifier::ReadExtentsUpTo(FileOffset durable) {
  FileOffset at{kBlockBytes};
  for (uint32_t sequence = 0; at < durable; ++sequence) {
    const absl::StatusOr<ExtentIndex> extent = reader_.ReadExtentIndex(at);
    if (!extent.ok()) {
      Find(std::string(extent.status().message()));
      return;  // where the next one begins, only this one says
    }
    if (extent->header.sequence != sequence) {
      Find(absl::StrCat(reader_.path(), " at ", at.value, ": extent ", extent->header.sequence,
                        " where ", sequence, " belongs"));
      return;
    }
    ReadExtent(*extent);
    at = at + ByteCount{extent->header.extent_bytes};
    if (!advance_({extent->header.extent_bytes})) {
      result_.stopped = true;
      return;
    }
  }
  if (durable.value > 0 && at != durable) {
    Find(absl::StrCat(reader_.path(), " at ", durable.value,
                      ": the catalog's durable mark is inside an extent"));
  }
}

// False: the extent does not hold.
bool SegmentVerifier::ReadExtent(const ExtentIndex& extent) {
  const std::string where = absl::StrCat(reader_.path(), " at ", extent.at.value);
  const uint64_t segment = Number(reader_.id());
  if (const absl::Status payload = reader_.CheckPayload(extent); !payload.ok()) {
    Find(std::string(payload.message()));
    return false;
  }
  if (extent.at < rebuilt_.data_end()) {
    Find(absl::StrCat(where, ": the extent overlaps the one before"));
    return false;
  }
  CheckLedger(where, extent.header);
  if (extent.header.durable_bytes > extent.at.value) {
    Find(absl::StrCat(where, ": the extent calls ", extent.header.durable_bytes,
                      " bytes durable, which includes itself"));
  }
  rebuilt_.Add(extent.at, extent.header, extent.fragments, extent.events);
  for (const FragmentEntry& fragment : extent.fragments) {
    result_.streams[fragment.stream_id].Add(
        {fragment.stream_offset, fragment.stream_offset + fragment.length, segment});
    result_.stream_ids.insert(fragment.stream_id);
  }
  // A stream goes on over its gaps: what is neither written nor in a gap is missing.
  uint64_t dropped = 0;
  for (const StreamEvent& event : extent.events) {
    result_.stream_ids.insert(event.stream_id);
    if (event.type != StreamEventType::kGap) continue;
    const Range gap{event.stream_offset, event.stream_offset + event.gap_bytes, segment};
    if (event.cause == GapCause::kDisk) {
      // It may be found again, when the disk is back.
      result_.lost[event.stream_id].push_back(gap);
    } else {
      result_.streams[event.stream_id].Add(gap);
    }
    if (event.cause == GapCause::kPolicy) dropped += event.gap_bytes;
  }
  const Ledger& ledger = extent.header.ledger;
  if (dropped > ledger.dropped_policy) {
    Find(absl::StrCat(where, ": gaps of ", dropped, " bytes where the ledger dropped only ",
                      ledger.dropped_policy, " by policy"));
  } else {
    result_.dropped.Add({ledger.dropped_policy - dropped, ledger.dropped_policy, segment});
  }
  // What a disk lost after it was written goes from one column of the account to another.
  const uint64_t taken = ledger.written + ledger.dropped_disk;
  if (taken >= extent.header.payload_bytes) {
    result_.written.Add({taken - extent.header.payload_bytes, taken, segment});
  }
  result_.drops |= ledger.dropped() != 0;
  result_.ledger = ledger;
  ++result_.extents;
  result_.fragments += extent.fragments.size();
  result_.payload += {extent.header.payload_bytes};
  return true;
}

void SegmentVerifier::CheckLedger(const std::string& where, const ExtentHeader& header) {
  const Ledger& ledger = header.ledger;
  if (ledger.received != ledger.written + ledger.dropped()) {
    Find(absl::StrCat(where, ": the ledger received ", ledger.received, " bytes, wrote ",
                      ledger.written, " and dropped ", ledger.dropped()));
  }
  if (ledger.received != ledger.zero_copy + ledger.copied) {
    Find(absl::StrCat(where, ": the ledger received ", ledger.received, " bytes, ",
                      ledger.zero_copy, " without a copy and ", ledger.copied, " with one"));
  }
  if (ledger.packed > ledger.written || ledger.written < header.payload_bytes) {
    Find(absl::StrCat(where, ": the ledger wrote only ", ledger.written, " bytes, and packed ",
                      ledger.packed));
  }
}

void SegmentVerifier::CheckFooter(const SegmentFooter& footer) {
  const std::string where = absl::StrCat(reader_.path(), " at ", footer.trailer.footer_offset);
  if (rebuilt_.FooterBytes() != footer.trailer.footer_bytes) {
    Find(absl::StrCat(where, ": the footer does not say what the extents say"));
    return;
  }
  AlignedBuffer stored(footer.trailer.footer_bytes);
  const absl::Status read = reader_.Read({footer.trailer.footer_offset}, stored.span());
  const AlignedBuffer expected = rebuilt_.Build(reader_.id(), {reader_.header().segment_bytes},
                                                footer.trailer.flags, OriginOf(footer.trailer));
  if (!read.ok() || stored.span() != expected.span()) {
    Find(absl::StrCat(where, ": the footer does not say what the extents say"));
  }
}

void SegmentVerifier::CheckParts(absl::Span<const StreamPart> parts,
                                 absl::Span<const StreamRecord> records) {
  std::map<uint64_t, const StreamRecord*> by_id;
  for (const StreamRecord& record : records) by_id[record.stream_id] = &record;
  std::set<uint64_t> known;
  for (const StreamPart& part : parts) {
    known.insert(static_cast<uint64_t>(part.stream));
    const auto found = by_id.find(static_cast<uint64_t>(part.stream));
    const StreamRecord* const record = found == by_id.end() ? nullptr : found->second;
    if (record == nullptr || record->begin != part.begin.value || record->end != part.end.value) {
      Find(absl::StrCat(
          reader_.path(), ": the catalog places bytes ", part.begin.value, " to ", part.end.value,
          " of stream ", StreamIdToString(part.stream), " here, the segment has ",
          record == nullptr ? "none" : absl::StrCat(record->begin, " to ", record->end)));
    }
  }
  for (const StreamRecord& record : records) {
    if (!known.contains(record.stream_id)) {
      Find(absl::StrCat(reader_.path(), ": the catalog does not know that stream ",
                        StreamIdToString(StreamId{record.stream_id}), " has a part here"));
    }
  }
}

}  // namespace

SegmentResult VerifySealedSegment(SegmentReader& reader,
                                  std::optional<absl::Span<const StreamPart>> parts,
                                  VerifyDepth depth, const VerifyAdvance& advance) {
  SegmentVerifier verifier(reader, advance);
  verifier.ReadSealed(depth, parts);
  return verifier.Take();
}

SegmentResult VerifyOpenSegment(SegmentReader& reader, absl::Span<const StreamPart> parts,
                                FileOffset durable, const VerifyAdvance& advance) {
  SegmentVerifier verifier(reader, advance);
  verifier.ReadOpen(durable, parts);
  return verifier.Take();
}

}  // namespace sluice
