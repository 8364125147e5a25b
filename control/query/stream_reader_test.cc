#include "control/query/stream_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_codec.h"
#include "writer/segment/segment_codec.h"
#include "writer/segment/test_segment.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

constexpr uint64_t kUid = 7;

StreamId Stream(uint32_t n) { return MakeStreamId({1, 0, n}); }

char ContentAt(StreamId stream, uint64_t offset) {
  const uint64_t bits = (offset + 1) * 0x9E3779B97F4A7C15 + static_cast<uint64_t>(stream);
  return static_cast<char>(bits >> 56);
}

std::string Content(StreamId stream, uint64_t begin, uint64_t end) {
  std::string bytes(end - begin, '\0');
  for (uint64_t i = begin; i < end; ++i) bytes[i - begin] = ContentAt(stream, i);
  return bytes;
}

TestPiece Piece(StreamId stream, uint64_t begin, uint64_t end) {
  return {stream, begin, Content(stream, begin, end)};
}

// An archive's directory with a catalog, and segments that are published by hand.
class StreamReaderTest : public testing::Test {
 protected:
  StreamReaderTest() { Reset(); }

  void Reset() {
    const auto* const info = testing::UnitTest::GetInstance()->current_test_info();
    reader_catalog_.reset();
    catalog_.reset();
    directory_ = absl::StrCat(testing::TempDir(), "/", info->test_suite_name(), ".", info->name());
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(
        std::filesystem::path(Archive::SegmentPath(directory_, 0)).parent_path());
    catalog_ = *Catalog::Open(Archive::CatalogPath(directory_), Catalog::Mode::kReadWrite);
    PutRecording(RecordingState::kRecording);
    reader_catalog_ = *Catalog::Open(Archive::CatalogPath(directory_), Catalog::Mode::kReadOnly);
  }

  void PutRecording(RecordingState state) {
    RecordingRow row;
    row.uid = kUid;
    row.id = "test";
    row.source = "tcp://127.0.0.1:9000";
    row.state = state;
    ASSERT_TRUE(catalog_->PutRecording(row).ok());
  }

  static TestSegmentOptions OptionsOf(uint64_t id, uint32_t slot, ByteCount size = MiB(1)) {
    TestSegmentOptions options;
    options.size = size;
    options.id = SegmentId{id};
    options.slot = slot;
    options.recording_uid = kUid;
    return options;
  }

  std::string PathOf(uint32_t slot) const { return Archive::SegmentPath(directory_, slot); }

  void TellCatalog(uint64_t id, uint32_t slot) {
    SegmentRow row;
    row.id = SegmentId{id};
    row.slot = slot;
    row.recording_uid = kUid;
    row.recording = "test";
    row.epoch = 1;
    row.durable = {kBlockBytes};
    ASSERT_TRUE(catalog_->BeginSegment(row).ok());
  }

  TestSegment Begin(uint64_t id, uint32_t slot, ByteCount size = MiB(1)) {
    TestSegment segment(OptionsOf(id, slot, size));
    segment.WriteTo(PathOf(slot));
    TellCatalog(id, slot);
    return segment;
  }

  void Publish(const TestSegment& segment, uint32_t slot, bool sealed) {
    segment.WriteTo(PathOf(slot));
    const SegmentUpdate update = segment.Update(sealed);
    ASSERT_TRUE(catalog_->Publish({update}).ok());
  }

  void SealAndPublish(TestSegment& segment, uint32_t slot) {
    segment.Seal();
    Publish(segment, slot, /*sealed=*/true);
  }

  absl::StatusOr<std::unique_ptr<StreamReader>> Open(StreamId stream, uint64_t from = 0) {
    return StreamReader::Open(directory_, *reader_catalog_, stream, StreamOffset{from});
  }

  // Reads until nothing more comes, `piece` bytes at a time.
  static absl::StatusOr<std::string> ReadAll(StreamReader& reader, size_t piece = 100'000) {
    std::string all;
    std::string buffer(piece, '\0');
    while (true) {
      const absl::StatusOr<size_t> n =
          reader.Read(absl::MakeSpan(reinterpret_cast<std::byte*>(buffer.data()), buffer.size()));
      if (!n.ok()) return n.status();
      if (*n == 0) return all;
      all.append(buffer, 0, *n);
    }
  }

  std::string directory_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Catalog> reader_catalog_;
};

TEST_F(StreamReaderTest, ReadsASealedStreamFromEveryOffset) {
  TestSegment segment = Begin(1, 0);
  segment.Add({Piece(Stream(1), 0, 5000)}, {TestSegment::Open(Stream(1))});
  segment.Add({Piece(Stream(1), 5000, 5001)});
  segment.Add({Piece(Stream(1), 5001, 20000)}, {TestSegment::Close(Stream(1), 20000)});
  SealAndPublish(segment, 0);
  for (const uint64_t from : {0, 1, 4095, 4999, 5000, 5001, 5002, 19999, 20000}) {
    const auto reader = Open(Stream(1), from);
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ((*reader)->position().value, from);
    EXPECT_EQ((*reader)->ended(), from == 20000);
    EXPECT_EQ(*ReadAll(**reader), Content(Stream(1), from, 20000)) << from;
    EXPECT_TRUE((*reader)->ended());
    EXPECT_EQ((*reader)->position().value, 20000u);
  }
}

