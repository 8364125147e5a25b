// What programs and people are shown.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr uint64_t kMiB = uint64_t{1} << 20;
const Words kSmall = {"--capacity", "64MiB", "--segment-size", "4MiB"};

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

// Members that are 64-bit integers in the API are strings of digits; all others that end so, too.
void ExpectQuotedIntegers(const Json& object, const Words& members) {
  for (const std::string& member : members) {
    EXPECT_TRUE(object[member].is_string()) << member;
    EXPECT_GE(object[member].int64(), 0) << member;
  }
}

class JsonOutputTest : public E2eTest {
 protected:
  void SetUp() override {
    Recorder recorder(archive(), kSmall);
    for (const uint64_t bytes : {5 * kMiB, uint64_t{0}, uint64_t{3}}) {
      Peer peer(content(), 1, recorder.port());
      ASSERT_TRUE(peer.Send(bytes));
      peer.FinishSending();
      EXPECT_TRUE(peer.AwaitClose());
    }
    summary_ = recorder.Stop();
  }
  Json Ask(Words words) {
    words.insert(words.end(), {"--archive", archive()});
    return AskSluice(words);
  }

  Json summary_;
};

TEST_F(JsonOutputTest, Record) {
  ExpectQuotedIntegers(summary_, {"bytesReceived", "bytesWritten", "bytesDropped", "bytesDurable",
                                  "bytesDisk", "bytesZeroCopy", "bytesCopied", "bytesPacked",
                                  "streamsOpened", "streamsClosed", "regionBytes"});
  EXPECT_GT(summary_["seconds"].number(), 0);
  EXPECT_GE(summary_["seconds"].number(), summary_["activeSeconds"].number());
}

TEST_F(JsonOutputTest, Streams) {
  for (const Words& words : {Words{"streams"}, Words{"streams", "list"}}) {
    const Json list = Ask(words);
    ASSERT_TRUE(list.is_array());
    ASSERT_EQ(list.elements().size(), 3u);
    for (const Json& stream : list.elements()) {
      ExpectQuotedIntegers(stream, {"beginOffset", "durableBytes"});
      EXPECT_EQ(stream["state"].text(), "CLOSED");
      EXPECT_THAT(stream["openTime"].text(), MatchesRegex("[0-9-]+T[0-9:.]+Z"));
    }
  }
}

TEST_F(JsonOutputTest, OneStream) {
  ExpectQuotedIntegers(Ask({"streams", "get", "1-0-1"}), {"beginOffset", "durableBytes"});
}

TEST_F(JsonOutputTest, Recordings) {
  for (const Words& words : {Words{"recordings"}, Words{"recordings", "list"}}) {
    const Json list = Ask(words);
    ASSERT_TRUE(list.is_array());
    ASSERT_EQ(list.elements().size(), 1u);
    ExpectQuotedIntegers(list.elements()[0], {"storedStreams", "storedBytes"});
  }
}

TEST_F(JsonOutputTest, OneRecording) {
  ExpectQuotedIntegers(Ask({"recordings", "get", "default"}), {"storedStreams", "storedBytes"});
}

TEST_F(JsonOutputTest, Status) {
  const Json status = Ask({"status"});
  ExpectQuotedIntegers(status["archive"], {"capacityBytes", "segmentBytes", "storedBytes"});
  EXPECT_TRUE(status["recordings"].is_array());
  EXPECT_TRUE(status["warnings"].is_array());
}

TEST_F(JsonOutputTest, Verify) {
  const Json report = Ask({"verify"});
  EXPECT_TRUE(report["ok"].truth());
  ExpectQuotedIntegers(report, {"extents", "fragments", "streams", "payloadBytes", "damaged"});
  EXPECT_TRUE(report["findings"].is_array());
  EXPECT_TRUE(report["notes"].is_array());
}

TEST_F(JsonOutputTest, Archive) {
  ExpectQuotedIntegers(Ask({"archive", "info"}), {"capacityBytes", "segmentBytes", "storedBytes"});
  ExpectQuotedIntegers(Ask({"archive", "rebuild"}), {"payloadRecoveredBytes"});
  ExpectQuotedIntegers(
      AskSluice({"archive", "create", "--archive", directory() + "/other", "--capacity", "64MiB"}),
      {"capacityBytes", "segmentBytes", "storedBytes"});
}

