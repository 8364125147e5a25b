// What must stay, what goes by itself, and what happens when nothing may go.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kMiB = uint64_t{1} << 20;

class HoldTest : public E2eTest {
 protected:
  void StartDaemon(const std::string& more = "") {
    daemon_.reset();
    daemon_ = std::make_unique<Daemon>(
        directory(), absl::StrCat("archive { directory: \"", archive(),
                                  "\" capacity: \"16MiB\" segment_size: \"1MiB\" }\n"
                                  "recording { id: \"feed\" tcp_listen { address: "
                                  "\"127.0.0.1:0\" } sync_interval: \"50ms\" }\n",
                                  more));
    EXPECT_NE(daemon_->Port("feed"), 0);
  }
  Words On(Words words) const {
    words.insert(words.end(), {"--socket", daemon_->socket()});
    return words;
  }
  Outcome Ask(const Words& words) { return RunSluice(On(words)); }
  Json AskJson(const Words& words) { return AskSluice(On(words)); }
  uint16_t Port(const std::string& recording) {
    return PortOf(daemon_->Recording(recording)["boundAddress"].text());
  }
  // A whole stream; its name.
  std::string Record(uint64_t number, uint64_t bytes, const std::string& recording = "feed") {
    Peer peer(content(), number, Port(recording));
    EXPECT_TRUE(peer.Send(bytes));
    peer.FinishSending();
    EXPECT_TRUE(peer.AwaitClose());
    return StreamId(AwaitDurable(daemon_->target(), peer.address(), bytes));
  }
  std::vector<std::string> AuditActions(const Words& target) {
    Words words = {"retention", "audit"};
    words.insert(words.end(), target.begin(), target.end());
    std::vector<std::string> actions;
    for (const Json& event : AskSluice(words).elements()) {
      actions.push_back(absl::StrCat(event["action"].text(), " ", event["object"].text()));
    }
    return actions;
  }
  // A stopped recording that is held and leaves few segments to others.
  void HoldNearlyAll() {
    Record(1, 7 * kMiB);
    AskJson({"recordings", "stop", "feed"});
    const Json hold = AskJson({"retention", "hold", "feed", "--id", "case-17", "--owner", "alice",
                               "--reason", "asked for", "--from", "1h"});
    EXPECT_GE(hold["heldBytes"].int64(), static_cast<int64_t>(7 * kMiB));
    EXPECT_EQ(hold["budgetBytes"].int64(), hold["heldBytes"].int64());
  }
  // Opens recordings, each with a stream that stays open, until one has to wait; its name.
  std::string RecordUntilOneWaits() {
    for (int i = 1; i <= 12; ++i) {
      const std::string id = absl::StrCat("other-", i);
      AskJson({"recordings", "create", id, "--tcp", "127.0.0.1:0", "--sync-interval", "50ms"});
      others_.push_back(std::make_unique<Peer>(content(), 10 + i, Port(id)));
      EXPECT_TRUE(others_.back()->Send(kOther));
      const Json seen = Await([&] { return daemon_->Recording(id); },
                              [](const Json& now) {
                                return !now["waiting"].text().empty() ||
                                       now["figures"]["bytesDurable"].int64() == kOther;
                              });
      if (!seen["waiting"].text().empty()) return id;
    }
    ADD_FAILURE() << "none has to wait";
    return "";
  }

  static constexpr int64_t kOther = 100'000;
  std::unique_ptr<Daemon> daemon_;
  std::vector<std::unique_ptr<Peer>> others_;
};