// "5000 -100 20": bytes read, and gaps, to the end; what is read is checked.
std::string Told(StreamReader& reader, StreamId stream) {
  std::string told;
  std::string buffer(100'000, '\0');
  while (true) {
    const StreamOffset at = reader.position();
    const absl::StatusOr<size_t> n =
        reader.Read(absl::MakeSpan(reinterpret_cast<std::byte*>(buffer.data()), buffer.size()));
    if (!n.ok()) return absl::StrCat(told, n.status().message());
    if (*n > 0) {
      EXPECT_TRUE(buffer.compare(0, *n, Content(stream, at.value, at.value + *n)) == 0);
      absl::StrAppend(&told, *n, " ");
    } else if (reader.gap()) {
      EXPECT_EQ(reader.gap()->begin, at);
      EXPECT_EQ(reader.gap()->cause, GapCause::kPolicy);
      absl::StrAppend(&told, "-", reader.gap()->length().value, " ");
      reader.SkipGap();
    } else {
      return told;
    }
  }
}

// Gaps at the begin, in the middle, told in the next segment or in the one before, and at the end;
// the same from an open segment and from a sealed one.
TEST_F(StreamReaderTest, TellsOfGapsInTheirPlaces) {
  for (const bool sealed : {false, true}) {
    Reset();
    TestSegment first = Begin(1, 0);
    first.Add({}, {TestSegment::Open(Stream(1)), TestSegment::Gap(Stream(1), 0, 10)});
    first.Add({Piece(Stream(1), 10, 6000), Piece(Stream(2), 0, 5), Piece(Stream(1), 6100, 7000)},
              {TestSegment::Gap(Stream(1), 6000, 100), TestSegment::Open(Stream(2))});
    first.Add({}, {TestSegment::Gap(Stream(1), 7000, 50)});
    sealed ? SealAndPublish(first, 0) : Publish(first, 0, false);
    TestSegment second = Begin(2, 1);
    second.Add({Piece(Stream(1), 7100, 8000)}, {TestSegment::Gap(Stream(1), 7050, 50)});
    second.Add({}, {TestSegment::Gap(Stream(1), 8000, 1), TestSegment::Gap(Stream(1), 8001, 2)});
    second.Add({}, {TestSegment::Close(Stream(1), 8003)});
    sealed ? SealAndPublish(second, 1) : Publish(second, 1, false);

    const auto reader = Open(Stream(1));
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ(Told(**reader, Stream(1)), "-10 5990 -100 900 -50 -50 900 -3 ");
    EXPECT_TRUE((*reader)->ended());
    EXPECT_EQ((*reader)->stream().dropped.value, 213u);
    EXPECT_EQ(Told(**Open(Stream(1), 6050), Stream(1)), "-50 900 -50 -50 900 -3 ");
    EXPECT_EQ(Told(**Open(Stream(1), 7099), Stream(1)), "-1 900 -3 ");
    EXPECT_EQ(Told(**Open(Stream(2)), Stream(2)), "5 ");
  }
}

// A gap is what was recorded, not what is missing.
TEST_F(StreamReaderTest, WhatNoGapTellsOfIsDataLoss) {
  PutRecording(RecordingState::kStopped);
  TestSegment segment = Begin(1, 0);
  segment.Add({Piece(Stream(1), 0, 100)}, {TestSegment::Open(Stream(1))});
  segment.Add({Piece(Stream(1), 160, 200)},
              {TestSegment::Gap(Stream(1), 110, 50), TestSegment::Close(Stream(1), 200)});
  SealAndPublish(segment, 0);
  const std::string told = Told(**Open(Stream(1)), Stream(1));
  EXPECT_TRUE(absl::StartsWith(told, "100 ")) << told;
  EXPECT_TRUE(absl::StrContains(told, "no segment holds the bytes from offset 100")) << told;
}

TEST_F(StreamReaderTest, ReadsStreamsThatShareExtents) {
  TestSegment segment = Begin(1, 0);
  constexpr uint32_t kStreams = 5;
  std::vector<StreamEvent> events;
  for (uint32_t s = 1; s <= kStreams; ++s) events.push_back(TestSegment::Open(Stream(s)));
  for (uint64_t extent = 0; extent < 10; ++extent) {
    std::vector<TestPiece> pieces;
    for (uint64_t turn = 0; turn < 3; ++turn) {
      for (uint32_t s = 1; s <= kStreams; ++s) {
        const uint64_t at = (extent * 3 + turn) * 700;
        pieces.push_back(Piece(Stream(s), at, at + 700));
      }
    }
    segment.Add(pieces, extent == 0 ? events : std::vector<StreamEvent>());
  }
  SealAndPublish(segment, 0);
  for (uint32_t s = 1; s <= kStreams; ++s) {
    const auto reader = Open(Stream(s));
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ(*ReadAll(**reader, 999), Content(Stream(s), 0, 21000));
    EXPECT_FALSE((*reader)->ended()) << "nobody said that it was closed";
  }
}

// Slots from 4 on are on a disk of their own, which may be away.
TEST_F(StreamReaderTest, ADiskThatIsNotThereIsNamed) {
  const std::string disk = directory_ + "-disk";
  std::filesystem::remove_all(disk);
  std::filesystem::create_directories(disk + "/segments");
  const auto write = [](const std::string& path, const auto& bytes) {
    std::ofstream(path).write(reinterpret_cast<const char*>(bytes.data()),
                              static_cast<std::streamsize>(bytes.size()));
  };
  ArchiveMeta meta{.uuid = {1}, .segment = MiB(1)};
  meta.disks = {{.slot_count = 4},
                {.uuid = {2}, .first_slot = 4, .slot_count = 4, .directory = disk}};
  write(directory_ + "/ARCHIVE", EncodeMeta(meta));
  write(disk + "/DISK", EncodeDisk({.archive_uuid = {1},
                                    .uuid = {2},
                                    .number = 1,
                                    .segment = MiB(1),
                                    .first_slot = 4,
                                    .slot_count = 4}));
  const StreamId stream = Stream(1);
  TestSegment first = Begin(1, 0);
  first.Add({Piece(stream, 0, 5000)}, {TestSegment::Open(stream)});
  SealAndPublish(first, 0);
  TestSegment second(OptionsOf(2, 5));
  TellCatalog(2, 5);
  second.Add({Piece(stream, 5000, 9000)},
             {TestSegment::Continued(stream, 5000), TestSegment::Close(stream, 9000)});
  second.Seal();
  second.WriteTo(disk + "/segments/000005.seg");
  ASSERT_TRUE(catalog_->Publish({second.Update(true)}).ok());

  {
    const auto reader = Open(stream);
    EXPECT_EQ(*ReadAll(**reader), Content(stream, 0, 9000));
  }
  std::filesystem::rename(disk, disk + "-away");
  {
    const auto reader = Open(stream);
    std::string bytes(5000, '\0');
    absl::Span<std::byte> out(reinterpret_cast<std::byte*>(bytes.data()), bytes.size());
    EXPECT_EQ(*(*reader)->Read(out), 5000u);
    EXPECT_EQ(bytes, Content(stream, 0, 5000));
    const absl::Status away = (*reader)->Read(out).status();
    EXPECT_TRUE(absl::IsUnavailable(away)) << away;
    EXPECT_TRUE(absl::StrContains(away.message(), "disk 1 (" + disk + ")")) << away;
    // It comes back while somebody waits for it.
    std::filesystem::rename(disk + "-away", disk);
    EXPECT_EQ(*(*reader)->Read(out), 4000u);
  }
}

TEST_F(StreamReaderTest, GoesOverSegmentBoundaries) {
  uint64_t at = 0;
  for (uint64_t id = 1; id <= 6; ++id) {
    TestSegment segment = Begin(id, static_cast<uint32_t>(id));
    // Before and after it, extents that are none of its business.
    segment.Add({Piece(Stream(9), id * 100, id * 100 + 100)},
                {TestSegment::Continued(Stream(9), id * 100)});
    segment.Add({Piece(Stream(1), at, at + 30000)},
                {id == 1 ? TestSegment::Open(Stream(1)) : TestSegment::Continued(Stream(1), at)});
    at += 30000;
    segment.Add({Piece(Stream(9), id * 100 + 100, id * 100 + 101)});
    if (id == 6) segment.Add({}, {TestSegment::Close(Stream(1), at)});
    SealAndPublish(segment, static_cast<uint32_t>(id));
  }
  const auto reader = Open(Stream(1), 12345);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(*ReadAll(**reader), Content(Stream(1), 12345, at));
  EXPECT_TRUE((*reader)->ended());
}

TEST_F(StreamReaderTest, ReadsLongSegmentsAhead) {
  // Extents that fit into what is read ahead, and such that do not.
  for (const uint64_t extent : {300'000, 1'000'000, 3'000'000, 6'000'000}) {
    Reset();
    uint64_t at = 0;
    for (uint64_t id = 1; id <= 2; ++id) {
      TestSegment segment = Begin(id, static_cast<uint32_t>(id), MiB(32));
      std::vector<StreamEvent> events = {TestSegment::Continued(Stream(1), at)};
      while (segment.footer().data_end().value + extent + MiB(1).value < MiB(32).value) {
        segment.Add({Piece(Stream(1), at, at + extent)}, std::exchange(events, {}));
        at += extent;
      }
      if (id == 1) {
        SealAndPublish(segment, 1);
      } else {
        Publish(segment, 2, /*sealed=*/false);
      }
    }
    for (const uint64_t from : {uint64_t{0}, extent * 3 + 17}) {
      const auto reader = Open(Stream(1), from);
      ASSERT_TRUE(reader.ok()) << reader.status();
      const absl::StatusOr<std::string> all = ReadAll(**reader, 1'234'567);
      ASSERT_TRUE(all.ok()) << all.status();
      EXPECT_TRUE(*all == Content(Stream(1), from, at)) << extent << " from " << from;
    }
  }
}

TEST_F(StreamReaderTest, WhatIsReadAheadOfAReusedSegmentIsNotHandedOut) {
  TestSegment segment = Begin(1, 0, MiB(32));
  std::vector<StreamEvent> events = {TestSegment::Open(Stream(1))};
  constexpr uint64_t kExtent = 500'000;
  for (uint64_t i = 0; i < 60; ++i) {
    segment.Add({Piece(Stream(1), i * kExtent, (i + 1) * kExtent)}, std::exchange(events, {}));
  }
  SealAndPublish(segment, 0);
  const auto reader = Open(Stream(1));
  ASSERT_TRUE(reader.ok());
  std::string buffer(kExtent, '\0');
  const auto out = absl::MakeSpan(reinterpret_cast<std::byte*>(buffer.data()), buffer.size());
  absl::StatusOr<size_t> n = 0;
  for (int i = 0; (n = (*reader)->Read(out)).ok() && *n > 0; ++i) {
    const uint64_t end = (*reader)->position().value;
    ASSERT_TRUE(buffer.substr(0, *n) == Content(Stream(1), end - *n, end));
    if (i == 20) {
      TestSegment next(OptionsOf(2, 0, MiB(32)));
      next.Add({Piece(Stream(2), 0, 20'000'000)}, {TestSegment::Open(Stream(2))});
      next.WriteTo(PathOf(0));
    }
  }
  EXPECT_TRUE(absl::IsOutOfRange(n.status())) << n.status();
  // What was in memory, and verified, by then.
  EXPECT_LT((*reader)->position().value, 40 * kExtent);
}

TEST_F(StreamReaderTest, FollowsAnOpenSegmentUpToItsDurableMark) {
  TestSegment segment = Begin(1, 0);
  segment.Add({Piece(Stream(1), 0, 3000)}, {TestSegment::Open(Stream(1))});
  Publish(segment, 0, /*sealed=*/false);
  // On the disk, but not durable.
  segment.Add({Piece(Stream(1), 3000, 6000)});
  segment.WriteTo(PathOf(0));

  const auto reader = Open(Stream(1));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(*ReadAll(**reader), Content(Stream(1), 0, 3000));
  EXPECT_EQ(*ReadAll(**reader), "");
  EXPECT_FALSE((*reader)->ended());
  EXPECT_EQ((*reader)->stream().durable.value, 3000u);

  Publish(segment, 0, /*sealed=*/false);
  EXPECT_EQ(*ReadAll(**reader), Content(Stream(1), 3000, 6000));

  segment.Add({Piece(Stream(2), 0, 10)}, {TestSegment::Open(Stream(2))});
  segment.Add({Piece(Stream(1), 6000, 6500)});
  SealAndPublish(segment, 0);
  EXPECT_EQ(*ReadAll(**reader), Content(Stream(1), 6000, 6500));

  TestSegment next = Begin(2, 1);
  next.Add({Piece(Stream(1), 6500, 7000)},
           {TestSegment::Continued(Stream(1), 6500), TestSegment::Close(Stream(1), 7000)});
  Publish(next, 1, /*sealed=*/false);
  EXPECT_EQ(*ReadAll(**reader), Content(Stream(1), 6500, 7000));
  EXPECT_TRUE((*reader)->ended());
}

TEST_F(StreamReaderTest, WaitsForAnOffsetThatIsYetToCome) {
  TestSegment segment = Begin(1, 0);
  segment.Add({Piece(Stream(1), 0, 1000)}, {TestSegment::Open(Stream(1))});
  Publish(segment, 0, false);
  const auto reader = Open(Stream(1), 1500);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(*ReadAll(**reader), "");
  segment.Add({Piece(Stream(1), 1000, 2000)});
  Publish(segment, 0, false);
  EXPECT_EQ(*ReadAll(**reader), Content(Stream(1), 1500, 2000));
}

TEST_F(StreamReaderTest, SaysWhatIsNotThere) {
  TestSegment segment = Begin(1, 0);
  segment.Add({Piece(Stream(1), 500, 1000)},
              {TestSegment::Continued(Stream(1), 500), TestSegment::Close(Stream(1), 1000)});
  segment.Add({}, {TestSegment::Open(Stream(2)), TestSegment::Close(Stream(2), 0)});
  SealAndPublish(segment, 0);

  EXPECT_TRUE(absl::IsNotFound(Open(Stream(3)).status()));
  const absl::Status before = Open(Stream(1), 499).status();
  EXPECT_TRUE(absl::IsOutOfRange(before)) << before;
  EXPECT_TRUE(absl::StrContains(before.message(), "500")) << before;
  const absl::Status after = Open(Stream(1), 1001).status();
  EXPECT_TRUE(absl::IsOutOfRange(after)) << after;
  EXPECT_TRUE(absl::StrContains(after.message(), "1000")) << after;

  const auto empty = Open(Stream(2));
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_TRUE((*empty)->ended());
  EXPECT_EQ(*ReadAll(**empty), "");
}

TEST_F(StreamReaderTest, ADamagedPayloadIsNeverHandedOut) {
  TestSegment segment = Begin(1, 0);
  segment.Add({Piece(Stream(1), 0, 1000)}, {TestSegment::Open(Stream(1))});
  const FileOffset damaged = segment.Add({Piece(Stream(2), 0, 10), Piece(Stream(1), 1000, 2000)},
                                         {TestSegment::Open(Stream(2))});
  segment.Add({Piece(Stream(1), 2000, 3000)});
  segment.at(damaged + ByteCount{kBlockBytes}) ^= std::byte{1};  // in the other stream's bytes
  SealAndPublish(segment, 0);

  const auto reader = Open(Stream(1));
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::string buffer(5000, '\0');
  const auto out = absl::MakeSpan(reinterpret_cast<std::byte*>(buffer.data()), buffer.size());
  EXPECT_EQ(*(*reader)->Read(out), 1000u) << "what is before it is fine";
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = (*reader)->Read(out).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), PathOf(0))) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat(damaged.value))) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "offset 1000")) << status;
    EXPECT_EQ((*reader)->position().value, 1000u);
  }
  // What is behind it, too.
  const auto behind = Open(Stream(1), 2000);
  ASSERT_TRUE(behind.ok());
  EXPECT_EQ(*ReadAll(**behind), Content(Stream(1), 2000, 3000));
}

