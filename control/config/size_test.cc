#include "control/config/size.h"

#include <cstdint>
#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

uint64_t Parsed(absl::string_view text) {
  const absl::StatusOr<ByteCount> size = ParseSize(text);
  EXPECT_TRUE(size.ok()) << size.status();
  return size.ok() ? size->value : std::numeric_limits<uint64_t>::max();
}

std::string Refusal(absl::string_view text) {
  const absl::StatusOr<ByteCount> size = ParseSize(text);
  EXPECT_EQ(size.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(size.status().message());
}

TEST(ParseSizeTest, KnowsEveryUnit) {
  EXPECT_EQ(Parsed("0B"), 0u);
  EXPECT_EQ(Parsed("4096B"), 4096u);
  EXPECT_EQ(Parsed("3KiB"), KiB(3).value);
  EXPECT_EQ(Parsed("3MiB"), MiB(3).value);
  EXPECT_EQ(Parsed("16GiB"), GiB(16).value);
  EXPECT_EQ(Parsed("2TiB"), GiB(2048).value);
  EXPECT_EQ(Parsed("3kB"), 3000u);
  EXPECT_EQ(Parsed("3MB"), 3'000'000u);
  EXPECT_EQ(Parsed("3GB"), 3'000'000'000u);
  EXPECT_EQ(Parsed("3TB"), 3'000'000'000'000u);
}

TEST(ParseSizeTest, AllowsFractionsAndSpace) {
  EXPECT_EQ(Parsed("1.5GiB"), MiB(1536).value);
  EXPECT_EQ(Parsed(" 16 GiB "), GiB(16).value);
  EXPECT_EQ(Parsed("0.001kB"), 1u);
  EXPECT_EQ(Parsed("7.999999999999TB"), 7'999'999'999'999u);
}

TEST(ParseSizeTest, SaysWhatIsWrong) {
  EXPECT_THAT(Refusal(""), HasSubstr("must begin with a number"));
  EXPECT_THAT(Refusal("GiB"), HasSubstr("must begin with a number"));
  EXPECT_THAT(Refusal("-1GiB"), HasSubstr("must begin with a number"));
  EXPECT_THAT(Refusal("16"), AllOf(HasSubstr("size \"16\""), HasSubstr("a unit is missing")));
  EXPECT_THAT(Refusal("1.GiB"), HasSubstr("digits are missing"));
  EXPECT_THAT(Refusal("1.5B"), HasSubstr("not a whole number of bytes"));
  EXPECT_THAT(Refusal("0.3GiB"), HasSubstr("not a whole number of bytes"));
  EXPECT_THAT(Refusal("1.0000000000001TB"), HasSubstr("too many decimals"));
  EXPECT_THAT(Refusal("16 bananas"), HasSubstr("\"bananas\" is not a unit"));
  EXPECT_THAT(Refusal("1 GiB 2"), HasSubstr("is not a unit"));
}

TEST(ParseSizeTest, GuessesTheUnit) {
  EXPECT_THAT(Refusal("16G"), HasSubstr("did you mean \"GiB\"?"));
  EXPECT_THAT(Refusal("16gib"), HasSubstr("did you mean \"GiB\"?"));
  EXPECT_THAT(Refusal("16k"), HasSubstr("did you mean \"KiB\"?"));
  EXPECT_THAT(Refusal("16KB"), HasSubstr("did you mean \"kB\"?"));
}

TEST(ParseSizeTest, RefusesWhatDoesNotFit) {
  EXPECT_EQ(Parsed("9223372036854775807B"), 9223372036854775807u);
  EXPECT_THAT(Refusal("9223372036854775808B"), HasSubstr("too large"));
  EXPECT_THAT(Refusal("8388608TiB"), HasSubstr("too large"));
  EXPECT_THAT(Refusal("99999999999999999999999999B"), HasSubstr("too large"));
}

TEST(FormatSizeTest, IsForPeople) {
  EXPECT_EQ(FormatSize(ByteCount{0}), "0B");
  EXPECT_EQ(FormatSize(ByteCount{1023}), "1023B");
  EXPECT_EQ(FormatSize(KiB(1)), "1KiB");
  EXPECT_EQ(FormatSize(ByteCount{1025}), "1.00KiB");
  EXPECT_EQ(FormatSize(MiB(1536)), "1.5GiB");
  EXPECT_EQ(FormatSize(MiB(1600)), "1.56GiB");
  EXPECT_EQ(FormatSize(GiB(4096)), "4TiB");
}

TEST(FormatSizeTest, RoundTripsWhatIsExact) {
  for (const ByteCount size : {ByteCount{0}, ByteCount{17}, KiB(4), MiB(256), MiB(1536), GiB(5)}) {
    EXPECT_EQ(Parsed(FormatSize(size)), size.value);
  }
}

}  // namespace
}  // namespace sluice
