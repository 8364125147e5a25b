// What `sluice archive repair` mends, and that it loses nothing that can be read.
#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/recorder.h"
#include "tests/e2e/three_streams.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

namespace fs = std::filesystem;

constexpr uint64_t kMiB = uint64_t{1} << 20;
class RepairTest : public ThreeStreamsTest {
 protected:
  Outcome Repair(const Words& more = {}) {
    Words words = {"archive", "repair", "--archive", archive()};
    words.insert(words.end(), more.begin(), more.end());
    return RunSluice(words);
  }
};

TEST_F(RepairTest, ASoundArchiveNeedsNone) {
  const Outcome outcome = Repair({"--yes"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "there is nothing to mend\n");
}

// A header, a footer, a footer's record: everything is as it was.
TEST_F(RepairTest, LostHeadersAndFootersCostNothing) {
  Flip(Segment(0), 0, 200);
  Flip(Segment(1), kMiB - 100, 90);
  Flip(Segment(2), kMiB - 4096, 30);
  EXPECT_NE(Verify(archive()), "");
  const Outcome tried = Repair();
  EXPECT_EQ(tried.code, 1);
  EXPECT_THAT(tried.out, AllOf(HasSubstr("000000.seg: "), HasSubstr("000001.seg: "),
                               HasSubstr("000002.seg: "), HasSubstr("3 things to mend"),
                               HasSubstr("nothing was changed: --yes does it")));
  EXPECT_NE(Verify(archive()), "");
  const Outcome done = Repair({"--yes"});
  EXPECT_EQ(done.code, 0) << done.out << done.err;
  EXPECT_THAT(done.out, HasSubstr("mended 3 things"));
  // But for the last line the two say the same.
  EXPECT_EQ(done.out.substr(0, done.out.rfind("mended")),
            tried.out.substr(0, tried.out.rfind("3 things")));
  EXPECT_EQ(Verify(archive()), "");
  EXPECT_EQ(CountWhole(), 3);
  EXPECT_EQ(ListStreams(), before());
  EXPECT_EQ(Repair().code, 0);
  EXPECT_THAT(RunSluice({"retention", "audit", "--archive", archive()}).out,
              AllOf(HasSubstr("repaired"), HasSubstr("000001.seg")));
}

TEST_F(RepairTest, AMissingFileCostsWhatItHeld) {
  fs::remove(Segment(0));
  EXPECT_EQ(Repair().code, 1);
  EXPECT_FALSE(fs::exists(Segment(0)));
  EXPECT_EQ(Repair({"--yes"}).code, 0);
  EXPECT_EQ(fs::file_size(Segment(0)), kMiB);
  EXPECT_EQ(Export(2), "");
  EXPECT_EQ(Export(3), "");
  EXPECT_EQ(Repair().code, 0);
}

TEST_F(RepairTest, DamagedPayloadStaysAndIsNamed) {
  Flip(Segment(0), 500'000, 1);
  const Outcome outcome = Repair({"--yes"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("000000.seg"), HasSubstr("it is left as it is")));
  EXPECT_NE(Verify(archive()), "");  // not hidden
  EXPECT_EQ(Export(2), "");
  EXPECT_EQ(Export(3), "");
}

TEST_F(RepairTest, ADamagedCatalogIsMadeAnew) {
  for (const char* suffix : {"-wal", "-shm"}) fs::remove(Catalog() + suffix);
  Flip(Catalog(), 4096 + 512, fs::file_size(Catalog()) - 4096 - 512);
  EXPECT_EQ(Repair().code, 1);
  const Outcome outcome = Repair({"--yes"});
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_TRUE(fs::exists(Catalog() + ".damaged"));
  EXPECT_EQ(ListStreams(), before());
  EXPECT_EQ(Verify(archive()), "");
  EXPECT_EQ(CountWhole(), 3);
}

TEST_F(RepairTest, NotWhileSomebodyRecords) {
  Recorder recorder(archive(), {});
  const Outcome outcome = Repair();
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("already open for writing"));
  recorder.Stop();
}

}  // namespace
}  // namespace sluice
