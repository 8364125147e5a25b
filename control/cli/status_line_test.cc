#include "control/cli/status_line.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

StatusLineFigures Usual() {
  return {.elapsed = absl::Milliseconds(12300),
          .received = MiB(1229),
          .bytes_per_second = 812.3 * 1024 * 1024,
          .streams_open = 3,
          .streams_opened = 17,
          .durable_lag = absl::Milliseconds(400),
          .lost = {}};
}

TEST(StatusLineTest, FitsEightyColumns) {
  EXPECT_EQ(FormatStatusLine(Usual(), 79),
            " 12.3s     1.2GiB   812.3MiB/s  3 streams  (17 seen)  lag 0.4s  lost 0B");
  StatusLineFigures large = Usual();
  large.elapsed = absl::Hours(24 * 200);
  large.streams_open = large.streams_opened = 65536;
  large.received = {uint64_t{1023} << 40};
  large.durable_lag = absl::Seconds(59);
  large.lost = {uint64_t{1023} << 40};
  EXPECT_LE(FormatStatusLine(large, 79).size(), 79u);
}

TEST(StatusLineTest, NeverWiderThanAsked) {
  for (size_t width = 0; width < 100; ++width) {
    EXPECT_LE(FormatStatusLine(Usual(), width).size(), width);
  }
}

TEST(StatusLineTest, SaysLessWhereRoomIsShort) {
  EXPECT_EQ(FormatStatusLine(Usual(), 50), "   1.2GiB   812.3MiB/s  3 streams  lost 0B");
  EXPECT_EQ(FormatStatusLine(Usual(), 39), "   1.2GiB   812.3MiB/s  3 streams");
  EXPECT_EQ(FormatStatusLine(Usual(), 32), "   1.2GiB   812.3MiB/s");
  EXPECT_EQ(FormatStatusLine(Usual(), 18), "   1.2GiB");
}

TEST(StatusLineTest, LossStaysLongest) {
  StatusLineFigures figures = Usual();
  figures.lost = MiB(5);
  EXPECT_EQ(FormatStatusLine(figures, 15), "lost 5.0MiB");
}

TEST(StatusLineTest, OneStream) {
  StatusLineFigures figures = Usual();
  figures.streams_open = 1;
  EXPECT_NE(FormatStatusLine(figures, 79).find("  1 stream  "), std::string::npos);
}

}  // namespace
}  // namespace sluice
