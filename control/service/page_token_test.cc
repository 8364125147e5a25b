#include "control/service/page_token.h"

#include <string>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

TEST(PageTokenTest, CarriesThePosition) {
  const RequestHash request = HashRequest({"ListStreams", "recordings/a", ""});
  const std::string token = MakePageToken(request, "12345");
  EXPECT_EQ(ReadPageToken(request, token).value(), "12345");
}

// Tokens outlive a restart, so the hash must not depend on the process, or on the version.
TEST(PageTokenTest, IsTheSameEverywhere) {
  EXPECT_EQ(MakePageToken(HashRequest({"ListRecordings"}), "market"), "AbflriRmJdCFbWFya2V0");
}

TEST(PageTokenTest, BelongsToItsRequest) {
  const std::string token = MakePageToken(HashRequest({"ListStreams", "a", "b"}), "1");
  for (const RequestHash other :
       {HashRequest({"ListStreams", "a", "c"}), HashRequest({"ListStreams", "ab", ""}),
        HashRequest({"ListStreams", "", "ab"}), HashRequest({"ListRecordings", "a", "b"})}) {
    const absl::Status status = ReadPageToken(other, token).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("belongs to another request"));
  }
}

TEST(PageTokenTest, RefusesNonsense) {
  const RequestHash request = HashRequest({"x"});
  for (const std::string& token :
       {std::string("market"), std::string("!!!"), absl::WebSafeBase64Escape("short"),
        absl::WebSafeBase64Escape(std::string(20, '\x02')), MakePageToken(request, "")}) {
    const absl::Status status = ReadPageToken(request, token).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << token;
    EXPECT_THAT(std::string(status.message()), HasSubstr("not one that this service gave out"));
  }
}

TEST(PageSizeTest, HasADefaultAndAMaximum) {
  EXPECT_EQ(PageSize(0).value(), 100u);
  EXPECT_EQ(PageSize(7).value(), 7u);
  EXPECT_EQ(PageSize(1'000'000).value(), 1000u);
  EXPECT_EQ(PageSize(-1).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
