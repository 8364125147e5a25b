// RETENTION on a machine that can die.
#ifndef TESTS_SIM_POLICY_FILES_H_
#define TESTS_SIM_POLICY_FILES_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "ingest/ring/sim_world.h"

namespace sluice {

// A new name of a file is there after a loss of power if the directory was synced since; else it
// may be. What a file holds is there if the file was synced before; else a part of it may be.
class PolicyFiles {
 public:
  explicit PolicyFiles(std::string directory);

  // The file system is well, and all of it is on the disk.
  void Settle();
  // Somebody syncs a file: this one, perhaps, or the directory. Whether it is one of the two.
  bool Concerns(int fd) const;
  void OnSync(int fd);
  // The moment of death: remembers what it leaves.
  void Capture(SimWorld& world, bool power_loss);
  void Restore();

 private:
  const std::string directory_;
  const std::string path_;
  std::optional<std::string> durable_;  // what the directory's last sync has covered
  std::set<uint64_t> synced_;           // inodes
  std::optional<std::string> left_;
};

}  // namespace sluice

#endif  // TESTS_SIM_POLICY_FILES_H_
