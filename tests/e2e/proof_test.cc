// What was removed, exchanged or altered, though every checksum is right; and what was not.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"
#include "tests/e2e/three_streams.h"
#include "writer/extent/extent_codec.h"
#include "writer/segment/format.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

namespace fs = std::filesystem;

constexpr uint64_t kMiB = uint64_t{1} << 20;
const Words kSmall = {"--capacity", "16MiB", "--segment-size", "1MiB", "--name", "feed"};

// A recording of several MiB in two parts, between which the recorder was started anew.
class ProofTest : public E2eTest {
 protected:
  void Record(uint64_t number, uint64_t bytes) {
    Recorder recorder(archive(), kSmall);
    Peer peer(content(), number, recorder.port());
    ASSERT_TRUE(peer.Send(bytes));
    peer.FinishSending();
    ASSERT_TRUE(peer.AwaitClose());
    recorder.Stop();
  }
  std::string Segment(int slot) const { return SegmentFile(archive(), slot); }
  Outcome RunVerify() { return RunSluice({"verify", "--archive", archive()}); }
  // The first slot that holds a segment before the track's last.
  static constexpr int kMiddle = 3;
};

TEST_F(ProofTest, AWholeArchiveAccountsForEveryByte) {
  Record(1, 5 * kMiB);
  Record(2, 3 * kMiB + 7);
  const Json report = AskSluice({"verify", "--archive", archive()});
  EXPECT_TRUE(report["ok"].truth());
  ASSERT_EQ(report["recordings"].elements().size(), 1u);
  const Json account = report["recordings"].elements()[0];
  EXPECT_EQ(account["recording"].text(), "feed");
  EXPECT_EQ(account["bytesReceived"].int64(), static_cast<int64_t>(8 * kMiB + 7));
  EXPECT_EQ(account["bytesStored"].int64(), static_cast<int64_t>(8 * kMiB + 7));
  EXPECT_EQ(account["bytesUnexplained"].int64(), 0);
}

// The ring goes round three times, over restarts.
TEST_F(ProofTest, WhatTheRingRemovedIsAccountedForAndNoFinding) {
  uint64_t sent = 0;
  for (uint64_t number = 1; number <= 4; ++number) {
    Record(number, 12 * kMiB + number);
    sent += 12 * kMiB + number;
    EXPECT_EQ(Verify(archive()), "");
  }
  const Json account = AskSluice({"verify", "--archive", archive()})["recordings"].elements().at(0);
  EXPECT_EQ(account["bytesReceived"].int64(), static_cast<int64_t>(sent));
  EXPECT_EQ(account["bytesUnexplained"].int64(), 0);
  const Json removed = account["removed"].elements().at(0);
  EXPECT_EQ(removed["reason"].text(), "reused");
  EXPECT_EQ(account["bytesStored"].int64() + removed["payloadBytes"].int64(),
            static_cast<int64_t>(sent));
  // A catalog that is made anew knows it from the headers.
  EXPECT_EQ(RunSluice({"archive", "rebuild", "--archive", archive()}).code, 0);
  EXPECT_EQ(Verify(archive()), "");
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(archive() + "/catalog.db" + suffix);
  EXPECT_EQ(RunSluice({"archive", "rebuild", "--archive", archive()}).code, 0);
  EXPECT_EQ(Verify(archive()), "");
}

// What an operator wrote down once, held against the archive later.
TEST_F(ProofTest, AChainHeadIsHeldToWhatWasWrittenDown) {
  Record(1, 3 * kMiB);
  const Json head =
      AskSluice({"archive", "info", "--archive", archive()})["chainHeads"].elements().at(0);
  EXPECT_EQ(head["recording"].text(), "recordings/feed");
  const std::string segment = head["segment"].text();
  const std::string hash = head["footerSha256"].text();
  EXPECT_THAT(RunSluice({"archive", "info", "--archive", archive()}).out,
              AllOf(HasSubstr("segment " + segment + " of recordings/feed"), HasSubstr(hash)));
  const auto expect = [&](const std::string& what) {
    return RunSluice({"verify", "--archive", archive(), "--expect-head", what});
  };
  EXPECT_EQ(expect(segment + ":" + hash).code, 0);
  const Outcome other = expect(segment + ":" + std::string(64, 'a'));
  EXPECT_EQ(other.code, 1);
  EXPECT_THAT(other.out, HasSubstr("segment " + segment + ", which was expected, has another "));
  const Outcome unknown = expect("999:" + hash);
  EXPECT_EQ(unknown.code, 1);
  EXPECT_THAT(unknown.out, HasSubstr("segment 999, which was expected, is not here, and no"));
  EXPECT_EQ(expect(segment + ":12").code, 2);
  // Once reused it is gone, but not in secret.
  Record(2, 14 * kMiB);
  Record(3, 14 * kMiB);
  const Outcome removed = expect(segment + ":" + hash);
  EXPECT_EQ(removed.code, 0) << removed.out;
  EXPECT_THAT(removed.out, HasSubstr("segment " + segment + ", which was expected, was removed"));
}

