#include "writer/retention/policy_text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

RetentionPolicy Example() {
  RetentionPolicy policy;
  policy.generation = 7;
  RetentionClass evidence;
  evidence.name = "evidence";
  evidence.priority = -10;
  evidence.quota = GiB(100);
  evidence.max_age = absl::Hours(720);
  evidence.reserve = GiB(20);
  policy.classes = {RetentionClass(), evidence};
  Hold hold;
  hold.id = "case-17";
  hold.selector.recording = "market";
  hold.selector.stream = StreamId{uint64_t{3} << 40 | 17};
  hold.selector.from = {-5};
  hold.selector.to = {1'767'225'600'000'000'000};
  hold.owner = "alice";
  hold.reason = "a \"quoted\" reason\nwith lines, ünicode,\tand a \\";
  hold.created = {1'767'225'500'000'000'000};
  hold.until = {1'867'225'600'000'000'000};
  hold.budget = MiB(300);
  hold.segments = {SegmentId{3}, SegmentId{5}, SegmentId{6}, SegmentId{7}, SegmentId{12}};
  Hold all;
  all.id = "all";
  all.owner = "crc32c 00000000\n";
  policy.holds = {hold, all};
  return policy;
}

TEST(PolicyTextTest, WhatIsWrittenIsRead) {
  for (const RetentionPolicy& policy : {RetentionPolicy(), Example()}) {
    const absl::StatusOr<RetentionPolicy> parsed = ParsePolicy(EncodePolicy(policy));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, policy);
  }
}

TEST(PolicyTextTest, PeopleCanReadIt) {
  EXPECT_THAT(EncodePolicy(Example()), StartsWith("sluice-retention 1\n"
                                                  "generation 7\n"
                                                  "class default\n"
                                                  "class evidence\n"
                                                  "  priority -10\n"
                                                  "  quota 107374182400\n"
                                                  "  max_age_ns 2592000000000000\n"
                                                  "  reserve 21474836480\n"
                                                  "hold case-17\n"
                                                  "  recording market\n"
                                                  "  stream 3-0-17\n"));
}

TEST(PolicyTextTest, DamageIsNoticed) {
  const std::string text = EncodePolicy(Example());
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_FALSE(ParsePolicy(text.substr(0, i)).ok()) << i;
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(ParsePolicy(changed).ok()) << i;
  }
  EXPECT_TRUE(absl::IsDataLoss(ParsePolicy("").status()));
  EXPECT_TRUE(absl::IsDataLoss(ParsePolicy(text + "x").status()));
}

TEST(PolicyTextTest, ANewerVersionIsLeftAlone) {
  const std::string text =
      absl::StrReplaceAll(EncodePolicy(Example()), {{"sluice-retention 1", "sluice-retention 2"}});
  const absl::Status status = ParsePolicy(text).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("version 2"));
}

}  // namespace
}  // namespace sluice
