// What users mistype: one sentence on standard error, an exit code, nothing else.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

void ExpectOneSentence(const Outcome& outcome, int code, const Words& says) {
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, StartsWith("sluice"));
  EXPECT_THAT(outcome.err, EndsWith("\n"));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_LT(outcome.err.size(), 400u) << outcome.err;
  for (const std::string& part : says) EXPECT_THAT(outcome.err, HasSubstr(part));
}

struct Mistake {
  const char* name;
  Words words;  // ARCHIVE, NEW, FILE, EMPTY and NOWHERE are paths, see below
  int code;
  Words says;

  friend void PrintTo(const Mistake& each, std::ostream* out) { *out << each.name; }
};

// In a directory with an archive, a file and an empty directory.
class MistakeTest : public E2eTest, public ::testing::WithParamInterface<Mistake> {
 protected:
  void SetUp() override {
    AskSluice({"archive", "create", "--archive", archive(), "--capacity", "64MiB"});
    std::ofstream(directory() + "/file") << "text";
    std::filesystem::create_directory(directory() + "/empty");
  }

  std::string Fill(const std::string& text) const {
    return absl::StrReplaceAll(text, {{"ARCHIVE", archive()},
                                      {"NEW", directory() + "/new"},
                                      {"FILE", directory() + "/file"},
                                      {"EMPTY", directory() + "/empty"},
                                      {"NOWHERE", directory() + "/not/there"}});
  }
  Words Fill(Words words) const {
    for (std::string& word : words) word = Fill(word);
    return words;
  }
};

TEST_P(MistakeTest, IsOneSentence) {
  ExpectOneSentence(RunSluice(Fill(GetParam().words)), GetParam().code, Fill(GetParam().says));
  EXPECT_FALSE(std::filesystem::exists(directory() + "/new/segments")) << "something is left";
}

