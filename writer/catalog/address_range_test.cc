#include "writer/catalog/address_range.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

SocketAddress Address(const std::string& text) { return SocketAddress::Parse(text).value(); }

TEST(AddressRangeTest, ANetworkHasItsAddressesAndNoOthers) {
  const AddressRange range = AddressRange::Parse("10.1.0.0/15").value();
  EXPECT_TRUE(range.Contains(Address("10.0.0.0:1")));
  EXPECT_TRUE(range.Contains(Address("10.1.255.255:65535")));
  EXPECT_FALSE(range.Contains(Address("10.2.0.0:1")));
  EXPECT_FALSE(range.Contains(Address("9.255.255.255:1")));
  EXPECT_FALSE(range.Contains(Address("[a00::1]:1")));  // the same first byte
  EXPECT_FALSE(range.Contains(SocketAddress()));
}

TEST(AddressRangeTest, IPv6) {
  const AddressRange range = AddressRange::Parse("2001:db8::/33").value();
  EXPECT_TRUE(range.Contains(Address("[2001:db8:7fff:ffff::1]:1")));
  EXPECT_FALSE(range.Contains(Address("[2001:db8:8000::]:1")));
  EXPECT_TRUE(AddressRange::Parse("[2001:db8::1]").value().Contains(Address("[2001:db8::1]:9")));
}

TEST(AddressRangeTest, EverythingAndOneAddress) {
  EXPECT_TRUE(AddressRange::Parse("0.0.0.0/0").value().Contains(Address("255.255.255.255:1")));
  EXPECT_FALSE(AddressRange::Parse("0.0.0.0/0").value().Contains(Address("[::1]:1")));
  EXPECT_TRUE(AddressRange::Parse("::/0").value().Contains(Address("[ffff::1]:1")));
  EXPECT_FALSE(AddressRange::Parse("::/0").value().Contains(Address("10.0.0.1:1")));
  EXPECT_EQ(AddressRange::Parse("10.0.0.1").value(), AddressRange::Only(Address("10.0.0.1:80")));
  EXPECT_EQ(AddressRange::Parse("10.0.0.1/32").value(), AddressRange::Parse("10.0.0.1").value());
}

TEST(AddressRangeTest, MappedAddressesAreIPv4) {
  EXPECT_EQ(AddressRange::Parse("::ffff:10.0.0.0/104").value(),
            AddressRange::Parse("10.0.0.0/8").value());
  EXPECT_EQ(AddressRange::Parse("::ffff:10.0.0.1").value(),
            AddressRange::Parse("10.0.0.1").value());
}

TEST(AddressRangeTest, WhatIsWrongIsSaid) {
  for (const char* text :
       {"", "/8", "10.0.0/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "::/129", "10.0.0.1:80",
        "fe80::1%2", "host", "[]", "[::1", "10.0.0.0/8/8"}) {
    const absl::Status status = AddressRange::Parse(text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(text));
  }
}

}  // namespace
}  // namespace sluice
