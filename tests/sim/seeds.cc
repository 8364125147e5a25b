#include "tests/sim/seeds.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLUICE_HAS_SANITIZER 1
#endif
#endif

namespace sluice {
namespace {

unsigned long long running = 0;

// A failed check, or a lane that cannot be destroyed: there is no way back to the test.
void OnAbort(int) { std::fprintf(stderr, "aborted in seed %llu\n", running); }

// "N" or "A..B".
bool ParseRange(absl::string_view text, Seeds& seeds) {
  const std::pair<absl::string_view, absl::string_view> ends = absl::StrSplit(text, "..");
  uint64_t first = 1;
  uint64_t last = 0;
  if (!absl::SimpleAtoi(ends.second.empty() ? ends.first : ends.second, &last)) return false;
  if (!ends.second.empty() && !absl::SimpleAtoi(ends.first, &first)) return false;
  if (first == 0 || last < first) return false;
  seeds.first = first;
  seeds.count = last - first + 1;
  return true;
}

}  // namespace

uint64_t FewerUnderSanitizers(uint64_t seeds) {
#ifdef SLUICE_HAS_SANITIZER
  return seeds / 10;
#else
  return seeds;
#endif
}

bool Seeds::RunSlice(uint64_t slice, uint64_t slices,
                     const std::function<void(uint64_t seed)>& run) const {
  const uint64_t begin = only.value_or(first);
  const uint64_t end = only ? *only + 1 : first + count;
  for (uint64_t seed = begin; seed < end; ++seed) {
    if (!only && seed % slices != slice) continue;
    if (only && slice != 0) continue;
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
  if (const char* given = std::getenv("SLUICE_SIM_SEEDS")) {
    if (!ParseRange(given, seeds)) {
      std::fprintf(stderr, "SLUICE_SIM_SEEDS=%s: write N or A..B\n", given);
      return 2;
    }
  }
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    uint64_t number = 0;
    if (absl::ConsumePrefix(&argument, "--seed=") && absl::SimpleAtoi(argument, &number)) {
      seeds.only = number;
    } else if (!absl::ConsumePrefix(&argument, "--seeds=") || !ParseRange(argument, seeds)) {
      std::fprintf(stderr, "%s: write --seed=N, --seeds=N or --seeds=A..B\n", argv[i]);
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}

}  // namespace sluice
