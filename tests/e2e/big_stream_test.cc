// One long stream, as fast as it goes.
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {
namespace {

constexpr uint64_t kBytes = uint64_t{4} << 30;

class BigStreamTest : public E2eTest {};

TEST_F(BigStreamTest, FourGibibytesAreExactAndAccountedFor) {
  Recorder recorder(archive(), {"--capacity", "5GiB", "--exit-after-streams", "1"});
  Peer peer(content(), 1, recorder.port());
  EXPECT_TRUE(peer.Send(kBytes));
  peer.FinishSending();
  const Json summary = recorder.AwaitSummary();
  EXPECT_TRUE(peer.AwaitClose());

  const auto bytes = static_cast<int64_t>(kBytes);
  EXPECT_EQ(summary["bytesReceived"].int64(), bytes);
  EXPECT_EQ(summary["bytesWritten"].int64(), bytes);
  EXPECT_EQ(summary["bytesDurable"].int64(), bytes);
  EXPECT_EQ(summary["bytesDropped"].int64(), 0);
  EXPECT_EQ(summary["bytesZeroCopy"].int64() + summary["bytesCopied"].int64(), bytes);
  EXPECT_EQ(summary["streamsOpened"].int64(), 1);
  EXPECT_EQ(summary["streamsClosed"].int64(), 1);
  EXPECT_EQ(summary["storedBytes"].int64(), bytes);
  EXPECT_EQ(summary["state"].text(), "STOPPED");
  // Headers and pads are a small part of what goes to the disk.
  EXPECT_GT(summary["bytesDisk"].int64(), bytes);
  EXPECT_LT(summary["bytesDisk"].int64(), bytes + bytes / 50);

  const Json stream = FindStream(target(), peer.address());
  EXPECT_EQ(stream["durableBytes"].int64(), bytes);
  EXPECT_EQ(stream["beginOffset"].int64(), 0);
  EXPECT_EQ(stream["state"].text(), "CLOSED");
  EXPECT_EQ(stream["closeReason"].text(), "END_OF_STREAM");

  const Json report = AskSluice({"verify", "--archive", archive()});
  EXPECT_TRUE(report["ok"].truth());
  EXPECT_EQ(report["payloadBytes"].int64(), bytes);
  EXPECT_EQ(report["streams"].int64(), 1);

  EXPECT_EQ(CompareExport(StreamId(stream), target(), content(), {.number = 1, .end = kBytes}), "");
}

}  // namespace
}  // namespace sluice
