#include "control/cli/gap_report.h"

#include <algorithm>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

StreamGap Gap(uint64_t begin, uint64_t end, GapCause cause = GapCause::kPolicy) {
  return {{begin}, {end}, cause};
}

TEST(GapReportTest, NothingToSay) {
  std::ostringstream list;
  GapReport report(&list, true);
  report.Flush();
  EXPECT_EQ(report.Finish(), "");
  EXPECT_EQ(list.str(), "");
}

TEST(GapReportTest, JoinsWhatFollowsOnAndSumsUp) {
  std::ostringstream list;
  GapReport report(&list, true);
  report.Add(Gap(0, 10));
  report.Add(Gap(10, 30));
  report.Flush();  // bytes between
  report.Add(Gap(30, 31));
  report.Add(Gap(31, 32, GapCause::kDisk));
  testing::internal::CaptureStderr();
  EXPECT_EQ(report.Finish(), "the stream has 3 gaps: 32 bytes that were received and dropped");
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("gap: 1 bytes from offset 31 were dropped (DISK)"));
  EXPECT_EQ(list.str(),
            "{\"offset\":\"0\",\"length\":\"30\",\"cause\":\"POLICY\"}\n"
            "{\"offset\":\"30\",\"length\":\"1\",\"cause\":\"POLICY\"}\n"
            "{\"offset\":\"31\",\"length\":\"1\",\"cause\":\"DISK\"}\n");
}

TEST(GapReportTest, AMillionGapsDoNotFloodTheTerminal) {
  testing::internal::CaptureStderr();
  GapReport report(nullptr, true);
  for (uint64_t i = 0; i < 1'000'000; ++i) report.Add(Gap(2 * i, 2 * i + 1));
  EXPECT_THAT(report.Finish(), testing::HasSubstr("1000000 gaps: 1000000 bytes"));
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), static_cast<int64_t>(GapReport::kLinesMax));
}

TEST(GapReportTest, ToldToNobodyItStillCounts) {
  testing::internal::CaptureStderr();
  GapReport report(nullptr, false);
  report.Add(Gap(5, 6));
  EXPECT_EQ(report.Finish(), "the stream has 1 gap: 1 bytes that were received and dropped");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(report.count(), 1u);
}

}  // namespace
}  // namespace sluice
