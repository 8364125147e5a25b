#include "control/config/serve_config.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

ServeConfig Parsed(const std::string& text) {
  absl::StatusOr<ServeConfig> config = ParseConfig(text, "serve.textproto");
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *std::move(config) : ServeConfig{};
}

std::string Refusal(const std::string& text) {
  const absl::StatusOr<ServeConfig> config = ParseConfig(text, "c");
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(config.status().message());
}

// In an otherwise correct file, whose second line is `line`.
std::string RefusalOfLine(const std::string& line) {
  return Refusal("archive { directory: \"/a\" }\n" + line + "\n");
}

// Inside of a recording; `line` is the third line.
std::string RefusalInRecording(const std::string& line) {
  return RefusalOfLine("recording {\n" + line + "\n}");
}

constexpr char kGood[] = R"(# All there is.
archive {
  directory: "/var/lib/sluice"
  capacity: "400GiB"
  segment_size: "128MiB"
}
lanes: 2
region_size: "256MiB"
api { unix_socket: "/run/sluice/sluice.sock" }
recording {
  id: "market"
  tcp_listen { address: "127.0.0.1:9000" }
  payload_crc: false
  flush_interval: "250ms"
  sync_interval: "2s"
  back_pressure: DROP_OLDEST
  lag_limit: "3s"
}
recording {
  id: "feed-2"
  tcp_connect { address: "[::1]:7000" }
}
)";

TEST(ServeConfigTest, ReadsEverything) {
  const ServeConfig config = Parsed(kGood);
  EXPECT_EQ(config.recorder.archive.directory, "/var/lib/sluice");
  EXPECT_EQ(config.recorder.archive.capacity, GiB(400));
  EXPECT_EQ(config.recorder.archive.segment, MiB(128));
  EXPECT_EQ(config.recorder.archive.purpose, "serve");
  EXPECT_EQ(config.recorder.archive.socket_path, "/run/sluice/sluice.sock");
  EXPECT_EQ(config.recorder.lanes, 2u);
  EXPECT_EQ(config.recorder.region, MiB(256));
  EXPECT_EQ(config.unix_socket, "/run/sluice/sluice.sock");
  ASSERT_EQ(config.recordings.size(), 2u);

  const RecordingSpec& market = config.recordings[0];
  EXPECT_EQ(market.id, "market");
  EXPECT_EQ(market.source, SourceKind::kTcpListen);
  EXPECT_EQ(market.address.ToString(), "127.0.0.1:9000");
  EXPECT_FALSE(market.payload_crc);
  EXPECT_EQ(market.flush_interval, absl::Milliseconds(250));
  EXPECT_EQ(market.sync_interval, absl::Seconds(2));
  EXPECT_EQ(market.back_pressure, BackPressure::kDropOldest);
  EXPECT_EQ(market.lag_limit, absl::Seconds(3));

  const RecordingSpec& feed = config.recordings[1];
  EXPECT_EQ(feed.source, SourceKind::kTcpConnect);
  EXPECT_EQ(feed.address.ToString(), "[::1]:7000");
}

TEST(ServeConfigTest, ReadsFurtherDisks) {
  const ServeConfig config = Parsed(R"(archive {
  directory: "/a"
  disk { directory: "/mnt/b" capacity: "2TiB" }
  disk { directory: "/mnt/c" }
})");
  ASSERT_EQ(config.recorder.archive.disks.size(), 2u);
  EXPECT_EQ(config.recorder.archive.disks[0].directory, "/mnt/b");
  EXPECT_EQ(config.recorder.archive.disks[0].capacity, GiB(2048));
  EXPECT_EQ(config.recorder.archive.disks[1].capacity, ByteCount{});
  EXPECT_THAT(Refusal("archive { directory: \"/a\" disk {} }"), HasSubstr("directory"));
  EXPECT_THAT(Refusal("archive { directory: \"/a\"\n disk { directory: \"/b\" capacity: \"x\" } }"),
              HasSubstr("c:2"));
}

