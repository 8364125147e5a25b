#include "control/service/stream_query.h"

#include <string>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ingest/receive/socket_address.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

UnixNanos At(const std::string& text) {
  absl::Time time;
  std::string error;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, text, &time, &error)) << error;
  return UnixNanos{absl::ToUnixNanos(time)};
}

StreamRow Row() {
  StreamRow row;
  row.peer = SocketAddress::Parse("10.0.0.12:4000").value();
  row.local = SocketAddress::Parse("10.0.0.1:9000").value();
  row.begin = {1024};
  row.durable = {4096};
  row.opened = At("2026-01-01T00:00:00Z");
  row.last_time = At("2026-01-01T01:00:00Z");
  row.open = false;
  row.reason = CloseReason::kReset;
  return row;
}

bool Matches(const std::string& filter, const StreamRow& row = Row()) {
  const absl::StatusOr<StreamQuery> query = StreamQuery::Parse(filter);
  EXPECT_TRUE(query.ok()) << query.status();
  return query.ok() && query->Matches(row);
}

std::string Refusal(const std::string& filter) {
  const absl::Status status = StreamQuery::Parse(filter).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << filter;
  return std::string(status.message());
}

TEST(StreamQueryTest, NothingMatchesAll) {
  EXPECT_TRUE(Matches(""));
  EXPECT_TRUE(Matches("  "));
}

TEST(StreamQueryTest, State) {
  EXPECT_TRUE(Matches("state = CLOSED"));
  EXPECT_TRUE(Matches("state=CLOSED"));
  EXPECT_TRUE(Matches("state = \"CLOSED\""));
  EXPECT_FALSE(Matches("state = OPEN"));
  EXPECT_TRUE(Matches("state != OPEN"));
}

TEST(StreamQueryTest, CloseReason) {
  EXPECT_TRUE(Matches("close_reason = RESET"));
  EXPECT_FALSE(Matches("close_reason = END_OF_STREAM"));
  EXPECT_TRUE(Matches("close_reason != END_OF_STREAM"));
}

TEST(StreamQueryTest, PeerAddress) {
  EXPECT_TRUE(Matches("peer_address = \"10.0.0.12:4000\""));
  EXPECT_TRUE(Matches("peer_address = '10.0.0.12:4000'"));
  EXPECT_FALSE(Matches("peer_address = \"10.0.0.1\""));
  EXPECT_TRUE(Matches("peer_address = 10.0.0.12"));
  EXPECT_TRUE(Matches("peer_address = \"10.0.0.0/8\""));
  EXPECT_FALSE(Matches("peer_address = \"11.0.0.0/8\""));
  EXPECT_TRUE(Matches("peer_address != \"11.0.0.0/8\""));
  EXPECT_TRUE(Matches("peer_address = \"10.0.0.1*\""));
  EXPECT_TRUE(Matches("peer_address = 10.0.0.1*"));
  EXPECT_FALSE(Matches("peer_address = \"10.0.0.2*\""));
  EXPECT_TRUE(Matches("peer_address != \"10.0.0.2*\""));
  EXPECT_TRUE(Matches("peer_address = \"*\""));
  EXPECT_THAT(Refusal("peer_address = \"10.0.0.1\\*\""), HasSubstr("is not a peer"));
  EXPECT_TRUE(Matches("peer_address = \"10.0.\\0.12:4000\""));
}

TEST(StreamQueryTest, Times) {
  EXPECT_TRUE(Matches("open_time >= \"2026-01-01T00:00:00Z\""));
  EXPECT_FALSE(Matches("open_time > \"2026-01-01T00:00:00Z\""));
  EXPECT_TRUE(Matches("open_time <= \"2026-01-01T00:00:00Z\""));
  EXPECT_FALSE(Matches("open_time < \"2026-01-01T00:00:00Z\""));
  EXPECT_TRUE(Matches("open_time > 2025-12-31T23:59:59.999999999Z"));
  EXPECT_TRUE(Matches("last_time <= \"2026-01-01T03:00:00+02:00\""));
  EXPECT_FALSE(Matches("last_time > \"2026-01-01T03:00:00+02:00\""));
}

