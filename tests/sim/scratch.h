// A directory in memory, if there is one, for the archives of a simulation.
#ifndef TESTS_SIM_SCRATCH_H_
#define TESTS_SIM_SCRATCH_H_

#include <cstdlib>
#include <filesystem>
#include <string>

#include "ingest/check.h"

namespace sluice {

// Removed at the end, with all that is in it.
class Scratch {
 public:
  Scratch() {
    const char* const given = std::getenv("TEST_TMPDIR");
    const std::string shared = "/dev/shm/sluice-sim-XXXXXX";
    const std::string other = std::string(given != nullptr ? given : "/tmp") + "/sim-XXXXXX";
    for (std::string path : {shared, other}) {
      if (mkdtemp(path.data()) == nullptr) continue;
      path_ = path;
      return;
    }
    SLUICE_CHECK(!"no directory for the simulation's archives");
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace sluice

#endif  // TESTS_SIM_SCRATCH_H_
