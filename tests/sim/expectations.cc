#include "tests/sim/expectations.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <utility>

#include "control/query/stream_reader.h"
#include "ingest/status_macros.h"
#include "writer/segment/segment_codec.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

uint64_t Number(SegmentId id) { return static_cast<uint64_t>(id); }
uint64_t Number(StreamId id) { return static_cast<uint64_t>(id); }

// Those that have a part in a segment, in the order of their ids.
absl::StatusOr<std::vector<StreamRow>> AllStreams(Catalog& catalog) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<SegmentRow> segments, catalog.Segments());
  std::set<StreamId> ids;
  for (const SegmentRow& segment : segments) {
    SLUICE_ASSIGN_OR_RETURN(const std::vector<StreamPart> parts, catalog.SegmentParts(segment.id));
    for (const StreamPart& part : parts) ids.insert(part.stream);
  }
  std::vector<StreamRow> rows;
  for (const StreamId id : ids) {
    SLUICE_ASSIGN_OR_RETURN(StreamRow row, catalog.Stream(id));
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

absl::Span<const std::byte> Expectations::Bytes(uint32_t slot) const {
  const std::string_view bytes = disk_->Bytes(slots_.at(slot));
  return {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()};
}

// ---- while it records

void Expectations::Release(SegmentId id) {
  const auto found = promised_.find(id);
  if (found == promised_.end()) return;
  const Contents& contents = found->second.contents;
  for (const StreamCoverage* part : {&contents.data, &contents.gaps}) {
    for (const auto& [stream, runs] : part->streams()) {
      released_.insert(stream);
      for (const auto& [begin, end] : runs) gone_.Add(stream, begin, end);
    }
  }
  promised_.erase(found);
}

void Expectations::OnHeader(uint32_t slot, const SegmentHeader& header) {
  if (IsEmptySlot(header)) return;
  std::vector<SegmentId> held;
  for (const auto& [id, segment] : promised_) {
    if (segment.slot != slot) continue;
    if (segment.is_lent && !segment.sealed) {
      journal_->Fail("slot ", slot, " is given away though segment ", Number(id),
                     " is being written there");
    }
    held.push_back(id);
  }
  for (const SegmentId id : held) {
    book_.OnReused(id, header.recording_uid);
    Release(id);
  }
  if (lent_.contains(header.segment_id)) {
    journal_->Fail("segment id ", header.segment_id, " is given twice");
  }
  Segment& segment = promised_[SegmentId{header.segment_id}];
  segment.slot = slot;
  segment.uid = header.recording_uid;
  segment.lane = LaneId{header.lane};
  segment.is_lent = true;
}

// The header is on stable storage: somebody may write by the name of this segment.
void Expectations::OnLent(uint32_t slot) {
  for (const auto& [id, segment] : promised_) {
    if (segment.slot != slot) continue;
    lent_.insert(Number(id));
    book_.OnLent(id, segment.uid, segment.lane);
  }
}

void Expectations::OnReturned(SegmentId segment) {
  promised_.erase(segment);
  book_.OnReturned(segment);
}

void Expectations::OnRemoval(SegmentId id, RetentionRule rule, UnixNanos now) {
  const auto found = promised_.find(id);
  if (found != promised_.end()) removing_ = {{id, found->second}};
  book_.OnRemoved(id, rule, now);
  Release(id);
}

void Expectations::OnKept(SegmentId id) {
  promised_.merge(removing_);
  book_.OnKept(id);
}

void Expectations::OnPublish(const SegmentUpdate& update) {
  const auto found = promised_.find(update.segment);
  if (found == promised_.end()) {
    return journal_->Fail("segment ", Number(update.segment), " is published, and was not lent");
  }
  Segment& segment = found->second;
  journal_->Note("segment ", Number(update.segment), " published up to ", update.durable.value,
                 update.sealed ? ", sealed" : "");
  if (segment.sealed) journal_->Fail("segment ", Number(update.segment), " is published again");
  for (const StreamUpdate& stream : update.streams) Learn(Number(stream.stream), stream.peer);
  book_.OnPublished(update);
  if (update.sealed) {
    segment.contents = Contents();
    segment.sealed = WalkFooter(segment, update.segment);
  } else {
    WalkTo(segment, update.segment, update.durable);
  }
}

void Expectations::OnCatalogKnows() {
  for (auto& [id, segment] : promised_) {
    if (!payload_crc_[segment.uid] && !segment.sealed) segment.in_catalog = segment.contents;
  }
}

void Expectations::OnDeletion(uint64_t uid, bool is_known_to_be_durable) {
  std::vector<SegmentId> gone;
  for (const auto& [id, segment] : promised_) {
    if (segment.uid == uid) gone.push_back(id);
  }
  for (const SegmentId id : gone) {
    book_.OnDeleted(id);
    Release(id);
  }
  recordings_.erase(uid);
  if (is_known_to_be_durable) deleted_.insert(uid);
}

std::optional<SegmentLoan> Expectations::AnyOpenSegment(ByteCount size) const {
  for (const auto& [id, segment] : promised_) {
    if (segment.is_lent && !segment.sealed) return SegmentLoan{id, slots_.at(segment.slot), size};
  }
  return std::nullopt;
}

// ---- segments, as they lie on the disk

std::optional<ExtentIndex> Expectations::ParseAt(const Segment& segment, SegmentId id,
                                                 FileOffset at) {
  const auto rest = Bytes(segment.slot).subspan(at.value);
  const auto header = ParseExtentHeader(rest.subspan(0, kBlockBytes));
  absl::Status status = header.status();
  if (status.ok()) {
    auto extent = ParseExtentIndex(at, rest.subspan(0, header->header_bytes));
    if (extent.ok() && extent->header.segment_id == Number(id)) return *std::move(extent);
    status = extent.ok() ? absl::DataLossError("another segment's extent") : extent.status();
  }
  journal_->Fail("segment ", Number(id), " in slot ", segment.slot, ", extent at ", at.value, ": ",
                 status.ToString());
  return std::nullopt;
}

void Expectations::AddContents(Segment& segment, const ExtentIndex& extent) {
  Contents& contents = segment.contents;
  for (const StreamEvent& event : extent.events) {
    Learn(event.stream_id, event.peer);
    if (event.type != StreamEventType::kGap) continue;
    contents.gaps.Add(event.stream_id, event.stream_offset, event.stream_offset + event.gap_bytes);
  }
  for (const FragmentEntry& entry : extent.fragments) {
    contents.data.Add(entry.stream_id, entry.stream_offset, entry.stream_offset + entry.length);
  }
}

void Expectations::WalkTo(Segment& segment, SegmentId id, FileOffset durable) {
  while (segment.walked < durable) {
    const auto extent = ParseAt(segment, id, segment.walked);
    if (!extent) return;
    AddContents(segment, *extent);
    segment.walked = segment.walked + ByteCount{extent->header.extent_bytes};
  }
  if (segment.walked != durable) {
    journal_->Fail("segment ", Number(id), ": the durable mark ", durable.value,
                   " is inside an extent");
  }
}

bool Expectations::WalkFooter(Segment& segment, SegmentId id) {
  const auto bytes = Bytes(segment.slot);
  const auto trailer =
      ParseSegmentTrailer(bytes.subspan(bytes.size() - kBlockBytes), id, ByteCount{bytes.size()});
  const auto footer = trailer.ok() ? ParseSegmentFooter(bytes.subspan(trailer->footer_offset), id,
                                                        ByteCount{bytes.size()})
                                   : trailer.status();
  if (!footer.ok()) {
    journal_->Fail("footer of segment ", Number(id), ": ", footer.status().ToString());
    return false;
  }
  for (const ExtentRecord& record : footer->extents) {
    const auto extent = ParseAt(segment, id, {record.offset});
    if (extent) AddContents(segment, *extent);
  }
  return true;
}

// ---- what peers have sent

void Expectations::Learn(uint64_t stream, const SocketAddress& peer) {
  if (peer.port == 0) return;  // after a refused write nobody knows
  const auto [found, is_new] = peer_of_.emplace(stream, peer.port);
  if (!is_new && found->second != peer.port) {
    journal_->Fail("stream ", StreamIdToString(StreamId{stream}), " is peer ", found->second,
                   "'s and peer ", peer.port, "'s");
  }
}

void Expectations::CheckPayload(const Segment& segment, SegmentId id) {
  const auto bytes = Bytes(segment.slot);
  const auto trailer =
      ParseSegmentTrailer(bytes.subspan(bytes.size() - kBlockBytes), id, ByteCount{bytes.size()});
  if (!trailer.ok()) return;  // WalkFooter() has told
  const auto footer =
      ParseSegmentFooter(bytes.subspan(trailer->footer_offset), id, ByteCount{bytes.size()});
  if (!footer.ok()) return;
  for (const ExtentRecord& record : footer->extents) {
    const auto extent = ParseAt(segment, id, {record.offset});
    if (!extent) continue;
    for (const StreamEvent& event : extent->events) {
      if (event.type == StreamEventType::kGap) CheckGap(event);
    }
    for (const FragmentEntry& fragment : extent->fragments) {
      CheckFragment(fragment,
                    bytes.subspan(record.offset + fragment.payload_offset, fragment.length));
    }
  }
}

void Expectations::CheckFragment(const FragmentEntry& fragment,
                                 absl::Span<const std::byte> payload) {
  const uint64_t end = fragment.stream_offset + fragment.length;
  if (!all_.Add(fragment.stream_id, fragment.stream_offset, end)) {
    journal_->Fail("stream ", StreamIdToString(StreamId{fragment.stream_id}), " has bytes ",
                   fragment.stream_offset, " to ", end, " twice");
  }
  const auto peer = peer_of_.find(fragment.stream_id);
  if (peer == peer_of_.end()) return;
  const std::string& sent = sent_.at(peer->second);
  if (end > sent.size() ||
      std::memcmp(payload.data(), sent.data() + fragment.stream_offset, fragment.length) != 0) {
    journal_->Fail("stream ", StreamIdToString(StreamId{fragment.stream_id}), ", bytes ",
                   fragment.stream_offset, " to ", end, " are not what peer ", peer->second,
                   " sent");
  }
}

// Told once, and nothing is there.
void Expectations::CheckGap(const StreamEvent& event) {
  const uint64_t end = event.stream_offset + event.gap_bytes;
  gaps_.Add(event.stream_id, event.stream_offset, end);
  if (event.gap_bytes == 0 || event.cause != GapCause::kPolicy ||
      !all_.Add(event.stream_id, event.stream_offset, end)) {
    journal_->Fail("stream ", StreamIdToString(StreamId{event.stream_id}), " has a gap from ",
                   event.stream_offset, " to ", end, " that is not one");
  }
}

// ---- between two runs

void Expectations::Delivered(const std::map<int, uint64_t>& by_peer) {
  for (const auto& [peer, bytes] : by_peer) delivered_[static_cast<uint16_t>(peer)] = bytes;
}

void Expectations::OnCatalogLoss(bool all) {
  catalog_lost_some_ = true;
  catalog_lost_all_ |= all;
}

// All that the catalog speaks of, which is all sealed.
std::map<SegmentId, Expectations::Segment> Expectations::ReadCatalog(Catalog& catalog,
                                                                     bool recovered) {
  std::map<SegmentId, Segment> found;
  all_ = StreamCoverage();
  gaps_ = StreamCoverage();
  const auto rows = catalog.Segments();
  if (!rows.ok()) {
    journal_->Fail("catalog: ", rows.status().ToString());
    return found;
  }
  for (const SegmentRow& row : *rows) {
    const auto header = ParseSegmentHeader(Bytes(row.slot).subspan(0, kBlockBytes));
    if (!header.ok() || header->segment_id != Number(row.id)) {
      journal_->Fail("slot ", row.slot, " does not hold segment ", Number(row.id),
                     " as the catalog says");
      continue;
    }
    // A loan that came back unused, when the catalog's disk was full: recovery forgets it.
    if (!row.sealed && !recovered && row.durable.value <= kBlockBytes) continue;
    if (!row.sealed) journal_->Fail("segment ", Number(row.id), " was left open");
    Segment& segment = found[row.id];
    segment.slot = row.slot;
    segment.uid = row.recording_uid;
    segment.sealed = true;
    WalkFooter(segment, row.id);
    for (const auto& [stream, runs] : segment.contents.data.streams()) {
      const StreamIdParts parts = SplitStreamId(StreamId{stream});
      if (parts.epoch != row.epoch || LaneId{parts.lane} != row.lane) {
        journal_->Fail("stream ", StreamIdToString(StreamId{stream}), " lies in segment ",
                       Number(row.id), " of another epoch or lane");
      }
    }
  }
  for (const auto& [id, segment] : found) CheckPayload(segment, id);
  return found;
}

void Expectations::CheckPromises(const std::map<SegmentId, Segment>& found) {
  for (const auto& [id, segment] : promised_) {
    // Without payload checksums what is behind the mark is given up, and the mark is in the
    // catalog.
    const bool only_catalog_knows = !segment.sealed && !payload_crc_[segment.uid];
    if (only_catalog_knows && catalog_lost_some_) continue;
    const Contents& promised = only_catalog_knows ? segment.in_catalog : segment.contents;
    const auto now = found.find(id);
    const Contents* const there = now == found.end() ? nullptr : &now->second.contents;
    CheckHas(id, segment, promised.data, there == nullptr ? nullptr : &there->data, "bytes");
    CheckHas(id, segment, promised.gaps, there == nullptr ? nullptr : &there->gaps, "the gap");
  }
}

void Expectations::CheckHas(SegmentId id, const Segment& segment, const StreamCoverage& promised,
                            const StreamCoverage* now, const char* what) {
  for (const auto& [stream, runs] : promised.streams()) {
    for (const auto& [begin, end] : runs) {
      if (now != nullptr && now->Covers(stream, begin, end)) continue;
      journal_->Fail("segment ", Number(id), " in slot ", segment.slot,
                     now == nullptr ? " is gone, with " : " has lost some of ", what, " ", begin,
                     " to ", end, " of stream ", StreamIdToString(StreamId{stream}));
    }
  }
}

void Expectations::CheckRecordings(Catalog& catalog) {
  const auto rows = catalog.Recordings();
  if (!rows.ok()) return journal_->Fail("catalog: ", rows.status().ToString());
  std::map<uint64_t, RecordingRow> known;
  for (const RecordingRow& row : *rows) {
    known[row.uid] = row;
    if (row.state == RecordingState::kRecording) {
      journal_->Fail("recording ", row.id, " goes on though nobody records");
    }
    if (deleted_.contains(row.uid) && !catalog_lost_all_) {
      journal_->Fail("recording ", row.id, " was deleted and is back");
    }
  }
  for (const auto& [uid, row] : recordings_) {
    if (catalog_lost_all_) continue;
    if (!known.contains(uid) || known[uid].source != row.source) {
      journal_->Fail("recording ", row.id, " was to be remembered, and is not");
    }
  }
  if (catalog_lost_all_) {
    deleted_.clear();
    recordings_ = known;
  }
  const auto streams = AllStreams(catalog);
  if (!streams.ok()) return journal_->Fail("catalog: ", streams.status().ToString());
  for (const StreamRow& row : *streams) {
    if (row.open) journal_->Fail("a stream is open though nobody records");
  }
}

void Expectations::CheckRecovered(Catalog& catalog) {
  std::map<SegmentId, Segment> found = ReadCatalog(catalog, /*recovered=*/true);
  CheckPromises(found);
  CheckRecordings(catalog);
  CheckStreams(catalog);
  promised_ = std::move(found);
  book_.OnRecovered(catalog);
  book_.CheckRemovals(catalog, catalog_lost_all_);
  catalog_lost_some_ = catalog_lost_all_ = false;
}

// Or it has gone: from the begin of the stream, for the oldest goes first, and where holds were
// from anywhere.
bool Expectations::IsThere(uint64_t stream, uint64_t begin, uint64_t end) const {
  if (all_.Covers(stream, begin, end)) return true;
  return book_.had_holds() && all_.CoversWith(gone_, stream, begin, end);
}

// What was received is there, or in a gap, up to where the stream ends now.
void Expectations::CheckStreams(Catalog& catalog) {
  const auto streams = AllStreams(catalog);
  if (!streams.ok()) return journal_->Fail("catalog: ", streams.status().ToString());
  for (const StreamRow& row : *streams) {
    const std::string name = StreamIdToString(row.id);
    const bool may_have_hole = may_have_holes && released_.contains(Number(row.id));
    if (!may_have_hole && !IsThere(Number(row.id), row.begin.value, row.durable.value)) {
      journal_->Fail("stream ", name, " has a hole between ", row.begin.value, " and ",
                     row.durable.value);
    }
    if (row.dropped.value != gaps_.BytesOf(Number(row.id))) {
      journal_->Fail("stream ", name, " has gaps of ", gaps_.BytesOf(Number(row.id)),
                     " bytes, the catalog says ", row.dropped.value);
    }
    const auto peer = peer_of_.find(Number(row.id));
    if (peer == peer_of_.end() || row.durable.value <= delivered_[peer->second]) continue;
    journal_->Fail("stream ", name, " goes up to ", row.durable.value, ", and ",
                   delivered_[peer->second], " bytes were received");
  }
}

void Expectations::CheckDelivered(Catalog& catalog, const std::map<int, uint64_t>& delivered) {
  ReadCatalog(catalog, /*recovered=*/false);
  CheckStreams(catalog);
  std::map<uint16_t, StreamRow> rows;
  const auto streams = AllStreams(catalog);
  if (!streams.ok()) return journal_->Fail("catalog: ", streams.status().ToString());
  for (const StreamRow& row : *streams) rows[row.peer.port] = row;
  for (const auto& [peer, bytes] : delivered) {
    const auto row = rows.find(static_cast<uint16_t>(peer));
    const auto is_peer = [&, number = peer](uint64_t stream) {
      const auto found = peer_of_.find(stream);
      return found != peer_of_.end() && found->second == number;
    };
    const bool was_reused = std::any_of(released_.begin(), released_.end(), is_peer);
    if (row == rows.end()) {
      if (bytes > 0 && !was_reused) journal_->Fail("peer ", peer, " is not in the catalog");
      continue;
    }
    const StreamRow& stream = row->second;
    if (was_reused && may_have_holes && stream.durable.value <= bytes) continue;
    // Its end may go while somebody holds its begin: then it ends with what is there.
    const bool ends_early = was_reused && book_.had_holds() && stream.durable.value < bytes;
    if ((stream.durable.value != bytes && !ends_early) ||
        (!was_reused && stream.begin.value != 0) ||
        !IsThere(Number(stream.id), stream.begin.value, bytes)) {
      journal_->Fail("peer ", peer, " delivered ", bytes, " bytes, the catalog has ",
                     stream.begin.value, " to ", stream.durable.value,
                     " and the segments do not hold it all");
    }
    if (stream.open) journal_->Fail("the stream of peer ", peer, " is still open");
  }
}

// ---- reading as a user does

void Expectations::CheckReading(const std::string& directory, Catalog& catalog,
                                size_t streams_max) {
  const auto streams = AllStreams(catalog);
  if (!streams.ok()) return journal_->Fail("catalog: ", streams.status().ToString());
  for (size_t i = 0; i < streams->size() && i < streams_max; ++i) {
    ReadStream(directory, catalog, (*streams)[streams->size() - 1 - i]);
  }
}

void Expectations::ReadStream(const std::string& directory, Catalog& catalog,
                              const StreamRow& row) {
  const auto peer = peer_of_.find(Number(row.id));
  if (peer == peer_of_.end()) return;
  auto reader = StreamReader::Open(directory, catalog, row.id, row.begin);
  if (!reader.ok()) {
    return journal_->Fail("open stream ", StreamIdToString(row.id), ": ",
                          reader.status().ToString());
  }
  const std::string& sent = sent_.at(peer->second);
  std::vector<std::byte> piece(256 << 10);
  while ((*reader)->position() < row.durable) {
    const uint64_t at = (*reader)->position().value;
    const auto length = (*reader)->Read(absl::MakeSpan(piece));
    if (const auto gap = (*reader)->gap(); length.ok() && *length == 0 && gap.has_value()) {
      if (!gaps_.Covers(Number(row.id), gap->begin.value, gap->end.value)) {
        journal_->Fail("stream ", StreamIdToString(row.id), " reads with a gap at ", at,
                       " that nobody told of");
      }
      (*reader)->SkipGap();
      continue;
    }
    if (!length.ok() || *length == 0) {
      // Where a refused write was repeated elsewhere, reuse can take a part out of the middle.
      const bool has_hole = !all_.Covers(Number(row.id), at, row.durable.value);
      if (!has_hole) {
        journal_->Fail("stream ", StreamIdToString(row.id), " cannot be read from ", at, ": ",
                       length.status().ToString());
      }
      return;
    }
    if (at + *length > sent.size() || std::memcmp(piece.data(), sent.data() + at, *length) != 0) {
      return journal_->Fail("stream ", StreamIdToString(row.id), " reads otherwise than peer ",
                            peer->second, " sent, from ", at);
    }
  }
}

}  // namespace sluice
