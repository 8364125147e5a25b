#include "writer/segment/segment_codec.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "writer/extent/crc32c.h"
#include "writer/segment/footer_builder.h"

namespace sluice {
namespace {

constexpr SegmentId kId{42};
constexpr ByteCount kSize = MiB(1);

SegmentHeader SampleHeader() {
  SegmentHeader header;
  header.segment_id = 42;
  header.segment_bytes = kSize.value;
  header.slot = 3;
  header.recording_uid = 9;
  std::strcpy(header.recording, "lobby");
  SealSegmentHeader(header);
  return header;
}

std::vector<std::byte> BytesOf(const SegmentHeader& header) {
  const auto* begin = reinterpret_cast<const std::byte*>(&header);
  return {begin, begin + sizeof(header)};
}

TEST(SegmentHeaderTest, WhatWasWrittenIsRead) {
  const auto header = ParseSegmentHeader(BytesOf(SampleHeader()));
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->slot, 3u);
  EXPECT_EQ(RecordingName(*header), "lobby");
}

TEST(SegmentHeaderTest, EveryFlippedBitIsFound) {
  const std::vector<std::byte> good = BytesOf(SampleHeader());
  for (size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < (at < 200 ? 8 : 1); ++bit) {
      std::vector<std::byte> bad = good;
      bad[at] ^= std::byte{1} << bit;
      const auto header = ParseSegmentHeader(bad);
      ASSERT_FALSE(header.ok()) << "byte " << at << ", bit " << bit;
      ASSERT_FALSE(absl::IsNotFound(header.status())) << "byte " << at << ", bit " << bit;
    }
  }
}

TEST(SegmentHeaderTest, AnEmptySlotIsNotFound) {
  const std::vector<std::byte> zeros(kBlockBytes);
  EXPECT_TRUE(absl::IsNotFound(ParseSegmentHeader(zeros).status()));
  const SegmentHeader empty = EmptySlotHeader(SampleHeader());
  EXPECT_TRUE(absl::IsNotFound(ParseSegmentHeader(BytesOf(empty)).status()));
  const auto slot = ParseSlotHeader(BytesOf(empty));
  ASSERT_TRUE(slot.ok());
  EXPECT_TRUE(IsEmptySlot(*slot));
  EXPECT_EQ(slot->segment_id, 42u);
}

TEST(SegmentHeaderTest, LiesAreRefused) {
  const std::vector<void (*)(SegmentHeader&)> lies = {
      [](SegmentHeader& h) { h.magic = 1; },
      [](SegmentHeader& h) { h.version = 0; },
      [](SegmentHeader& h) { h.kind = ExtentKind{9}; },
      [](SegmentHeader& h) { h.segment_id = 0; },
      [](SegmentHeader& h) { h.segment_bytes = 4096; },
      [](SegmentHeader& h) { h.segment_bytes += 1; },
      [](SegmentHeader& h) { std::memset(h.recording, 'x', sizeof(h.recording)); },
  };
  for (size_t i = 0; i < lies.size(); ++i) {
    SegmentHeader header = SampleHeader();
    lies[i](header);
    SealSegmentHeader(header);
    EXPECT_TRUE(absl::IsDataLoss(ParseSegmentHeader(BytesOf(header)).status())) << "lie " << i;
  }
  EXPECT_TRUE(absl::IsDataLoss(ParseSegmentHeader({}).status()));
}

TEST(SegmentHeaderTest, ANewerVersionIsNamed) {
  SegmentHeader header = SampleHeader();
  header.version = kFormatVersion + 1;
  SealSegmentHeader(header);
  const auto parsed = ParseSegmentHeader(BytesOf(header));
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(parsed.status().message().find("version 2"), absl::string_view::npos);
}

// Two extents, two streams.
FooterBuilder SampleFooter() {
  FooterBuilder footer;
  ExtentHeader extent;
  extent.header_bytes = kBlockBytes;
  extent.extent_bytes = 2 * kBlockBytes;
  extent.payload_bytes = 100;
  const FragmentEntry first{.stream_id = 1, .length = 100, .payload_offset = kBlockBytes};
  footer.Add({kBlockBytes}, extent, {&first, 1}, {});
  extent.sequence = 1;
  const FragmentEntry second{.stream_id = 2, .length = 100, .payload_offset = kBlockBytes};
  footer.Add({3 * kBlockBytes}, extent, {&second, 1}, {});
  return footer;
}

std::vector<std::byte> BytesOf(const FooterBuilder& footer) {
  const AlignedBuffer buffer = footer.Build(kId, kSize, 0);
  return {buffer.span().begin(), buffer.span().end()};
}

TEST(SegmentFooterTest, WhatWasWrittenIsRead) {
  const auto footer = ParseSegmentFooter(BytesOf(SampleFooter()), kId, kSize);
  ASSERT_TRUE(footer.ok()) << footer.status();
  EXPECT_EQ(footer->extents.size(), 2u);
  EXPECT_EQ(footer->streams.size(), 2u);
  EXPECT_EQ(footer->trailer.data_end, 5 * kBlockBytes);
  EXPECT_EQ(footer->trailer.payload_bytes, 200u);
}