TEST_F(HoldTest, AHeldStreamOutlivesTheRing) {
  StartDaemon();
  const std::string held = Record(1, kMiB);
  const Json hold = AskJson({"retention", "hold", absl::StrCat("feed/streams/", held), "--id",
                             "case-17", "--owner", "alice", "--reason", "asked for"});
  EXPECT_EQ(hold["name"].text(), "holds/case-17");
  Record(2, 40 * kMiB);
  EXPECT_EQ(CompareExport(held, daemon_->target(), content(), {.number = 1, .end = kMiB}), "");
  const Outcome deleted = Ask({"recordings", "delete", "feed"});
  EXPECT_EQ(deleted.code, 1);
  const Json plan = AskJson({"retention", "plan"});
  EXPECT_GE(plan["segmentsHeld"].number(), 2);
  EXPECT_FALSE(plan["removals"].elements().empty());

  AskJson({"retention", "release", "case-17"});
  Record(3, 40 * kMiB);
  EXPECT_EQ(Ask({"streams", "get", held}).code, 1);
  EXPECT_THAT(AuditActions(daemon_->target()),
              AllOf(Contains("hold created holds/case-17"), Contains("hold released holds/case-17"),
                    Contains("removed recordings/feed")));
  const auto events = [](const Words& target) {
    Words words = {"events",        "--kind",   "hold-created", "--kind",
                   "hold-released", "--output", "json"};
    words.insert(words.end(), target.begin(), target.end());
    return RunSluice(words);
  };
  const Outcome asked = events(daemon_->target());
  EXPECT_EQ(asked.code, 0) << asked.err;
  EXPECT_THAT(asked.out, AllOf(HasSubstr("HOLD_CREATED"), HasSubstr("HOLD_RELEASED"),
                               HasSubstr("\"actor\":\"user:"), Not(HasSubstr("SEGMENT_REMOVED"))));
  EXPECT_EQ(daemon_->Stop(), 0);
  // The same from files, and whoever follows ends when nobody writes.
  const Outcome read = events({"--archive", archive(), "--follow"});
  EXPECT_EQ(read.code, 0) << read.err;
  EXPECT_EQ(read.out, asked.out);
  EXPECT_EQ(RunSluice({"events", "--kind", "odd", "--archive", archive()}).code, 2);
  EXPECT_EQ(Verify(archive()), "");
}

TEST_F(HoldTest, ABudgetThatIsTooSmallIsRefusedWithTheNumbers) {
  StartDaemon();
  Record(1, 5 * kMiB);
  const Outcome small =
      Ask({"retention", "hold", "feed", "--owner", "alice", "--reason", "x", "--budget", "2MiB"});
  EXPECT_EQ(small.code, 1);
  EXPECT_THAT(small.err, AllOf(HasSubstr("now ("), HasSubstr("budget of 2 MiB"),
                               HasSubstr("the archive has 16 MiB")));
  const Outcome large =
      Ask({"retention", "hold", "feed", "--owner", "alice", "--reason", "x", "--budget", "15MiB"});
  EXPECT_EQ(large.code, 1);
  EXPECT_THAT(large.err, HasSubstr("recording needs 3 MiB beside that"));
  const Outcome none = Ask({"retention", "hold", "feed", "--owner", "alice", "--reason", "x"});
  EXPECT_EQ(none.code, 2);
  EXPECT_THAT(none.err, HasSubstr("needs a budget"));
  EXPECT_TRUE(AskJson({"retention", "holds"}).elements().empty());
}

TEST_F(HoldTest, WhenNothingMayGoSendersWaitUntilAHoldIsReleased) {
  StartDaemon();
  HoldNearlyAll();
  const std::string waiting = RecordUntilOneWaits();
  EXPECT_THAT(daemon_->Recording(waiting)["waiting"].text(),
              HasSubstr("hold \"case-17\" of alice has"));
  EXPECT_THAT(AskJson({"status"})["warnings"].Dump(),
              AllOf(HasSubstr(waiting), HasSubstr("case-17")));
  EXPECT_TRUE(daemon_->child().AwaitErr("waits, and its senders with it"));
  EXPECT_TRUE(others_.back()->Send(3 * kMiB));  // what the kernel and the region take

  AskJson({"retention", "release", "case-17"});
  for (const auto& peer : others_) {
    peer->FinishSending();
    EXPECT_TRUE(peer->AwaitClose());
    const std::string id = StreamId(AwaitDurable(daemon_->target(), peer->address(), peer->sent()));
    EXPECT_EQ(CompareExport(id, daemon_->target(), content(),
                            {.number = peer->number(), .end = peer->sent()}),
              "");
  }
  EXPECT_EQ(daemon_->Recording(waiting)["waiting"].text(), "");
  EXPECT_EQ(daemon_->Recording(waiting)["figures"]["bytesDropped"].int64(), 0);
  EXPECT_THAT(AuditActions(daemon_->target()),
              AllOf(Contains("archive exhausted "), Contains("archive available ")));
  EXPECT_EQ(daemon_->Stop(), 0);
  EXPECT_EQ(Verify(archive()), "");
}

TEST_F(HoldTest, AStopEndsThoughNothingMayGo) {
  StartDaemon();
  HoldNearlyAll();
  const std::string waiting = RecordUntilOneWaits();
  const Json stopped = AskJson({"recordings", "stop", waiting, "--drain-limit", "100ms"});
  EXPECT_EQ(stopped["state"].text(), "FAILED");
  EXPECT_THAT(stopped["failure"].text(),
              AllOf(HasSubstr("no segment was to be had"), HasSubstr("case-17")));
  EXPECT_EQ(stopped["figures"]["bytesDropped"].int64(), kOther);
  EXPECT_EQ(daemon_->Stop(), 0);
  EXPECT_EQ(Verify(archive()), "");
}