TEST(StreamQueryTest, AnOpenStreamEndsAfterEverything) {
  EXPECT_TRUE(Matches("end_time <= \"2026-01-01T01:00:00Z\""));
  EXPECT_FALSE(Matches("end_time > \"2026-01-01T01:00:00Z\""));
  StreamRow open = Row();
  open.open = true;
  EXPECT_TRUE(Matches("end_time > \"2027-01-01T00:00:00Z\"", open));
  EXPECT_FALSE(Matches("end_time < \"2027-01-01T00:00:00Z\"", open));
}

TEST(StreamQueryTest, Ports) {
  EXPECT_TRUE(Matches("peer_port = 4000"));
  EXPECT_FALSE(Matches("peer_port != 4000"));
  EXPECT_TRUE(Matches("peer_port >= 4000 AND peer_port < 4001"));
  EXPECT_FALSE(Matches("peer_port > 4000"));
  EXPECT_TRUE(Matches("local_port = 9000"));
  EXPECT_FALSE(Matches("local_port = 9001"));
}

TEST(StreamQueryTest, Size) {
  EXPECT_TRUE(Matches("size = 3072"));
  EXPECT_TRUE(Matches("size >= 3KiB"));
  EXPECT_FALSE(Matches("size > 3KiB"));
  EXPECT_TRUE(Matches("size < 1MiB AND size != 0"));
}

TEST(StreamQueryTest, And) {
  EXPECT_TRUE(Matches("state = CLOSED AND peer_address = \"10.*\""));
  EXPECT_FALSE(Matches("state = OPEN AND peer_address = \"10.*\""));
  EXPECT_FALSE(Matches("state = CLOSED AND peer_address = \"11.*\""));
  EXPECT_FALSE(Matches("state = CLOSED AND state = OPEN"));
}

TEST(StreamQueryTest, RefusalsNameThePlace) {
  EXPECT_EQ(Refusal("stat = OPEN"),
            "filter, character 1: \"stat\" is not a field; there are: state, close_reason, "
            "peer_address, peer_port, local_port, size, open_time, last_time, end_time");
  EXPECT_EQ(Refusal("= OPEN"),
            "filter, character 1: expected a field; there are: state, close_reason, peer_address, "
            "peer_port, local_port, size, open_time, last_time, end_time");
  EXPECT_EQ(Refusal("state"),
            "filter, character 6: expected a comparison; there are: !=, <=, >=, =, <, >");
  EXPECT_EQ(Refusal("state >= OPEN"),
            "filter, character 7: this field can be compared with = and !=");
  EXPECT_EQ(Refusal("open_time = \"2026-01-01T00:00:00Z\""),
            "filter, character 11: a time can be compared with >=, >, <= and <");
  EXPECT_EQ(Refusal("state ="), "filter, character 8: expected a value");
  EXPECT_EQ(Refusal("state = \"\""), "filter, character 9: expected a value");
  EXPECT_EQ(Refusal("state = open"),
            "filter, character 9: \"open\" is not a state; there are: OPEN, CLOSED");
  EXPECT_THAT(Refusal("close_reason = BORED"),
              StartsWith("filter, character 16: \"BORED\" is not a close reason; there are: "));
  EXPECT_EQ(Refusal("peer_address = \"10.0"),
            "filter, character 16: the quoted string does not end");
  EXPECT_EQ(Refusal("peer_address = \"10.0\\"),
            "filter, character 16: the quoted string does not end");
  EXPECT_EQ(Refusal("peer_port = 65536"),
            "filter, character 13: \"65536\" is not a port, a number from 0 to 65535");
  EXPECT_THAT(Refusal("size > much"), StartsWith("filter, character 8: size \"much\""));
  EXPECT_THAT(Refusal("peer_address = nobody"),
              StartsWith("filter, character 16: \"nobody\" is not a peer"));
  EXPECT_EQ(Refusal("open_time > yesterday"),
            "filter, character 13: \"yesterday\" is not a time such as \"2026-01-01T00:00:00Z\"");
}

