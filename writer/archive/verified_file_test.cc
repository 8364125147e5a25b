#include "writer/archive/verified_file.h"

#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/archive/test_archive.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

Sha256 Footer(uint8_t first) {
  Sha256 footer = {};
  footer[0] = first;
  return footer;
}

TEST(VerifiedFileTest, ComesBackAsItWas) {
  const VerifiedSegments segments = {{3, StampOf(Footer(1), {1000})},
                                     {17, StampOf(Footer(2), {2000})}};
  const auto parsed = ParseVerified(EncodeVerified(segments));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, segments);
  EXPECT_EQ(VerifiedAt(*parsed, SegmentId{17}, Footer(2)).value, 2000);
  EXPECT_EQ(VerifiedAt(*parsed, SegmentId{17}, Footer(9)).value, 0);  // sealed anew since
  EXPECT_EQ(VerifiedAt(*parsed, SegmentId{17}, Sha256{}).value, 0);
  EXPECT_EQ(VerifiedAt(*parsed, SegmentId{4}, Footer(2)).value, 0);
}

TEST(VerifiedFileTest, EveryChangedByteIsFound) {
  const std::string text = EncodeVerified({{3, StampOf(Footer(1), {1000})}});
  ASSERT_TRUE(ParseVerified(text).ok());
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(ParseVerified(changed).ok()) << i;
    EXPECT_FALSE(ParseVerified(text.substr(0, i)).ok()) << i;
  }
}

TEST(VerifiedFileTest, ANewerOneIsNotReplaced) {
  const std::string directory = FreshDirectory();
  std::ofstream(directory + "/VERIFIED") << "sluice-verified 2\nwhatever\n";
  const absl::Status status = AddVerified(directory, {{3, StampOf(Footer(1), {1000})}}, {});
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("VERIFIED"));
}

TEST(VerifiedFileTest, AddsAndForgets) {
  const std::string directory = FreshDirectory();
  EXPECT_TRUE(absl::IsNotFound(ReadVerified(directory).status()));
  const auto stamp = [](int64_t time) { return StampOf(Footer(1), {time}); };
  ASSERT_TRUE(AddVerified(directory, {{3, stamp(1)}, {4, stamp(1)}, {9, stamp(1)}}, {}).ok());
  // 3 has left the archive; 9 is newer than what this one knows.
  ASSERT_TRUE(AddVerified(directory, {{4, stamp(2)}, {5, stamp(2)}}, {4, 5}).ok());
  EXPECT_THAT(*ReadVerified(directory),
              ElementsAre(Pair(4, stamp(2)), Pair(5, stamp(2)), Pair(9, stamp(1))));
  // One that is damaged is made anew.
  std::ofstream(directory + "/VERIFIED") << "garbage";
  EXPECT_TRUE(absl::IsDataLoss(ReadVerified(directory).status()));
  ASSERT_TRUE(AddVerified(directory, {{5, stamp(3)}}, {5}).ok());
  EXPECT_THAT(*ReadVerified(directory), ElementsAre(Pair(5, stamp(3))));
}

}  // namespace
}  // namespace sluice
