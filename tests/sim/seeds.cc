#include "tests/sim/seeds.h"

#include <csignal>
#include <cstdio>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

unsigned long long running = 0;

// A failed check, or a lane that cannot be destroyed: there is no way back to the test.
void OnAbort(int) { std::fprintf(stderr, "aborted in seed %llu\n", running); }

}  // namespace

bool Seeds::RunAll(const std::function<void(uint64_t seed)>& run) const {
  const uint64_t first = only.value_or(1);
  const uint64_t last = only.value_or(count);
  for (uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE(absl::StrCat("rerun with --test_arg=--seed=", seed));
    running = seed;
    run(seed);
    if (::testing::Test::HasFailure()) {
      std::fprintf(stderr, "seed %llu failed\n", running);
      break;
    }
  }
  return !only;
}

int RunSimTests(int argc, char** argv, Seeds& seeds) {
  ::testing::InitGoogleTest(&argc, argv);
  std::signal(SIGABRT, OnAbort);
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    uint64_t number = 0;
    if (absl::ConsumePrefix(&argument, "--seed=") && absl::SimpleAtoi(argument, &number)) {
      seeds.only = number;
    } else if (absl::ConsumePrefix(&argument, "--seeds=") && absl::SimpleAtoi(argument, &number)) {
      seeds.count = number;
    } else {
      std::fprintf(stderr, "%s: write --seed=N or --seeds=N\n", argv[i]);
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}

}  // namespace sluice
