// Another program fills the disk that an archive's home is on. What the archive needs was set aside
// when it was made, so recording goes on; where that is not enough, it says so.
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/own_disk.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"
#include "tests/support/child.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr char kAlarm[] = "the catalog cannot be written for lack of room";

class FullDiskTest : public E2eTest {
 protected:
  void SetUp() override {
    disk_.emplace(directory());
    if (!disk_->why_not().empty()) GTEST_SKIP() << "no disk to fill: " << disk_->why_not();
    place_ = disk_->mount() + "/archive";
    target_ = {"--archive", place_};
  }

  std::unique_ptr<Recorder> Record() {
    return std::make_unique<Recorder>(
        place_, Words{"--capacity", "64MiB", "--segment-size", "2MiB", "--sync-interval", "10ms"});
  }
  // To the last block, and so less than 1 MiB.
  void Fill() {
    disk_->Fill();
    ASSERT_LT(disk_->free(), kMiB);
  }
  // A stream, to its end; its sender's address.
  std::string Send(Recorder& recorder, uint64_t number, uint64_t bytes) {
    Peer peer(content(), number, recorder.port());
    EXPECT_TRUE(peer.Send(bytes));
    peer.FinishSending();
    EXPECT_TRUE(peer.AwaitClose());
    return peer.address();
  }
  std::string Await(const std::string& address, uint64_t bytes) {
    return StreamId(AwaitDurable(target_, address, bytes));
  }
  std::string Whole(const std::string& id, uint64_t number, uint64_t bytes) {
    return CompareExport(id, target_, content(), {number, 0, bytes});
  }

  std::optional<OwnDisk> disk_;
  std::string place_;
  Words target_;
};

TEST_F(FullDiskTest, RecordingGoesOnInTheSpaceThatWasSetAside) {
  constexpr uint64_t kBytes = 20 * kMiB + 3;
  const std::unique_ptr<Recorder> recorder = Record();
  const std::string before = Await(Send(*recorder, 1, kBytes), kBytes);
  ASSERT_NO_FATAL_FAILURE(Fill());
  EXPECT_EQ(Whole(before, 1, kBytes), "");
  // Several times what the archive holds, so each segment is written anew.
  std::string last;
  uint64_t number = 2;
  for (; number <= 10; ++number) last = Await(Send(*recorder, number, kBytes), kBytes);
  // And what costs the catalog more than the segments.
  for (; number <= 100; ++number) Await(Send(*recorder, number, 1000), 1000);
  EXPECT_LT(disk_->free(), kMiB);
  EXPECT_EQ(Whole(last, 10, kBytes), "");
  EXPECT_EQ(Verify(place_), "");

  const Json summary = recorder->Stop();
  EXPECT_EQ(summary["state"].text(), "STOPPED");
  EXPECT_EQ(summary["bytesDropped"].int64(), 0);
  EXPECT_EQ(summary["bytesDurable"].int64(), summary["bytesReceived"].int64());
  EXPECT_THAT(recorder->child().err(), Not(HasSubstr(kAlarm)));
  ASSERT_NO_FATAL_FAILURE(Fill());  // what was given back at the end, too
  EXPECT_EQ(Whole(last, 10, kBytes), "");
  EXPECT_EQ(Verify(place_), "");
}

// Who reads the catalog in one transaction for long keeps its log from being used again.
class LongReader {
 public:
  explicit LongReader(const std::string& archive)
      : child_({.command = {"/usr/bin/python3", "-c",
                            "import signal, sqlite3, sys\n"
                            "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
                            "db.execute('BEGIN')\n"
                            "db.execute('SELECT COUNT(*) FROM streams').fetchone()\n"
                            "print('reading', flush=True)\n"
                            "signal.pause()\n",
                            archive + "/catalog.db"}}) {
    EXPECT_TRUE(child_.AwaitOut("reading")) << child_.err();
  }

 private:
  Child child_;
};

TEST_F(FullDiskTest, ItSaysWhenTheCatalogHasNoRoomAndLearnsAllLater) {
  constexpr uint64_t kBytes = 3 * kMiB + 1;
  const std::unique_ptr<Recorder> recorder = Record();
  const std::string before = Await(Send(*recorder, 1, kBytes), kBytes);
  uint64_t number = 2;
  std::string last;
  {
    const LongReader reader(place_);
    ASSERT_NO_FATAL_FAILURE(Fill());
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (recorder->child().err().find(kAlarm) == std::string::npos) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << recorder->child().err();
      Send(*recorder, number++, 100);
    }
    // It takes in more, and more than the archive holds, while the catalog learns nothing.
    for (int i = 0; i < 30; ++i) last = Send(*recorder, number++, kBytes);
  }
  // The log can be used again, without more room on the disk.
  const std::string newest = Await(last, kBytes);
  EXPECT_LT(disk_->free(), kMiB);
  EXPECT_EQ(Whole(newest, number - 1, kBytes), "");
  const Json summary = recorder->Stop();
  EXPECT_EQ(summary["bytesDropped"].int64(), 0);
  EXPECT_EQ(summary["bytesDurable"].int64(), summary["bytesReceived"].int64());
  EXPECT_EQ(Verify(place_), "");
}

// With the parameter true after a kill, else after an orderly end.
class StartOnAFullDiskTest : public FullDiskTest, public ::testing::WithParamInterface<bool> {};

TEST_P(StartOnAFullDiskTest, SaysSoAndLosesNothing) {
  constexpr uint64_t kBytes = 9 * kMiB + 3;
  std::string first;
  {
    const std::unique_ptr<Recorder> recorder = Record();
    first = Await(Send(*recorder, 1, kBytes), kBytes);
    if (GetParam()) {
      recorder->Kill();
    } else {
      recorder->Stop();
    }
  }
  ASSERT_NO_FATAL_FAILURE(Fill());
  const Outcome refused = RunSluice({"record", "--tcp", "127.0.0.1:0", "--archive", place_});
  EXPECT_EQ(refused.code, 1) << refused.err;
  EXPECT_THAT(refused.err, HasSubstr(absl::StrCat("the disk of ", place_,
                                                  " has no room to write ARCHIVE anew")));
  EXPECT_EQ(Whole(first, 1, kBytes), "");

  disk_->MakeRoom();
  const std::unique_ptr<Recorder> recorder = Record();
  const std::string second = Await(Send(*recorder, 2, kBytes), kBytes);
  recorder->Stop();
  EXPECT_EQ(Whole(first, 1, kBytes), "");
  EXPECT_EQ(Whole(second, 2, kBytes), "");
  EXPECT_EQ(Verify(place_), "");
}

INSTANTIATE_TEST_SUITE_P(After, StartOnAFullDiskTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "AKill" : "AnEnd"; });

}  // namespace
}  // namespace sluice
