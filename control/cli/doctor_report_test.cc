#include "control/cli/doctor_report.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "control/doctor/test_facts.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const Diagnosis kExample = {
    .checks = {{"kernel", CheckState::kOk, "Linux 7.3", ""},
               {"header split", CheckState::kMissing, "off", "`ethtool -G eth1 tcp-data-split on`"},
               {"queue", CheckState::kNotChecked, "no --queue was given", ""},
               {"locked memory", CheckState::kWarning,
                "at most 8 MiB, which is far less than what would be needed here",
                "raise it by some means or other, of which there are more than fit into a line"}},
    .receiver = ExpectedReceiver::kCopy,
    .reason = "zero-copy is not possible: no \"card\"; buy one",
    .amplification = 1.0607,
    .amplification_reason = "so it is"};

TEST(DoctorReportTest, Text) {
  EXPECT_EQ(DoctorText(kExample, false),
            "kernel         ok           Linux 7.3\n"
            "header split   missing      off\n"
            "                            > `ethtool -G eth1 tcp-data-split on`\n"
            "queue          not checked  no --queue was given\n"
            "locked memory  warning      at most 8 MiB, which is far less than what would be\n"
            "                            needed here\n"
            "                            > raise it by some means or other, of which there\n"
            "                              are more than fit into a line\n"
            "\n"
            "receiver       copy (by the kernel, once)\n"
            "reason         zero-copy is not possible: no \"card\"; buy one\n"
            "amplification  1.06: so it is\n");
}

TEST(DoctorReportTest, ColorsChangeNothingElse) {
  std::string text = DoctorText(kExample, true);
  EXPECT_THAT(text, HasSubstr("\x1b[31mmissing\x1b[0m"));
  for (const char* color : {"\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[2m", "\x1b[0m"}) {
    for (size_t at = 0; (at = text.find(color)) != std::string::npos;)
      text.erase(at, strlen(color));
  }
  EXPECT_EQ(text, DoctorText(kExample, false));
}

TEST(DoctorReportTest, FitsAndHasNoBlanksAtTheEnd) {
  for (const DoctorFacts& facts : {GoodFacts(), PlainFacts()}) {
    for (const absl::string_view line : absl::StrSplit(DoctorText(Diagnose(facts), false), '\n')) {
      EXPECT_LE(line.size(), 80u) << line;
      EXPECT_FALSE(absl::EndsWith(line, " ")) << line;
    }
  }
}

TEST(DoctorReportTest, NothingBetterNeedsNoReason) {
  const std::string text = DoctorText(Diagnose(GoodFacts()), false);
  EXPECT_THAT(text, Not(HasSubstr("reason")));
  EXPECT_THAT(text, HasSubstr("receiver       zero-copy\n"));
}

TEST(DoctorReportTest, WhatOthersNamedCannotMoveTheCursor) {
  Diagnosis diagnosis;
  diagnosis.checks = {{"disk", CheckState::kMissing, "make a file in /d\x1b[2J\n", "no"}};
  EXPECT_THAT(DoctorText(diagnosis, false),
              StartsWith("disk  missing      make a file in /d?[2J?\n"));
}

TEST(DoctorReportTest, Json) {
  google::protobuf::Value value;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(DoctorJson(kExample), &value).ok());
  const auto& members = value.struct_value().fields();
  EXPECT_EQ(members.size(), 6u);
  EXPECT_EQ(members.at("checks").list_value().values_size(), 4);
  const auto& check = members.at("checks").list_value().values(1).struct_value().fields();
  EXPECT_EQ(check.at("name").string_value(), "header split");
  EXPECT_EQ(check.at("state").string_value(), "MISSING");
  EXPECT_EQ(check.at("found").string_value(), "off");
  EXPECT_THAT(check.at("remedy").string_value(), HasSubstr("ethtool"));
  EXPECT_TRUE(members.at("canRecord").bool_value());
  EXPECT_EQ(members.at("receiver").string_value(), "COPY");
  EXPECT_EQ(members.at("reason").string_value(), kExample.reason);
  EXPECT_EQ(members.at("amplification").number_value(), 1.0607);
}

TEST(DoctorReportTest, WhatIsNotKnownIsNull) {
  EXPECT_THAT(DoctorJson(Diagnosis()), HasSubstr("\"amplification\": null"));
  EXPECT_THAT(DoctorJson(Diagnosis()), HasSubstr("\"canRecord\": false"));
  google::protobuf::Value value;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(DoctorJson(Diagnosis()), &value).ok());
}

}  // namespace
}  // namespace sluice
