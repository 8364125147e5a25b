#include "control/cli/program.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/cli/command.h"

namespace sluice {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

// Before there are threads, of gRPC's or of ours: a signal goes to any that does not block it.
const bool kSignalsBlocked = [] {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  return pthread_sigmask(SIG_BLOCK, &signals, nullptr) == 0;
}();

struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

Outcome Sluice(std::vector<std::string> arguments) {
  std::vector<const char*> argv = {"sluice"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.code = RunProgram(static_cast<int>(argv.size()), argv.data());
  outcome.out = testing::internal::GetCapturedStdout();
  outcome.err = testing::internal::GetCapturedStderr();
  return outcome;
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(ProgramTest, HelpAndVersion) {
  EXPECT_EQ(Sluice({"--version"}).out, "sluice 0.1.0\n");
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{},
                                             {"record"},
                                             {"serve"},
                                             {"status"},
                                             {"recordings"},
                                             {"recordings", "create"},
                                             {"streams"},
                                             {"streams", "get"},
                                             {"export"},
                                             {"verify"},
                                             {"archive"},
                                             {"archive", "rebuild"}}) {
    std::vector<std::string> arguments = command;
    arguments.push_back("--help");
    const Outcome outcome = Sluice(arguments);
    EXPECT_EQ(outcome.code, kExitOk);
    EXPECT_THAT(outcome.out, HasSubstr("Usage: sluice"));
    EXPECT_EQ(outcome.err, "");
  }
}

TEST(ProgramTest, MistakesAreOneSentenceAndExitCode2) {
  struct Case {
    std::vector<std::string> arguments;
    std::string says;
  };
  for (const Case& mistake : std::vector<Case>{
           {{}, "sluice: a command is missing; see `sluice --help`\n"},
           {{"recrod"}, "sluice: unknown command recrod; see `sluice --help`\n"},
           {{"archive", "mend"},
            "sluice archive: unknown command mend; see `sluice archive --help`\n"},
           {{"streams", "list", "--page", "3"},
            "sluice streams list: unknown option --page; see `sluice streams list --help`\n"},
           {{"record"}, "sluice record: --tcp is required; see `sluice record --help`\n"},
           {{"record", "--tcp"},
            "sluice record: --tcp takes one value; see `sluice record --help`\n"},
           {{"record", "--tcp", ":1", "--archive", "a", "--sync-interval", "5"},
            "sluice record: --sync-interval: duration \"5\" is not a number and a unit, as in "
            "\"500ms\" or \"1m30s\"; see `sluice record --help`\n"},
           {{"record", "--tcp", ":1", "--archive", "a", "--output", "xml"},
            "sluice record: --output: \"xml\" is neither \"text\" nor \"json\"; see "
            "`sluice record --help`\n"},
           {{"streams", "--socket", "a", "--archive", "b"},
            "sluice streams: --socket excludes --archive; see `sluice streams --help`\n"},
           {{"export", "nonsense", "--archive", "a", "--to", "-"},
            "sluice: \"nonsense\" is no stream: its name looks like 3-0-17, or "
            "recordings/market/streams/3-0-17 in full\n"},
           {{"recordings", "get", "Upper", "--archive", "a"}, "sluice: "},
       }) {
    const Outcome outcome = Sluice(mistake.arguments);
    EXPECT_EQ(outcome.code, kExitUsage) << outcome.err;
    EXPECT_THAT(outcome.err, StartsWith(mistake.says));
    EXPECT_THAT(outcome.err, EndsWith("\n"));
    EXPECT_EQ(outcome.out, "");
  }
}

TEST(ProgramTest, WhatIsNotThereIsExitCode1) {
  const std::string missing = "/no/such/archive";  // short enough for a socket
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"streams", "--archive", missing},
                                             {"status", "--archive", missing},
                                             {"archive", "info", "--archive", missing},
                                             {"export", "1-0-1", "--archive", missing, "--to", "-"},
                                             {"recordings", "--socket", missing}}) {
    const Outcome outcome = Sluice(arguments);
    EXPECT_EQ(outcome.code, kExitFailed);
    EXPECT_THAT(outcome.err, HasSubstr(missing));
  }
  EXPECT_EQ(Sluice({"verify", "--archive", missing}).code, 2);
}