TEST_F(StreamReaderTest, WithoutAPayloadCrcNothingIsChecked) {
  TestSegment segment = Begin(1, 0);
  const FileOffset at = segment.Add({Piece(Stream(1), 0, 1000)}, {TestSegment::Open(Stream(1))},
                                    /*payload_crc=*/false);
  segment.at(at + ByteCount{kBlockBytes}) ^= std::byte{1};
  SealAndPublish(segment, 0);
  const auto reader = Open(Stream(1));
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(ReadAll(**reader)->size(), 1000u);
}

TEST_F(StreamReaderTest, ADamagedHeaderHidesOnlyItsOwnExtent) {
  TestSegment segment = Begin(1, 0);
  segment.Add({Piece(Stream(1), 0, 1000)}, {TestSegment::Open(Stream(1))});
  const FileOffset damaged = segment.Add({Piece(Stream(1), 1000, 2000)});
  segment.Add({Piece(Stream(1), 2000, 3000)});
  segment.Seal();
  segment.at(damaged + ByteCount{300}) ^= std::byte{1};
  Publish(segment, 0, true);
  const auto reader = Open(Stream(1));
  ASSERT_TRUE(reader.ok());
  const absl::Status status = ReadAll(**reader).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat(damaged.value))) << status;
  const auto behind = Open(Stream(1), 2500);
  ASSERT_TRUE(behind.ok());
  EXPECT_EQ(*ReadAll(**behind), Content(Stream(1), 2500, 3000));
}