TEST_F(HoldTest, HoldsOutliveTheCatalog) {
  StartDaemon();
  const std::string held = Record(1, kMiB);
  AskJson({"retention", "hold", absl::StrCat("feed/streams/", held), "--id", "case-17", "--owner",
           "alice", "--reason", "asked for"});
  EXPECT_EQ(daemon_->Stop(), 0);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(absl::StrCat(archive(), "/catalog.db", suffix));
  }
  StartDaemon();
  Record(2, 40 * kMiB);
  EXPECT_EQ(CompareExport(held, daemon_->target(), content(), {.number = 1, .end = kMiB}), "");
}

TEST_F(HoldTest, WithoutADaemonToo) {
  const Words small = {"--capacity", "16MiB", "--segment-size", "1MiB", "--sync-interval", "50ms"};
  std::string held;
  {
    Recorder recorder(archive(), small);
    Peer peer(content(), 1, recorder.port());
    EXPECT_TRUE(peer.Send(kMiB));
    peer.FinishSending();
    EXPECT_TRUE(peer.AwaitClose());
    held = StreamId(AwaitDurable(target(), peer.address(), kMiB));
    recorder.Stop();
  }
  const Json hold = AskSluice({"retention", "hold", "default", "--owner", "alice", "--reason", "x",
                               "--archive", archive()});
  EXPECT_EQ(hold["name"].text(), "holds/hold-1");
  const Json plan = AskSluice({"retention", "plan", "--archive", archive()});
  EXPECT_EQ(plan["holds"].elements().size(), 1u);
  {
    Recorder recorder(archive(), small);
    Peer peer(content(), 2, recorder.port());
    EXPECT_TRUE(peer.Send(40 * kMiB));
    peer.FinishSending();
    EXPECT_TRUE(peer.AwaitClose());
    AwaitDurable(target(), peer.address(), 40 * kMiB);
    recorder.Stop();
  }
  EXPECT_EQ(CompareExport(held, target(), content(), {.number = 1, .end = kMiB}), "");
  AskSluice({"retention", "release", "hold-1", "--archive", archive()});
  EXPECT_TRUE(AskSluice({"retention", "holds", "--archive", archive()}).elements().empty());
  const Outcome again = RunSluice({"retention", "release", "hold-1", "--archive", archive()});
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.err, HasSubstr("there is no hold \"hold-1\""));
  EXPECT_EQ(Verify(archive()), "");
}

TEST_F(HoldTest, AgeAndQuotaRemoveByThemselves) {
  StartDaemon(
      "retention_class { name: \"short\" max_age: \"1s\" }\n"
      "retention_class { name: \"small\" quota: \"4MiB\" }\n"
      "recording { id: \"aging\" tcp_listen { address: \"127.0.0.1:0\" } sync_interval: \"50ms\" "
      "retention_class: \"short\" }\n"
      "recording { id: \"bounded\" tcp_listen { address: \"127.0.0.1:0\" } sync_interval: "
      "\"50ms\" retention_class: \"small\" }\n");
  EXPECT_NE(daemon_->Port("bounded"), 0);
  Record(1, 3 * kMiB, "aging");
  Record(2, 9 * kMiB, "bounded");
  EXPECT_LE(daemon_->Recording("bounded")["storedBytes"].int64(), static_cast<int64_t>(5 * kMiB));
  // Nobody needs the room: it goes all the same, but for the segment that is still open.
  Await([&] { return daemon_->Recording("aging"); },
        [](const Json& now) { return now["storedBytes"].int64() < static_cast<int64_t>(kMiB); });
  const std::string audit = Ask({"retention", "audit"}).out;
  EXPECT_THAT(audit, AllOf(HasSubstr("retention, age"), HasSubstr("retention, quota")));
  const Outcome unknown =
      Ask({"recordings", "create", "odd", "--tcp", "127.0.0.1:0", "--retention-class", "none"});
  EXPECT_EQ(unknown.code, 1);
  EXPECT_THAT(unknown.err, HasSubstr("there is no retention class 'none'"));
  EXPECT_EQ(daemon_->Stop(), 0);
  EXPECT_EQ(Verify(archive()), "");
}

}  // namespace
}  // namespace sluice
