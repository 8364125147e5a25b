#include "control/service/peer_pattern.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

bool Matches(const PeerPattern& pattern, const std::string& peer) {
  return pattern.Matches(SocketAddress::Parse(peer).value());
}
bool Matches(const std::string& pattern, const std::string& peer) {
  return Matches(PeerPattern::Parse(pattern).value(), peer);
}
bool Begins(const std::string& text, const std::string& peer) {
  return Matches(PeerPattern::BeginningWith(text), peer);
}

TEST(PeerPatternTest, AnAddressWithItsPort) {
  EXPECT_TRUE(Matches("10.0.0.1:80", "10.0.0.1:80"));
  EXPECT_FALSE(Matches("10.0.0.1:80", "10.0.0.1:81"));
  EXPECT_TRUE(Matches("[2001:db8::1]:80", "[2001:db8::1]:80"));
  EXPECT_FALSE(Matches("[2001:db8::1]:80", "[2001:db8::1]:8"));
  EXPECT_TRUE(Matches("[fe80::1%2]:80", "[fe80::1%2]:80"));
  EXPECT_FALSE(Matches("[fe80::1%2]:80", "[fe80::1%3]:80"));
  EXPECT_TRUE(PeerPattern::Parse("unknown")->Matches(SocketAddress()));
  EXPECT_FALSE(Matches("unknown", "10.0.0.1:80"));
}

TEST(PeerPatternTest, AnAddressAndANetwork) {
  EXPECT_TRUE(Matches("10.0.0.1", "10.0.0.1:80"));
  EXPECT_FALSE(Matches("10.0.0.1", "10.0.0.10:80"));
  EXPECT_TRUE(Matches("10.0.0.0/8", "10.255.0.1:80"));
  EXPECT_FALSE(Matches("10.0.0.0/8", "11.0.0.1:80"));
  EXPECT_TRUE(Matches("2001:db8::/32", "[2001:db8:ffff::]:80"));
}

TEST(PeerPatternTest, TheBeginOfAText) {
  for (const char* peer : {"10.0.0.1:80", "10.0.0.12:4000", "10.0.0.199:1"}) {
    EXPECT_TRUE(Begins("10.0.0.1", peer)) << peer;
    EXPECT_TRUE(Begins("10.", peer)) << peer;
    EXPECT_TRUE(Begins("1", peer)) << peer;
    EXPECT_TRUE(Begins("", peer)) << peer;
  }
  EXPECT_FALSE(Begins("10.0.0.1", "10.0.0.20:80"));
  EXPECT_TRUE(Begins("10.0.0.1:8", "10.0.0.1:80"));
  EXPECT_FALSE(Begins("10.0.0.1:8", "10.0.0.1:90"));
  EXPECT_TRUE(Begins("[2001:db8", "[2001:db8::1]:80"));
  EXPECT_FALSE(Begins("[2001:db8", "[2001:dc8::1]:80"));
  EXPECT_FALSE(Begins("10.0.0.300", "10.0.0.30:80"));
  EXPECT_FALSE(Begins("abc", "10.0.0.30:80"));
  EXPECT_TRUE(PeerPattern::BeginningWith("unk").Matches(SocketAddress()));
}

// What the catalog is asked for has all that match, and is no more than it needs to be.
TEST(PeerPatternTest, Ranges) {
  EXPECT_EQ(PeerPattern::Parse("10.0.0.1:80")->range(), *AddressRange::Parse("10.0.0.1"));
  EXPECT_EQ(PeerPattern::BeginningWith("10.1.").range(), *AddressRange::Parse("10.1.0.0/16"));
  EXPECT_EQ(PeerPattern::BeginningWith("10.0.0.7:1").range(), *AddressRange::Parse("10.0.0.7"));
  const AddressRange ones = PeerPattern::BeginningWith("1").range().value();
  EXPECT_EQ(ones.first[0], 1);
  EXPECT_EQ(ones.last[0], 199);
  EXPECT_EQ(PeerPattern::BeginningWith("").range(), std::nullopt);
}

TEST(PeerPatternTest, WhatIsNoPeerIsRefused) {
  for (const char* text :
       {"10.0.0", "10.0.0.1/40", "host:80", "10.0.0.1*", "80", "10.0.0.0/8:80"}) {
    const absl::Status status = PeerPattern::Parse(text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(text));
  }
}

}  // namespace
}  // namespace sluice
