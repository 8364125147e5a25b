// A disk that forgets what was not synced. For tests.
#ifndef INGEST_RING_SIM_DISK_H_
#define INGEST_RING_SIM_DISK_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/ring/sim_world.h"

namespace sluice {

// Files of fixed sizes. At power loss a write that no finished sync covers is kept or dropped as a
// whole, or each of its 512-byte sectors is kept, dropped or torn, by itself. A sync covers the
// writes that had finished when it was submitted; what a failed one covered stays in doubt for
// ever.
class SimDisk {
 public:
  static constexpr uint64_t kSector = 512;

  explicit SimDisk(SimWorld& world) : world_(&world) {}
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;

  // Of zeros; returns its descriptor.
  int AddFile(uint64_t bytes);
  // One whose bytes are in `platter`, which outlives the disk: mapped, say, so that programs which
  // know nothing of a simulation can read it. What is there now is durable.
  int AddFile(std::span<std::byte> platter);
  bool Has(int file) const { return files_.contains(file); }

  // As a reader sees it now.
  std::string_view Bytes(int file) const;
  void Put(int file, uint64_t at, std::string_view bytes);
  // How many writes there were; what a sync that is submitted now covers.
  uint64_t writes() const { return writes_; }
  void Sync(int file, uint64_t covers);
  // By somebody who has read the file past every cache of the system's, and so knows that the
  // disk has what a failed sync left in doubt.
  void SyncWhatIsThere(int file);
  void FailSync(int file, uint64_t covers);

  // Whoever writes to platters behind the disk's back, as the recovery of an archive does: from
  // Watch() on, Notice() takes what has changed for writes, and Revert() undoes it.
  void Watch();
  void Notice(int file);
  void Revert();

  // What power loss would leave of it, now.
  std::string CrashImage(int file);
  // Power loss: every file is what is left of it, which is durable.
  void LosePower();
  // A decay: one bit of what was durable.
  void FlipBit(int file, uint64_t at);

 private:
  static constexpr uint64_t kBlock = 4096;

  struct Write {
    uint64_t number;
    uint64_t at;
    std::string bytes;
    bool in_doubt = false;  // a sync that covered it has failed
  };
  struct File {
    std::string own;  // unless the platter is somebody else's
    std::span<std::byte> platter;
    std::string watched;
    std::vector<Write> dirty;                 // not covered by a finished sync
    std::map<uint64_t, std::string> durable;  // of blocks that were written since: what is durable
  };

  File& Of(int file) { return files_.at(file); }
  void Record(File& file, uint64_t at, std::string_view before, std::string_view bytes);
  void Supersede(File& file, uint64_t covers);
  // Lays what is left over `image`, which is what the file is now.
  void Lose(const File& file, std::span<std::byte> image);

  SimWorld* world_;
  std::map<int, File> files_;
  uint64_t writes_ = 0;
};

}  // namespace sluice

#endif  // INGEST_RING_SIM_DISK_H_
