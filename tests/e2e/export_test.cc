// Reading what was recorded, also while it is being recorded.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMiB = uint64_t{1} << 20;
const Words kSmall = {"--capacity", "64MiB", "--segment-size", "4MiB", "--sync-interval", "50ms"};

// A recording that runs, read from the files beside it or through a daemon's socket.
class LiveExportTest : public E2eTest, public ::testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) {
      daemon_ = std::make_unique<Daemon>(
          directory(), "archive { directory: \"" + archive() +
                           "\" capacity: \"64MiB\" segment_size: \"4MiB\" } recording { id: \"a\" "
                           "tcp_listen { address: \"127.0.0.1:0\" } sync_interval: \"50ms\" }");
      port_ = daemon_->Port("a");
      source_ = daemon_->target();
    } else {
      recorder_ = std::make_unique<Recorder>(archive(), kSmall);
      port_ = recorder_->port();
      source_ = target();
    }
  }

  Child& recorder() { return daemon_ ? daemon_->child() : recorder_->child(); }
  uint16_t port() const { return port_; }
  const Words& source() const { return source_; }

  ChildOptions Export(const std::string& id, const Words& more) {
    Words words = {"export", id, "--to", "-"};
    words.insert(words.end(), source().begin(), source().end());
    words.insert(words.end(), more.begin(), more.end());
    ChildOptions options = Command(words);
    options.raw_out = true;
    return options;
  }

 private:
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<Recorder> recorder_;
  uint16_t port_ = 0;
  Words source_;
};

TEST_P(LiveExportTest, WithoutFollowEndsAtWhatIsDurable) {
  Peer peer(content(), 1, port());
  ASSERT_TRUE(peer.Send(5 * kMiB + 7));
  const Json stream = AwaitDurable(source(), peer.address(), peer.sent());
  EXPECT_EQ(stream["state"].text(), "OPEN");
  EXPECT_EQ(CompareExport(StreamId(stream), source(), content(), {.number = 1, .end = peer.sent()}),
            "");
}

