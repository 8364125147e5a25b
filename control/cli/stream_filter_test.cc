#include "control/cli/stream_filter.h"

#include <CLI/CLI.hpp>
#include <string>

#include "control/service/stream_query.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::HasSubstr;

// As main() parses them.
std::string FilterOf(const std::string& arguments) {
  CLI::App app;
  StreamFilterOptions options;
  AddStreamFilterOptions(app, options);
  app.parse(arguments);
  return options.ToFilter();
}

TEST(StreamFilterTest, EachOptionIsACondition) {
  EXPECT_EQ(FilterOf(""), "");
  EXPECT_EQ(FilterOf("--peer 10.0.0.0/8"), "peer_address = \"10.0.0.0/8\"");
  EXPECT_EQ(FilterOf("--port 9000 --peer-port 4000"), "local_port = 9000 AND peer_port = 4000");
  EXPECT_EQ(FilterOf("--from 2026-01-01T00:00:00Z --to 2026-01-01T02:00:00+01:00"),
            "end_time >= \"2026-01-01T00:00:00+00:00\" AND "
            "open_time < \"2026-01-01T01:00:00+00:00\"");
  EXPECT_EQ(FilterOf("--min-size 1MiB --max-size 2000000"), "size >= 1048576 AND size <= 2000000");
  EXPECT_EQ(FilterOf("--min-size 0"), "size >= 0");
  EXPECT_EQ(FilterOf("--state Open"), "state = OPEN");
  EXPECT_EQ(FilterOf("--filter \"close_reason = RESET\" --state closed"),
            "close_reason = RESET AND state = CLOSED");
}

TEST(StreamFilterTest, TheServiceUnderstandsIt) {
  for (const char* arguments : {"--peer 10.0.0.0/8 --port 9000 --peer-port 1 --from 90m --to 1s "
                                "--min-size 1 --max-size 2GiB "
                                "--state open",
                                "--peer 10.0.*", "--peer [2001:db8::1]:80"}) {
    const std::string filter = FilterOf(arguments);
    EXPECT_TRUE(StreamQuery::Parse(filter).ok()) << filter;
  }
}

TEST(StreamFilterTest, AQuoteStaysInItsCondition) {
  EXPECT_EQ(FilterOf("--peer 'x\" AND state = \"OPEN'"),
            "peer_address = \"x\\\" AND state = \\\"OPEN\"");
}

TEST(StreamFilterTest, TimesMayBeAgo) {
  const absl::Time now = absl::FromUnixSeconds(1'000'000);
  EXPECT_EQ(*ParseTimeOption("90m", now), now - absl::Minutes(90));
  EXPECT_EQ(*ParseTimeOption("1970-01-01T00:00:01Z", now), absl::FromUnixSeconds(1));
  EXPECT_THAT(std::string(ParseTimeOption("yesterday", now).status().message()),
              HasSubstr("\"yesterday\" is neither a time"));
}

TEST(StreamFilterTest, WhatIsWrongIsRefusedAtOnce) {
  for (const char* arguments : {"--port 65536", "--port x", "--peer-port -1", "--from never",
                                "--min-size much", "--state ajar"}) {
    EXPECT_THROW(FilterOf(arguments), CLI::ParseError) << arguments;
  }
}

}  // namespace
}  // namespace sluice