TEST_F(JsonOutputTest, ListsOfNothing) {
  const std::string empty = directory() + "/empty";
  AskSluice({"archive", "create", "--archive", empty, "--capacity", "64MiB"});
  for (const char* what : {"streams", "recordings"}) {
    const Json list = AskSluice({what, "--archive", empty});
    ASSERT_TRUE(list.is_array()) << what;
    EXPECT_TRUE(list.elements().empty());
  }
}

TEST_F(JsonOutputTest, OfADaemon) {
  Daemon daemon(directory(), absl::StrCat("archive { directory: \"", archive(), "\" }"));
  const auto ask = [&daemon](Words words) {
    words.insert(words.end(), {"--socket", daemon.socket()});
    return AskSluice(words);
  };
  const Words counts = {"bytesReceived", "bytesDurable",  "bytesDropped",
                        "streamsOpen",   "streamsClosed", "connectFailures"};
  ExpectQuotedIntegers(ask({"recordings", "create", "b", "--tcp", "127.0.0.1:0"})["figures"],
                       counts);
  EXPECT_EQ(ask({"recordings"}).elements().size(), 2u);
  EXPECT_EQ(ask({"streams"}).elements().size(), 3u);
  ExpectQuotedIntegers(ask({"status"})["daemon"], {"regionBytes"});
  ExpectQuotedIntegers(ask({"status"})["recovery"], {"payloadRecoveredBytes"});
  ExpectQuotedIntegers(ask({"recordings", "stop", "b"})["figures"], counts);
  EXPECT_TRUE(ask({"recordings", "delete", "b"}).is_object());
  EXPECT_TRUE(ask({"verify"})["ok"].truth());
}

class TextOutputTest : public JsonOutputTest {
 protected:
  std::string Text(Words words) {
    words.insert(words.end(), {"--archive", archive()});
    const Outcome outcome = RunSluice(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return outcome.out;
  }
};

TEST_F(TextOutputTest, TablesFit) {
  for (const Words& words :
       {Words{"streams"}, Words{"recordings"}, Words{"status"}, Words{"archive", "info"},
        Words{"streams", "get", "1-0-1"}, Words{"recordings", "get", "default"}, Words{"verify"}}) {
    for (const std::string& line : Lines(Text(words))) {
      // Directories are as long as they are.
      if (!absl::StrContains(line, directory())) {
        EXPECT_LE(line.size(), 80u) << line;
      }
      EXPECT_NE(line.back(), ' ') << line;
    }
  }
}

TEST_F(TextOutputTest, ColumnsAreInLine) {
  const std::vector<std::string> lines = Lines(Text({"streams"}));
  ASSERT_EQ(lines.size(), 4u);
  for (const char* title : {"STREAM", "RECORDING", "OPENED", "PEER", "STATE"}) {
    const size_t column = lines[0].find(title);
    ASSERT_NE(column, std::string::npos) << title;
    for (const std::string& line : lines) {
      ASSERT_GT(line.size(), column);
      EXPECT_NE(line[column], ' ') << line;
      if (column > 0) {
        EXPECT_EQ(line[column - 1], ' ') << line;
      }
    }
  }
}

TEST_F(TextOutputTest, SaysWhatItRecorded) {
  Words words = {"record", "--tcp", "127.0.0.1:0", "--archive", archive(), "--duration", "50ms"};
  const Outcome outcome = RunSluice(words);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, MatchesRegex("recorded 0B in 0 streams, .*; nothing lost\n"));
  EXPECT_THAT(outcome.err, MatchesRegex("listening on 127.0.0.1:[0-9]+, recording to .*\n"));
}

