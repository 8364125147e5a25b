#include "control/config/interface_config.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "control/config/serve_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string Text(const std::vector<DesiredRule>& rules) {
  std::string text;
  for (const DesiredRule& rule : rules) {
    absl::StrAppend(&text, ToString(rule.match), " to ", rule.to_queue.value_or(99), "\n");
  }
  return text;
}

absl::StatusOr<ServeConfig> Parse(const std::string& interface) {
  return ParseConfig("archive { directory: \"/a\" }\n" + interface, "c");
}

TEST(InterfaceConfigTest, AllThereIs) {
  const auto config = Parse(R"(
interface {
  name: "eth1"
  queues { ids: [6, 7] purpose: ZERO_COPY }
  steering {
    rule { protocol: TCP destination_port: 9000 to_queue: 6 }
    rule { protocol: UDP source_address: "10.1.2.3/8" destination_address: "10.0.0.1" source_port: 53 }
    rule { protocol: TCP destination_address: "2001:db8::1/32" }
  }
  receive_queues: 8
  ring_size: 64
  restore_at_shutdown: true
})");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_THAT(config->interfaces, SizeIs(1));
  const DesiredNic& desired = config->interfaces.front().desired;
  EXPECT_TRUE(config->interfaces.front().restore_at_shutdown);
  EXPECT_EQ(desired.interface, "eth1");
  EXPECT_THAT(desired.zero_copy_queues, ElementsAre(6, 7));
  EXPECT_EQ(desired.receive_queues, 8u);
  EXPECT_EQ(desired.ring_size, 64u);
  // Without an address, for both kinds of packets.
  EXPECT_EQ(Text(desired.rules),
            "tcp4 dst-port 9000 to 6\n"
            "tcp6 dst-port 9000 to 6\n"
            "udp4 src-ip 10.0.0.0/8 dst-ip 10.0.0.1 src-port 53 to 99\n"
            "tcp6 dst-ip 2001:db8::/32 to 99\n");
}

TEST(InterfaceConfigTest, WhatIsWrongIsSaidWhere) {
  const struct {
    std::string line;
    std::string message;
  } kCases[] = {
      {"interface { }", "c:2:1: an interface needs the name of a network card"},
      {"interface { name: \"a/b\" }", "not \"a/b\""},
      {"interface { name: \"eth1\" queues { purpose: ZERO_COPY } }", "queues need ids"},
      {"interface { name: \"eth1\" queues { ids: [6] } }", "queues need a purpose"},
      {"interface { name: \"eth1\" queues { ids: [6, 6] purpose: ZERO_COPY } }",
       "queue 6 is named twice"},
      {"interface { name: \"eth1\" ring_size: 0 }", "ring_size must not be zero"},
      {"interface { name: \"eth1\" } interface { name: \"eth1\" }", "is described already, at c:2"},
      {"interface { name: \"eth1\" steering { rule { destination_port: 1 } } }",
       "a rule needs a protocol"},
      {"interface { name: \"eth1\" steering { rule { protocol: TCP } } }",
       "a rule needs an address or a port"},
      {"interface { name: \"eth1\" steering { rule { protocol: TCP destination_port: 65536 } } }",
       "destination_port: a port is from 1 to 65535, not 65536"},
      {"interface { name: \"e\" steering { rule { protocol: TCP source_address: \"x\" } } }",
       "source_address: \"x\" is neither an address nor a network"},
      {"interface { name: \"e\" steering { rule { protocol: TCP source_address: \"1.2.3.4/33\" } } "
       "}",
       "a number from 0 to 32"},
      {"interface { name: \"e\" steering { rule { protocol: TCP source_address: \"1.2.3.4\" "
       "destination_address: \"::1\" } } }",
       "no packet has both"},
  };
  for (const auto& one : kCases) {
    const absl::Status status = Parse(one.line).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << one.line;
    EXPECT_THAT(std::string(status.message()), HasSubstr(one.message)) << one.line;
  }
}

TEST(InterfaceConfigTest, RulesOfACommandLine) {
  EXPECT_EQ(Text(*ParseRule("tcp dst-port 9000")),
            "tcp4 dst-port 9000 to 99\ntcp6 dst-port 9000 to 99\n");
  EXPECT_EQ(Text(*ParseRule("udp src-ip 10.0.0.0/8 dst-ip 10.0.0.1 src-port 1 dst-port 2 to 6")),
            "udp4 src-ip 10.0.0.0/8 dst-ip 10.0.0.1 src-port 1 dst-port 2 to 6\n");
  for (const char* wrong :
       {"", "sctp dst-port 1", "tcp", "tcp dst-port", "tcp dst-port x", "tcp dst-port 0",
        "tcp port 9000", "tcp src-ip 10.0.0.0.0", "tcp src-ip 1.2.3.4 dst-ip ::1"}) {
    const absl::Status status = ParseRule(wrong).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << wrong;
    EXPECT_THAT(std::string(status.message()), HasSubstr("a rule is \"tcp|udp")) << wrong;
  }
}

}  // namespace
}  // namespace sluice
