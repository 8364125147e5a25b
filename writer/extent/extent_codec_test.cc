#include "writer/extent/extent_codec.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr uint32_t kHeaderBytes = 2 * kBlockBytes;

// Two fragments and two events in a header of two blocks, payload of one block.
struct Sample {
  ExtentHeader header;
  std::vector<FragmentEntry> fragments;
  std::vector<StreamEvent> events;

  Sample() {
    header.header_bytes = kHeaderBytes;
    header.extent_bytes = kHeaderBytes + kBlockBytes;
    header.segment_id = 7;
    header.sequence = 3;
    header.payload_bytes = 150;
    header.first_time_ns = 1000;
    header.last_time_ns = 2000;
    fragments = {{.stream_id = 1, .length = 100, .payload_offset = kHeaderBytes},
                 {.stream_id = 2, .length = 50, .payload_offset = kHeaderBytes + kBlockBytes - 50}};
    events.resize(3);
    events[0].stream_id = 2;
    events[0].peer.family = 4;
    events[1].stream_id = 1;
    events[1].type = StreamEventType::kClose;
    events[1].reason = CloseReason::kReset;
    events[2].stream_id = 2;
    events[2].type = StreamEventType::kGap;
    events[2].stream_offset = 50;
    events[2].cause = GapCause::kPolicy;
    events[2].gap_bytes = 1000;
  }

  std::vector<std::byte> Encode(bool seal = true) {
    header.fragment_count = fragments.size();
    header.event_count = events.size();
    std::vector<std::byte> bytes(kHeaderBytes);
    std::memcpy(bytes.data(), &header, sizeof(header));
    std::memcpy(bytes.data() + sizeof(header), fragments.data(), fragments.size() * 32);
    std::memcpy(bytes.data() + sizeof(header) + fragments.size() * 32, events.data(),
                events.size() * 128);
    if (seal) SealExtentHeader(absl::MakeSpan(bytes));
    return bytes;
  }
};

absl::StatusCode CodeOf(Sample sample) {
  return ParseExtentIndex({kBlockBytes}, sample.Encode()).status().code();
}

TEST(ExtentCodecTest, WhatWasWrittenIsRead) {
  Sample sample;
  const auto index = ParseExtentIndex({8192}, sample.Encode());
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->at.value, 8192u);
  EXPECT_EQ(index->header.segment_id, 7u);
  ASSERT_EQ(index->fragments.size(), 2u);
  EXPECT_EQ(index->fragments[1].length, 50u);
  ASSERT_EQ(index->events.size(), 3u);
  EXPECT_EQ(index->events[1].reason, CloseReason::kReset);
  EXPECT_EQ(index->events[2].cause, GapCause::kPolicy);
  EXPECT_EQ(index->events[2].gap_bytes, 1000u);
}

TEST(ExtentCodecTest, EveryFlippedBitIsFound) {
  Sample sample;
  const std::vector<std::byte> good = sample.Encode();
  for (size_t at = 0; at < good.size(); ++at) {
    // All bits of the tables; one bit of each byte of the padding behind them.
    for (int bit = 0; bit < (at < 800 ? 8 : 1); ++bit) {
      std::vector<std::byte> bad = good;
      bad[at] ^= std::byte{1} << bit;
      ASSERT_FALSE(ParseExtentIndex({0}, bad).ok()) << "byte " << at << ", bit " << bit;
    }
  }
}

TEST(ExtentCodecTest, EveryTruncationIsFound) {
  Sample sample;
  const std::vector<std::byte> good = sample.Encode();
  for (size_t size = 0; size < good.size(); size += size < 800 ? 1 : 64) {
    ASSERT_FALSE(ParseExtentIndex({0}, absl::MakeSpan(good).subspan(0, size)).ok()) << size;
  }
}

