#include "writer/segment/segment_reader.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "gtest/gtest.h"
#include "writer/segment/test_segment.h"

namespace sluice {
namespace {

constexpr StreamId kA{11};
constexpr StreamId kB{12};

class SegmentReaderTest : public testing::Test {
 protected:
  SegmentReaderTest() : segment_(TestSegmentOptions{}) {
    unlink(path_.c_str());
    first_ = segment_.Add({{kA, 0, "hello"}, {kB, 0, std::string(10000, 'b')}},
                          {TestSegment::Open(kA), TestSegment::Open(kB)});
    second_ = segment_.Add({{kA, 5, "world"}}, {TestSegment::Close(kA, 10)});
  }

  std::unique_ptr<SegmentReader> Open() {
    segment_.WriteTo(path_);
    auto reader = SegmentReader::Open(path_);
    EXPECT_TRUE(reader.ok()) << reader.status();
    return *std::move(reader);
  }

  const std::string path_ = testing::TempDir() + "/segment_reader_test.seg";
  TestSegment segment_;
  FileOffset first_;
  FileOffset second_;
};

TEST_F(SegmentReaderTest, ReadsWhatIsThere) {
  segment_.Seal();
  const auto reader = Open();
  EXPECT_EQ(reader->id(), SegmentId{1});
  const auto footer = reader->ReadFooter();
  ASSERT_TRUE(footer.ok()) << footer.status();
  ASSERT_EQ(footer->extents.size(), 2u);
  EXPECT_EQ(footer->extents[1].offset, second_.value);
  const auto extent = reader->ReadExtentIndex(second_);
  ASSERT_TRUE(extent.ok()) << extent.status();
  ASSERT_EQ(extent->fragments.size(), 1u);
  std::string text(5, '\0');
  ASSERT_TRUE(reader
                  ->Read(second_ + ByteCount{extent->fragments[0].payload_offset},
                         {reinterpret_cast<std::byte*>(text.data()), text.size()})
                  .ok());
  EXPECT_EQ(text, "world");
  EXPECT_TRUE(reader->CheckPayload(*extent).ok());
  EXPECT_TRUE(reader->CheckPayload(*reader->ReadExtentIndex(first_)).ok());
}

TEST_F(SegmentReaderTest, ReadsAnyPlaceAndLength) {
  const auto reader = Open();
  for (const auto& [at, length] : {std::pair<uint64_t, size_t>{0, 4096},
                                   {1, 1},
                                   {4095, 2},
                                   {5000, 9000},
                                   {0, 1 << 20},
                                   {3, (1 << 20) - 3}}) {
    std::vector<std::byte> bytes(length);
    ASSERT_TRUE(reader->Read({at}, absl::MakeSpan(bytes)).ok());
    EXPECT_EQ(absl::MakeSpan(bytes), segment_.image().subspan(at, length)) << at;
  }
  std::vector<std::byte> beyond(2);
  EXPECT_TRUE(absl::IsDataLoss(reader->Read({(1 << 20) - 1}, absl::MakeSpan(beyond))));
}

TEST_F(SegmentReaderTest, NoFooterIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(Open()->ReadFooter().status()));
}

TEST_F(SegmentReaderTest, AnEarlierUsesFooterIsNotFound) {
  TestSegment earlier(TestSegmentOptions{.id = SegmentId{9}});
  earlier.Add({{kA, 0, "old"}});
  earlier.Seal();
  earlier.WriteTo(path_);
  segment_.WriteTo(path_, ByteCount{segment_.footer().data_end().value});
  const auto reader = SegmentReader::Open(path_);
  ASSERT_TRUE(reader.ok());
  EXPECT_TRUE(absl::IsNotFound((*reader)->ReadFooter().status()));
}

TEST_F(SegmentReaderTest, ADamagedFooterIsDataLoss) {
  segment_.Seal();
  segment_.at({MiB(1).value - 4096}) ^= std::byte{1};
  const auto footer = Open()->ReadFooter();
  EXPECT_TRUE(absl::IsDataLoss(footer.status()));
  EXPECT_NE(footer.status().message().find(path_), absl::string_view::npos) << footer.status();
}

TEST_F(SegmentReaderTest, NoExtentIsOutOfRange) {
  const auto reader = Open();
  for (const uint64_t at : {uint64_t{0}, uint64_t{4097}, segment_.footer().data_end().value,
                            MiB(1).value, ~uint64_t{0} & ~uint64_t{4095}}) {
    EXPECT_TRUE(absl::IsOutOfRange(reader->ReadExtentIndex({at}).status())) << at;
  }
}

TEST_F(SegmentReaderTest, AnotherSegmentsExtentIsOutOfRange) {
  ExtentHeader header;
  std::memcpy(&header, &segment_.at(second_), sizeof(header));
  header.segment_id = 99;
  std::memcpy(&segment_.at(second_), &header, sizeof(header));
  segment_.Reseal(second_);
  EXPECT_TRUE(absl::IsOutOfRange(Open()->ReadExtentIndex(second_).status()));
}

TEST_F(SegmentReaderTest, AnExtentBeyondTheFileIsDataLoss) {
  ExtentHeader header;
  std::memcpy(&header, &segment_.at(second_), sizeof(header));
  header.extent_bytes = MiB(1).value;
  std::memcpy(&segment_.at(second_), &header, sizeof(header));
  segment_.Reseal(second_);
  EXPECT_TRUE(absl::IsDataLoss(Open()->ReadExtentIndex(second_).status()));
}

TEST_F(SegmentReaderTest, ADamagedPayloadIsDataLoss) {
  segment_.at(first_ + ByteCount{2 * kBlockBytes + 9999}) ^= std::byte{4};
  const auto reader = Open();
  const auto extent = reader->ReadExtentIndex(first_);
  ASSERT_TRUE(extent.ok());
  EXPECT_TRUE(absl::IsDataLoss(reader->CheckPayload(*extent)));
}

TEST_F(SegmentReaderTest, SlackIsNotPayload) {
  segment_.at(first_ + ByteCount{kBlockBytes + 6}) ^= std::byte{4};  // behind "hello"
  const auto reader = Open();
  EXPECT_TRUE(reader->CheckPayload(*reader->ReadExtentIndex(first_)).ok());
}

TEST_F(SegmentReaderTest, WithoutChecksumThereIsNothingToCheck) {
  const FileOffset third = segment_.Add({{kB, 10000, "x"}}, {}, /*payload_crc=*/false);
  segment_.at(third + ByteCount{kBlockBytes}) = std::byte{'y'};
  const auto reader = Open();
  EXPECT_TRUE(reader->CheckPayload(*reader->ReadExtentIndex(third)).ok());
}

TEST_F(SegmentReaderTest, NoticesReuse) {
  const auto reader = Open();
  EXPECT_TRUE(reader->StillHolds());
  TestSegment next(TestSegmentOptions{.id = SegmentId{2}});
  next.WriteTo(path_, {kBlockBytes});
  EXPECT_FALSE(reader->StillHolds());
}

TEST_F(SegmentReaderTest, WhatIsNoSegmentIsNotOpened) {
  EXPECT_TRUE(absl::IsNotFound(SegmentReader::Open(path_).status()));
  segment_.WriteTo(path_);
  ASSERT_EQ(truncate(path_.c_str(), 512 << 10), 0);
  EXPECT_TRUE(absl::IsDataLoss(SegmentReader::Open(path_).status()));
  ASSERT_EQ(truncate(path_.c_str(), 100), 0);
  EXPECT_TRUE(absl::IsDataLoss(SegmentReader::Open(path_).status()));
  ASSERT_EQ(truncate(path_.c_str(), 0), 0);
  ASSERT_EQ(truncate(path_.c_str(), 1 << 20), 0);
  EXPECT_TRUE(absl::IsNotFound(SegmentReader::Open(path_).status()));
}

}  // namespace
}  // namespace sluice
