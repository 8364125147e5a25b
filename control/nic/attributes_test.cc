#include "control/nic/attributes.h"

#include <linux/netlink.h>

#include <cstring>

#include "gtest/gtest.h"

namespace sluice {
namespace {

using Bytes = std::vector<std::byte>;

Bytes Of(const void* at, size_t size) {
  const auto* bytes = static_cast<const std::byte*>(at);
  return Bytes(bytes, bytes + size);
}
Bytes Of(uint32_t number) { return Of(&number, sizeof(number)); }

void Put(Bytes* message, uint16_t type, const Bytes& value) {
  const nlattr header = {static_cast<uint16_t>(sizeof(nlattr) + value.size()), type};
  const Bytes begin = Of(&header, sizeof(header));
  message->insert(message->end(), begin.begin(), begin.end());
  message->insert(message->end(), value.begin(), value.end());
  message->resize((message->size() + 3) / 4 * 4);
}

TEST(AttributesTest, NumbersOfEveryLength) {
  const uint64_t value = 0x0102030405060708;
  for (const size_t size : {1, 2, 4, 8}) {
    Bytes message;
    Put(&message, 5, Of(&value, size));
    const uint64_t mask = size == 8 ? ~uint64_t{0} : (uint64_t{1} << size * 8) - 1;
    EXPECT_EQ(Attributes(message).Number(5), value & mask);
  }
  Bytes message;
  Put(&message, 5, Of(&value, 3));
  EXPECT_EQ(Attributes(message).Number(5), std::nullopt);
  EXPECT_EQ(Attributes(message).Number(6), std::nullopt);
}

TEST(AttributesTest, TextWithAndWithoutItsZero) {
  Bytes message;
  Put(&message, 1, Of("eth0", 5));
  Put(&message, 2, Of("eth0", 4));
  const Attributes attributes(message);
  EXPECT_EQ(attributes.Text(1), "eth0");
  EXPECT_EQ(attributes.Text(2), "eth0");
  EXPECT_EQ(attributes.Text(3), "");
}

TEST(AttributesTest, NestsAndEmptyOnes) {
  Bytes inner;
  Put(&inner, 7, Of(uint32_t{42}));
  Bytes message;
  Put(&message, 3 | NLA_F_NESTED, inner);
  Put(&message, 6, {});
  const Attributes attributes(message);
  EXPECT_EQ(attributes.Nest(3).Number(7), 42u);
  EXPECT_TRUE(attributes.Has(6));
  EXPECT_FALSE(attributes.Nest(6).Has(7));
  EXPECT_FALSE(attributes.Nest(9).Has(7));
}

TEST(AttributesTest, WhatIsCutOffIsNotThere) {
  Bytes message;
  Put(&message, 1, Of(uint32_t{1}));
  Put(&message, 2, Of(uint32_t{2}));
  for (size_t size = 0; size < message.size(); ++size) {
    const Attributes attributes(absl::MakeConstSpan(message).first(size));
    EXPECT_EQ(attributes.Has(1), size >= 8);
    EXPECT_FALSE(attributes.Has(2));
  }
}

TEST(AttributesTest, ALengthOfNothingEnds) { EXPECT_FALSE(Attributes(Bytes(16)).Has(0)); }

}  // namespace
}  // namespace sluice