TEST(ExtentCodecTest, NoMagicIsNoExtent) {
  Sample sample;
  sample.header.magic = 0;
  EXPECT_EQ(CodeOf(sample), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(ParseExtentHeader({}).status().code(), absl::StatusCode::kOutOfRange);
}

TEST(ExtentCodecTest, ANewerVersionIsNamed) {
  Sample sample;
  sample.header.version = kFormatVersion + 1;
  const auto index = ParseExtentIndex({0}, sample.Encode());
  EXPECT_EQ(index.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(index.status().message().find("version 2"), absl::string_view::npos) << index.status();
}

// Lies that carry a correct checksum: what a hostile or broken writer could leave.
TEST(ExtentCodecTest, LiesAreRefused) {
  const std::vector<void (*)(Sample&)> lies = {
      [](Sample& s) { s.header.version = 0; },
      [](Sample& s) { s.header.kind = ExtentKind{0}; },
      [](Sample& s) { s.header.kind = ExtentKind{4}; },
      [](Sample& s) { s.header.header_bytes = kBlockBytes; },
      [](Sample& s) { s.header.header_bytes = 3 * kBlockBytes; },
      [](Sample& s) { s.header.header_bytes = kHeaderBytes + 512; },
      [](Sample& s) { s.header.header_bytes = 0; },
      [](Sample& s) { s.header.extent_bytes = kBlockBytes; },
      [](Sample& s) { s.header.extent_bytes += 1; },
      [](Sample& s) { s.header.payload_bytes = 149; },
      [](Sample& s) { s.header.last_time_ns = 999; },
      [](Sample& s) { s.fragments[0].stream_id = 0; },
      [](Sample& s) { s.fragments[0].payload_offset = kHeaderBytes - 1; },
      [](Sample& s) { s.fragments[1].payload_offset += 1; },
      [](Sample& s) { s.fragments[1].payload_offset = 0xFFFFFFFF; },
      [](Sample& s) { s.fragments[1].stream_offset = ~uint64_t{0} - 10; },
      [](Sample& s) { s.events[0].stream_id = 0; },
      [](Sample& s) { s.events[0].type = StreamEventType{0}; },
      [](Sample& s) { s.events[0].type = StreamEventType{5}; },
      [](Sample& s) { s.events[0].reason = CloseReason{7}; },
      [](Sample& s) { s.events[2].cause = GapCause::kNone; },
      [](Sample& s) { s.events[2].cause = GapCause{6}; },
      [](Sample& s) { s.events[2].gap_bytes = 0; },
      [](Sample& s) { s.events[2].gap_bytes = ~uint64_t{0} - 49; },
      [](Sample& s) { s.events[0].peer.family = 5; },
      [](Sample& s) { s.events[0].local.family = 1; },
  };
  for (size_t i = 0; i < lies.size(); ++i) {
    Sample sample;
    lies[i](sample);
    EXPECT_EQ(CodeOf(sample), absl::StatusCode::kDataLoss) << "lie " << i;
  }
}

// What earlier programs wrote as zero and did not look at stays so, where it means nothing.
TEST(ExtentCodecTest, OnlyAGapHasALengthAndACause) {
  Sample sample;
  sample.events[1].cause = GapCause{77};
  sample.events[1].gap_bytes = ~uint64_t{0};
  EXPECT_EQ(CodeOf(sample), absl::StatusCode::kOk);
}

TEST(ExtentCodecTest, CountsBeyondTheHeaderAreRefused) {
  Sample sample;
  std::vector<std::byte> bytes = sample.Encode(false);
  for (const size_t field :
       {offsetof(ExtentHeader, fragment_count), offsetof(ExtentHeader, event_count)}) {
    for (const uint32_t count : {1000u, 0xFFFFFFFFu}) {
      std::vector<std::byte> bad = bytes;
      std::memcpy(bad.data() + field, &count, sizeof(count));
      SealExtentHeader(absl::MakeSpan(bad));
      EXPECT_EQ(ParseExtentIndex({0}, bad).status().code(), absl::StatusCode::kDataLoss);
    }
  }
}

}  // namespace
}  // namespace sluice