TEST_F(TextOutputTest, EveryCommandHelps) {
  for (const Words& command : {Words{},
                               Words{"record"},
                               Words{"serve"},
                               Words{"status"},
                               Words{"recordings"},
                               Words{"recordings", "list"},
                               Words{"recordings", "get"},
                               Words{"recordings", "create"},
                               Words{"recordings", "stop"},
                               Words{"recordings", "delete"},
                               Words{"streams"},
                               Words{"streams", "list"},
                               Words{"streams", "get"},
                               Words{"export"},
                               Words{"verify"},
                               Words{"archive"},
                               Words{"archive", "info"},
                               Words{"archive", "create"},
                               Words{"archive", "rebuild"},
                               Words{"doctor"}}) {
    Words words = command;
    words.push_back("--help");
    const Outcome outcome = RunSluice(words);
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.err, "");
    EXPECT_THAT(outcome.out, HasSubstr("Usage: sluice"));
  }
}

class StatusLineTest : public E2eTest, public ::testing::WithParamInterface<uint16_t> {
 protected:
  // A recorder with a terminal.
  std::unique_ptr<Child> Start(const Words& more) {
    Words words = {"record",     "--tcp", "127.0.0.1:0",    "--archive", archive(),
                   "--capacity", "64MiB", "--segment-size", "4MiB"};
    words.insert(words.end(), more.begin(), more.end());
    ChildOptions options = Command(words);
    options.terminal_columns = GetParam();
    options.before_exec = [] { setenv("TERM", "xterm", 1); };
    return std::make_unique<Child>(options);
  }
  static uint16_t Port(Child& recorder) {
    EXPECT_TRUE(recorder.AwaitErr(", recording to ")) << recorder.err();
    std::smatch found;
    const std::string said = recorder.err();
    EXPECT_TRUE(std::regex_search(said, found, std::regex("127\\.0\\.0\\.1:(\\d+)"))) << said;
    return PortOf(found[0]);
  }
  // What was drawn, one after the other.
  static std::vector<std::string> Drawn(const Child& recorder) {
    std::vector<std::string> drawn;
    for (const absl::string_view part : absl::StrSplit(recorder.err(), '\r')) {
      const size_t end = part.find("\x1b[K");
      if (end != absl::string_view::npos && end > 0) drawn.emplace_back(part.substr(0, end));
    }
    return drawn;
  }
};

TEST_P(StatusLineTest, ShowsRateAndStreamsAndFits) {
  const std::unique_ptr<Child> recorder = Start({});
  Peer first(content(), 1, Port(*recorder));
  Peer second(content(), 2, Port(*recorder));
  ASSERT_TRUE(first.Send(2 * kMiB));
  ASSERT_TRUE(recorder->AwaitErr("2.0MiB")) << recorder->err();
  if (GetParam() >= 40) {
    ASSERT_TRUE(recorder->AwaitErr("2 streams")) << recorder->err();
  }
  recorder->Signal(SIGINT);
  EXPECT_EQ(recorder->Wait(), 0);
  const std::vector<std::string> drawn = Drawn(*recorder);
  ASSERT_FALSE(drawn.empty());
  for (const std::string& line : drawn) {
    EXPECT_LT(line.size(), GetParam()) << line;
    if (GetParam() >= 40) {
      EXPECT_THAT(line, ContainsRegex("B/s  [0-9]+ stream"));
    }
  }
  // Nothing of it stays in the way of what comes after.
  EXPECT_THAT(recorder->err(), testing::EndsWith("\r\x1b[K"));
  EXPECT_THAT(recorder->out(), MatchesRegex("recorded 2.0MiB in 2 streams, .*; nothing lost\n"));
}

TEST_P(StatusLineTest, QuietDrawsNothing) {
  const std::unique_ptr<Child> recorder = Start({"--quiet", "--duration", "600ms"});
  EXPECT_EQ(recorder->Wait(), 0);
  EXPECT_EQ(recorder->err() + recorder->out(), "");
}

INSTANTIATE_TEST_SUITE_P(Columns, StatusLineTest, ::testing::Values(80, 40, 20),
                         ::testing::PrintToStringParamName());

class NoTerminalTest : public E2eTest {};

TEST_F(NoTerminalTest, DrawsNothing) {
  const Outcome outcome = RunSluice({"record", "--tcp", "127.0.0.1:0", "--archive", archive(),
                                     "--capacity", "64MiB", "--duration", "600ms"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(Lines(outcome.err).size(), 1u) << outcome.err;
  EXPECT_EQ(outcome.err.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace sluice
