#include "ingest/receive/socket_address.h"

#include <netinet/in.h>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(SocketAddressTest, SaysWhatItParsed) {
  for (const char* text : {"127.0.0.1:9000", "[::1]:0", "[2001:db8::1]:65535", "0.0.0.0:1"}) {
    const auto address = SocketAddress::Parse(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->ToString(), text);
    sockaddr_storage storage;
    ASSERT_GT(address->ToSockaddr(&storage), 0u);
    EXPECT_EQ(SocketAddress::FromSockaddr(storage), *address);
  }
  EXPECT_EQ(SocketAddress::Parse(":9000")->ToString(), "[::]:9000");
  EXPECT_EQ(SocketAddress::Parse("*:9000")->ToString(), "[::]:9000");
}

TEST(SocketAddressTest, RefusesInOneSentence) {
  for (const char* text : {"", "9000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80",
                           "[]:80", "127.0.0.1:-1", "127.0.0.1:http", "300.0.0.1:80"}) {
    const auto address = SocketAddress::Parse(text);
    ASSERT_FALSE(address.ok()) << text;
    EXPECT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(address.status().message().find(text), absl::string_view::npos);
  }
}

TEST(SocketAddressTest, MappedIpv4IsIpv4) {
  sockaddr_storage storage = {};
  auto& in6 = reinterpret_cast<sockaddr_in6&>(storage);
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(80);
  in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xff;
  in6.sin6_addr.s6_addr[12] = 10;
  in6.sin6_addr.s6_addr[15] = 7;
  EXPECT_EQ(SocketAddress::FromSockaddr(storage).ToString(), "10.0.0.7:80");
}

}  // namespace
}  // namespace sluice