TEST_F(StreamReaderTest, ADamagedHeaderInAnOpenSegmentIsFound) {
  TestSegment segment = Begin(1, 0);
  segment.Add({Piece(Stream(1), 0, 1000)}, {TestSegment::Open(Stream(1))});
  const FileOffset damaged = segment.Add({Piece(Stream(1), 1000, 2000)});
  segment.at(damaged) ^= std::byte{1};  // not even a magic number
  Publish(segment, 0, false);
  const auto reader = Open(Stream(1));
  ASSERT_TRUE(reader.ok());
  const absl::Status status = ReadAll(**reader).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat(damaged.value))) << status;
}

TEST_F(StreamReaderTest, ReadsWithoutAFooterByTheHeaders) {
  TestSegment segment = Begin(1, 0);
  segment.Add({Piece(Stream(1), 0, 1000)}, {TestSegment::Open(Stream(1))});
  segment.Add({Piece(Stream(1), 1000, 2000)});
  segment.Seal();
  segment.at(FileOffset{segment.image().size() - 4}) ^= std::byte{1};
  Publish(segment, 0, true);
  const auto reader = Open(Stream(1), 10);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(*ReadAll(**reader), Content(Stream(1), 10, 2000));
}

TEST_F(StreamReaderTest, AStaleExtentOfAnEarlierUseIsNotTaken) {
  TestSegment old = Begin(1, 0);
  old.Add({Piece(Stream(1), 0, 1000)}, {TestSegment::Open(Stream(1))});
  old.Add({Piece(Stream(1), 1000, 2000)});
  SealAndPublish(old, 0);
  // The new segment's first extent ends where the old one's second begins.
  TestSegment segment = Begin(2, 0);
  segment.Add({Piece(Stream(2), 0, 1000)}, {TestSegment::Open(Stream(2))});
  segment.WriteTo(PathOf(0), ByteCount{kBlockBytes * 3});
  SegmentUpdate update = segment.Update(false);
  update.durable = {kBlockBytes * 5};  // which is not so
  update.streams[0].end = {2000};
  ASSERT_TRUE(catalog_->Publish({update}).ok());
  const auto reader = Open(Stream(2));
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::string buffer(5000, '\0');
  const auto out = absl::MakeSpan(reinterpret_cast<std::byte*>(buffer.data()), buffer.size());
  EXPECT_EQ(*(*reader)->Read(out), 1000u);
  const absl::Status status = (*reader)->Read(out).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
}