TEST_P(LiveExportTest, FollowSeesNewBytesAndEndsWithTheStream) {
  Peer peer(content(), 1, port());
  ASSERT_TRUE(peer.Send(kMiB + 1));
  const std::string id = StreamId(AwaitDurable(source(), peer.address(), 1));
  Child reader(Export(id, {"--follow"}));
  uint64_t read_until = 0;
  for (const uint64_t more : {uint64_t{0}, uint64_t{1}, 70'001 + kMiB, uint64_t{4095}}) {
    ASSERT_TRUE(peer.Send(more));
    ASSERT_EQ(CompareBytes(reader.out_fd(), content(), 1, read_until, peer.sent() - read_until),
              "");
    read_until = peer.sent();
  }
  peer.FinishSending();
  char surplus = 0;
  EXPECT_EQ(read(reader.out_fd(), &surplus, 1), 0);
  EXPECT_EQ(reader.Wait(), 0) << reader.err();
}

TEST_P(LiveExportTest, FollowOfALongStreamToItsEnd) {
  Peer peer(content(), 3, port());
  ASSERT_TRUE(peer.Send(1));
  const std::string id = StreamId(AwaitDurable(source(), peer.address(), 1));
  Child reader(Export(id, {"--follow"}));
  ASSERT_EQ(CompareBytes(reader.out_fd(), content(), 3, 0, 1), "");
  ASSERT_TRUE(peer.Send(30 * kMiB));
  peer.FinishSending();
  EXPECT_EQ(CompareBytes(reader.out_fd(), content(), 3, 1, 30 * kMiB), "");
  EXPECT_EQ(reader.Wait(), 0) << reader.err();
}

TEST_P(LiveExportTest, FollowEndsWhenTheRecordingIsStopped) {
  Peer peer(content(), 1, port());
  ASSERT_TRUE(peer.Send(100));
  const std::string id = StreamId(AwaitDurable(source(), peer.address(), 100));
  Child reader(Export(id, {"--follow"}));
  ASSERT_EQ(CompareBytes(reader.out_fd(), content(), 1, 0, 100), "");
  if (GetParam()) {
    RunSluice({"recordings", "stop", "a", source()[0], source()[1]});
  } else {
    recorder().Signal(SIGTERM);
  }
  EXPECT_EQ(reader.Wait(), 0) << reader.err();
}

TEST_P(LiveExportTest, ASignalEndsFollowingInOrder) {
  Peer peer(content(), 1, port());
  ASSERT_TRUE(peer.Send(100));
  const std::string id = StreamId(AwaitDurable(source(), peer.address(), 100));
  Child reader(Export(id, {"--follow"}));
  ASSERT_EQ(CompareBytes(reader.out_fd(), content(), 1, 0, 100), "");
  reader.Signal(SIGINT);
  EXPECT_EQ(reader.Wait(), 0) << reader.err();
}

TEST_P(LiveExportTest, AnOffsetThatIsNotThereYetIsWaitedFor) {
  Peer peer(content(), 1, port());
  ASSERT_TRUE(peer.Send(100));
  const std::string id = StreamId(AwaitDurable(source(), peer.address(), 100));
  Child reader(Export(id, {"--follow", "--from", "5000", "--bytes", "77"}));
  ASSERT_TRUE(peer.Send(9000));
  EXPECT_EQ(CompareBytes(reader.out_fd(), content(), 1, 5000, 77), "");
  EXPECT_EQ(reader.Wait(), 0) << reader.err();
}

TEST_P(LiveExportTest, AReaderThatLeavesIsNoTrouble) {
  Peer peer(content(), 1, port());
  ASSERT_TRUE(peer.Send(5 * kMiB));
  const std::string id = StreamId(AwaitDurable(source(), peer.address(), 5 * kMiB));
  Child reader(Export(id, {}));
  ASSERT_EQ(CompareBytes(reader.out_fd(), content(), 1, 0, 10), "");
  reader.CloseOut();
  reader.Wait();
  EXPECT_EQ(CompareExport(id, source(), content(), {.number = 1, .end = 5 * kMiB}), "");
}

INSTANTIATE_TEST_SUITE_P(From, LiveExportTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Daemon" : "Files"; });

class ExportTest : public E2eTest {
 protected:
  static constexpr uint64_t kBytes = 3 * kMiB + 17;

  void SetUp() override {
    Recorder recorder(archive(), kSmall);
    Peer peer(content(), 1, recorder.port());
    ASSERT_TRUE(peer.Send(kBytes));
    peer.FinishSending();
    EXPECT_TRUE(peer.AwaitClose());
    recorder.Stop();
    id_ = StreamId(FindStream(target(), peer.address()));
  }

  Outcome Export(const Words& more) {
    Words words = {"export", id_, "--archive", archive()};
    words.insert(words.end(), more.begin(), more.end());
    return RunSluice(words);
  }

  std::string id_;
};

TEST_F(ExportTest, RangesAreExact) {
  for (const Expected& part : {Expected{1, 0, 1}, Expected{1, 4095, 4097}, Expected{1, 1, kBytes},
                               Expected{1, kMiB - 1, 2 * kMiB + 3}}) {
    EXPECT_EQ(CompareExport(id_, target(), content(), part,
                            {"--from", std::to_string(part.begin), "--bytes",
                             std::to_string(part.end - part.begin)}),
              "");
  }
}

TEST_F(ExportTest, MoreThanThereIsEndsWithTheStream) {
  EXPECT_EQ(
      CompareExport(id_, target(), content(), {.number = 1, .end = kBytes}, {"--bytes", "1TiB"}),
      "");
}

TEST_F(ExportTest, TheEndIsAnEmptyRange) {
  EXPECT_EQ(CompareExport(id_, target(), content(), {.number = 1, .begin = kBytes, .end = kBytes},
                          {"--from", std::to_string(kBytes)}),
            "");
}

TEST_F(ExportTest, BeyondTheEndIsOutOfRange) {
  const Outcome outcome = Export({"--from", std::to_string(kBytes + 1)});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr(std::to_string(kBytes)));
}

TEST_F(ExportTest, IntoAFile) {
  const std::string file = directory() + "/copy";
  const Outcome outcome = Export({"--to", file});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(std::filesystem::file_size(file), kBytes);
}

TEST_F(ExportTest, AFileThatExistsIsKept) {
  const std::string file = directory() + "/copy";
  std::ofstream(file) << "precious";
  const Outcome outcome = Export({"--to", file});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("--force"));
  EXPECT_EQ(std::filesystem::file_size(file), 8u);
  EXPECT_EQ(Export({"--to", file, "--force"}).code, 0);
  EXPECT_EQ(std::filesystem::file_size(file), kBytes);
}

TEST_F(ExportTest, NoFileIsLeftWhenItFails) {
  const std::string file = directory() + "/copy";
  EXPECT_EQ(Export({"--to", file, "--from", "1TiB"}).code, 1);
  for (const auto& entry : std::filesystem::directory_iterator(directory())) {
    EXPECT_EQ(entry.path(), archive());
  }
}

TEST_F(ExportTest, ByFullName) {
  EXPECT_EQ(CompareExport("recordings/default/streams/" + id_, target(), content(),
                          {.number = 1, .end = kBytes}),
            "");
}

}  // namespace
}  // namespace sluice
