// Is what a segment holds what the peers sent?
#ifndef TESTS_SIM_SEGMENT_CHECK_H_
#define TESTS_SIM_SEGMENT_CHECK_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "ingest/units.h"
#include "writer/extent/crc32c.h"
#include "writer/extent/extent_codec.h"
#include "writer/segment/segment_codec.h"

namespace sluice {

// Compares a segment's bytes with what the peers sent. Everything before `durable`, or everything
// that the footer lists, must be whole.
class SegmentCheck {
 public:
  SegmentCheck(std::string_view image, SegmentId id, const std::vector<std::string>& sent,
               bool has_refusals)
      : image_(image), id_(id), sent_(sent), has_refusals_(has_refusals) {}

  void WalkTo(FileOffset durable) {
    FileOffset at{kBlockBytes};
    uint32_t sequence = 0;
    while (at < durable) {
      const std::optional<ExtentIndex> extent = Parse(at);
      if (!extent) return;
      EXPECT_EQ(extent->header.sequence, sequence++);
      at = at + ByteCount{extent->header.extent_bytes};
    }
    EXPECT_EQ(at, durable);
  }

  bool HasFooter() const { return Footer().ok(); }

  void WalkFooter() {
    const auto footer = Footer();
    ASSERT_TRUE(footer.ok()) << footer.status();
    for (const ExtentRecord& extent : footer->extents) Parse({extent.offset});
  }

  // By stream: what this segment holds, begin to end; and whose it is, where the segment says so.
  const std::map<uint64_t, std::map<uint64_t, uint64_t>>& parts() const { return parts_; }
  const std::map<uint64_t, uint16_t>& peers() const { return peers_; }
  // The gaps that it tells of, likewise.
  const std::map<uint64_t, std::map<uint64_t, uint64_t>>& gaps() const { return gaps_; }

  // Whether this segment holds nothing of the stream outside of [begin, end).
  bool LiesWithin(StreamId stream, StreamOffset begin, StreamOffset end) const {
    const auto found = parts_.find(static_cast<uint64_t>(stream));
    if (found == parts_.end()) return true;
    for (const auto& [from, to] : found->second) {
      if (from < begin.value || to > end.value) return false;
    }
    return true;
  }

  // Whether this segment holds all of [begin, end) of the stream, or tells of what is missing.
  bool Covers(StreamId stream, StreamOffset begin, StreamOffset end) const {
    std::map<uint64_t, uint64_t> all;
    for (const auto* ranges : {&parts_, &gaps_}) {
      const auto found = ranges->find(static_cast<uint64_t>(stream));
      if (found != ranges->end()) all.insert(found->second.begin(), found->second.end());
    }
    uint64_t reached = begin.value;
    for (const auto& [from, to] : all) {
      if (from <= reached) reached = std::max(reached, to);
    }
    return reached >= end.value;
  }

 private:
  absl::Span<const std::byte> Bytes() const {
    return {reinterpret_cast<const std::byte*>(image_.data()), image_.size()};
  }

  absl::StatusOr<SegmentFooter> Footer() const {
    const auto trailer = ParseSegmentTrailer(Bytes().subspan(image_.size() - kBlockBytes), id_,
                                             ByteCount{image_.size()});
    if (!trailer.ok()) return trailer.status();
    return ParseSegmentFooter(Bytes().subspan(trailer->footer_offset), id_,
                              ByteCount{image_.size()});
  }

  std::optional<ExtentIndex> Parse(FileOffset at) {
    const auto rest = Bytes().subspan(at.value);
    const auto header = ParseExtentHeader(rest.subspan(0, kBlockBytes));
    if (!header.ok()) {
      ADD_FAILURE() << "extent at " << at.value << ": " << header.status();
      return std::nullopt;
    }
    const auto extent = ParseExtentIndex(at, rest.subspan(0, header->header_bytes));
    if (!extent.ok()) {
      ADD_FAILURE() << "extent at " << at.value << ": " << extent.status();
      return std::nullopt;
    }
    EXPECT_EQ(extent->header.segment_id, static_cast<uint64_t>(id_));
    const Ledger& ledger = extent->header.ledger;
    EXPECT_EQ(ledger.received, ledger.written + ledger.dropped());
    uint32_t crc = 0;
    uint64_t dropped = 0;
    for (const StreamEvent& event : extent->events) {
      peers_[event.stream_id] = event.peer.port;
      if (event.type != StreamEventType::kGap) continue;
      EXPECT_EQ(event.cause, GapCause::kPolicy);
      gaps_[event.stream_id][event.stream_offset] = event.stream_offset + event.gap_bytes;
      dropped += event.gap_bytes;
    }
    // The ledger grows by what the gaps say, in each extent.
    if (last_sequence_ && *last_sequence_ + 1 == extent->header.sequence) {
      EXPECT_EQ(ledger.dropped_policy, last_dropped_ + dropped) << "extent at " << at.value;
    }
    last_sequence_ = extent->header.sequence;
    last_dropped_ = ledger.dropped_policy;
    for (const FragmentEntry& fragment : extent->fragments) {
      const auto payload = rest.subspan(fragment.payload_offset, fragment.length);
      crc = ExtendCrc32c(crc, payload);
      CheckFragment(fragment, payload);
    }
    if ((extent->header.flags & kExtentHasPayloadCrc) != 0) {
      EXPECT_EQ(crc, extent->header.payload_crc32c) << "extent at " << at.value;
    }
    return *extent;
  }

  void CheckFragment(const FragmentEntry& fragment, absl::Span<const std::byte> payload) {
    const uint64_t end = fragment.stream_offset + fragment.length;
    auto& part = parts_[fragment.stream_id][fragment.stream_offset];
    part = std::max(part, end);
    const auto peer = peers_.find(fragment.stream_id);
    // After a refused write a segment may lack a stream's introduction.
    EXPECT_TRUE(has_refusals_ || peer != peers_.end()) << "stream " << fragment.stream_id;
    if (peer == peers_.end()) return;
    const std::string& all = sent_.at(peer->second);
    ASSERT_LE(end, all.size());
    EXPECT_EQ(std::memcmp(payload.data(), all.data() + fragment.stream_offset, fragment.length), 0)
        << "peer " << peer->second << " from offset " << fragment.stream_offset;
  }

  const std::string_view image_;
  const SegmentId id_;
  const std::vector<std::string>& sent_;
  const bool has_refusals_;                                 // some writes may have been refused
  std::map<uint64_t, uint16_t> peers_;                      // of streams
  std::map<uint64_t, std::map<uint64_t, uint64_t>> parts_;  // of streams: begin to end
  std::map<uint64_t, std::map<uint64_t, uint64_t>> gaps_;   // likewise
  std::optional<uint32_t> last_sequence_;                   // of the extents, in their order
  uint64_t last_dropped_ = 0;
};

}  // namespace sluice

#endif  // TESTS_SIM_SEGMENT_CHECK_H_
