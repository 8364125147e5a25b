#include "writer/segment/footer_builder.h"

#include <vector>

#include "gtest/gtest.h"
#include "writer/segment/segment_codec.h"

namespace sluice {
namespace {

FragmentEntry Fragment(uint64_t stream, uint64_t offset, uint32_t length, uint32_t delta_us = 0) {
  FragmentEntry fragment;
  fragment.stream_id = stream;
  fragment.stream_offset = offset;
  fragment.length = length;
  fragment.time_delta_us = delta_us;
  return fragment;
}

StreamEvent Event(uint64_t stream, StreamEventType type, uint64_t offset, int64_t time_ns) {
  StreamEvent event;
  event.stream_id = stream;
  event.type = type;
  event.stream_offset = offset;
  event.time_ns = time_ns;
  event.opened_ns = 5;
  event.peer.family = 4;
  return event;
}

ExtentHeader Header(uint32_t sequence, uint64_t payload) {
  ExtentHeader header;
  header.sequence = sequence;
  header.header_bytes = kBlockBytes;
  header.extent_bytes = 2 * kBlockBytes;
  header.payload_bytes = payload;
  header.first_time_ns = 1000 * (sequence + 1);
  header.last_time_ns = header.first_time_ns + 500;
  header.ledger.written = payload;
  return header;
}

StreamEvent Gap(uint64_t stream, uint64_t offset, uint64_t length) {
  StreamEvent event = Event(stream, StreamEventType::kGap, offset, 1000);
  event.cause = GapCause::kPolicy;
  event.gap_bytes = length;
  return event;
}

// A gap lies in the part of the segment that tells of it, also at its begin and end.
TEST(FooterBuilderTest, APartEnclosesItsGaps) {
  FooterBuilder builder;
  builder.Add({kBlockBytes}, Header(0, 10), {Fragment(7, 150, 10)},
              {Gap(7, 100, 50), Gap(7, 160, 40)});
  builder.Add({3 * kBlockBytes}, Header(1, 5), {Fragment(7, 200, 5)}, {Gap(8, 0, 9)});
  const StreamRecord* seven = builder.Find(StreamId{7});
  ASSERT_NE(seven, nullptr);
  EXPECT_EQ(seven->begin, 100u);
  EXPECT_EQ(seven->end, 205u);
  EXPECT_EQ(seven->dropped, 90u);
  EXPECT_EQ(builder.Find(StreamId{8})->end, 9u);
  EXPECT_EQ(builder.Find(StreamId{8})->dropped, 9u);
  const AlignedBuffer footer = builder.Build(SegmentId{5}, MiB(1), 0);
  EXPECT_TRUE(ParseSegmentFooter(footer.span(), SegmentId{5}, MiB(1)).ok());
}

// Whatever the events say, the footer that recovery makes of them can be read.
TEST(FooterBuilderTest, GapsThatOverlapAreNotCountedTwice) {
  FooterBuilder builder;
  builder.Add({kBlockBytes}, Header(0, 0), {}, {Gap(7, 0, 50), Gap(7, 10, 50)});
  EXPECT_EQ(builder.Find(StreamId{7})->dropped, 60u);
  const AlignedBuffer footer = builder.Build(SegmentId{5}, MiB(1), 0);
  EXPECT_TRUE(ParseSegmentFooter(footer.span(), SegmentId{5}, MiB(1)).ok());
}

TEST(FooterBuilderTest, GathersStreams) {
  FooterBuilder builder;
  EXPECT_TRUE(builder.empty());
  builder.Add({kBlockBytes}, Header(0, 30), {Fragment(7, 100, 10), Fragment(8, 0, 20, 1)},
              {Event(7, StreamEventType::kContinued, 100, 1000),
               Event(8, StreamEventType::kOpen, 0, 1000)});
  StreamEvent close = Event(7, StreamEventType::kClose, 115, 2500);
  close.reason = CloseReason::kReset;
  builder.Add({3 * kBlockBytes}, Header(1, 5), {Fragment(7, 110, 5)}, {close});

  ASSERT_EQ(builder.streams().size(), 2u);
  const StreamRecord* seven = builder.Find(StreamId{7});
  ASSERT_NE(seven, nullptr);
  EXPECT_EQ(seven->begin, 100u);
  EXPECT_EQ(seven->end, 115u);
  EXPECT_EQ(seven->opened_ns, 5);
  EXPECT_EQ(seven->last_time_ns, 2500);
  EXPECT_EQ(seven->first_extent, 0u);
  EXPECT_EQ(seven->last_extent, 1u);
  EXPECT_EQ(seven->reason, CloseReason::kReset);
  const StreamRecord* eight = builder.Find(StreamId{8});
  ASSERT_NE(eight, nullptr);
  EXPECT_EQ(eight->last_time_ns, 2000);
  EXPECT_EQ(eight->last_extent, 0u);
  EXPECT_EQ(eight->reason, CloseReason::kNone);
  EXPECT_EQ(builder.Find(StreamId{9}), nullptr);
  EXPECT_EQ(builder.payload().value, 35u);
  EXPECT_EQ(builder.first_time().value, 1000);
  EXPECT_EQ(builder.last_time().value, 2500);
  EXPECT_EQ(builder.data_end().value, 5 * kBlockBytes);
  EXPECT_EQ(builder.ledger().written, 5u);
}

TEST(FooterBuilderTest, AStreamWithoutBytesHasAnEmptyPart) {
  FooterBuilder builder;
  builder.Add(
      {kBlockBytes}, Header(0, 0), {},
      {Event(7, StreamEventType::kOpen, 0, 1000), Event(7, StreamEventType::kClose, 0, 2000)});
  ASSERT_NE(builder.Find(StreamId{7}), nullptr);
  EXPECT_EQ(builder.Find(StreamId{7})->begin, builder.Find(StreamId{7})->end);
}

// The writer relies on this bound to leave enough room.
TEST(FooterBuilderTest, TheBoundHoldsWhileItGrows) {
  FooterBuilder builder;
  FileOffset at{kBlockBytes};
  for (uint32_t i = 0; i < 300; ++i) {
    const uint64_t bound = builder.FooterBytesAfter(1, 3);
    const ExtentHeader header = Header(i, 3);
    builder.Add(at, header,
                {Fragment(3 * i + 1, 0, 1), Fragment(3 * i + 2, 0, 1), Fragment(3 * i + 3, 0, 1)},
                {});
    EXPECT_EQ(builder.FooterBytes(), bound);
    EXPECT_EQ(builder.Build(SegmentId{1}, MiB(64), 0).size(), bound);
    at = at + ByteCount{header.extent_bytes};
  }
  const AlignedBuffer footer = builder.Build(SegmentId{1}, MiB(64), kSealedByRecovery);
  const auto parsed = ParseSegmentFooter(footer.span(), SegmentId{1}, MiB(64));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->extents.size(), 300u);
  EXPECT_EQ(parsed->streams.size(), 900u);
  EXPECT_EQ(parsed->trailer.flags, kSealedByRecovery);
}

TEST(FooterBuilderTest, HolesInTheSequenceAreFine) {
  FooterBuilder builder;
  builder.Add({kBlockBytes}, Header(0, 1), {Fragment(1, 0, 1)}, {});
  builder.Add({9 * kBlockBytes}, Header(4, 1), {Fragment(1, 1, 1)}, {});
  EXPECT_TRUE(
      ParseSegmentFooter(builder.Build(SegmentId{1}, MiB(1), 0).span(), SegmentId{1}, MiB(1)).ok());
}

TEST(FooterBuilderTest, ClearForgets) {
  FooterBuilder builder;
  builder.Add({kBlockBytes}, Header(0, 1), {Fragment(1, 0, 1)}, {});
  builder.Clear();
  EXPECT_TRUE(builder.empty());
  EXPECT_EQ(builder.FooterBytes(), kBlockBytes);
  EXPECT_EQ(builder.Find(StreamId{1}), nullptr);
  EXPECT_EQ(builder.data_end().value, kBlockBytes);
  EXPECT_EQ(builder.last_time().value, 0);
}

}  // namespace
}  // namespace sluice
