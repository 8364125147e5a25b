// An archive that is smaller than what is recorded into it.
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
constexpr uint64_t kOldBytes = kMiB;
constexpr uint64_t kLongBytes = 40 * kMiB + 12345;
constexpr uint64_t kNewBytes = 2 * kMiB + 1;
const Words kSmall = {"--capacity", "16MiB", "--segment-size", "1MiB", "--sync-interval", "50ms"};

// Two old streams, one that is longer than the archive, a new one.
class RetentionTest : public E2eTest {
 protected:
  void SetUp() override {
    Recorder recorder(archive(), kSmall);
    first_ = Record(recorder, 1, kOldBytes);
    second_ = Record(recorder, 2, kOldBytes);
    long_ = Record(recorder, 3, kLongBytes);
    new_ = Record(recorder, 4, kNewBytes);
    summary_ = recorder.Stop();
  }

  // A stream, with its name.
  std::string Record(Recorder& recorder, uint64_t number, uint64_t bytes) {
    Peer peer(content(), number, recorder.port());
    EXPECT_TRUE(peer.Send(bytes));
    peer.FinishSending();
    EXPECT_TRUE(peer.AwaitClose());
    return StreamId(AwaitDurable(target(), peer.address(), bytes));
  }

  Json Get(const std::string& id) {
    return AskSluice({"streams", "get", id, "--archive", archive()});
  }
  uint64_t Begin(const std::string& id) {
    return static_cast<uint64_t>(Get(id)["beginOffset"].int64());
  }

  std::string first_, second_, long_, new_;
  Json summary_;
};

TEST_F(RetentionTest, NothingOfWhatCameCountsAsLost) {
  const auto all = static_cast<int64_t>(2 * kOldBytes + kLongBytes + kNewBytes);
  EXPECT_EQ(summary_["bytesReceived"].int64(), all);
  EXPECT_EQ(summary_["bytesDurable"].int64(), all);
  EXPECT_EQ(summary_["bytesDropped"].int64(), 0);
}

TEST_F(RetentionTest, TheArchiveIsSoundAndFull) {
  EXPECT_EQ(Verify(archive()), "");
  const Json info = AskSluice({"archive", "info", "--archive", archive()});
  EXPECT_EQ(info["capacityBytes"].int64(), static_cast<int64_t>(16 * kMiB));
  // One may have been got ready for more, and for a fast sender an eighth of all; and given back.
  EXPECT_GE(info["segmentsUsed"].number(), 16 - 1 - 16 / 8);
  EXPECT_EQ(info["segmentsOpen"].number(), 0);
}

TEST_F(RetentionTest, NewestIsExact) {
  EXPECT_EQ(CompareExport(new_, target(), content(), {.number = 4, .end = kNewBytes}), "");
}

TEST_F(RetentionTest, ALongStreamBeginsLater) {
  const uint64_t begin = Begin(long_);
  EXPECT_GT(begin, 20 * kMiB);
  EXPECT_LT(begin, kLongBytes);
  EXPECT_EQ(
      CompareExport(long_, target(), content(), {.number = 3, .begin = begin, .end = kLongBytes}),
      "");
}

TEST_F(RetentionTest, ALongStreamSaysThatItBeginsLater) {
  const Outcome outcome =
      RunSluice({"export", long_, "--archive", archive(), "--to", directory() + "/long"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.err,
              HasSubstr(std::to_string(Begin(long_)) + " bytes of the stream are gone"));
}

TEST_F(RetentionTest, WhatIsGoneIsOutOfRange) {
  const Outcome outcome = RunSluice({"export", long_, "--from", "0", "--archive", archive()});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr(std::to_string(Begin(long_))));  // what still exists
}

TEST_F(RetentionTest, OldStreamsAreNotFound) {
  for (const std::string& id : {first_, second_}) {
    const Outcome get = RunSluice({"streams", "get", id, "--archive", archive()});
    EXPECT_EQ(get.code, 1);
    EXPECT_THAT(get.err, HasSubstr("no stream " + id));
    const Outcome exported = RunSluice({"export", id, "--archive", archive()});
    EXPECT_EQ(exported.code, 1);
    EXPECT_THAT(exported.err, HasSubstr("no stream " + id));
  }
}

TEST_F(RetentionTest, TheListAgrees) {
  int64_t sum = 0;
  std::vector<std::string> ids;
  for (const Json& stream : AskSluice({"streams", "--archive", archive()}).elements()) {
    ids.push_back(StreamId(stream));
    sum += stream["durableBytes"].int64() - stream["beginOffset"].int64();
  }
  EXPECT_THAT(ids, testing::ElementsAre(long_, new_));
  const Json recording = AskSluice({"recordings", "get", "default", "--archive", archive()});
  EXPECT_EQ(recording["storedBytes"].int64(), sum);
  EXPECT_EQ(recording["storedStreams"].int64(), 2);
}

}  // namespace
}  // namespace sluice
