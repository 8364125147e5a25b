// Does the simulation find mistakes? Each of mutant.h must be caught by one of the first seeds.
#include "tests/sim/mutant.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <iterator>
#include <string>

#include "gtest/gtest.h"
#include "ingest/check.h"
#include "tests/sim/recorder_sim.h"
#include "tests/sim/scratch.h"

namespace sluice {
namespace {

constexpr uint64_t kSeedsMax = 200;

// In a process of its own, for a mistake may well make a check of the recorder's fail.
bool IsCaught(Mutant mutant, uint64_t seed, const std::string& directory) {
  const pid_t child = fork();
  SLUICE_CHECK(child >= 0);
  if (child == 0) {
    std::freopen("/dev/null", "w", stderr);
    RecorderSim sim(seed, mutant, /*tracing=*/false, directory);
    sim.Run();
    if (sim.journal().failed()) std::printf("  %s\n", sim.journal().failures().front().c_str());
    std::fflush(stdout);
    _exit(sim.journal().failed() ? 1 : 0);
  }
  int status = 0;
  SLUICE_CHECK(waitpid(child, &status, 0) == child);
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

class MutantTest : public ::testing::TestWithParam<size_t> {};

TEST_P(MutantTest, IsCaught) {
  const auto& each = kMutants[GetParam()];
  const Scratch scratch;
  for (uint64_t seed = 1; seed <= kSeedsMax; ++seed) {
    std::fflush(stdout);
    if (!IsCaught(each.mutant, seed, scratch.path() + "/archive")) continue;
    std::printf("%s: caught by seed %lu\n", each.name, static_cast<unsigned long>(seed));
    return;
  }
  ADD_FAILURE() << each.name << " survived " << kSeedsMax << " seeds";
}

INSTANTIATE_TEST_SUITE_P(Mutants, MutantTest, ::testing::Range(size_t{0}, std::size(kMutants)),
                         [](const auto& info) { return kMutants[info.param].name; });

}  // namespace
}  // namespace sluice
