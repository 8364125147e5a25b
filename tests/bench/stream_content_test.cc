#include "tests/bench/stream_content.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace sluice {
namespace {

std::string Take(const StreamContent& content, uint64_t stream, uint64_t position, uint64_t bytes) {
  std::string taken;
  while (taken.size() < bytes) {
    const ContentPart part(content, stream, position + taken.size(), bytes - taken.size());
    for (int i = 0; i < part.count(); ++i) {
      taken.append(static_cast<char*>(part.vectors()[i].iov_base), part.vectors()[i].iov_len);
    }
  }
  return taken;
}

TEST(StreamContentTest, IsTheSameFromAnyPosition) {
  const StreamContent content(7);
  const std::string whole = Take(content, 3, 0, 3'000'000);
  for (uint64_t position : {1, 15, 16, 17, 65518, 65519, 65520, 65535, 1'048'576, 2'999'999}) {
    const uint64_t bytes = std::min<uint64_t>(200'000, whole.size() - position);
    EXPECT_EQ(Take(content, 3, position, bytes), whole.substr(position, bytes)) << position;
  }
}

TEST(StreamContentTest, PartHoldsAMegabyteWhereverItStarts) {
  const StreamContent content(7);
  for (uint64_t position = 0; position < 2 * StreamContent::kFrameBytes; position += 997) {
    EXPECT_GE(ContentPart(content, 0, position, uint64_t{1} << 30).bytes(), 1'000'000u);
  }
}

TEST(StreamContentTest, EveryFrameIsDistinct) {
  std::set<std::string> frames;
  for (uint64_t seed : {1, 2}) {
    const StreamContent content(seed);
    for (uint64_t stream : {0, 1, 1000}) {
      for (uint64_t frame : {0, 1, 1000}) {
        frames.insert(
            Take(content, stream, frame * StreamContent::kFrameBytes, StreamContent::kFrameBytes));
      }
    }
  }
  EXPECT_EQ(frames.size(), 2 * 3 * 3u);
}

TEST(StreamContentTest, EndsWhereItIsAskedTo) {
  const StreamContent content(7);
  EXPECT_EQ(ContentPart(content, 0, 100, 0).count(), 0);
  EXPECT_EQ(ContentPart(content, 0, 8, 10).bytes(), 10u);
  EXPECT_EQ(ContentPart(content, 0, 8, 10).count(), 2);
}

}  // namespace
}  // namespace sluice