// The newest segment, which no other one speaks of.
TEST_F(ProofTest, AChainHeadThatIsGoneIsMissedByWhoWroteItDown) {
  Record(1, 300'000);
  Record(2, 300'000);
  const Json head =
      AskSluice({"archive", "info", "--archive", archive()})["chainHeads"].elements().at(0);
  const std::string expected = head["segment"].text() + ":" + head["footerSha256"].text();
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(archive() + "/catalog.db" + suffix);
  fs::resize_file(Segment(1), 0);
  fs::resize_file(Segment(1), kMiB);
  EXPECT_EQ(RunSluice({"archive", "rebuild", "--archive", archive()}).code, 0);
  EXPECT_EQ(RunVerify().code, 0);
  const Outcome outcome =
      RunSluice({"verify", "--fast", "--archive", archive(), "--expect-head", expected});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("is not here, and no removal of it is recorded"));
}

TEST_F(ProofTest, AMissingSegmentStaysMissed) {
  Record(1, 8 * kMiB);
  fs::remove(Segment(kMiddle));
  EXPECT_EQ(RunVerify().code, 1);
  // A start makes the file anew, and forgets what was in it, but not that it was.
  Record(2, kMiB);
  const Outcome outcome = RunVerify();
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("of recording \"feed\" on lane 0"),
                                 HasSubstr("nothing here removed it")));
  // Nor does a catalog that is made anew believe that all is well.
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(archive() + "/catalog.db" + suffix);
  EXPECT_EQ(RunSluice({"archive", "rebuild", "--archive", archive()}).code, 0);
  EXPECT_THAT(RunVerify().out, AllOf(HasSubstr("is missing: segment "),
                                     HasSubstr("proves that it was there, and no removal is")));
}

TEST_F(ProofTest, AZeroedSlotIsMissed) {
  Record(1, 8 * kMiB);
  fs::resize_file(Segment(kMiddle), 0);
  fs::resize_file(Segment(kMiddle), kMiB);
  Record(2, kMiB);
  EXPECT_THAT(RunVerify().out, HasSubstr("nothing here removed it"));
}

TEST_F(ProofTest, AnExtentHeaderWithARightChecksumIsFound) {
  Record(1, 8 * kMiB);
  std::vector<std::byte> header(kBlockBytes);
  std::fstream file(Segment(kMiddle), std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(kBlockBytes);
  ASSERT_TRUE(file.read(reinterpret_cast<char*>(header.data()), kBlockBytes));
  ExtentHeader fields;
  std::memcpy(&fields, header.data(), sizeof(fields));
  ++fields.last_time_ns;
  std::memcpy(header.data(), &fields, sizeof(fields));
  std::vector<std::byte> whole(fields.header_bytes);
  file.seekg(kBlockBytes);
  ASSERT_TRUE(
      file.read(reinterpret_cast<char*>(whole.data()), static_cast<std::streamsize>(whole.size())));
  std::copy(header.begin(), header.end(), whole.begin());
  SealExtentHeader(absl::MakeSpan(whole));
  file.seekp(kBlockBytes);
  ASSERT_TRUE(file.write(reinterpret_cast<const char*>(whole.data()),
                         static_cast<std::streamsize>(whole.size())));
  file.close();
  const Outcome outcome = RunVerify();
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("000003.seg at 4096: the extent's header was changed "),
                                 Not(HasSubstr("checksum"))));
}

TEST_F(ProofTest, AfterAKillTheAccountAddsUp) {
  {
    Recorder recorder(archive(), kSmall);
    Peer peer(content(), 1, recorder.port());
    ASSERT_TRUE(peer.Send(6 * kMiB));
    AwaitDurable(target(), peer.address(), 2 * kMiB);
    recorder.Kill();
  }
  Record(2, 2 * kMiB);
  EXPECT_EQ(Verify(archive()), "");
  const Json account = AskSluice({"verify", "--archive", archive()})["recordings"].elements().at(0);
  EXPECT_EQ(account["bytesUnexplained"].int64(), 0);
  EXPECT_EQ(account["bytesWritten"].int64(), account["bytesStored"].int64());
}