TEST(StreamQueryTest, OnlyAndJoins) {
  EXPECT_EQ(
      Refusal("state = OPEN OR state = CLOSED"),
      "filter, character 14: expected AND or the end; conditions can only be joined with AND");
  EXPECT_THAT(Refusal("state = OPEN and state = CLOSED"), HasSubstr("character 14"));
  EXPECT_THAT(Refusal("state = OPEN state = CLOSED"), HasSubstr("character 14"));
  EXPECT_THAT(Refusal("state = OPEN)"), HasSubstr("character 13"));
  EXPECT_THAT(Refusal("state = OPEN AND"), StartsWith("filter, character 17: expected a field"));
}

TEST(StreamQueryTest, IsNotEndless) {
  EXPECT_THAT(Refusal(std::string(5000, 'x')), HasSubstr("has 5000 characters"));
}

TEST(StreamQueryTest, TheCatalogIsAskedForNoLessThanMatches) {
  const StreamFilter filter =
      StreamQuery::Parse(
          "state = OPEN AND peer_address = \"10.*\" AND open_time >= \"2026-01-01T00:00:00Z\" AND "
          "end_time > \"2026-02-01T00:00:00Z\" AND open_time < \"2026-03-01T00:00:00Z\" AND "
          "size >= 1KiB AND peer_port <= 5000 AND local_port = 9000")
          .value()
          .Prefilter();
  EXPECT_EQ(filter.open, true);
  EXPECT_EQ(filter.peer, AddressRange::Parse("10.0.0.0/8").value());
  EXPECT_EQ(filter.opened.first, At("2026-01-01T00:00:00Z").value);
  EXPECT_EQ(filter.opened.last, At("2026-03-01T00:00:00Z").value - 1);
  EXPECT_EQ(filter.ended.first, At("2026-02-01T00:00:00Z").value + 1);
  EXPECT_TRUE(filter.last.everything());
  EXPECT_EQ(filter.size.first, 1024);
  EXPECT_EQ(filter.peer_port.last, 5000);
  EXPECT_EQ(filter.local_port, (Interval{9000, 9000}));
  EXPECT_FALSE(filter.recording.has_value());
}

TEST(StreamQueryTest, WhatTheCatalogCannotSortOutIsLeftOut) {
  const StreamFilter filter =
      StreamQuery::Parse("close_reason != RESET AND peer_address != \"10.*\" AND size != 0")
          .value()
          .Prefilter();
  EXPECT_FALSE(filter.peer.has_value());
  EXPECT_FALSE(filter.reason.has_value());
  EXPECT_TRUE(filter.size.everything());
}

TEST(StreamQueryTest, TimesAtTheEndsOfTime) {
  EXPECT_TRUE(Matches("open_time < infinite-future"));
  EXPECT_TRUE(Matches("open_time > infinite-past"));
  EXPECT_FALSE(Matches("open_time > infinite-future"));
  EXPECT_FALSE(Matches("open_time < infinite-past"));
}

TEST(StreamQueryTest, Order) {
  const auto parsed = [](const std::string& text) {
    StreamSearch search;
    EXPECT_TRUE(ParseStreamOrder(text, &search).ok()) << text;
    return std::make_pair(search.order, search.descending);
  };
  EXPECT_EQ(parsed(""), std::make_pair(StreamOrder::kId, false));
  EXPECT_EQ(parsed("name"), std::make_pair(StreamOrder::kId, false));
  EXPECT_EQ(parsed("name desc"), std::make_pair(StreamOrder::kId, true));
  EXPECT_EQ(parsed("open_time"), std::make_pair(StreamOrder::kOpened, false));
  EXPECT_EQ(parsed(" open_time  desc "), std::make_pair(StreamOrder::kOpened, true));
  for (const char* text :
       {"size", "desc", " desc", "name asc", "name, open_time", "open_timedesc"}) {
    StreamSearch search;
    EXPECT_TRUE(absl::IsInvalidArgument(ParseStreamOrder(text, &search))) << text;
  }
}

}  // namespace
}  // namespace sluice
