// The command line of a simulation, and the environment of a long one: which seeds.
#ifndef TESTS_SIM_SEEDS_H_
#define TESTS_SIM_SEEDS_H_

#include <cstdint>
#include <functional>
#include <optional>

namespace sluice {

// `--seed=N` runs that one, `--seeds=N` the first N, `--seeds=A..B` those; so does SLUICE_SIM_SEEDS
// in the environment. Under sanitizers, which take ten times as long, `count` is a tenth.
struct Seeds {
  uint64_t count;
  std::optional<uint64_t> only = std::nullopt;
  uint64_t first = 1;

  // Runs each of them until one fails, and says which. False when only one was asked for.
  bool RunAll(const std::function<void(uint64_t seed)>& run) const { return RunSlice(0, 1, run); }
  // One in `slices` of them: so that a test can be cut into shards.
  bool RunSlice(uint64_t slice, uint64_t slices,
                const std::function<void(uint64_t seed)>& run) const;
};

// What a sanitizer leaves of a number of seeds.
uint64_t FewerUnderSanitizers(uint64_t seeds);

// main(): GoogleTest, then what is left of the arguments.
int RunSimTests(int argc, char** argv, Seeds& seeds);

}  // namespace sluice

#endif  // TESTS_SIM_SEEDS_H_