Words Record(const Words& more) {
  Words words = {"record", "--tcp", "127.0.0.1:0"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

const auto kNameOf = [](const auto& info) { return std::string(info.param.name); };

INSTANTIATE_TEST_SUITE_P(
    Words, MistakeTest,
    ::testing::Values(
        Mistake{"NoCommand", {}, 2, {"--help"}},
        Mistake{"UnknownCommand", {"recrod"}, 2, {"recrod", "--help"}},
        Mistake{"UnknownOption", Record({"--archive", "NEW", "--fast"}), 2, {"--fast", "--help"}},
        Mistake{"TooManyArguments", Record({"--archive", "NEW", "more"}), 2, {"more"}},
        Mistake{"NoValue", {"record", "--archive", "NEW", "--tcp"}, 2, {"--tcp"}},
        Mistake{"RecordWithoutAddress", {"record", "--archive", "NEW"}, 2, {"--tcp"}},
        Mistake{"RecordWithoutArchive", Record({}), 2, {"--archive"}},
        Mistake{"RecordIntoNoName", Record({"--archive", ""}), 2, {"archive"}},
        Mistake{"ServeWithoutConfig", {"serve"}, 2, {"--config"}},
        Mistake{"ArchiveWithoutCommand", {"archive"}, 2, {"sluice archive --help"}},
        Mistake{"ExportWithoutStream", {"export", "--archive", "ARCHIVE"}, 2, {"STREAM"}},
        Mistake{"SocketAndArchive",
                {"streams", "--socket", "NOWHERE", "--archive", "ARCHIVE"},
                2,
                {"--socket", "--archive"}},
        Mistake{"DoctorWithoutInterface", {"doctor", "--queue", "0"}, 2, {"--interface"}},
        Mistake{"DoctorQueue",
                {"doctor", "--interface", "lo", "--queue", "first"},
                2,
                {"--queue", "first"}},
        Mistake{"DoctorQueueNegative",
                {"doctor", "--interface", "lo", "--queue", "-1"},
                2,
                {"--queue", "-1"}},
        Mistake{"DoctorInterface", {"doctor", "--interface", "nothere0"}, 2, {"nothere0"}},
        Mistake{"DoctorNoInterface", {"doctor", "--interface", ""}, 2, {"no interface"}},
        Mistake{"DoctorDirectory", {"doctor", "--archive", "NOWHERE"}, 2, {"NOWHERE", "create"}},
        Mistake{"DoctorFile", {"doctor", "--archive", "FILE"}, 2, {"FILE", "not a directory"}},
        Mistake{"DoctorNoDirectory", {"doctor", "--archive", ""}, 2, {"empty"}},
        Mistake{"OutputFormat", {"status", "--archive", "ARCHIVE", "-o", "xml"}, 2, {"xml"}}),
    kNameOf);

INSTANTIATE_TEST_SUITE_P(
    Addresses, MistakeTest,
    ::testing::Values(
        Mistake{"NoPort", {"record", "--archive", "NEW", "--tcp", "127.0.0.1"}, 2, {"no port"}},
        Mistake{"PortTooLarge",
                {"record", "--archive", "NEW", "--tcp", "127.0.0.1:65536"},
                2,
                {"65536"}},
        Mistake{"PortIsNoNumber",
                {"record", "--archive", "NEW", "--tcp", "127.0.0.1:http"},
                2,
                {"http"}},
        Mistake{"NotThisMachine",
                {"record", "--archive", "ARCHIVE", "--tcp", "192.0.2.1:9000"},
                2,
                {"192.0.2.1:9000", "no such address"}},
        Mistake{"Ipv6WithoutBrackets",
                {"record", "--archive", "NEW", "--tcp", "::1:9000"},
                2,
                {"brackets"}},
        Mistake{"ConnectToPortZero",
                Record({"--connect", "--archive", "ARCHIVE"}),
                2,
                {"port 0 cannot be connected to"}}),
    kNameOf);

INSTANTIATE_TEST_SUITE_P(
    Values, MistakeTest,
    ::testing::Values(
        Mistake{"SizeUnit", Record({"--archive", "NEW", "--capacity", "16G"}), 2, {"GiB"}},
        Mistake{"SizeNegative", Record({"--archive", "NEW", "--capacity", "-1GiB"}), 2, {"-1GiB"}},
        Mistake{"SizeZero", Record({"--archive", "NEW", "--capacity", "0"}), 2, {"--capacity"}},
        Mistake{"SizeTooSmall",
                Record({"--archive", "NEW", "--capacity", "1MiB"}),
                2,
                {"capacity 1 MiB is too small"}},
        Mistake{"SegmentTooSmall",
                Record({"--archive", "NEW", "--capacity", "64MiB", "--segment-size", "64KiB"}),
                2,
                {"segments of 64 KiB"}},
        Mistake{"SegmentOdd",
                Record({"--archive", "NEW", "--capacity", "64MiB", "--segment-size", "1500000"}),
                2,
                {"multiples of 4 KiB"}},
        Mistake{"SegmentTooLarge",
                Record({"--archive", "NEW", "--capacity", "64MiB", "--segment-size", "32MiB"}),
                2,
                {"at least 4 segments"}},
        Mistake{"LanesNone", Record({"--archive", "NEW", "--lanes", "0"}), 2, {"--lanes", "64"}},
        Mistake{"LanesMany", Record({"--archive", "NEW", "--lanes", "65"}), 2, {"--lanes", "64"}},
        Mistake{"LanesNoNumber", Record({"--archive", "NEW", "--lanes", "two"}), 2, {"two"}},
        Mistake{"RegionTooSmall",
                Record({"--archive", "ARCHIVE", "--region", "1MiB"}),
                2,
                {"region", "too small"}},
        Mistake{"RegionTooLarge",
                Record({"--archive", "ARCHIVE", "--region", "100TiB"}),
                1,
                {"smaller region"}},
        Mistake{"Name", Record({"--archive", "NEW", "--name", "My_Feed"}), 2, {"My_Feed"}},
        Mistake{"Duration", Record({"--archive", "NEW", "--duration", "soon"}), 2, {"soon"}},
        Mistake{"SyncInterval",
                Record({"--archive", "NEW", "--sync-interval", "0s"}),
                2,
                {"sync interval"}},
        Mistake{"FlushInterval",
                Record({"--archive", "NEW", "--flush-interval", "2h"}),
                2,
                {"flush interval"}},
        Mistake{"ExitAfterStreams",
                Record({"--archive", "NEW", "--exit-after-streams", "0"}),
                2,
                {"--exit-after-streams"}},
        Mistake{"ReceiverKind",
                Record({"--archive", "NEW", "--receiver", "fast"}),
                2,
                {"--receiver", "fast", "device-less"}},
        Mistake{"ZeroCopyWithoutQueue",
                Record({"--archive", "NEW", "--receiver", "zero-copy"}),
                2,
                {"name the interface"}},
        Mistake{"CopyWithQueue",
                Record({"--archive", "NEW", "--receiver", "copy", "--queue", "1"}),
                2,
                {"uses none"}},
        Mistake{"TwoLanesOneQueue",
                Record({"--archive", "NEW", "--interface", "lo", "--queue", "1", "--lanes", "2"}),
                2,
                {"2 lanes", "1 queues"}},
        Mistake{"PayloadCrc", Record({"--archive", "NEW", "--payload-crc", "maybe"}), 2, {"maybe"}},
        Mistake{"PageSize",
                {"streams", "--archive", "ARCHIVE", "--page-size", "0"},
                2,
                {"--page-size"}},
        Mistake{"Filter",
                {"streams", "--archive", "ARCHIVE", "--filter", "state = HALF"},
                2,
                {"HALF", "OPEN"}},
        Mistake{"FromNegative",
                {"export", "1-0-1", "--archive", "ARCHIVE", "--from", "-1"},
                2,
                {"--from"}},
        Mistake{"NoBytes",
                {"export", "1-0-1", "--archive", "ARCHIVE", "--bytes", "0"},
                2,
                {"--bytes"}}),
    kNameOf);

INSTANTIATE_TEST_SUITE_P(
    Names, MistakeTest,
    ::testing::Values(
        Mistake{"StreamOfNoForm", {"streams", "get", "x", "--archive", "ARCHIVE"}, 2, {"3-0-17"}},
        Mistake{"ExportOfNoForm", {"export", "1-0", "--archive", "ARCHIVE"}, 2, {"3-0-17"}},
        Mistake{"UnknownStream",
                {"streams", "get", "7-0-7", "--archive", "ARCHIVE"},
                1,
                {"no stream 7-0-7"}},
        Mistake{"ExportOfUnknownStream",
                {"export", "7-0-7", "--archive", "ARCHIVE"},
                1,
                {"no stream 7-0-7"}},
        Mistake{"UnknownRecording",
                {"recordings", "get", "nothing", "--archive", "ARCHIVE"},
                1,
                {"nothing"}},
        Mistake{"StreamsOfUnknownRecording",
                {"streams", "--recording", "nothing", "--archive", "ARCHIVE"},
                1,
                {"nothing"}},
        Mistake{"CreateWithoutDaemon",
                {"recordings", "create", "a", "--tcp", "127.0.0.1:0", "--archive", "ARCHIVE"},
                1,
                {"sluice serve"}},
        Mistake{"StopWithoutDaemon",
                {"recordings", "stop", "a", "--archive", "ARCHIVE"},
                1,
                {"sluice serve"}},
        Mistake{"NobodyAnswers", {"status", "--socket", "/no/such/s"}, 1, {"/no/such/s", "serve"}},
        Mistake{"NotASocket", {"status", "--socket", "/dev/null"}, 1, {"/dev/null", "serve"}},
        Mistake{"SocketPathTooLong",
                {"status", "--socket", "/" + std::string(107, 's')},
                2,
                {"/sss", "108 bytes", "at most 107"}}),
    kNameOf);

INSTANTIATE_TEST_SUITE_P(
    Places, MistakeTest,
    ::testing::Values(
        Mistake{"RecordNowhere", Record({"--archive", "NOWHERE"}), 1, {"NOWHERE", "create it"}},
        Mistake{"RecordIntoAFile", Record({"--archive", "FILE"}), 1, {"FILE", "not a directory"}},
        Mistake{"RecordWithAnotherCapacity",
                Record({"--archive", "ARCHIVE", "--capacity", "128MiB"}),
                1,
                {"capacity of 64 MiB", "128 MiB was asked for"}},
        Mistake{"RecordWithAnotherSegment",
                Record({"--archive", "ARCHIVE", "--segment-size", "1MiB"}),
                1,
                {"segments of 16 MiB", "1 MiB was asked for"}},
        Mistake{"CreateTwice",
                {"archive", "create", "--archive", "ARCHIVE"},
                1,
                {"is an archive already"}},
        Mistake{"StreamsOfNothing", {"streams", "--archive", "NOWHERE"}, 1, {"no archive"}},
        Mistake{"StreamsOfAnEmptyDirectory", {"streams", "--archive", "EMPTY"}, 1, {"no archive"}},
        Mistake{"StreamsOfAFile", {"streams", "--archive", "FILE"}, 1, {"FILE"}},
        Mistake{"ExportOfNothing", {"export", "1-0-1", "--archive", "NOWHERE"}, 1, {"no archive"}},
        Mistake{"StatusOfNothing", {"status", "--archive", "EMPTY"}, 1, {"no archive"}},
        Mistake{"RecordingsOfNothing", {"recordings", "--archive", "EMPTY"}, 1, {"no archive"}},
        Mistake{"InfoOfNothing", {"archive", "info", "--archive", "EMPTY"}, 1, {"no archive"}},
        Mistake{
            "RebuildOfNothing", {"archive", "rebuild", "--archive", "EMPTY"}, 1, {"no archive"}},
        Mistake{"VerifyOfNothing", {"verify", "--archive", "EMPTY"}, 2, {"no archive"}},
        Mistake{"VerifyOfAFile", {"verify", "--archive", "FILE"}, 2, {"FILE"}},
        Mistake{"ServeWithoutItsConfig", {"serve", "--config", "NOWHERE"}, 1, {"NOWHERE"}},
        Mistake{"ServeADirectory", {"serve", "--config", "EMPTY"}, 1, {"Is a directory"}}),
    kNameOf);

struct ConfigMistake {
  const char* name;
  std::string text;   // after a first line that is right
  std::string place;  // line and column
  std::string says;
  int code = 2;

  friend void PrintTo(const ConfigMistake& each, std::ostream* out) { *out << each.name; }
};

class ConfigTest : public E2eTest, public ::testing::WithParamInterface<ConfigMistake> {};

TEST_P(ConfigTest, NamesTheLine) {
  const std::string path = directory() + "/serve.textproto";
  // A short path: the API's socket lies in the archive.
  std::ofstream(path) << "archive { directory: \"/no/such/archive\" capacity: \"64MiB\" }\n"
                      << GetParam().text;
  ExpectOneSentence(RunSluice({"serve", "--config", path}), GetParam().code,
                    {absl::StrCat(path, ":", GetParam().place, ": "), GetParam().says});
}

INSTANTIATE_TEST_SUITE_P(
    Fields, ConfigTest,
    ::testing::Values(
        ConfigMistake{"Syntax", "api {\n\n", "4:1", "Expected"},
        ConfigMistake{"UnknownField", "\nlane: 2", "3:1", "did you mean \"lanes\"?"},
        ConfigMistake{"WrongType", "lanes: two", "2:8", "two"},
        ConfigMistake{"Lanes", "lanes: 0", "2:1", "between 1 and 64"},
        ConfigMistake{"RegionUnit", "region_size: \"1 banana\"", "2:1", "banana"},
        ConfigMistake{"RegionTooSmall", "region_size: \"1MiB\"", "2:1", "at least 4MiB"},
        ConfigMistake{"ReceiverMode", "receiver { mode: FAST }", "2:23", "FAST"},
        ConfigMistake{"ReceiverWithoutQueue", "receiver { mode: ZERO_COPY }", "2:1",
                      "name the interface"},
        ConfigMistake{"RelativeSocket", "api { unix_socket: \"s\" }", "2:7", "absolute"},
        ConfigMistake{"RecordingId", "recording { id: \"A\" tcp_listen { address: \":0\" } }",
                      "2:13", "lower-case"},
        ConfigMistake{"RecordingTwice",
                      "recording { id: \"a\" tcp_listen { address: \":0\" } }\n"
                      "recording { id: \"a\" tcp_listen { address: \":0\" } }",
                      "3:13", "taken already"},
        ConfigMistake{"NoSource", "recording { id: \"a\" }", "2:1", "needs a source"},
        ConfigMistake{"Address", "recording { id: \"a\"\n tcp_listen { address: \"x\" } }", "3:15",
                      "no port"},
        ConfigMistake{"Interval",
                      "recording { id: \"a\" tcp_listen { address: \":0\" }\n"
                      " flush_interval: \"fast\" }",
                      "3:2", "not a duration"}),
    kNameOf);

class InUseTest : public E2eTest {};

TEST_F(InUseTest, APortThatIsTaken) {
  const Server server;
  const std::string address = absl::StrCat("127.0.0.1:", server.port());
  for (const char* lanes : {"1", "2"}) {
    ExpectOneSentence(RunSluice({"record", "--tcp", address, "--archive", archive(), "--capacity",
                                 "64MiB", "--lanes", lanes}),
                      1, {"listen on " + address, "in use", "another port"});
  }
}

TEST_F(InUseTest, APortOfAnotherRecorder) {
  Recorder first(archive(), {"--capacity", "64MiB", "--lanes", "2"});
  const std::string address = absl::StrCat("127.0.0.1:", first.port());
  for (const char* lanes : {"1", "2"}) {
    ExpectOneSentence(RunSluice({"record", "--tcp", address, "--archive", directory() + "/b",
                                 "--capacity", "64MiB", "--lanes", lanes}),
                      1, {"listen on " + address, "in use"});
  }
}

TEST_F(InUseTest, AnArchiveThatIsHeld) {
  Recorder first(archive(), {"--capacity", "64MiB"});
  ExpectOneSentence(
      RunSluice({"record", "--tcp", "127.0.0.1:0", "--archive", archive()}), 1,
      {archive(), "already open for writing",
       absl::StrCat("process ", first.child().pid(), " (record)"), "another directory"});
  const Json info = AskSluice({"archive", "info", "--archive", archive()});
  EXPECT_EQ(info["holder"]["pid"].number(), first.child().pid());
  EXPECT_EQ(first.Stop()["state"].text(), "STOPPED");
}

TEST_F(InUseTest, ASocketPathThatIsAFile) {
  const std::string path = directory() + "/serve.textproto";
  std::ofstream(directory() + "/file") << "precious";
  std::ofstream(path) << "archive { directory: \"" << archive() << "\" capacity: \"64MiB\" }\n"
                      << "api { unix_socket: \"/dev/null\" }\n";
  const Outcome outcome = RunSluice({"serve", "--config", path});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("sluice: listen on unix:/dev/null: "));
  EXPECT_THAT(outcome.err, HasSubstr("not a socket"));
}

}  // namespace
}  // namespace sluice
