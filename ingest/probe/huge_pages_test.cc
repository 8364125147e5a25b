#include "ingest/probe/huge_pages.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(HugePagesTest, ReadsFigures) {
  const HugePages pages = ParseHugePages(
      "MemTotal:       16379532 kB\n"
      "HugePages_Total:     128\n"
      "HugePages_Free:       64\n"
      "HugePages_Rsvd:        0\n"
      "Hugepagesize:       2048 kB\n",
      "always [madvise] never\n");
  EXPECT_EQ(pages.total, 128u);
  EXPECT_EQ(pages.free, 64u);
  EXPECT_EQ(pages.size, MiB(2));
  EXPECT_EQ(pages.transparent, "madvise");
}

TEST(HugePagesTest, NothingIsNone) {
  const HugePages pages = ParseHugePages("HugePages_Total:\nHugePages_Free: x\n", "]always[");
  EXPECT_EQ(pages.total + pages.free + pages.size.value, 0u);
  EXPECT_EQ(pages.transparent, "");
}

TEST(HugePagesTest, OfThisSystem) { EXPECT_GE(ReadHugePages().total, ReadHugePages().free); }

}  // namespace
}  // namespace sluice