// A whole recording, and everything that can be asked about it.
class CommandsTest : public testing::Test {
 protected:
  CommandsTest() : directory_(testing::TempDir() + "/commands_test"), archive_(directory_ + "/a") {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
    for (int i = 0; i < 3'000'000; ++i) payload_.push_back(static_cast<char>(i * 131 + (i >> 8)));
  }

  static sockaddr_in Loopback(uint16_t port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }

  static uint16_t FreePort() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = Loopback(0);
    socklen_t length = sizeof(address);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length), 0);
    close(fd);
    return ntohs(address.sin_port);
  }

  // Connects as soon as somebody listens.
  void Send(uint16_t port) const {
    const sockaddr_in address = Loopback(port);
    int fd = -1;
    for (int i = 0; i < 500; ++i) {
      fd = socket(AF_INET, SOCK_STREAM, 0);
      if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) break;
      close(fd);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    for (size_t sent = 0; sent < payload_.size();) {
      const ssize_t n = send(fd, payload_.data() + sent, payload_.size() - sent, MSG_NOSIGNAL);
      ASSERT_GT(n, 0);
      sent += static_cast<size_t>(n);
    }
    close(fd);
  }

  // While the program records into the archive.
  Outcome Record(std::vector<std::string> more) {
    const uint16_t port = FreePort();
    std::thread sender([this, port] { Send(port); });
    std::vector<std::string> arguments = {
        "record",    "--tcp",          absl::StrCat("127.0.0.1:", port),
        "--archive", archive_,         "--capacity",
        "64MiB",     "--segment-size", "16MiB",
        "--region",  "16MiB"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = Sluice(arguments);
    sender.join();
    return outcome;
  }

  const std::string directory_;
  const std::string archive_;
  std::string payload_;
};

TEST_F(CommandsTest, RecordsAndTellsAboutIt) {
  const Outcome recorded = Record({"--exit-after-streams", "1", "--output", "json"});
  ASSERT_EQ(recorded.code, kExitOk) << recorded.err;
  EXPECT_THAT(recorded.err, HasSubstr("listening on 127.0.0.1:"));
  EXPECT_THAT(recorded.err,
              HasSubstr(absl::StrCat(", recording to ", archive_, " (receiver: copy, ")));
  EXPECT_THAT(recorded.out, StartsWith("{\n"));
  EXPECT_THAT(recorded.out, EndsWith("}\n"));
  EXPECT_THAT(recorded.out, HasSubstr("\"bytesReceived\": \"3000000\""));
  EXPECT_THAT(recorded.out, HasSubstr("\"bytesDurable\": \"3000000\""));
  EXPECT_THAT(recorded.out, HasSubstr("\"streamsClosed\": \"1\""));
  EXPECT_THAT(recorded.out, HasSubstr("\"regionBytes\": \"16777216\""));

  const Outcome recordings = Sluice({"recordings", "--archive", archive_});
  EXPECT_EQ(recordings.code, kExitOk) << recordings.err;
  EXPECT_THAT(recordings.out, HasSubstr("\ndefault    STOPPED        1  2.9MiB"));
  EXPECT_EQ(recordings.err, "");
  EXPECT_THAT(Sluice({"recordings", "get", "default", "--archive", archive_}).out,
              StartsWith("Name            recordings/default\n"));
  EXPECT_THAT(Sluice({"streams", "--archive", archive_}).out, HasSubstr("1-0-1   default"));
  EXPECT_THAT(
      Sluice({"streams", "list", "--archive", archive_, "--filter", "state = OPEN", "-o", "json"})
          .out,
      "[]\n");
  EXPECT_THAT(Sluice({"streams", "get", "1-0-1", "--archive", archive_, "-o", "json"}).out,
              HasSubstr("\"durableBytes\": \"3000000\""));
  EXPECT_THAT(Sluice({"status", "--archive", archive_}).out, HasSubstr("Held by   nobody"));
  EXPECT_THAT(Sluice({"archive", "info", "--archive", archive_}).out,
              HasSubstr("64.0MiB in 4 seg"));
  const Outcome verified = Sluice({"verify", "--archive", archive_});
  EXPECT_EQ(verified.code, kExitOk) << verified.out;
  EXPECT_THAT(verified.out, EndsWith(": no damage\n"));

  const std::string file = directory_ + "/out.bin";
  ASSERT_EQ(Sluice({"export", "1-0-1", "--archive", archive_, "--to", file}).code, kExitOk);
  EXPECT_TRUE(ReadFile(file) == payload_);
  const Outcome again = Sluice({"export", "1-0-1", "--archive", archive_, "--to", file});
  EXPECT_EQ(again.code, kExitFailed);
  EXPECT_THAT(again.err, HasSubstr("--force"));
  ASSERT_EQ(Sluice({"export", "recordings/default/streams/1-0-1", "--archive", archive_, "--to",
                    file, "--force", "--from", "12345", "--bytes", "54321"})
                .code,
            kExitOk);
  EXPECT_TRUE(ReadFile(file) == payload_.substr(12345, 54321));
  EXPECT_TRUE(Sluice({"export", "1-0-1", "--archive", archive_, "--follow", "--to", "-"}).out ==
              payload_);

  const Outcome rebuilt = Sluice({"archive", "rebuild", "--archive", archive_});
  EXPECT_EQ(rebuilt.code, kExitOk) << rebuilt.err;
  EXPECT_THAT(rebuilt.out, HasSubstr("rebuilt the catalog from 1 segment"));
  EXPECT_TRUE(Sluice({"export", "1-0-1", "--archive", archive_, "--to", "-"}).out == payload_);
}