TEST(ServeConfigTest, FillsInDefaults) {
  const ServeConfig config = Parsed(R"(
      archive { directory: "/var/lib/sluice" }
      recording { id: "a" tcp_listen { address: "127.0.0.1:0" } })");
  EXPECT_EQ(config.recorder.archive.capacity.value, 0u);
  EXPECT_EQ(config.recorder.lanes, 1u);
  EXPECT_EQ(config.recorder.region, MiB(64));
  EXPECT_EQ(config.unix_socket, "/var/lib/sluice/sluice.sock");
  ASSERT_EQ(config.recordings.size(), 1u);
  EXPECT_TRUE(config.recordings[0].payload_crc);
  EXPECT_EQ(config.recordings[0].flush_interval, absl::Milliseconds(500));
  EXPECT_EQ(config.recordings[0].sync_interval, absl::Seconds(1));
  EXPECT_EQ(config.recordings[0].back_pressure, BackPressure::kLossless);
}

TEST(ServeConfigTest, BackPressure) {
  const std::string recording = " id: \"a\" tcp_listen { address: \":0\" }\n";
  EXPECT_THAT(RefusalInRecording(recording + " lag_limit: \"1s\""),
              StartsWith("c:4:2: lag_limit is for recordings that drop bytes"));
  EXPECT_EQ(RefusalInRecording(recording + " back_pressure: DROP_NEWEST lag_limit: \"0s\""),
            "c:4:29: lag_limit is 0, but must be between 1ms and 1h");
  EXPECT_EQ(RefusalInRecording(recording + " back_pressure: DROP_NEWEST lag_limit: \"x\""),
            "c:4:29: lag_limit: \"x\" is not a duration, such as \"500ms\" or \"1s\"");
  EXPECT_THAT(RefusalInRecording(recording + " back_pressure: DROP_SOME"), HasSubstr("DROP_SOME"));
}

TEST(ServeConfigTest, TheLimitForDisksThatStall) {
  const std::string archive = "archive { directory: \"/a\" ";
  EXPECT_EQ(Parsed(archive + "}").recorder.stall_limit, absl::Seconds(10));
  EXPECT_EQ(Parsed(archive + "stall_limit: \"1500ms\" }").recorder.stall_limit,
            absl::Milliseconds(1500));
  EXPECT_THAT(Refusal(archive + "stall_limit: \"99ms\" }"),
              HasSubstr("stall_limit is 99ms, but must be between 100ms and 1h"));
  EXPECT_THAT(Refusal(archive + "stall_limit: \"2h\" }"), HasSubstr("between 100ms and 1h"));
  EXPECT_THAT(Refusal(archive + "stall_limit: \"soon\" }"),
              HasSubstr("stall_limit: \"soon\" is not a duration"));
}

TEST(ServeConfigTest, TheSocketOfARelativeArchiveIsAbsolute) {
  ASSERT_EQ(chdir("/tmp"), 0);
  EXPECT_EQ(Parsed("archive { directory: \"data\" }").unix_socket, "/tmp/data/sluice.sock");
}

TEST(ServeConfigTest, SyntaxErrorsNameThePlace) {
  EXPECT_THAT(RefusalOfLine("lanes: \"two\""), StartsWith("c:2:8: Expected integer"));
  EXPECT_THAT(RefusalOfLine("lanes: -1"), StartsWith("c:2:8: "));
  EXPECT_THAT(RefusalOfLine("region_size: 64"), StartsWith("c:2:14: Expected string"));
  EXPECT_THAT(RefusalOfLine("recording { "), StartsWith("c:3:1: "));
  EXPECT_THAT(RefusalOfLine("lanes: 1 lanes: 2"), HasSubstr("specified multiple times"));
  EXPECT_THAT(Refusal("archive { directory: \"/a }\n"), StartsWith("c:1:"));
}

