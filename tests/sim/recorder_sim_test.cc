// The whole recorder, two thousand seeds of it. README.md says how to repeat one alone.
#include "tests/sim/recorder_sim.h"

#include <cstdint>
#include <cstdio>
#include <string>

#include "gtest/gtest.h"
#include "tests/sim/scratch.h"
#include "tests/sim/seeds.h"

namespace sluice {
namespace {

constexpr uint64_t kSlices = 8;
Seeds seeds{FewerUnderSanitizers(2000)};

// The world of one seed. When it fails, once more, to tell how it came to that.
RecorderSimCounts RunOne(uint64_t seed, const std::string& directory) {
  RecorderSim sim(seed, Mutant::kNone, /*tracing=*/true, directory);
  sim.Run();
  if (sim.journal().failed() || seeds.only) {
    for (const std::string& event : sim.journal().events()) {
      std::fprintf(stderr, "%s\n", event.c_str());
    }
  }
  for (const std::string& failure : sim.journal().failures()) ADD_FAILURE() << failure;
  return sim.counts();
}

class RecorderSimTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(RecorderSimTest, NothingDurableIsEverLost) {
  const Scratch scratch;
  RecorderSimCounts counts;
  const bool all = seeds.RunSlice(GetParam(), kSlices, [&](uint64_t seed) {
    counts += RunOne(seed, scratch.path() + "/archive");
  });
  if (!all || HasFailure() || seeds.count < 2000) return;
  // The seeds must have been where it hurts.
  EXPECT_GT(counts.clean_stops, 0u);
  EXPECT_GT(counts.power_losses, 0u);
  EXPECT_GT(counts.process_deaths, 0u);
  EXPECT_GT(counts.deaths_in_recovery, 0u);
  EXPECT_GT(counts.rebuilt, 0u);
  EXPECT_GT(counts.sealed, 0u);
  EXPECT_GT(counts.indexed, 0u);
  EXPECT_GT(counts.deletions, 0u);
  EXPECT_GT(counts.removed, 0u);
  EXPECT_GT(counts.holds, 0u);
  EXPECT_GT(counts.holds_refused, 0u);
  EXPECT_GT(counts.deletions_refused, 0u);
  EXPECT_GT(counts.failed, 0u);
  EXPECT_GT(counts.refused, 0u);
  EXPECT_GT(counts.catalog_refusals, 0u);
  EXPECT_GT(counts.dropped, 0u);
}

// The same seed is the same world.
TEST(RecorderSimRepeatTest, TellsTheSameStory) {
  const Scratch scratch;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    uint64_t hashes[2] = {};
    for (uint64_t& hash : hashes) {
      RecorderSim sim(seed, Mutant::kNone, /*tracing=*/true, scratch.path() + "/archive");
      sim.Run();
      hash = sim.journal().hash();
    }
    EXPECT_EQ(hashes[0], hashes[1]) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Slices, RecorderSimTest, ::testing::Range(uint64_t{0}, kSlices));

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::RunSimTests(argc, argv, sluice::seeds); }
