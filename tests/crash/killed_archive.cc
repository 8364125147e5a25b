#include "tests/crash/killed_archive.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"
#include "tests/support/child.h"
#include "writer/archive/archive.h"
#include "writer/catalog/catalog.h"

namespace sluice {
namespace {

constexpr uint64_t kKiB = 1 << 10;
constexpr uint64_t kMiB = 1 << 20;
constexpr int kPeers = 3;

uint64_t Random(std::mt19937_64& random, uint64_t from, uint64_t to) {
  return std::uniform_int_distribution<uint64_t>(from, to)(random);
}

// Any moment within `most`.
void Pause(std::mt19937_64& random, std::chrono::microseconds most) {
  std::this_thread::sleep_for(std::chrono::microseconds(Random(random, 0, most.count())));
}

double SecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Sends `bytes` in odd pieces, over about half a second, or until the recorder is gone.
void SendUntilRefused(Peer& peer, uint64_t bytes, uint64_t seed) {
  constexpr uint64_t kPieceMax = 100 * kKiB;
  const std::chrono::microseconds pause(500'000 * kPieceMax / 2 / bytes);
  std::mt19937_64 random(seed);
  while (peer.sent() < bytes) {
    if (!peer.Send(std::min(bytes - peer.sent(), random() % kPieceMax + 1))) return;
    std::this_thread::sleep_for(pause);
  }
  if (seed % 3 == 0) peer.FinishSending();  // the others stay open
}

Published WhatTheCatalogSays(const std::string& archive) {
  Published published;
  auto catalog = Catalog::Open(Archive::CatalogPath(archive), Catalog::Mode::kReadOnly);
  EXPECT_TRUE(catalog.ok()) << catalog.status();
  EXPECT_TRUE(catalog.ok() && published.Add(**catalog).ok());
  return published;
}

}  // namespace

const char* PhaseName(Phase phase) {
  static constexpr const char* kNames[] = {"creation", "recording", "next segment",
                                           "stopping", "recovery",  "rebuild"};
  return kNames[static_cast<int>(phase)];
}

KilledArchive::KilledArchive(const std::string& directory, const Setup& setup,
                             const StreamContent& content)
    : directory_(directory), setup_(setup), content_(content) {
  std::filesystem::create_directories(directory);
}

Words KilledArchive::Options() const {
  return {"--capacity",       setup_.capacity,
          "--segment-size",   setup_.segment,
          "--sync-interval",  setup_.sync_interval,
          "--lanes",          absl::StrCat(setup_.lanes),
          "--flush-interval", setup_.flush_interval,
          "--payload-crc",    setup_.payload_crc ? "true" : "false"};
}

Words KilledArchive::RecordWords() const {
  Words words = {"record", "--tcp", "127.0.0.1:0", "--archive", archive()};
  for (const std::string& word : Options()) words.push_back(word);
  return words;
}

void KilledArchive::KillAtStart(const Words& words, int times, std::mt19937_64& random) {
  for (int i = 0; i < times; ++i) {
    Child child(Command(words));
    Pause(random, std::chrono::milliseconds(60));
    child.Signal(SIGKILL);
    child.Wait();
  }
}

// Starts it, sends, kills.
void KilledArchive::RecordAndKill(Phase phase, uint32_t number, Witness& witness,
                                  std::mt19937_64& random) {
  std::optional<Daemon> daemon;
  std::optional<Recorder> recorder;
  if (setup_.daemon) {
    daemon.emplace(
        directory_,
        absl::StrCat("archive { directory: \"", archive(), "\" capacity: \"", setup_.capacity,
                     "\" segment_size: \"", setup_.segment, "\" } lanes: ", setup_.lanes,
                     " recording { id: \"default\" tcp_listen { address: \"127.0.0.1:0\" }",
                     " payload_crc: ", setup_.payload_crc ? "true" : "false", " flush_interval: \"",
                     setup_.flush_interval, "\" sync_interval: \"", setup_.sync_interval, "\" }"));
  } else {
    recorder.emplace(archive(), Options());
  }
  Child& child = daemon ? daemon->child() : recorder->child();
  const uint16_t port = daemon ? daemon->Port("default") : recorder->port();

  // Little, so that what earlier rounds left is there for long; or much, so that all goes round.
  const uint64_t bytes_max = kMiB << Random(random, 0, 4);
  const std::string from = absl::StrCat("127.", 1 + number / 250, ".", 1 + number % 250, ".1");
  std::vector<std::unique_ptr<Peer>> peers;
  std::vector<std::thread> senders;
  for (int i = 0; i < kPeers; ++i) {
    peers.push_back(std::make_unique<Peer>(content_, uint64_t{number} * kPeers + i, port, from));
    senders.emplace_back(SendUntilRefused, std::ref(*peers.back()),
                         Random(random, bytes_max / 8, bytes_max), random());
  }
  Pause(random, std::chrono::milliseconds(500));
  if (phase == Phase::kNextSegment) {
    const uint64_t last = witness.last_segment();
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
    while (witness.last_segment() == last && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    Pause(random, std::chrono::milliseconds(4));
  }
  if (phase == Phase::kStopping) {
    child.Signal(SIGTERM);
    Pause(random, std::chrono::milliseconds(40));
  }
  child.Signal(SIGKILL);
  const int code = child.Wait();
  if (phase != Phase::kStopping || code != 0) {  // it may have been quicker
    EXPECT_EQ(code, 128 + SIGKILL) << child.err();
  }
  for (std::thread& sender : senders) sender.join();
  sent_in_round_ = 0;
  for (const auto& peer : peers) {
    sent_[peer->address()] = {peer->number(), peer->sent()};
    sent_in_round_ += peer->sent();
  }
}

void KilledArchive::KeepWhatIsLeft() const {
  std::filesystem::remove_all(left());
  std::filesystem::copy(archive(), left(), std::filesystem::copy_options::recursive);
}

// Whoever opens the archive first recovers it.
void KilledArchive::Recover(RoundResult& result, std::mt19937_64& random) {
  const auto begin = std::chrono::steady_clock::now();
  if (random() % 2 == 0) {
    AskSluice({"streams", "--archive", archive()});
    result.recovery_seconds = SecondsSince(begin);
    return;
  }
  Recorder recorder(archive(), Options());
  result.recovery_seconds = SecondsSince(begin);
  recorder.Stop();
}

// By `sluice streams` and `sluice export`, as a user would.
void KilledArchive::CompareStreams(RoundResult& result, uint32_t number) {
  const std::string from = absl::StrCat("127.", 1 + number / 250, ".", 1 + number % 250, ".1:");
  uint64_t recovered = 0;
  for (const Json& stream : AskSluice({"streams", "--archive", archive()}).elements()) {
    const std::string peer = stream["peerAddress"].text();
    const auto sent = sent_.find(peer);
    if (sent == sent_.end()) {
      ADD_FAILURE() << "nobody sent " << stream.Dump();
      continue;
    }
    const auto begin = static_cast<uint64_t>(stream["beginOffset"].int64());
    const auto end = static_cast<uint64_t>(stream["durableBytes"].int64());
    EXPECT_LE(end, sent->second.bytes) << peer;
    EXPECT_EQ(stream["state"].text(), "CLOSED") << peer;
    EXPECT_EQ(CompareExport(StreamId(stream), target(), content_,
                            {.number = sent->second.number, .begin = begin, .end = end}),
              "");
    if (absl::StartsWith(peer, from)) recovered += end;
  }
  // What was reused as the oldest counts as recovered: it was there before.
  result.gone = result.sent - std::min(result.sent, recovered);
}

RoundResult KilledArchive::Round(Phase phase, uint32_t number, std::mt19937_64& random) {
  RoundResult result;
  Witness witness(archive());
  sent_in_round_ = 0;
  if (phase == Phase::kCreation) {
    KillAtStart(RecordWords(), 3, random);
    // There may be no archive yet: the next start makes it.
  } else {
    RecordAndKill(phase, number, witness, random);
    if (phase == Phase::kRecovery) KillAtStart(RecordWords(), 2, random);
    if (phase == Phase::kRecovery) KillAtStart({"streams", "--archive", archive()}, 2, random);
    if (phase == Phase::kRebuild) {
      KillAtStart({"archive", "rebuild", "--archive", archive()}, 2, random);
    }
  }
  const Published seen = witness.Stop();
  for (const auto& [id, segment] : seen.segments()) published_.Add(id, segment);
  result.sent = sent_in_round_;
  if (!std::filesystem::exists(archive() + "/ARCHIVE")) {
    Recorder(archive(), Options()).Stop();
    return result;
  }
  KeepWhatIsLeft();
  // One that was just being made may have an empty catalog.
  const bool is_new = published_.segments().empty();
  EXPECT_EQ(is_new ? "" : Verify(archive()), "") << "before recovery";
  Recover(result, random);
  EXPECT_EQ(Verify(archive()), "") << "after recovery";

  const Published now = WhatTheCatalogSays(archive());
  // Each lane has one that it fills, and the next one; all together may have an eighth ready.
  const size_t unseen = 2 * size_t{setup_.lanes} + setup_.slots / 8;
  result.aftermath = CompareAfterCrash(published_, now, {setup_.slots, unseen});
  for (const std::string& fault : result.aftermath.faults) ADD_FAILURE() << fault;
  result.published = published_.bytes();
  CompareStreams(result, number);

  published_ = now;
  return result;
}

}  // namespace sluice