TEST(ServeConfigTest, UnknownFieldsGetASuggestion) {
  EXPECT_EQ(RefusalOfLine("lane: 2"), "c:2:1: unknown field \"lane\"; did you mean \"lanes\"?");
  EXPECT_EQ(RefusalOfLine("recordings { }"),
            "c:2:1: unknown field \"recordings\"; did you mean \"recording\"?");
  EXPECT_EQ(Refusal("archive {\n  segment: \"1MiB\"\n}"),
            "c:2:3: unknown field \"segment\"; did you mean \"segment_size\"?");
  EXPECT_EQ(RefusalInRecording("  tcp_listen { adress: \":1\" }"),
            "c:3:16: unknown field \"adress\"; did you mean \"address\"?");
}

TEST(ServeConfigTest, UnknownFieldsAreFoundBehindTabsAndBreaks) {
  EXPECT_THAT(RefusalOfLine("api {\n\tunix_sock: \"/a\" }"), StartsWith("c:3:9: unknown field"));
  EXPECT_THAT(RefusalOfLine("lane\n\n  : 2"), StartsWith("c:2:1: unknown field"));
}

TEST(ServeConfigTest, UnknownFieldsLikeNoneGetTheList) {
  EXPECT_EQ(
      RefusalOfLine("bananas: 2"),
      "c:2:1: unknown field \"bananas\"; there are: archive, lanes, region_size, api, receiver, "
      "retention_class, verify, interface, interface_state, recording");
}

TEST(ServeConfigTest, TheArchiveIsRequired) {
  EXPECT_THAT(Refusal(""), StartsWith("c:1:1: archive is missing"));
  EXPECT_THAT(Refusal("\narchive { }"), StartsWith("c:2:1: archive needs a directory"));
  EXPECT_THAT(Refusal("archive {\n directory: \"\" }"), StartsWith("c:2:2: archive needs a"));
}

TEST(ServeConfigTest, Sizes) {
  EXPECT_EQ(Refusal("archive { directory: \"/a\"\n  capacity: \"16G\"\n}"),
            "c:2:3: capacity: size \"16G\": \"G\" is not a unit, which would be one of B, KiB, "
            "MiB, GiB, TiB, kB, MB, GB, TB; did you mean \"GiB\"?");
  EXPECT_THAT(Refusal("archive { directory: \"/a\"\n capacity: \"0B\" }"),
              StartsWith("c:2:2: capacity must not be zero"));
  EXPECT_EQ(Refusal("archive { directory: \"/a\"\n capacity: \"1GiB\"\n segment_size: \"2GiB\" }"),
            "c:3:2: segment_size 2GiB is more than the capacity of 1GiB");
  EXPECT_EQ(RefusalOfLine("region_size: \"1MiB\""),
            "c:2:1: region_size is 1MiB, but must be at least 4MiB");
}

TEST(ServeConfigTest, Lanes) {
  EXPECT_EQ(RefusalOfLine("lanes: 0"), "c:2:1: lanes is 0, but must be between 1 and 64");
  EXPECT_EQ(RefusalOfLine("lanes: 65"), "c:2:1: lanes is 65, but must be between 1 and 64");
}

TEST(ServeConfigTest, UnixSocket) {
  EXPECT_EQ(RefusalOfLine("api { unix_socket: \"sluice.sock\" }"),
            "c:2:7: unix_socket \"sluice.sock\" must be an absolute path");
  EXPECT_THAT(RefusalOfLine("api { unix_socket: \"/" + std::string(107, 'x') + "\" }"),
              AllOf(StartsWith("c:2:7: "), HasSubstr("has 108 bytes, and Unix sockets allow 107")));
  Parsed("archive { directory: \"/a\" } api { unix_socket: \"/" + std::string(106, 'x') + "\" }");
  EXPECT_THAT(Refusal("archive {\n directory: \"/" + std::string(100, 'x') + "\" }"),
              AllOf(StartsWith("c:2:2: "), HasSubstr("set a shorter one")));
}

