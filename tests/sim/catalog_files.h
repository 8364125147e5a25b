// The catalog's files on a machine that can die.
#ifndef TESTS_SIM_CATALOG_FILES_H_
#define TESTS_SIM_CATALOG_FILES_H_

#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "ingest/ring/sim_world.h"

namespace sluice {

// SQLite's own promise is taken for granted: what its log held when it was last synced is there
// after a loss of power. Of what came later some is there, up to any byte, and behind that may be
// anything. So the catalog loses its last transactions.
class CatalogFiles {
 public:
  explicit CatalogFiles(std::string path) : path_(std::move(path)) {}

  // The catalog has been closed: SQLite has taken the log away, if nothing was wrong.
  void Closed() { synced_ = std::min(synced_, log_bytes()); }
  // A mistake: what was synced may be lost, too.
  void ForgetSyncs() { synced_ = 0; }
  // Somebody syncs a file, the log perhaps.
  void OnSync(int fd);
  // The moment of death: remembers what it leaves.
  void Capture(SimWorld& world, bool power_loss);
  // Brings that back when every connection of the dead is closed.
  void Restore();

  // What else happens to files.
  void Remove();
  void Damage();

  uint64_t log_bytes() const;

 private:
  std::string Path(const std::string& suffix) const { return path_ + suffix; }

  const std::string path_;
  uint64_t synced_ = 0;                      // bytes of the log
  std::map<std::string, std::string> left_;  // by suffix
};

// While it lives the catalog's log cannot grow.
class FullDisk {
 public:
  explicit FullDisk(const CatalogFiles& files);
  ~FullDisk();
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_ = {};
};

}  // namespace sluice

#endif  // TESTS_SIM_CATALOG_FILES_H_