TEST_F(StreamReaderTest, ASegmentReusedUnderTheReaderIsRecognised) {
  for (const bool catalog_first : {true, false}) {
    Reset();
    TestSegment one = Begin(1, 0);
    // More than is read ahead.
    one.Add({Piece(Stream(1), 0, 300'000)}, {TestSegment::Open(Stream(1))});
    one.Add({Piece(Stream(1), 300'000, 600'000)});
    SealAndPublish(one, 0);
    TestSegment two = Begin(2, 1);
    two.Add({Piece(Stream(1), 600'000, 700'000)}, {TestSegment::Continued(Stream(1), 600'000)});
    SealAndPublish(two, 1);

    const auto reader = Open(Stream(1));
    ASSERT_TRUE(reader.ok());
    std::string buffer(1000, '\0');
    const auto out = absl::MakeSpan(reinterpret_cast<std::byte*>(buffer.data()), buffer.size());
    ASSERT_EQ(*(*reader)->Read(out), 1000u);

    if (catalog_first) TellCatalog(3, 0);
    TestSegment(OptionsOf(3, 0)).WriteTo(PathOf(0));

    // What is in memory was checked when it was read.
    absl::StatusOr<size_t> n = 0;
    while ((n = (*reader)->Read(out)).ok()) {
      ASSERT_EQ(buffer.substr(0, *n),
                Content(Stream(1), (*reader)->position().value - *n, (*reader)->position().value));
      ASSERT_LE((*reader)->position().value, 300'000u);
    }
    EXPECT_TRUE(absl::IsOutOfRange(n.status())) << n.status();
    EXPECT_TRUE(absl::StrContains(n.status().message(), "600000")) << n.status();
    if (!catalog_first) TellCatalog(3, 0);
    const auto again = Open(Stream(1), 600'000);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*ReadAll(**again), Content(Stream(1), 600'000, 700'000));
  }
}

TEST_F(StreamReaderTest, AStreamThatIsGoneAltogetherIsNotFound) {
  TestSegment one = Begin(1, 0);
  one.Add({Piece(Stream(1), 0, 300'000)}, {TestSegment::Open(Stream(1))});
  one.Add({Piece(Stream(1), 300'000, 600'000)}, {TestSegment::Close(Stream(1), 600'000)});
  SealAndPublish(one, 0);
  const auto reader = Open(Stream(1));
  ASSERT_TRUE(reader.ok());
  TestSegment two = Begin(2, 0);
  const absl::Status status = ReadAll(**reader).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
}

TEST_F(StreamReaderTest, ADeletedRecordingIsNotFoundAndAMissingFileIsDamage) {
  for (const bool deleted : {true, false}) {
    Reset();
    TestSegment one = Begin(1, 0);
    one.Add({Piece(Stream(1), 0, 1000)}, {TestSegment::Open(Stream(1))});
    SealAndPublish(one, 0);
    const auto reader = Open(Stream(1));
    ASSERT_TRUE(reader.ok());
    if (deleted) {
      PutRecording(RecordingState::kStopped);
      ASSERT_TRUE(catalog_->DeleteRecording("test").ok());
      const SegmentHeader empty = EmptySlotHeader(one.header());
      std::memcpy(&one.at({0}), &empty, sizeof(empty));
      one.WriteTo(PathOf(0), ByteCount{kBlockBytes});
    } else {
      std::filesystem::remove(PathOf(0));
    }
    const absl::Status status = ReadAll(**reader).status();
    EXPECT_TRUE(deleted ? absl::IsNotFound(status) : absl::IsDataLoss(status)) << status;
  }
}

TEST_F(StreamReaderTest, ARepeatedWriteIsFoundInTheNextSegment) {
  TestSegment one = Begin(1, 0);
  one.Add({Piece(Stream(1), 0, 1000)}, {TestSegment::Open(Stream(1))});
  // [1000, 2000) was refused here.
  one.Add({Piece(Stream(1), 2000, 3000)}, {TestSegment::Close(Stream(1), 5000)});
  SealAndPublish(one, 0);

  // It will come, though the stream is closed as far as the catalog knows.
  const auto reader = Open(Stream(1));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(*ReadAll(**reader), Content(Stream(1), 0, 1000));
  EXPECT_FALSE((*reader)->ended());

  TestSegment two = Begin(2, 1);
  two.Add({Piece(Stream(1), 3000, 4000)}, {TestSegment::Continued(Stream(1), 3000)});
  Publish(two, 1, false);
  EXPECT_EQ(*ReadAll(**reader), "");
  two.Add({Piece(Stream(1), 1000, 2000)});
  two.Add({Piece(Stream(1), 4000, 5000)});
  Publish(two, 1, false);
  EXPECT_EQ(*ReadAll(**reader), Content(Stream(1), 1000, 5000));
  EXPECT_TRUE((*reader)->ended());

  const auto again = Open(Stream(1), 500);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*ReadAll(**again, 7), Content(Stream(1), 500, 5000));
}

TEST_F(StreamReaderTest, AHoleThatNobodyWillFillIsDataLoss) {
  TestSegment one = Begin(1, 0);
  one.Add({Piece(Stream(1), 0, 1000)}, {TestSegment::Open(Stream(1))});
  one.Add({Piece(Stream(1), 2000, 3000)}, {TestSegment::Close(Stream(1), 3000)});
  SealAndPublish(one, 0);
  PutRecording(RecordingState::kStopped);
  const auto reader = Open(Stream(1));
  ASSERT_TRUE(reader.ok());
  const absl::Status status = ReadAll(**reader).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "1000")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "2000")) << status;
}

// ---- a recorder at work, with readers beside it; from one seed

class Model : public StreamReaderTest {
 protected:
  static constexpr uint32_t kSlots = 5;

  struct Sender {
    StreamId id{};
    uint64_t sent = 0;
    uint64_t length = 0;
    bool closed = false;
  };
  struct Extent {
    std::vector<TestPiece> pieces;
    std::vector<StreamId> closed;
  };
  struct Reading {
    StreamId stream{};
    std::unique_ptr<StreamReader> reader;
  };

  void Run(uint64_t seed, bool reuse, bool refuse) {
    SCOPED_TRACE(absl::StrCat("seed ", seed, reuse ? " reuse" : "", refuse ? " refuse" : ""));
    Reset();
    random_.seed(seed);
    reuse_ = reuse;
    refuse_ = refuse;
    senders_.clear();
    readings_.clear();
    refused_.clear();
    known_.clear();
    segment_.reset();
    segment_id_ = 0;
    const uint32_t streams = Pick(1, 6);
    for (uint32_t s = 1; s <= streams; ++s) {
      senders_.push_back({Stream(s), 0, Pick(0, 1'500'000 / streams), false});
    }
    NextSegment();
    while (
        std::any_of(senders_.begin(), senders_.end(), [](const Sender& s) { return !s.closed; })) {
      Place(MakeExtent());
      if (Pick(0, 3) == 0) Publish(*segment_, Slot(), false);
      for (uint32_t i = Pick(0, 3); i > 0; --i) ReadSomewhere();
      if (HasFailure()) return;
    }
    while (!refused_.empty()) NextSegment();
    SealAndPublish(*segment_, Slot());
    PutRecording(RecordingState::kStopped);
    for (Reading& reading : readings_) ReadToTheEnd(reading);
    for (const Sender& sender : senders_) {
      Reading fresh{sender.id, nullptr};
      ReadToTheEnd(fresh);
    }
  }

 private:
  uint32_t Pick(uint32_t low, uint32_t high) {
    return std::uniform_int_distribution<uint32_t>(low, high)(random_);
  }
  uint32_t Slot() const {
    return static_cast<uint32_t>((segment_id_ - 1) % (reuse_ ? kSlots : 1000));
  }

  Extent MakeExtent() {
    Extent extent;
    for (uint32_t i = Pick(1, 12); i > 0; --i) {
      Sender& sender = senders_[Pick(0, static_cast<uint32_t>(senders_.size()) - 1)];
      if (sender.closed) continue;
      const uint64_t left = sender.length - sender.sent;
      const uint64_t n = std::min<uint64_t>(left, Pick(1, Pick(0, 4) == 0 ? 60'000 : 3'000));
      if (n > 0) extent.pieces.push_back(Piece(sender.id, sender.sent, sender.sent + n));
      sender.sent += n;
      if (sender.sent == sender.length && Pick(0, 1) == 0 && !IsRefused(sender.id)) {
        sender.closed = true;
        extent.closed.push_back(sender.id);
      }
    }
    return extent;
  }

  bool IsRefused(StreamId id) const {
    return std::any_of(refused_.begin(), refused_.end(), [id](const Extent& extent) {
      return std::any_of(extent.pieces.begin(), extent.pieces.end(),
                         [id](const TestPiece& piece) { return piece.stream == id; });
    });
  }

  void Place(Extent extent) {
    uint64_t bytes = 8 * kBlockBytes;
    for (const TestPiece& piece : extent.pieces) {
      bytes += RoundUp(piece.bytes.size(), kBlockBytes);
    }
    if (segment_->footer().data_end().value + bytes > MiB(1).value - 16 * kBlockBytes) {
      NextSegment();
    }
    if (refuse_ && Pick(0, 9) == 0) {
      refused_.push_back(std::move(extent));
      return;
    }
    std::vector<StreamEvent> events;
    for (const TestPiece& piece : extent.pieces) {
      if (!known_.insert(piece.stream).second) continue;
      events.push_back(piece.offset == 0 ? TestSegment::Open(piece.stream)
                                         : TestSegment::Continued(piece.stream, piece.offset));
    }
    for (const StreamId id : extent.closed) {
      const Sender& sender = *std::find_if(senders_.begin(), senders_.end(),
                                           [id](const Sender& s) { return s.id == id; });
      if (known_.insert(id).second) {
        events.push_back(sender.length == 0 ? TestSegment::Open(id)
                                            : TestSegment::Continued(id, sender.length));
      }
      events.push_back(TestSegment::Close(id, sender.length));
    }
    segment_->Add(extent.pieces, events);
  }

  void NextSegment() {
    if (segment_) SealAndPublish(*segment_, Slot());
    ++segment_id_;
    known_.clear();
    const bool header_first = Pick(0, 1) == 0;
    if (!header_first) TellCatalog(segment_id_, Slot());
    segment_ = std::make_unique<TestSegment>(OptionsOf(segment_id_, Slot()));
    segment_->WriteTo(PathOf(Slot()), ByteCount{kBlockBytes});
    if (header_first && Pick(0, 1) == 0) ReadSomewhere();
    if (header_first) TellCatalog(segment_id_, Slot());
    std::vector<Extent> repeats = std::exchange(refused_, {});
    const bool refuse = std::exchange(refuse_, false);
    for (Extent& extent : repeats) {
      // Some of what follows may come first.
      if (Pick(0, 1) == 0) Place(MakeExtent());
      Place(std::move(extent));
    }
    refuse_ = refuse;
  }

  absl::StatusOr<StreamRow> Row(StreamId id) { return catalog_->Stream(id); }

  // From where the archive still has it, or from somewhere behind.
  bool OpenSomewhere(Reading& reading, bool at_begin) {
    const absl::StatusOr<StreamRow> row = Row(reading.stream);
    if (!row.ok()) return false;
    const uint64_t begin = row->begin.value;
    const uint64_t room = row->durable.value - begin;
    const uint64_t from = at_begin ? begin : begin + Pick(0, static_cast<uint32_t>(room));
    absl::StatusOr<std::unique_ptr<StreamReader>> reader = Open(reading.stream, from);
    if (!reader.ok()) {
      ADD_FAILURE() << reader.status();
      return false;
    }
    reading.reader = *std::move(reader);
    return true;
  }

  void ReadSomewhere() {
    if (readings_.size() < 4) {
      Reading reading{senders_[Pick(0, static_cast<uint32_t>(senders_.size()) - 1)].id, nullptr};
      if (!OpenSomewhere(reading, Pick(0, 1) == 0)) return;
      readings_.push_back(std::move(reading));
    }
    const uint32_t which = Pick(0, static_cast<uint32_t>(readings_.size()) - 1);
    if (!ReadOnce(readings_[which], Pick(1, 100'000)).ok()) {
      readings_.erase(readings_.begin() + which);
    }
  }

  // How many bytes; an error that is as it should be; or a failure of the test.
  absl::StatusOr<size_t> ReadOnce(Reading& reading, size_t bytes) {
    std::string buffer(bytes, '\0');
    const uint64_t before = reading.reader->position().value;
    const absl::StatusOr<size_t> n = reading.reader->Read(
        absl::MakeSpan(reinterpret_cast<std::byte*>(buffer.data()), buffer.size()));
    if (!n.ok()) {
      const bool gone = absl::IsNotFound(n.status()) || absl::IsOutOfRange(n.status());
      EXPECT_TRUE(reuse_ && gone) << n.status();
      EXPECT_EQ(reading.reader->position().value, before);
      return n;
    }
    EXPECT_EQ(reading.reader->position().value, before + *n);
    const absl::StatusOr<StreamRow> row = Row(reading.stream);
    if (row.ok()) {
      EXPECT_LE(before + *n, std::max(before, row->durable.value));
    }
    EXPECT_TRUE(buffer.compare(0, *n, Content(reading.stream, before, before + *n)) == 0)
        << "wrong bytes in [" << before << ", " << before + *n << ")";
    return n;
  }

  void ReadToTheEnd(Reading& reading) {
    if (reading.reader == nullptr && !OpenSomewhere(reading, true)) {
      EXPECT_TRUE(reuse_);
      return;
    }
    while (true) {
      const absl::StatusOr<size_t> n = ReadOnce(reading, Pick(1, 300'000));
      if (HasFailure()) return;
      if (!n.ok()) {
        // Once more from where it still exists; then nothing may happen any more.
        if (!OpenSomewhere(reading, true)) return;
        continue;
      }
      if (*n == 0) break;
    }
    EXPECT_TRUE(reading.reader->ended());
    const auto sender = std::find_if(senders_.begin(), senders_.end(),
                                     [&](const Sender& s) { return s.id == reading.stream; });
    EXPECT_EQ(reading.reader->position().value, sender->length);
  }

  std::mt19937_64 random_;
  bool reuse_ = false;
  bool refuse_ = false;
  std::vector<Sender> senders_;
  std::vector<Reading> readings_;
  std::vector<Extent> refused_;
  std::unique_ptr<TestSegment> segment_;
  uint64_t segment_id_ = 0;
  std::set<StreamId> known_;  // in the segment
};

TEST_F(Model, ReadersBesideARecorder) {
  for (uint64_t seed = 1; seed <= 100 && !HasFailure(); ++seed) Run(seed, false, false);
}

TEST_F(Model, ReadersBesideARecorderThatReusesSegments) {
  for (uint64_t seed = 1; seed <= 100 && !HasFailure(); ++seed) Run(seed, true, false);
}

TEST_F(Model, ReadersBesideARecorderWhoseDiskRefusesWrites) {
  for (uint64_t seed = 1; seed <= 100 && !HasFailure(); ++seed) Run(seed, false, true);
}

}  // namespace
}  // namespace sluice
