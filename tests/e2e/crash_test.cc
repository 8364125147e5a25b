// kill -9 at any moment: what was durable is there, exact, and recording goes on.
#include <csignal>
#include <cstdio>
#include <map>
#include <ostream>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

constexpr uint64_t kKiB = 1 << 10;
constexpr uint64_t kMiB = 1 << 20;

struct Case {
  const char* name;
  Words options;           // of the recorder
  uint64_t bytes_max;      // of each stream
  bool restart_by_record;  // else the first look at the archive recovers it

  friend void PrintTo(const Case& each, std::ostream* out) { *out << each.name; }
};

class CrashTest : public E2eTest, public ::testing::WithParamInterface<Case> {
 protected:
  CrashTest() {
    if (const char* given = std::getenv("E2E_SEED")) seed_ = std::strtoull(given, nullptr, 10);
    std::printf("rerun with --test_env=E2E_SEED=%lu\n", seed_);
    random_.seed(seed_);
  }

  uint64_t Random(uint64_t from, uint64_t to) {
    return std::uniform_int_distribution<uint64_t>(from, to)(random_);
  }

  // Streams in odd pieces from several senders, killed amid it. What was known to be durable
  // just before, by peer.
  std::map<std::string, uint64_t> RecordUntilKilled(Recorder& recorder);
  void ExpectRecovered(const std::map<std::string, uint64_t>& known);

  uint64_t seed_ = std::random_device()();
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Peer>> peers_;
};