// A segment goes into a file, and from there into somebody else's directory.
TEST_F(ProofTest, ASegmentIsCarriedElsewhere) {
  Record(1, 300'000);  // one segment
  Record(2, 200'000);
  const std::string file = directory() + "/carried.seg";
  const std::string there = directory() + "/received";
  const Json segment =
      AskSluice({"archive", "export-segment", "1", "--to", file, "--archive", archive()});
  EXPECT_EQ(segment["recording"].text(), "feed");
  EXPECT_EQ(segment["payloadBytes"].int64(), 300'000);
  const Words import = {"archive", "import", file, "--archive", there};
  const Outcome imported = RunSluice(import);
  ASSERT_EQ(imported.code, 0) << imported.err;

  EXPECT_EQ(CompareExport("1-0-1", {"--archive", there}, content(), {.number = 1, .end = 300'000}),
            "");
  EXPECT_EQ(Verify(there), "");
  EXPECT_EQ(AskSluice({"streams", "--archive", there}).elements().size(), 1u);

  // Twice is refused, and so is what cannot be.
  const Outcome again = RunSluice(import);
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.err, HasSubstr("has segment 1 already"));
  EXPECT_THAT(
      RunSluice({"archive", "export-segment", "77", "--to", file + "2", "--archive", archive()})
          .err,
      HasSubstr("has no segment 77"));
  EXPECT_THAT(
      RunSluice({"archive", "export-segment", "1", "--to", file, "--archive", archive()}).err,
      HasSubstr("is there already"));
  EXPECT_THAT(RunSluice({"record", "--tcp", "127.0.0.1:0", "--archive", there}).err,
              HasSubstr("only for reading"));
  // A proof of something else; a changed byte.
  std::ofstream(file + ".json") << "{\"fileSha256\": \"00\"}";
  EXPECT_THAT(RunSluice({"archive", "import", file, "--archive", directory() + "/other"}).err,
              HasSubstr("one of them was changed"));
  {
    std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(3 * kBlockBytes);
    bytes.put('!');
  }
  const std::string other = directory() + "/other";
  const Outcome changed = RunSluice({"archive", "import", file, "--archive", other});
  EXPECT_EQ(changed.code, 1);
  EXPECT_THAT(changed.err, HasSubstr("checksum"));
  EXPECT_FALSE(fs::exists(other));
}

TEST_F(ProofTest, SegmentsJoinThoseThatWereImportedBefore) {
  Record(1, 3 * kMiB);
  const std::string there = directory() + "/received";
  for (const char* number : {"2", "1", "3"}) {
    ASSERT_EQ(RunSluice({"archive", "export-segment", number, "--to", directory(), "--archive",
                         archive()})
                  .code,
              0);
    const std::string file = directory() + "/segment-" + number + ".seg";
    const Outcome imported = RunSluice({"archive", "import", file, "--archive", there});
    ASSERT_EQ(imported.code, 0) << imported.err;
  }
  EXPECT_EQ(Verify(there), "");
  // In its own archive there is room, too, but it is there.
  const Outcome refused =
      RunSluice({"archive", "import", directory() + "/segment-2.seg", "--archive", archive()});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("has segment 2 already"));
}

// What was whole once is not read again, until it was long ago.
TEST_F(ProofTest, SinceLastReadsWhatIsNew) {
  Record(1, 3 * kMiB);
  const auto known = [&](const Words& more) {
    Words words = {"verify", "--archive", archive()};
    words.insert(words.end(), more.begin(), more.end());
    return AskSluice(words)["segmentsKnown"].number();
  };
  EXPECT_EQ(known({"--since-last"}), 0);
  const auto count = [&] {
    return AskSluice({"verify", "--fast", "--archive", archive()})["segments"].number();
  };
  const double all = count();
  EXPECT_GT(all, 2);
  EXPECT_EQ(known({"--since-last"}), all);
  EXPECT_EQ(known({}), 0);  // all of it is read
  Record(2, kMiB / 2);
  EXPECT_EQ(known({"--since-last"}), all);
  EXPECT_GT(count(), all);
  EXPECT_EQ(known({"--max-age", "30d"}), count());
  EXPECT_EQ(known({"--max-age", "1ns"}), 0);
  // Damage in what is known is not looked for; it is when all is read, and then it is not known.
  {
    std::fstream bytes(Segment(0), std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(500'000);
    bytes << "changed";
  }
  const Words since_last = {"verify", "--since-last", "--archive", archive()};
  EXPECT_EQ(RunSluice(since_last).code, 0);
  // Without the file nothing is known, whatever is in it.
  std::ofstream(archive() + "/VERIFIED") << "sluice-verified 1\nsegment 1 1 0\n";
  const Outcome outcome = RunSluice(since_last);
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("VERIFIED: it is damaged, so every segment is read"));
  EXPECT_EQ(RunSluice(since_last).code, 1);  // what is damaged was not called whole
}

// Headers and footers only: a missing segment is seen, a payload byte is not.
TEST_F(ProofTest, FastLooksAtTheStructure) {
  Record(1, 8 * kMiB);
  const Words fast = {"verify", "--fast", "--rate", "100MiB", "--archive", archive()};
  EXPECT_EQ(RunSluice(fast).code, 0);
  {
    std::fstream bytes(Segment(0), std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(500'000);
    bytes << "changed";
  }
  EXPECT_EQ(RunSluice(fast).code, 0);
  EXPECT_EQ(RunVerify().code, 1);
  fs::remove(Segment(kMiddle));
  EXPECT_EQ(RunSluice(fast).code, 1);
}

}  // namespace
}  // namespace sluice