TEST_F(CommandsTest, RecordingGoesOnUnderItsName) {
  ASSERT_EQ(Record({"--exit-after-streams", "1", "-q"}).out, "");
  const Outcome second = Record({"--exit-after-streams", "1"});
  EXPECT_EQ(second.code, kExitOk) << second.err;
  EXPECT_THAT(second.out, StartsWith("recorded 2.9MiB in 1 stream, "));
  EXPECT_THAT(second.out, EndsWith("; nothing lost\n"));
  EXPECT_THAT(Sluice({"recordings", "--archive", archive_}).out,
              HasSubstr("STOPPED        2  5.7MiB"));
}

TEST_F(CommandsTest, ASignalEndsARecordingInOrder) {
  ASSERT_TRUE(kSignalsBlocked);
  std::thread signaller([this] {
    // A stream that is stored was received; the recorder is past its start.
    for (int i = 0; i < 500; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      if (std::filesystem::exists(archive_ + "/catalog.db")) break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    kill(getpid(), SIGTERM);
  });
  const Outcome outcome = Record({"--output", "json"});
  signaller.join();
  EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("\"state\": \"STOPPED\""));
  EXPECT_EQ(Sluice({"verify", "--archive", archive_}).code, kExitOk);
}

TEST_F(CommandsTest, DurationEndsARecording) {
  const uint16_t port = FreePort();
  const Outcome outcome = Sluice({"record", "--tcp", absl::StrCat("127.0.0.1:", port), "--archive",
                                  archive_, "--capacity", "64MiB", "--region", "16MiB",
                                  "--duration", "100ms", "--name", "short"});
  EXPECT_EQ(outcome.code, kExitOk) << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("recorded 0B in 0 streams, "));
  const Outcome deleted = Sluice({"recordings", "delete", "short", "--archive", archive_});
  EXPECT_EQ(deleted.code, kExitOk) << deleted.err;
  EXPECT_EQ(Sluice({"recordings", "--archive", archive_, "-o", "json"}).out, "[]\n");
  EXPECT_EQ(Sluice({"recordings", "delete", "short", "--archive", archive_}).code, kExitFailed);
}

TEST_F(CommandsTest, ArchivesAreMadeOnce) {
  const Outcome made = Sluice({"archive", "create", "--archive", archive_, "--capacity", "64MiB"});
  EXPECT_EQ(made.code, kExitOk) << made.err;
  EXPECT_THAT(made.out, HasSubstr("64.0MiB in 4 segments of 16.0MiB"));
  const Outcome again = Sluice({"archive", "create", "--archive", archive_, "--capacity", "64MiB"});
  EXPECT_EQ(again.code, kExitFailed);
  EXPECT_THAT(again.err, HasSubstr("is an archive already"));
  EXPECT_EQ(Sluice({"streams", "--archive", archive_, "-o", "json"}).out, "[]\n");
}

}  // namespace
}  // namespace sluice