std::map<std::string, uint64_t> CrashTest::RecordUntilKilled(Recorder& recorder) {
  std::vector<std::thread> senders;
  const size_t first = peers_.size();
  for (int i = 0; i < 4; ++i) {
    peers_.push_back(std::make_unique<Peer>(content(), peers_.size(), recorder.port()));
  }
  for (size_t i = first; i < peers_.size(); ++i) {
    const uint64_t seed = random_();
    senders.emplace_back([peer = peers_[i].get(), seed, max = GetParam().bytes_max, i] {
      std::mt19937_64 random(seed);
      while (peer->sent() < max && peer->Send(random() % (100 * kKiB) + 1)) {
        if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      if (i % 4 == 0) peer->FinishSending();  // the others stay open
    });
  }
  AwaitDurable(target(), peers_.back()->address(), 1);
  std::this_thread::sleep_for(std::chrono::microseconds(Random(0, 700'000)));  // any moment
  std::map<std::string, uint64_t> known;
  for (const Json& stream : AskSluice({"streams", "--archive", archive()}).elements()) {
    known[stream["peerAddress"].text()] = static_cast<uint64_t>(stream["durableBytes"].int64());
  }
  std::this_thread::sleep_for(std::chrono::microseconds(Random(0, 50'000)));
  recorder.Kill();
  for (std::thread& sender : senders) sender.join();
  return known;
}

void CrashTest::ExpectRecovered(const std::map<std::string, uint64_t>& known) {
  std::map<std::string, Json> found;
  for (const Json& stream : AskSluice({"streams", "--archive", archive()}).elements()) {
    found[stream["peerAddress"].text()] = stream;
  }
  for (const auto& [peer, bytes] : known) {
    if (GetParam().bytes_max > 16 * kMiB) continue;  // it may have been reused
    EXPECT_TRUE(found.contains(peer)) << peer << " is gone, with " << bytes << " bytes";
  }
  for (const auto& peer : peers_) {
    const auto stream = found.find(peer->address());
    if (stream == found.end()) continue;
    const auto begin = static_cast<uint64_t>(stream->second["beginOffset"].int64());
    const auto durable = static_cast<uint64_t>(stream->second["durableBytes"].int64());
    const auto before = known.find(peer->address());
    if (before != known.end()) {
      EXPECT_GE(durable, before->second) << peer->address();
    }
    EXPECT_LE(durable, peer->sent());
    EXPECT_EQ(stream->second["state"].text(), "CLOSED");
    const std::string reason = stream->second["closeReason"].text();
    if (peer->number() % 4 != 0 || durable < GetParam().bytes_max) {
      EXPECT_EQ(reason, "INTERRUPTED") << peer->address();
    }
    EXPECT_EQ(CompareExport(StreamId(stream->second), target(), content(),
                            {.number = peer->number(), .begin = begin, .end = durable}),
              "");
  }
}

TEST_P(CrashTest, WhatWasDurableIsThereAndRecordingGoesOn) {
  std::string uid;
  std::map<std::string, uint64_t> known;
  for (int round = 0; round < 2; ++round) {
    SCOPED_TRACE(absl::StrCat("round ", round));
    Recorder recorder(archive(), GetParam().options);
    if (round > 0) {
      EXPECT_EQ(Verify(archive()), "") << "while it records again";
    }
    known.merge(RecordUntilKilled(recorder));
    EXPECT_EQ(Verify(archive()), "") << "before recovery";
    if (!GetParam().restart_by_record) {
      ExpectRecovered(known);
      EXPECT_EQ(Verify(archive()), "") << "after recovery";
      const Json recording = AskSluice({"recordings", "get", "default", "--archive", archive()});
      EXPECT_EQ(recording["state"].text(), "INTERRUPTED");
      if (!uid.empty()) {
        EXPECT_EQ(recording["uid"].text(), uid);
      }
      uid = recording["uid"].text();
    }
    if (HasFailure()) return;
  }

  Recorder recorder(archive(), GetParam().options);
  ExpectRecovered(known);
  Peer peer(content(), peers_.size(), recorder.port());
  EXPECT_TRUE(peer.Send(kMiB + 1));
  peer.FinishSending();
  EXPECT_TRUE(peer.AwaitClose());
  const Json summary = recorder.Stop();
  EXPECT_EQ(summary["bytesDurable"].int64(), static_cast<int64_t>(kMiB + 1));
  if (!uid.empty()) {
    EXPECT_EQ(summary["uid"].text(), uid);
  }
  EXPECT_EQ(Verify(archive()), "") << "after an orderly end";
  ExpectRecovered(known);
  const Json stream = FindStream(target(), peer.address());
  EXPECT_EQ(CompareExport(StreamId(stream), target(), content(),
                          {.number = peer.number(), .end = kMiB + 1}),
            "");
}

TEST_P(CrashTest, KilledAgainAndAgainWhileItStarts) {
  std::map<std::string, uint64_t> known;
  {
    Recorder recorder(archive(), GetParam().options);
    known = RecordUntilKilled(recorder);
  }
  for (int i = 0; i < 8; ++i) {
    Child child(Command({"record", "--tcp", "127.0.0.1:0", "--archive", archive()}));
    std::this_thread::sleep_for(std::chrono::microseconds(Random(0, 80'000)));
    child.Signal(SIGKILL);
    child.Wait();
  }
  EXPECT_EQ(Verify(archive()), "");
  Recorder recorder(archive());
  ExpectRecovered(known);
  recorder.Stop();
  EXPECT_EQ(Verify(archive()), "");
  ExpectRecovered(known);
}

TEST_P(CrashTest, KilledAgainAndAgainWhileItMakesTheArchive) {
  Words words = {"record", "--tcp", "127.0.0.1:0", "--archive", archive()};
  words.insert(words.end(), GetParam().options.begin(), GetParam().options.end());
  for (int i = 0; i < 8; ++i) {
    Child child(Command(words));
    std::this_thread::sleep_for(std::chrono::microseconds(Random(0, 80'000)));
    child.Signal(SIGKILL);
    child.Wait();
  }
  Recorder recorder(archive(), GetParam().options);
  Peer peer(content(), 1, recorder.port());
  EXPECT_TRUE(peer.Send(kMiB + 1));
  peer.FinishSending();
  EXPECT_TRUE(peer.AwaitClose());
  recorder.Stop();
  EXPECT_EQ(Verify(archive()), "");
  EXPECT_EQ(CompareExport(StreamId(FindStream(target(), peer.address())), target(), content(),
                          {.number = 1, .end = kMiB + 1}),
            "");
}

INSTANTIATE_TEST_SUITE_P(
    Each, CrashTest,
    ::testing::Values(Case{"Defaults", {"--capacity", "256MiB"}, 8 * kMiB, false},
                      Case{"DefaultsRestartedAtOnce", {"--capacity", "256MiB"}, 8 * kMiB, true},
                      Case{"SyncedOften",
                           {"--capacity", "128MiB", "--segment-size", "4MiB", "--sync-interval",
                            "20ms", "--flush-interval", "5ms"},
                           6 * kMiB,
                           false},
                      Case{"SmallSegmentsSyncedOften",
                           {"--capacity", "128MiB", "--segment-size", "1MiB", "--sync-interval",
                            "5ms", "--flush-interval", "1ms"},
                           8 * kMiB,
                           true},
                      Case{"WithoutPayloadCrc",
                           {"--capacity", "128MiB", "--segment-size", "4MiB", "--sync-interval",
                            "50ms", "--payload-crc", "false"},
                           6 * kMiB,
                           false},
                      Case{"TwoLanes",
                           {"--capacity", "256MiB", "--segment-size", "4MiB", "--sync-interval",
                            "50ms", "--lanes", "2"},
                           6 * kMiB,
                           false},
                      Case{"WhileSegmentsAreReused",
                           {"--capacity", "16MiB", "--segment-size", "1MiB", "--sync-interval",
                            "10ms"},
                           40 * kMiB,
                           false}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace sluice
