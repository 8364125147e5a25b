#include "writer/segment/footer_hash.h"

#include <cstring>
#include <string>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"
#include "writer/segment/test_segment.h"

namespace sluice {
namespace {

constexpr StreamId kStream{11};

TestSegment Segment() {
  TestSegment segment(TestSegmentOptions{});
  segment.Add({{kStream, 0, "some bytes"}}, {TestSegment::Open(kStream)});
  return segment;
}

std::string Hex(const Sha256& hash) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(hash.data()), hash.size()});
}

// As `sha256sum` says it of the same bytes: 256 zeros, and 4096.
TEST(FooterHashTest, IsSha256) {
  EXPECT_EQ(Hex(FooterSha256(AlignedBuffer(kBlockBytes).span())),
            "ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7");
}

TEST(FooterHashTest, RecoverysFooterOfTheSameContentIsCalledTheSame) {
  TestSegment segment = Segment();
  const SegmentLink writers = segment.Seal(0);
  EXPECT_EQ(segment.Seal(kSealedByRecovery), writers);
  EXPECT_NE(segment.Seal(0, {SegmentId{9}, {}}), writers);
  const SegmentLink previous = {SegmentId{9}, {1}};
  EXPECT_NE(segment.Seal(0, previous), segment.Seal(0, {SegmentId{9}, {2}}));
}

TEST(FooterHashTest, AnyOtherByteCounts) {
  TestSegment segment = Segment();
  const Sha256 before = segment.Seal(0).footer;
  const size_t bytes = segment.footer().FooterBytes();
  absl::Span<std::byte> footer = segment.image().last(bytes);
  const size_t trailer = bytes - sizeof(SegmentTrailer);
  for (size_t i = 0; i < bytes; ++i) {
    const bool is_crc = i >= bytes - 4;
    footer[i] ^= std::byte{2};
    EXPECT_EQ(FooterSha256(footer) == before, is_crc) << i << " of " << trailer;
    footer[i] ^= std::byte{2};
  }
  EXPECT_EQ(FooterSha256(footer), before);
}

}  // namespace
}  // namespace sluice
