#include "control/cli/json.h"

#include <google/protobuf/empty.pb.h>
#include <gtest/gtest.h>

#include <sstream>

#include "proto/sluice/v1/streams.pb.h"

namespace sluice {
namespace {

TEST(JsonTest, FollowsProtobufsMapping) {
  v1::Stream stream;
  stream.set_name("recordings/a/streams/1-0-1");
  stream.set_durable_bytes(int64_t{1} << 60);
  stream.set_state(v1::Stream::OPEN);
  const std::string json = ToJson(stream);
  EXPECT_NE(json.find("\"durableBytes\": \"1152921504606846976\""), std::string::npos) << json;
  EXPECT_NE(json.find("\"beginOffset\": \"0\""), std::string::npos) << json;
  EXPECT_NE(json.find("\"state\": \"OPEN\""), std::string::npos) << json;
  EXPECT_EQ(json.back(), '}');
}

TEST(JsonTest, OwnMembersComeFirst) {
  v1::ReadStreamResponse message;
  message.set_offset(7);
  EXPECT_EQ(ToJson(message, {{"x", "1"}, {"y", "\"2\""}}),
            "{\n \"x\": 1,\n \"y\": \"2\",\n \"offset\": \"7\",\n \"data\": \"\"\n}");
  EXPECT_EQ(ToJson(google::protobuf::Empty(), {{"x", "1"}}), "{\n \"x\": 1\n}");
}

TEST(JsonTest, Strings) {
  EXPECT_EQ(JsonString("a\"b\n"), "\"a\\\"b\\n\"");
  EXPECT_EQ(JsonStrings({}), "[]");
  EXPECT_EQ(JsonStrings({"a", "b"}), "[\"a\", \"b\"]");
}

TEST(JsonTest, Arrays) {
  std::ostringstream none;
  JsonArray(none).End();
  EXPECT_EQ(none.str(), "[]\n");

  std::ostringstream two;
  JsonArray array(two);
  v1::ReadStreamResponse message;
  array.Add(message);
  array.Add(message);
  array.End();
  EXPECT_EQ(two.str(),
            "[\n {\n  \"offset\": \"0\",\n  \"data\": \"\"\n },\n {\n  \"offset\": \"0\",\n"
            "  \"data\": \"\"\n }\n]\n");
}

}  // namespace
}  // namespace sluice
