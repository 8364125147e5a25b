// The command line of a simulation: `--seed=N` runs that one, `--seeds=N` the first N of them.
#ifndef TESTS_SIM_SEEDS_H_
#define TESTS_SIM_SEEDS_H_

#include <cstdint>
#include <functional>
#include <optional>

namespace sluice {

struct Seeds {
  uint64_t count;
  std::optional<uint64_t> only = std::nullopt;

  // Runs each of them until one fails, and says which. False when only one was asked for.
  bool RunAll(const std::function<void(uint64_t seed)>& run) const;
};

// main(): GoogleTest, then what is left of the arguments.
int RunSimTests(int argc, char** argv, Seeds& seeds);

}  // namespace sluice

#endif  // TESTS_SIM_SEEDS_H_