TEST(SegmentFooterTest, EveryFlippedBitIsFound) {
  const std::vector<std::byte> good = BytesOf(SampleFooter());
  for (size_t at = 0; at < good.size(); ++at) {
    std::vector<std::byte> bad = good;
    bad[at] ^= std::byte{1} << (at % 8);
    ASSERT_FALSE(ParseSegmentFooter(bad, kId, kSize).ok()) << "byte " << at;
  }
}

TEST(SegmentFooterTest, EveryTruncationIsFound) {
  const std::vector<std::byte> good = BytesOf(SampleFooter());
  for (size_t size = 0; size < good.size(); size += 32) {
    const auto tail = absl::MakeSpan(good).subspan(good.size() - size);
    ASSERT_FALSE(ParseSegmentFooter(tail, kId, kSize).ok()) << size;
    ASSERT_FALSE(ParseSegmentFooter(absl::MakeSpan(good).subspan(0, size), kId, kSize).ok());
  }
}

TEST(SegmentFooterTest, AnotherSegmentsFooterIsNone) {
  const std::vector<std::byte> bytes = BytesOf(SampleFooter());
  EXPECT_TRUE(absl::IsNotFound(ParseSegmentFooter(bytes, SegmentId{43}, kSize).status()));
  EXPECT_TRUE(absl::IsDataLoss(ParseSegmentFooter(bytes, kId, MiB(2)).status()));
}

// Lies with correct checksums.
template <class Change>
absl::Status AfterLie(Change change) {
  std::vector<std::byte> bytes = BytesOf(SampleFooter());
  SegmentTrailer trailer;
  std::byte* const end = bytes.data() + bytes.size() - sizeof(trailer);
  std::memcpy(&trailer, end, sizeof(trailer));
  auto* extents = reinterpret_cast<ExtentRecord*>(bytes.data());
  auto* streams = reinterpret_cast<StreamRecord*>(bytes.data() + 2 * sizeof(ExtentRecord));
  change(trailer, extents, streams);
  trailer.records_crc32c = Crc32c(absl::MakeSpan(bytes).subspan(0, bytes.size() - 256));
  SealSegmentTrailer(trailer);
  std::memcpy(end, &trailer, sizeof(trailer));
  return ParseSegmentFooter(bytes, kId, kSize).status();
}

TEST(SegmentFooterTest, LiesAreRefused) {
  using T = SegmentTrailer&;
  using E = ExtentRecord*;
  using S = StreamRecord*;
  EXPECT_TRUE(AfterLie([](T, E, S) {}).ok());
  const std::vector<void (*)(T, E, S)> lies = {
      [](T t, E, S) { t.version = 0; },
      [](T t, E, S) { t.footer_offset -= kBlockBytes; },
      [](T t, E, S) { t.footer_bytes += kBlockBytes; },
      [](T t, E, S) { t.footer_offset = 0; },
      [](T t, E, S) { t.footer_offset = ~uint64_t{0}; },
      [](T t, E, S) { t.extent_count = 0xFFFFFFFF; },
      [](T t, E, S) { t.stream_count = 0xFFFFFFFF; },
      [](T t, E, S) { t.stream_count = 200; },
      [](T t, E, S) { t.data_end = 0; },
      [](T t, E, S) { t.data_end = 4 * kBlockBytes; },
      [](T t, E, S) { t.data_end = kSize.value; },
      [](T t, E, S) { t.payload_bytes = 199; },
      [](T, E e, S) { e[0].offset = 0; },
      [](T, E e, S) { e[0].offset += 1; },
      [](T, E e, S) { e[1].offset = kBlockBytes; },
      [](T, E e, S) { e[1].offset = 2 * kBlockBytes; },
      [](T, E e, S) { e[1].offset = ~uint64_t{0} - kBlockBytes + 1; },
      [](T, E e, S) { e[1].sequence = 0; },
      [](T, E e, S) { e[0].extent_bytes = 0xFFFFF000; },
      [](T, E e, S) { e[0].header_bytes = 3 * kBlockBytes; },
      [](T, E e, S) { e[0].header_bytes = 0; },
      [](T, E e, S) { e[0].payload_bytes = ~uint64_t{0}, e[1].payload_bytes = 201; },
      [](T, E, S s) { s[0].stream_id = 0; },
      [](T, E, S s) { s[0].stream_id = 2; },
      [](T, E, S s) { s[0].begin = 101; },
      [](T, E, S s) { s[0].first_extent = 1; },
      [](T, E, S s) { s[1].last_extent = 2; },
      [](T, E, S s) { s[1].reason = CloseReason{7}; },
      [](T, E, S s) { s[1].peer.family = 3; },
      [](T, E, S s) { s[0].dropped = s[0].end - s[0].begin + 1; },
      [](T, E, S s) { s[0].dropped = ~uint64_t{0}; },
  };
  for (size_t i = 0; i < lies.size(); ++i) {
    EXPECT_TRUE(absl::IsDataLoss(AfterLie(lies[i]))) << "lie " << i;
  }
}

TEST(SegmentFooterTest, ANewerVersionIsNamed) {
  EXPECT_EQ(AfterLie([](SegmentTrailer& t, ExtentRecord*, StreamRecord*) { t.version = 2; }).code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace sluice
