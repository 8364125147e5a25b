#include "writer/extent/extent_builder.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ingest/region/chunk_pool.h"
#include "writer/extent/crc32c.h"
#include "writer/extent/extent_codec.h"

namespace sluice {
namespace {

constexpr uint32_t kSlots = 4;
constexpr UnixNanos At(int64_t microseconds) {
  return {1'700'000'000'000'000'000 + microseconds * 1000};
}

// What a device would have read.
std::string Bytes(const SealedExtent& extent) {
  std::string bytes;
  for (const iovec& range : extent.ranges) {
    bytes.append(static_cast<const char*>(range.iov_base), range.iov_len);
  }
  return bytes;
}

absl::Span<const std::byte> AsBytes(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Extents as they would be read back: place given, header parsed.
ExtentIndex Parse(SealedExtent& extent) {
  PlaceExtent(extent, SegmentId{7}, 3, FileOffset{kBlockBytes});
  const std::string bytes = Bytes(extent);
  EXPECT_EQ(bytes.size(), extent.header().extent_bytes);
  auto index = ParseExtentIndex(FileOffset{kBlockBytes},
                                AsBytes(bytes).subspan(0, extent.header().header_bytes));
  EXPECT_TRUE(index.ok()) << index.status();
  return index.ok() ? *std::move(index) : ExtentIndex{};
}

class ExtentBuilderTest : public ::testing::Test {
 protected:
  static constexpr ByteCount kChunk = KiB(64);
  static constexpr uint32_t kChunks = 8;
  static constexpr ByteCount kPack = KiB(32);  // and a block for the tail

  void SetUp() override {
    const ByteCount pack = kPack + ByteCount{kBlockBytes};
    region_ = *Region::Map({RoundUp(ExtentSlab::SizeFor(kSlots, pack).value, kBlockBytes)},
                           kChunk * kChunks);
    // What no fragment names must not be mistaken for payload: it differs from zeros.
    std::mt19937_64 dice(1);
    for (std::byte& byte : region_->memory().subspan(region_->area_begin().value)) {
      byte = static_cast<std::byte>(dice());
    }
    chunks_ = std::make_unique<ChunkPool>(region_->area_begin(), kChunk, kChunks);
    slab_ = std::make_unique<ExtentSlab>(*region_, kSlots, pack);
    for (uint32_t i = 0; i < kChunks; ++i) chunks_->Take();
    Open({});
  }
  void TearDown() override {
    builder_.reset();
    for (uint32_t i = 0; i < kChunks; ++i) chunks_->Return(i);
    EXPECT_EQ(chunks_->free_count(), kChunks);  // every lease went home
  }
  void Open(const ExtentBuilderOptions& options) {
    builder_ = std::make_unique<ExtentBuilder>(*region_, *slab_, options);
  }

  static constexpr StreamId kOne{11}, kTwo{22};
  void OpenStream(StreamId id, uint64_t segment = 1) {
    SocketAddress peer{4, static_cast<uint16_t>(id), 0, {10}};
    builder_->AddOpened({id, peer, {}}, At(0), segment);
  }
  // `length` bytes at `at` in chunk `chunk`, which the kernel goes on filling.
  Fragment Make(StreamId stream, uint64_t stream_offset, uint32_t chunk, uint64_t at,
                uint64_t length) {
    Fragment fragment{stream, {stream_offset}, chunks_->Begin(chunk) + ByteCount{at}, {length}};
    fragment.open_ended = true;
    return fragment;
  }
  // The same, placed there by a device.
  Fragment Placed(StreamId stream, uint64_t stream_offset, uint32_t chunk, uint64_t at,
                  uint64_t length) {
    Fragment fragment = Make(stream, stream_offset, chunk, at, length);
    fragment.open_ended = false;
    fragment.zero_copy = true;
    return fragment;
  }
  void Add(const Fragment& fragment, int64_t time_us = 0, uint64_t segment = 1) {
    const uint64_t from = (fragment.at - region_->area_begin()).value;
    builder_->Add(fragment, chunks_->Lease(static_cast<uint32_t>(from / kChunk.value)), At(time_us),
                  segment);
  }
  absl::string_view TextOf(const Fragment& fragment) {
    return {reinterpret_cast<const char*>(region_->At(fragment.at)), fragment.length.value};
  }
  // Whether a range refers to this byte of the region.
  bool IsReferenced(const SealedExtent& extent, RegionOffset at) {
    const std::byte* const byte = region_->At(at);
    return std::any_of(extent.ranges.begin(), extent.ranges.end(), [byte](const iovec& range) {
      const auto* begin = static_cast<const std::byte*>(range.iov_base);
      return byte >= begin && byte < begin + range.iov_len;
    });
  }

  std::unique_ptr<Region> region_;
  std::unique_ptr<ChunkPool> chunks_;
  std::unique_ptr<ExtentSlab> slab_;
  std::unique_ptr<ExtentBuilder> builder_;
};

// ---- one extent

TEST_F(ExtentBuilderTest, StartsEmpty) {
  EXPECT_TRUE(builder_->empty());
  EXPECT_FALSE(builder_->MustSealBefore(Make(kOne, 0, 0, 0, 1)));
  EXPECT_FALSE(builder_->MustSealBeforeEvent());
  EXPECT_EQ(builder_->ledger(), Ledger{});
}

TEST_F(ExtentBuilderTest, AWholeBlockIsWrittenInPlace) {
  OpenStream(kOne);
  const Fragment fragment = Make(kOne, 0, 1, 8192, 4096);
  Add(fragment);
  SealedExtent extent = builder_->Seal();
  ASSERT_EQ(extent.ranges.size(), 2u);
  EXPECT_EQ(extent.ranges[1].iov_base, region_->At(fragment.at));
  EXPECT_EQ(extent.ranges[1].iov_len, 4096u);
  const ExtentIndex index = Parse(extent);
  EXPECT_EQ(index.header.segment_id, 7u);
  EXPECT_EQ(index.header.sequence, 3u);
  EXPECT_EQ(index.header.durable_bytes, kBlockBytes);
  EXPECT_EQ(index.header.payload_bytes, 4096u);
  EXPECT_EQ(builder_->ledger().packed, 0u);
  EXPECT_TRUE(builder_->empty());
}

// The rest of the last block may be filled while the extent is written: it is copied.
TEST_F(ExtentBuilderTest, ThePartialTailIsCopiedAndTheRestOfItsBlockIsNotRead) {
  for (const uint32_t align : {4u, 512u, 4096u}) {
    SCOPED_TRACE(align);
    Open({.align = align});
    OpenStream(kOne);
    const Fragment fragment = Make(kOne, 0, 0, 4096, 5001);
    const std::string sent(TextOf(fragment));
    Add(fragment);
    SealedExtent extent = builder_->Seal();
    const uint64_t tail = RoundDown(5001, align);
    EXPECT_TRUE(IsReferenced(extent, fragment.at + ByteCount{tail - 1}));
    for (uint64_t at = tail; at < 8192; ++at) {
      ASSERT_FALSE(IsReferenced(extent, fragment.at + ByteCount{at})) << at;
    }
    EXPECT_EQ(builder_->ledger().packed, 5001 - tail);
    EXPECT_EQ(extent.header().ledger.packed, 5001 - tail);

    // The kernel goes on filling the block; what is written stays as it was received.
    std::memset(region_->At(fragment.at + ByteCount{5001}), 'k', 100);
    const ExtentIndex index = Parse(extent);
    const std::string bytes = Bytes(extent);
    ASSERT_EQ(index.fragments.size(), 1u);
    EXPECT_EQ(bytes.substr(index.fragments[0].payload_offset, 5001), sent);
    // Nor does anything of the block's rest get to the disk.
    const uint64_t end = index.fragments[0].payload_offset + 5001;
    EXPECT_EQ(bytes.find_first_not_of('\0', end), std::string::npos);

    // The next extent begins with the same block: its first bytes are there twice.
    const Fragment next = Make(kOne, 5001, 0, 4096 + 5001, 100);
    Add(next);
    SealedExtent second = builder_->Seal();
    const ExtentIndex after = Parse(second);
    EXPECT_EQ(Bytes(second).substr(after.fragments[0].payload_offset, 100), std::string(100, 'k'));
  }
}

TEST_F(ExtentBuilderTest, AFragmentInsideOneBlockIsPackedWhole) {
  OpenStream(kOne);
  const Fragment fragment = Make(kOne, 0, 0, 100, 7);
  Add(fragment);
  SealedExtent extent = builder_->Seal();
  for (uint64_t at = 0; at < 4096; ++at) {
    ASSERT_FALSE(IsReferenced(extent, chunks_->Begin(0) + ByteCount{at}));
  }
  EXPECT_EQ(builder_->ledger().packed, 7u);  // not the bytes before it
  const ExtentIndex index = Parse(extent);
  EXPECT_EQ(Bytes(extent).substr(index.fragments[0].payload_offset, 7), TextOf(fragment));
  EXPECT_EQ(index.header.extent_bytes, index.header.header_bytes + 4096);
}

TEST_F(ExtentBuilderTest, PackedCountsPayloadOnly) {
  OpenStream(kOne);
  Add(Make(kOne, 0, 0, 0, 10));
  Add(Make(kOne, 10, 0, 1000, 10));  // not side by side
  builder_->Seal();
  EXPECT_EQ(builder_->ledger().packed, 20u);
  EXPECT_EQ(builder_->ledger().written, 20u);
}

TEST_F(ExtentBuilderTest, ContiguousFragmentsOfAStreamAreOneEntry) {
  OpenStream(kOne);
  OpenStream(kTwo);
  for (uint64_t i = 0; i < 5; ++i) Add(Make(kOne, i * 1000, 0, i * 1000, 1000));
  Add(Make(kTwo, 0, 0, 5000, 1000));     // another stream
  Add(Make(kOne, 5000, 0, 6000, 1000));  // goes on, but not where it left off in the extent
  Add(Make(kOne, 6500, 0, 7000, 1000));  // side by side, but with a gap in the stream
  SealedExtent extent = builder_->Seal();
  const ExtentIndex index = Parse(extent);
  ASSERT_EQ(index.fragments.size(), 4u);
  EXPECT_EQ(index.fragments[0].length, 5000u);
  EXPECT_EQ(index.fragments[1].stream_id, 22u);
  EXPECT_EQ(index.fragments[2].stream_offset, 5000u);
  EXPECT_EQ(index.fragments[3].stream_offset, 6500u);
  for (size_t i = 1; i < 4; ++i) {
    EXPECT_EQ(index.fragments[i].payload_offset,
              index.fragments[i - 1].payload_offset + index.fragments[i - 1].length);
  }
  // One after the other in memory: one range, and the packed tail.
  EXPECT_EQ(extent.ranges.size(), 3u);
}

TEST_F(ExtentBuilderTest, OneLeaseHoldsAllReferencesOnABuffer) {
  OpenStream(kOne);
  for (uint64_t i = 0; i < 10; ++i) Add(Placed(kOne, i * 100, 2, i * 100, 100));
  Add(Placed(kOne, 1000, 3, 0, 100));
  SealedExtent extent = builder_->Seal();
  EXPECT_EQ(extent.leases.size(), 2u);
}

// ---- events

TEST_F(ExtentBuilderTest, EventsDescribeTheStream) {
  OpenStream(kOne);
  Add(Make(kOne, 0, 0, 0, 100), 1000);
  builder_->AddClosed(kOne, {100}, CloseReason::kReset, At(2000));
  SealedExtent extent = builder_->Seal();
  const ExtentIndex index = Parse(extent);
  ASSERT_EQ(index.events.size(), 2u);
  EXPECT_EQ(index.events[0].type, StreamEventType::kOpen);
  EXPECT_EQ(index.events[0].stream_offset, 0u);
  EXPECT_EQ(index.events[0].peer.port, 11);
  EXPECT_EQ(index.events[1].type, StreamEventType::kClose);
  EXPECT_EQ(index.events[1].reason, CloseReason::kReset);
  EXPECT_EQ(index.events[1].stream_offset, 100u);
  EXPECT_EQ(index.events[1].opened_ns, At(0).value);
  EXPECT_EQ(index.events[1].time_ns, At(2000).value);
  EXPECT_EQ(index.events[1].peer.port, 11);
  EXPECT_EQ(index.header.first_time_ns, At(0).value);
  EXPECT_EQ(index.header.last_time_ns, At(2000).value);
}

TEST_F(ExtentBuilderTest, AStreamIsIntroducedOnceInEachSegment) {
  OpenStream(kOne, 1);
  uint64_t offset = 0;
  const auto events_with = [&](uint64_t segment) {
    Add(Make(kOne, offset, 0, offset, 10), 5, segment);
    offset += 10;
    SealedExtent extent = builder_->Seal();
    return Parse(extent).events;
  };
  EXPECT_EQ(events_with(1).size(), 1u);  // the open event
  EXPECT_EQ(events_with(1).size(), 0u);
  const auto continued = events_with(2);
  ASSERT_EQ(continued.size(), 1u);
  EXPECT_EQ(continued[0].type, StreamEventType::kContinued);
  EXPECT_EQ(continued[0].stream_offset, 20u);
  EXPECT_EQ(continued[0].opened_ns, At(0).value);
  EXPECT_EQ(continued[0].peer.port, 11);
  EXPECT_EQ(events_with(2).size(), 0u);
  EXPECT_EQ(events_with(5).size(), 1u);
}

TEST_F(ExtentBuilderTest, GapsAreToldAndAccountedFor) {
  OpenStream(kOne);
  OpenStream(kTwo);
  Add(Make(kOne, 0, 0, 0, 100));
  builder_->AddGap({kOne, {100}, {50}, {20}}, At(1), 1);
  builder_->AddGap({kTwo, {0}, {5}, {}}, At(1), 1);
  builder_->AddGap({kOne, {150}, {30}, {}}, At(2), 1);  // goes on where the one before ended
  Add(Make(kOne, 180, 0, 100, 10));
  builder_->AddGap({kOne, {190}, {1}, {}}, At(3), 1);  // does not
  SealedExtent extent = builder_->Seal();
  const ExtentIndex index = Parse(extent);
  ASSERT_EQ(index.events.size(), 5u);
  EXPECT_EQ(index.events[2].type, StreamEventType::kGap);
  EXPECT_EQ(index.events[2].cause, GapCause::kPolicy);
  EXPECT_EQ(index.events[2].stream_offset, 100u);
  EXPECT_EQ(index.events[2].gap_bytes, 80u);
  EXPECT_EQ(index.events[2].opened_ns, At(0).value);
  EXPECT_EQ(index.events[2].peer.port, 11);
  EXPECT_EQ(index.events[3].gap_bytes, 5u);
  EXPECT_EQ(index.events[4].stream_offset, 190u);
  const Ledger& ledger = index.header.ledger;
  EXPECT_EQ(ledger.received, 196u);
  EXPECT_EQ(ledger.written, 110u);
  EXPECT_EQ(ledger.dropped_policy, 86u);
  EXPECT_EQ(ledger.zero_copy, 20u);
  EXPECT_EQ(ledger.copied, 176u);
}

// A sealed extent is told nothing more, and a gap introduces its stream to a segment.
TEST_F(ExtentBuilderTest, AGapGoesOnInTheNextExtent) {
  OpenStream(kOne);
  builder_->AddGap({kOne, {0}, {50}, {}}, At(1), 1);
  SealedExtent first = builder_->Seal();
  EXPECT_EQ(Parse(first).events.back().gap_bytes, 50u);
  builder_->AddGap({kOne, {50}, {50}, {}}, At(1), 2);
  Add(Make(kOne, 100, 0, 0, 10), 5, 2);
  SealedExtent second = builder_->Seal();
  const ExtentIndex index = Parse(second);
  ASSERT_EQ(index.events.size(), 1u);
  EXPECT_EQ(index.events[0].stream_offset, 50u);
  EXPECT_EQ(index.events[0].gap_bytes, 50u);
  EXPECT_EQ(index.header.ledger.dropped_policy, 100u);
}

// Also of a stream that has ended.
TEST_F(ExtentBuilderTest, WhatADiskHasLostIsTakenBackAndTold) {
  OpenStream(kOne);
  Add(Make(kOne, 0, 0, 0, 100));
  builder_->AddClosed(kOne, {100}, CloseReason::kEndOfStream, At(1));
  SealedExtent lost = builder_->Seal();
  EXPECT_EQ(Parse(lost).header.ledger.written, 100u);
  builder_->TakeBack({100});
  StreamEvent gap;
  gap.stream_id = static_cast<uint64_t>(kOne);
  gap.type = StreamEventType::kGap;
  gap.cause = GapCause::kDisk;
  gap.gap_bytes = 100;
  builder_->AddEvent(gap, At(2), 2);
  SealedExtent extent = builder_->Seal();
  const ExtentIndex index = Parse(extent);
  ASSERT_EQ(index.events.size(), 1u);
  EXPECT_EQ(index.events[0].cause, GapCause::kDisk);
  EXPECT_EQ(index.events[0].time_ns, At(2).value);
  EXPECT_EQ(index.header.ledger.received, 100u);
  EXPECT_EQ(index.header.ledger.written, 0u);
  EXPECT_EQ(index.header.ledger.dropped_disk, 100u);
}

TEST_F(ExtentBuilderTest, ExtentsOfEventsAlone) {
  OpenStream(kOne);
  EXPECT_FALSE(builder_->empty());
  SealedExtent opened = builder_->Seal();
  builder_->AddClosed(kOne, {0}, CloseReason::kEndOfStream, At(1));
  SealedExtent closed = builder_->Seal();
  for (SealedExtent* extent : {&opened, &closed}) {
    const ExtentIndex index = Parse(*extent);
    EXPECT_EQ(index.header.extent_bytes, kBlockBytes);
    EXPECT_EQ(index.events.size(), 1u);
    EXPECT_EQ(index.fragments.size(), 0u);
    EXPECT_EQ(extent->leases.size(), 0u);
  }
}

// ---- times

TEST_F(ExtentBuilderTest, AClockThatStepsBackGivesNoNegativeTimes) {
  OpenStream(kOne);
  Add(Placed(kOne, 0, 0, 0, 10), 5000);
  Add(Placed(kOne, 10, 1, 0, 10), 100);
  SealedExtent extent = builder_->Seal();
  const ExtentIndex index = Parse(extent);
  EXPECT_EQ(index.header.last_time_ns, At(5000).value);
  EXPECT_EQ(index.fragments[0].time_delta_us, 5000u);
  EXPECT_EQ(index.fragments[1].time_delta_us, 5000u);
}

// A clock that is set for the first time while an extent is in hand.
TEST_F(ExtentBuilderTest, AClockThatJumpsAheadDoesNotWrapAround) {
  OpenStream(kOne);
  Add(Placed(kOne, 0, 0, 0, 10), int64_t{2} << 32);
  SealedExtent extent = builder_->Seal();
  EXPECT_EQ(Parse(extent).fragments[0].time_delta_us, UINT32_MAX);
}

// ---- checksum

TEST_F(ExtentBuilderTest, ThePayloadsChecksumIsOptional) {
  for (const bool wanted : {true, false}) {
    Open({.payload_crc = wanted});
    OpenStream(kOne);
    Add(Placed(kOne, 0, 0, 10, 5000));
    Add(Placed(kOne, 5000, 1, 7, 100));
    SealedExtent extent = builder_->Seal();
    const ExtentIndex index = Parse(extent);
    uint32_t crc = 0;
    const std::string bytes = Bytes(extent);
    for (const FragmentEntry& entry : index.fragments) {
      crc = ExtendCrc32c(crc, AsBytes(bytes).subspan(entry.payload_offset, entry.length));
    }
    EXPECT_EQ(index.header.flags, wanted ? kExtentHasPayloadCrc : 0);
    EXPECT_EQ(index.header.payload_crc32c, wanted ? crc : 0);
  }
}

// ---- limits

TEST_F(ExtentBuilderTest, ThePayloadLimitIsMetExactly) {
  Open({.align = 4096, .extent_bytes_max = 5 * kBlockBytes});
  OpenStream(kOne);
  Add(Placed(kOne, 0, 0, 0, 100));  // one block
  const Fragment fits = Placed(kOne, 100, 1, 0, 3 * kBlockBytes);
  const Fragment too_long = Placed(kOne, 100, 1, 0, 3 * kBlockBytes + 1);
  EXPECT_TRUE(builder_->MustSealBefore(too_long));
  EXPECT_FALSE(builder_->MustSealBefore(fits));
  Add(fits);
  // In the block that is there anyway.
  EXPECT_TRUE(builder_->MustSealBefore(Placed(kOne, 0, 1, 3 * kBlockBytes, 1)));
  SealedExtent extent = builder_->Seal();
  EXPECT_EQ(extent.header().extent_bytes, 5 * kBlockBytes);
}

TEST_F(ExtentBuilderTest, AMergedFragmentCostsOnlyWhatItAdds) {
  Open({.align = 4096, .extent_bytes_max = 2 * kBlockBytes});
  OpenStream(kOne);
  Add(Make(kOne, 0, 0, 0, 4000));
  EXPECT_FALSE(builder_->MustSealBefore(Make(kOne, 4000, 0, 4000, 96)));
  EXPECT_TRUE(builder_->MustSealBefore(Make(kOne, 4000, 0, 4000, 97)));
  builder_->Seal();
}

TEST_F(ExtentBuilderTest, TheRangeLimitIsMetExactly) {
  Open({.align = 512, .ranges_max = 3});
  OpenStream(kOne);
  for (uint64_t i = 0; i < 3; ++i) {
    const Fragment fragment = Placed(kOne, i * 10, 0, i * 2048, 10);
    ASSERT_FALSE(builder_->MustSealBefore(fragment));
    Add(fragment);
  }
  EXPECT_TRUE(builder_->MustSealBefore(Placed(kOne, 30, 0, 3 * 2048, 10)));
  EXPECT_FALSE(builder_->MustSealBefore(Placed(kOne, 30, 0, 2 * 2048 + 10, 10)));  // merges
  SealedExtent extent = builder_->Seal();
  Parse(extent);
  EXPECT_LE(extent.ranges.size(), 3u + 3u);
}

TEST_F(ExtentBuilderTest, TheEntryLimitIsMetExactly) {
  Open({.align = 512, .extent_bytes_max = 1 << 20, .ranges_max = 64, .entries_max = 8});
  OpenStream(kOne);
  OpenStream(kTwo);
  // A fragment may need an event of its own: the last entry is kept for it.
  uint64_t added = 0;
  while (!builder_->MustSealBefore(Make(added % 2 == 0 ? kOne : kTwo, added, 0, added, 1))) {
    Add(Make(added % 2 == 0 ? kOne : kTwo, added, 0, added, 1));
    ++added;
  }
  EXPECT_EQ(added, 5u);
  while (!builder_->MustSealBeforeEvent()) {
    builder_->AddClosed(added++ == 5 ? kOne : kTwo, {0}, CloseReason::kStopped, At(1));
  }
  EXPECT_EQ(added, 6u);
  SealedExtent extent = builder_->Seal();
  const ExtentIndex index = Parse(extent);
  EXPECT_EQ(index.fragments.size() + index.events.size(), 8u);
}

// As many entries as the slab's header buffer can hold, all of them of the larger kind.
TEST_F(ExtentBuilderTest, TheLargestHeaderFits) {
  const auto most =
      static_cast<uint32_t>((kExtentHeaderMax.value - sizeof(ExtentHeader)) / sizeof(StreamEvent));
  Open({.align = 4096, .extent_bytes_max = 1 << 20, .ranges_max = 64, .entries_max = most});
  for (uint32_t i = 0; i < most; ++i) {
    ASSERT_FALSE(builder_->MustSealBeforeEvent());
    OpenStream(StreamId{i + 1});
  }
  EXPECT_TRUE(builder_->MustSealBeforeEvent());
  SealedExtent extent = builder_->Seal();
  EXPECT_EQ(Parse(extent).events.size(), most);
  EXPECT_EQ(extent.header().header_bytes, kExtentHeaderMax.value);
}

// ---- what a device placed

TEST_F(ExtentBuilderTest, APlacedFragmentIsWrittenWhereItLies) {
  Open({.align = 4, .pack_bytes = kPack.value});
  OpenStream(kOne);
  const Fragment odd = Placed(kOne, 0, 1, 4096 + 5, 1447);
  Add(odd);
  SealedExtent extent = builder_->Seal();
  const ExtentIndex index = Parse(extent);
  ASSERT_EQ(extent.ranges.size(), 3u);  // header, payload, pad
  EXPECT_EQ(extent.ranges[1].iov_base, region_->At(odd.at) - 1);
  EXPECT_EQ(extent.ranges[1].iov_len, 1448u);
  EXPECT_EQ(index.fragments[0].payload_offset, index.header.header_bytes + 1);
  EXPECT_EQ(Bytes(extent).substr(index.fragments[0].payload_offset, 1447), TextOf(odd));
  EXPECT_EQ(index.header.ledger.zero_copy, 1447u);
  EXPECT_EQ(index.header.ledger.packed, 0u);
}

TEST_F(ExtentBuilderTest, FragmentsThatWouldGrowTooMuchArePacked) {
  Open({.align = 4096, .pack_bytes = kPack.value});
  OpenStream(kOne);
  const Fragment first = Placed(kOne, 0, 0, 8192, 1448);
  const Fragment second = Placed(kOne, 1448, 2, 4096, 1448);
  const Fragment whole = Placed(kOne, 2896, 3, 4096, 4096);
  const Fragment last = Placed(kOne, 6992, 1, 0, 100);
  for (const Fragment& fragment : {first, second, whole, last}) Add(fragment);
  SealedExtent extent = builder_->Seal();
  const ExtentIndex index = Parse(extent);
  const std::string bytes = Bytes(extent);
  ASSERT_EQ(extent.ranges.size(), 4u);  // header, packed, whole, packed
  EXPECT_EQ(extent.ranges[2].iov_base, region_->At(whole.at));
  EXPECT_EQ(index.header.ledger.packed, 2996u);
  EXPECT_EQ(index.header.ledger.zero_copy, 7092u);  // as received
  // The first two follow each other in the pack as they do in the stream, and so do the others,
  // though the one was packed and the other not.
  ASSERT_EQ(index.fragments.size(), 2u);
  EXPECT_EQ(index.fragments[0].length, 2896u);
  EXPECT_EQ(bytes.substr(index.fragments[0].payload_offset, 2896),
            std::string(TextOf(first)) + std::string(TextOf(second)));
  EXPECT_EQ(bytes.substr(index.fragments[1].payload_offset, 4196),
            std::string(TextOf(whole)) + std::string(TextOf(last)));
  // Nothing of an earlier extent, or of another stream, fills the blocks.
  const size_t slack = index.fragments[0].payload_offset + 2896;
  EXPECT_EQ(bytes.substr(slack, 4096 - 2896), std::string(4096 - 2896, '\0'));
}

TEST_F(ExtentBuilderTest, AFullPackEndsTheExtent) {
  Open({.align = 512, .pack_bytes = 4096});
  OpenStream(kOne);
  uint64_t added = 0;
  for (; !builder_->MustSealBefore(Placed(kOne, added * 100, 0, added * 1024, 100)); ++added) {
    Add(Placed(kOne, added * 100, 0, added * 1024, 100));
  }
  EXPECT_EQ(added, 40u);
  // One that is written where it lies still finds room.
  EXPECT_FALSE(builder_->MustSealBefore(Placed(kOne, added * 100, 1, 0, 4096)));
  builder_->Seal();
}

// The kernel may go on filling that block: it is copied at the end of an extent, not in its middle.
TEST_F(ExtentBuilderTest, NothingFollowsAnOpenEndedBlock) {
  Open({.align = 4096, .pack_bytes = kPack.value});
  OpenStream(kOne);
  OpenStream(kTwo);
  Add(Make(kOne, 0, 0, 0, 100));
  EXPECT_FALSE(builder_->MustSealBefore(Make(kOne, 100, 0, 100, 100)));
  EXPECT_TRUE(builder_->MustSealBefore(Placed(kTwo, 0, 1, 0, 4096)));
  EXPECT_TRUE(builder_->MustSealBefore(Placed(kTwo, 0, 1, 0, 100)));
  Add(Make(kOne, 100, 0, 100, 3996));  // to the end of the block
  EXPECT_FALSE(builder_->MustSealBefore(Placed(kTwo, 0, 1, 0, 4096)));
  EXPECT_FALSE(builder_->MustSealBefore(Placed(kTwo, 0, 1, 0, 100)));
  builder_->Seal();
}

// ---- any fragments

struct Added {
  Fragment fragment;
  std::string bytes;
};

// Fragments as a device may place them: anywhere, or as the kernel fills chunks: one after the
// other; on any streams; in extents of any limits.
class ExtentBuilderPropertyTest : public ExtentBuilderTest,
                                  public ::testing::WithParamInterface<uint32_t> {
 protected:
  uint64_t Roll(uint64_t below) { return dice_() % below; }

  void Run(uint64_t seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    dice_.seed(seed);
    options_.align = GetParam();
    options_.extent_bytes_max = KiB(80 + 4 * Roll(100)).value;
    options_.ranges_max = 1 + static_cast<uint32_t>(Roll(64));
    options_.entries_max = 2 + static_cast<uint32_t>(Roll(500));
    options_.payload_crc = Roll(2) == 0;
    options_.pack_bytes = Roll(3) == 0 ? 0 : kBlockBytes * (1 + Roll(kPack.value / kBlockBytes));
    Open(options_);
    fills_ = Roll(2) == 0;
    introduced_.clear();
    offsets_.clear();
    closed_.clear();
    received_ = zero_copy_ = packed_ = 0;
    segment_ = 1;
    at_ = 0;
    for (int i = 0; i < 300; ++i) Step();
    if (!builder_->empty()) SealAndCheck();
    if (HasFailure()) return;
    EXPECT_EQ(builder_->ledger().received, received_);
    EXPECT_EQ(builder_->ledger().written, received_);
    EXPECT_EQ(builder_->ledger().zero_copy, zero_copy_);
    EXPECT_EQ(builder_->ledger().copied, received_ - zero_copy_);
  }

  void Step() {
    if (Roll(10) == 0 || offsets_.empty()) return OpenOne();
    if (Roll(20) == 0) return CloseOne();
    if (Roll(25) == 0 && !builder_->empty()) return SealAndCheck();
    const auto stream = std::next(offsets_.begin(), static_cast<int64_t>(Roll(offsets_.size())));
    Fragment fragment = NextFragment();
    fragment.stream = stream->first;
    fragment.stream_offset = {stream->second};
    if (builder_->MustSealBefore(fragment)) SealAndCheck();
    ASSERT_FALSE(builder_->MustSealBefore(fragment));  // a seal always helps
    stream->second += fragment.length.value;
    received_ += fragment.length.value;
    if (fragment.zero_copy) zero_copy_ += fragment.length.value;
    added_.push_back({fragment, std::string(TextOf(fragment))});
    if (introduced_.insert({segment_, fragment.stream}).second) ++introductions_;
    Add(fragment, static_cast<int64_t>(++time_), segment_);
  }

  Fragment NextFragment() {
    const uint64_t area = kChunk.value * kChunks;
    const uint64_t length = 1 + Roll(Roll(2) == 0 ? 100 : 20'000);
    uint64_t at = fills_ ? at_ : Roll(area);
    if (at == area) at = 0;
    const uint64_t left = kChunk.value - at % kChunk.value;  // never over the end of a chunk
    Fragment fragment;
    fragment.at = region_->area_begin() + ByteCount{at};
    fragment.length = {std::min(length, left)};
    fragment.zero_copy = Roll(2) == 0;
    fragment.open_ended = fills_;
    at_ = at + fragment.length.value;
    return fragment;
  }

  void OpenOne() {
    if (builder_->MustSealBeforeEvent()) SealAndCheck();
    const StreamId id{++named_};
    OpenStream(id, segment_);
    introduced_.insert({segment_, id});
    offsets_[id] = 0;
    ++events_;
  }

  void CloseOne() {
    if (builder_->MustSealBeforeEvent()) SealAndCheck();
    const auto stream = offsets_.begin();
    builder_->AddClosed(stream->first, {stream->second}, CloseReason::kEndOfStream,
                        At(static_cast<int64_t>(++time_)));
    offsets_.erase(stream);
    ++events_;
  }

  void SealAndCheck() {
    SealedExtent extent = builder_->Seal();
    EXPECT_TRUE(builder_->empty());
    const ExtentHeader& header = extent.header();
    EXPECT_LE(header.extent_bytes, options_.extent_bytes_max);
    EXPECT_LE(extent.ranges.size(), options_.ranges_max + 3);
    EXPECT_LE(header.fragment_count + header.event_count, options_.entries_max);
    for (const iovec& range : extent.ranges) {
      EXPECT_GT(range.iov_len, 0u);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(range.iov_base) % options_.align, 0u);
      EXPECT_EQ(range.iov_len % options_.align, 0u);
    }
    ExpectLeases(extent);
    ExpectTailIsLeftAlone(extent);
    const std::string before = Bytes(extent);
    ScribbleWhereItMayChange();
    const ExtentIndex index = Parse(extent);
    const std::string after = Bytes(extent);
    ASSERT_EQ(index.header.extent_bytes, before.size());
    // Only the header changed, which was given its place.
    if (fills_) {
      EXPECT_TRUE(after.substr(header.header_bytes) == before.substr(header.header_bytes));
    }
    ExpectPayload(index, after);
    EXPECT_EQ(index.events.size(), events_ + introductions_);
    EXPECT_EQ(index.header.ledger, builder_->ledger());
    EXPECT_EQ(index.header.ledger.received, received_);
    EXPECT_EQ(index.header.ledger.written, received_);
    // At most the last block; where fragments overlap, what lies there counts for each.
    const uint64_t packed = index.header.ledger.packed - packed_;
    EXPECT_LE(packed, index.header.payload_bytes);
    if (fills_) {
      EXPECT_LT(packed, options_.align);
    } else if (options_.pack_bytes == 0) {
      EXPECT_EQ(packed, 0u);  // a device's bytes are never copied then
    } else {
      EXPECT_LE(packed, options_.pack_bytes);
    }
    packed_ = index.header.ledger.packed;
    added_.clear();
    events_ = introductions_ = 0;
    if (Roll(4) == 0) ++segment_;
  }

  // Every chunk that a fragment lies in is held on to.
  void ExpectLeases(const SealedExtent& extent) {
    for (const Added& added : added_) {
      const uint64_t from = (added.fragment.at - region_->area_begin()).value;
      const RegionLease probe = chunks_->Lease(static_cast<uint32_t>(from / kChunk.value));
      ASSERT_TRUE(std::any_of(
          extent.leases.begin(), extent.leases.end(),
          [&probe](const RegionLease& lease) { return lease.SharesBufferWith(probe); }));
    }
  }

  // What follows the last fragment's payload in its block may change from here on.
  void ExpectTailIsLeftAlone(const SealedExtent& extent) {
    if (added_.empty() || !fills_) return;
    const Fragment& last = added_.back().fragment;
    const uint64_t end = (last.at + last.length).value;
    for (uint64_t at = end; at < RoundUp(end, options_.align); ++at) {
      ASSERT_FALSE(IsReferenced(extent, {at}));
    }
  }
  // While the extent is being written: behind the tail of a chunk, or all around what a device
  // has placed.
  void ScribbleWhereItMayChange() {
    if (added_.empty()) return;
    const auto scribble = [](std::byte& byte) { byte ^= std::byte{0x5A}; };
    if (fills_) {
      const Fragment& last = added_.back().fragment;
      const uint64_t end = (last.at + last.length).value;
      std::ranges::for_each(region_->Span({end}, {RoundUp(end, options_.align) - end}), scribble);
      return;
    }
    const auto mark = [this](bool fixed) {
      for (const Added& added : added_) {
        const auto from = fixed_.begin() + static_cast<int64_t>(added.fragment.at.value);
        std::fill_n(from, added.fragment.length.value, fixed);
      }
    };
    fixed_.resize(region_->memory().size());
    mark(true);
    for (const Added& added : added_) {
      const RegionOffset begin = added.fragment.at;
      const RegionOffset end = begin + added.fragment.length;
      for (uint64_t at = RoundDown(begin.value, options_.align);
           at < RoundUp(end.value, options_.align); ++at) {
        if (!fixed_[at]) scribble(*region_->At({at}));
      }
    }
    mark(false);
  }

  // Entry by entry, what was added fragment by fragment.
  void ExpectPayload(const ExtentIndex& index, const std::string& bytes) {
    uint32_t crc = 0;
    auto next = added_.begin();
    for (const FragmentEntry& entry : index.fragments) {
      const absl::string_view payload =
          absl::string_view(bytes).substr(entry.payload_offset, entry.length);
      crc = ExtendCrc32c(crc, AsBytes(payload));
      uint64_t seen = 0;
      while (seen < entry.length) {
        ASSERT_NE(next, added_.end());
        EXPECT_EQ(entry.stream_id, static_cast<uint64_t>(next->fragment.stream));
        EXPECT_EQ(entry.stream_offset + seen, next->fragment.stream_offset.value);
        ASSERT_TRUE(payload.substr(seen, next->bytes.size()) == next->bytes);
        seen += next->bytes.size();
        ++next;
      }
      EXPECT_EQ(seen, entry.length);
    }
    EXPECT_EQ(next, added_.end());
    EXPECT_EQ(index.header.payload_crc32c, options_.payload_crc ? crc : 0);
  }

  ExtentBuilderOptions options_;
  std::mt19937_64 dice_;
  std::vector<uint8_t> fixed_;            // bytes of the region that belong to a fragment
  bool fills_ = false;                    // fragments lie one after the other
  std::map<StreamId, uint64_t> offsets_;  // of the open streams
  std::set<StreamId> closed_;
  std::set<std::pair<uint64_t, StreamId>> introduced_;
  std::vector<Added> added_;                 // to the extent in hand
  uint64_t events_ = 0, introductions_ = 0;  // in it
  uint64_t received_ = 0, zero_copy_ = 0, packed_ = 0;
  uint64_t segment_ = 1, at_ = 0, named_ = 0, time_ = 0;
};

TEST_P(ExtentBuilderPropertyTest, WhatWasAddedIsWhatIsRead) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    Run(seed);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Alignments, ExtentBuilderPropertyTest, ::testing::Values(4, 512, 4096));

// ---- the slab

TEST_F(ExtentBuilderTest, SlabSlotsDoNotOverlapAndComeBack) {
  EXPECT_LE(ExtentSlab::SizeFor(kSlots).value, region_->area_begin().value);
  {
    std::vector<SlabSlot> slots;
    for (uint32_t i = 0; i < kSlots; ++i) {
      EXPECT_FALSE(slab_->empty());
      slots.push_back(slab_->Take());
      std::memset(slots.back().header(), 'a' + static_cast<int>(i), kExtentHeaderMax.value);
      std::memset(slots.back().pack(), 'A' + static_cast<int>(i), kBlockBytes);
    }
    EXPECT_TRUE(slab_->empty());
    for (uint32_t i = 0; i < kSlots; ++i) {
      const auto* header = reinterpret_cast<const char*>(slots[i].header());
      const auto* block = reinterpret_cast<const char*>(slots[i].pack());
      EXPECT_EQ(reinterpret_cast<uintptr_t>(header) % kBlockBytes, 0u);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % kBlockBytes, 0u);
      EXPECT_EQ(std::string(header, kExtentHeaderMax.value),
                std::string(kExtentHeaderMax.value, static_cast<char>('a' + i)));
      EXPECT_EQ(std::string(block, kBlockBytes),
                std::string(kBlockBytes, static_cast<char>('A' + i)));
      EXPECT_LE(block + kBlockBytes,
                reinterpret_cast<const char*>(region_->At(region_->area_begin())));
    }
    const auto* zeros = reinterpret_cast<const char*>(slab_->zeros());
    EXPECT_EQ(std::string(zeros, kBlockBytes), std::string(kBlockBytes, '\0'));
    std::byte* const freed = slots[1].header();
    slots[1] = std::move(slots[0]);  // gives back what was slot 1
    EXPECT_FALSE(slab_->empty());
    const SlabSlot again = slab_->Take();
    EXPECT_EQ(again.header(), freed);
    EXPECT_TRUE(slab_->empty());
    SlabSlot& same = slots[2];
    std::byte* const kept = same.header();
    slots[2] = std::move(same);
    EXPECT_EQ(slots[2].header(), kept);
    EXPECT_TRUE(slab_->empty());
  }
  for (uint32_t i = 0; i < 2; ++i) {  // each came back once
    std::vector<SlabSlot> slots;
    while (!slab_->empty()) slots.push_back(slab_->Take());
    EXPECT_EQ(slots.size(), kSlots);
  }
}

using ExtentBuilderDeathTest = ExtentBuilderTest;

TEST_F(ExtentBuilderDeathTest, OurOwnBugsDie) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(builder_->Seal(), "empty\\(\\)");
  EXPECT_DEATH(Add(Make(kOne, 0, 0, 0, 1)), "streams_.end");  // never opened
  EXPECT_DEATH(builder_->AddClosed(kOne, {}, CloseReason::kReset, {}), "streams_.end");
  EXPECT_DEATH(Open({.align = 8192}), "align");
  EXPECT_DEATH(Open({.align = 100}), "align");
  EXPECT_DEATH(Open({.entries_max = 511}), "kExtentHeaderMax");
  OpenStream(kOne);
  EXPECT_DEATH(Add(Make(kOne, 0, 0, 0, 0)), "length");
  EXPECT_DEATH(
      {
        ExtentSlab slab(*region_, 1);
        const SlabSlot first = slab.Take();
        const SlabSlot second = slab.Take();
      },
      "free_.empty");
  builder_->Seal();
}

}  // namespace
}  // namespace sluice
