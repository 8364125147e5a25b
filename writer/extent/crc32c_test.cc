#include "writer/extent/crc32c.h"

#include <numeric>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

absl::Span<const std::byte> Bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// RFC 3720, B.4, and the check value of the catalogue of CRCs.
TEST(Crc32cTest, KnownValues) {
  EXPECT_EQ(Crc32c({}), 0u);
  EXPECT_EQ(Crc32c(Bytes("123456789")), 0xE3069283u);
  EXPECT_EQ(Crc32c(Bytes(std::string(32, '\0'))), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(Bytes(std::string(32, '\xFF'))), 0x62A8AB43u);
  std::string rising(32, '\0');
  std::iota(rising.begin(), rising.end(), '\0');
  EXPECT_EQ(Crc32c(Bytes(rising)), 0x46DD794Eu);
}

TEST(Crc32cTest, AnyCutGivesTheSameSum) {
  std::string text(5000, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 + i / 251);
  const uint32_t whole = Crc32c(Bytes(text));
  for (size_t cut = 0; cut <= text.size(); cut += 13) {
    const uint32_t first = Crc32c(Bytes(text).subspan(0, cut));
    EXPECT_EQ(ExtendCrc32c(first, Bytes(text).subspan(cut)), whole) << "cut at " << cut;
  }
}

}  // namespace
}  // namespace sluice