TEST(ServeConfigTest, RecordingIds) {
  const std::string source = " tcp_listen { address: \":0\" }";
  EXPECT_THAT(RefusalInRecording(source), StartsWith("c:2:1: a recording needs an id"));
  EXPECT_THAT(RefusalInRecording(" id: \"Market\"" + source),
              StartsWith("c:3:2: recording id \"Market\": must begin with a lower-case letter"));
  EXPECT_THAT(RefusalInRecording(" id: \"a_b\"" + source), HasSubstr("only lower-case letters"));
  EXPECT_THAT(RefusalInRecording(" id: \"a-\"" + source), HasSubstr("must not end with a hyphen"));
  EXPECT_THAT(RefusalInRecording(" id: \"" + std::string(64, 'a') + "\"" + source),
              HasSubstr("has 64 characters, at most 63"));
}

TEST(ServeConfigTest, RecordingIdsAreUnique) {
  EXPECT_EQ(RefusalOfLine("recording { id: \"a\" tcp_listen { address: \":0\" } }\n"
                          "recording { id: \"a\" tcp_listen { address: \":0\" } }"),
            "c:3:13: recording id \"a\" is taken already, at c:2:13");
}

TEST(ServeConfigTest, ListeningAddressesAreUnique) {
  EXPECT_EQ(RefusalOfLine("recording { id: \"a\" tcp_listen { address: \"127.0.0.1:9000\" } }\n"
                          "recording { id: \"b\" tcp_listen { address: \"127.0.0.1:9000\" } }"),
            "c:3:34: address: 127.0.0.1:9000 is listened on already, at c:2:34");
}

TEST(ServeConfigTest, Sources) {
  EXPECT_THAT(RefusalInRecording(" id: \"a\""),
              StartsWith("c:2:1: recording \"a\" needs a source"));
  EXPECT_THAT(RefusalInRecording(" id: \"a\" tcp_listen { }"),
              StartsWith("c:3:10: address is missing"));
  EXPECT_THAT(RefusalInRecording(" id: \"a\" tcp_listen { address: \"nonsense\" }"),
              StartsWith("c:3:23: address: "));
  EXPECT_THAT(RefusalInRecording(" id: \"a\" tcp_connect { address: \"127.0.0.1:0\" }"),
              StartsWith("c:3:24: address: port 0 cannot be connected to"));
  EXPECT_THAT(RefusalInRecording(
                  " id: \"a\" tcp_listen { address: \":0\" } tcp_connect { address: \":1\" }"),
              HasSubstr("is specified along with field"));
}

TEST(ServeConfigTest, Intervals) {
  const std::string recording = " id: \"a\" tcp_listen { address: \":0\" }\n";
  EXPECT_EQ(RefusalInRecording(recording + " sync_interval: \"fast\""),
            "c:4:2: sync_interval: \"fast\" is not a duration, such as \"500ms\" or \"1s\"");
  EXPECT_EQ(RefusalInRecording(recording + " sync_interval: \"0s\""),
            "c:4:2: sync_interval is 0, but must be between 1ms and 1h");
  EXPECT_EQ(RefusalInRecording(recording + " flush_interval: \"-1s\""),
            "c:4:2: flush_interval is -1s, but must be between 1ms and 1h");
  EXPECT_EQ(RefusalInRecording(recording + " flush_interval: \"2h\""),
            "c:4:2: flush_interval is 2h, but must be between 1ms and 1h");
}

