// kill -9 in a loop, crash upon crash: nothing that a client knew to be durable is lost.
//
//   bazel run //tests/crash:kill_test -- --rounds=100 --seed=7
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "ingest/check.h"
#include "tests/bench/stream_content.h"
#include "tests/crash/killed_archive.h"

namespace sluice {
namespace {

uint32_t rounds = 25;
uint64_t seed = std::random_device()();

constexpr uint32_t kRoundsOfAnArchive = 12;

Setup AnySetup(std::mt19937_64& random) {
  static constexpr const char* kIntervals[] = {"2ms", "10ms", "50ms", "200ms"};
  Setup setup;
  setup.slots = 12 + random() % 12;
  setup.capacity = absl::StrCat(setup.slots, "MiB");
  setup.segment = "1MiB";
  setup.sync_interval = kIntervals[random() % 4];
  setup.flush_interval = kIntervals[random() % 3];
  setup.lanes = 1 + random() % 2;
  setup.payload_crc = random() % 3 != 0;
  setup.daemon = random() % 2 == 0;
  return setup;
}

// The sum of all rounds, and a line for each.
class Table {
 public:
  void Head() const {
    std::puts(
        "                    bytes before the mark           past it\n"
        "round  phase             were      lost    reused      kept      gone  recovery");
  }
  void Add(uint32_t round, Phase phase, const RoundResult& result) {
    Line(absl::StrCat(round), PhaseName(phase), result);
    sum_.published += result.published;
    sum_.gone += result.gone;
    sum_.aftermath.lost += result.aftermath.lost;
    sum_.aftermath.reused += result.aftermath.reused;
    sum_.aftermath.beyond += result.aftermath.beyond;
    sum_.recovery_seconds = std::max(sum_.recovery_seconds, result.recovery_seconds);
  }
  void Foot() const { Line("sum", "(max. time)", sum_); }

 private:
  static void Line(const std::string& round, const char* phase, const RoundResult& result) {
    std::printf(
        "%5s  %-12s %9" PRIu64 "%10" PRIu64 "%10" PRIu64 "%10" PRIu64 "%10" PRIu64 "%7.0f ms\n",
        round.c_str(), phase, result.published, result.aftermath.lost, result.aftermath.reused,
        result.aftermath.beyond, result.gone, 1000 * result.recovery_seconds);
    std::fflush(stdout);
  }

  RoundResult sum_;
};

// To where Bazel keeps what a test leaves; else it stays where it is.
void Keep(const std::string& directory) {
  const char* const outputs = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  std::string kept = directory;
  if (outputs != nullptr) {
    kept = absl::StrCat(outputs, "/killed");
    std::filesystem::copy(directory, kept, std::filesystem::copy_options::recursive);
  }
  std::printf("the archive is in %s, and in %s/left as the kill left it\n", kept.c_str(),
              kept.c_str());
}

TEST(Kill, NothingThatWasDurableIsLost) {
  std::printf("rerun with --rounds=%u --seed=%" PRIu64 "\n", rounds, seed);
  std::mt19937_64 random(seed);
  const StreamContent content(seed);
  std::string base = ::testing::TempDir() + "kill-XXXXXX";
  SLUICE_CHECK(mkdtemp(base.data()) != nullptr);

  Table table;
  table.Head();
  std::string directory;
  std::unique_ptr<KilledArchive> archive;
  for (uint32_t round = 0; round < rounds; ++round) {
    if (round % kRoundsOfAnArchive == 0) {
      if (archive != nullptr) std::filesystem::remove_all(directory);
      directory = absl::StrCat(base, "/", round);
      archive = std::make_unique<KilledArchive>(directory, AnySetup(random), content);
    }
    // A new archive begins with its creation.
    const auto phase =
        round % kRoundsOfAnArchive == 0 ? Phase::kCreation : static_cast<Phase>(random() % kPhases);
    table.Add(round, phase, archive->Round(phase, round, random));
    if (HasFailure()) {
      Keep(directory);
      return;
    }
  }
  table.Foot();
  std::filesystem::remove_all(base);
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    const bool known =
        (absl::ConsumePrefix(&argument, "--rounds=") &&
         absl::SimpleAtoi(argument, &sluice::rounds)) ||
        (absl::ConsumePrefix(&argument, "--seed=") && absl::SimpleAtoi(argument, &sluice::seed));
    if (!known) {
      std::fprintf(stderr, "usage: %s [--rounds=N] [--seed=N]\n", argv[0]);
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}