TEST(ServeConfigTest, RetentionClasses) {
  const ServeConfig config = Parsed(R"(
archive { directory: "/a" }
retention_class { name: "evidence" priority: 10 quota: "100GiB" max_age: "720h" reserve: "20GiB" }
retention_class { name: "default" priority: -1 }
recording { id: "a" tcp_listen { address: ":9000" } retention_class: "evidence" }
recording { id: "b" tcp_listen { address: ":9001" } }
)");
  EXPECT_TRUE(config.recorder.only_these_classes);
  ASSERT_EQ(config.recorder.retention_classes.size(), 2u);
  const RetentionClass& evidence = config.recorder.retention_classes[0];
  EXPECT_EQ(evidence.name, "evidence");
  EXPECT_EQ(evidence.priority, 10);
  EXPECT_EQ(evidence.quota, GiB(100));
  EXPECT_EQ(evidence.max_age, absl::Hours(720));
  EXPECT_EQ(evidence.reserve, GiB(20));
  EXPECT_EQ(config.recorder.retention_classes[1].max_age, absl::InfiniteDuration());
  EXPECT_EQ(config.recordings[0].retention_class, "evidence");
  EXPECT_EQ(config.recordings[1].retention_class, "");

  EXPECT_THAT(RefusalOfLine("retention_class { name: \"No\" }"),
              HasSubstr("c:2:19: a retention class needs a name"));
  EXPECT_THAT(RefusalOfLine("retention_class { name: \"a\" } retention_class { name: \"a\" }"),
              HasSubstr("defined already, at c:2:19"));
  EXPECT_THAT(RefusalOfLine("retention_class { name: \"a\" max_age: \"30 days\" }"),
              HasSubstr("is not a duration of at least 1s"));
  EXPECT_THAT(RefusalOfLine("retention_class { name: \"a\" quota: \"much\" }"),
              HasSubstr("quota: "));
  EXPECT_THAT(
      RefusalInRecording("id: \"a\" tcp_listen { address: \":9000\" } retention_class: \"x\""),
      HasSubstr("\"x\" is not defined"));
}

TEST(ServeConfigTest, ReportsAllThatIsWrong) {
  EXPECT_EQ(RefusalOfLine("lanes: 0\nregion_size: \"1KiB\""),
            "c:2:1: lanes is 0, but must be between 1 and 64\n"
            "c:3:1: region_size is 1KiB, but must be at least 4MiB");
}

class LoadConfigTest : public ::testing::Test {
 protected:
  void Write(const std::string& text) { std::ofstream(path_) << text; }
  const std::string path_ = ::testing::TempDir() + "serve_config_test.textproto";
};

TEST_F(LoadConfigTest, ReadsAFile) {
  Write(kGood);
  const absl::StatusOr<ServeConfig> config = LoadConfig(path_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->recordings.size(), 2u);
}

TEST_F(LoadConfigTest, NamesTheFileInErrors) {
  Write("lanes: 0");
  EXPECT_THAT(std::string(LoadConfig(path_).status().message()), HasSubstr(path_ + ":1:1: lanes"));
}

TEST_F(LoadConfigTest, AnEmptyFileIsWrongNotUnreadable) {
  Write("");
  EXPECT_EQ(LoadConfig(path_).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(LoadConfigTest, SaysWhichFileCannotBeRead) {
  const absl::Status missing = LoadConfig("/nonexistent/serve.textproto").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()),
              HasSubstr("read configuration /nonexistent/serve.textproto"));
  const absl::Status directory = LoadConfig(::testing::TempDir()).status();
  EXPECT_THAT(std::string(directory.message()), HasSubstr("Is a directory"));
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  Write(kGood);
  ASSERT_EQ(chmod(path_.c_str(), 0), 0);
  EXPECT_EQ(LoadConfig(path_).status().code(), absl::StatusCode::kPermissionDenied);
  ASSERT_EQ(unlink(path_.c_str()), 0);
}

TEST(ServeConfigTest, VerifiesInTheBackgroundWhenAsked) {
  const std::string archive = "archive { directory: \"/tmp/a\" }\n";
  EXPECT_EQ(ParseConfig(archive, "c")->verify_interval, absl::ZeroDuration());
  const auto config = ParseConfig(archive + "verify { interval: \"7d\" rate: \"1MiB\" }", "c");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->verify_interval, absl::Hours(168));
  EXPECT_EQ(config->verify_rate, MiB(1));
  EXPECT_EQ(ParseConfig(archive + "verify { interval: \"1h\" }", "c")->verify_rate, MiB(50));
  const auto wrong = ParseConfig(archive + "verify { interval: \"weekly\" }", "c");
  EXPECT_EQ(wrong.status().message(),
            "c:2:10: interval: \"weekly\" is not a duration of at least 1s, such as \"7d\"");
}

}  // namespace
}  // namespace sluice
