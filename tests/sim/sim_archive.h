// An archive whose directory is real, and whose disk is simulated.
#ifndef TESTS_SIM_SIM_ARCHIVE_H_
#define TESTS_SIM_SIM_ARCHIVE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "ingest/ring/sim_disk.h"
#include "ingest/ring/sim_world.h"
#include "ingest/units.h"
#include "tests/sim/catalog_files.h"
#include "tests/sim/fuse.h"
#include "tests/sim/journal.h"
#include "tests/sim/mutant.h"
#include "tests/sim/policy_files.h"
#include "tests/sim/sync_watch.h"
#include "writer/archive/archive.h"
#include "writer/archive/recovery.h"
#include "writer/archive/segment_store.h"
#include "writer/retention/policy.h"

namespace sluice {

// The segment files lie in memory of the system's and are mapped: they are the platters of the
// simulated disk. So lanes write to them through a simulated ring, while recovery, verification
// and readers use them as files; what recovery writes, and what it syncs, the disk is told. Not
// simulated is the directory itself: files neither vanish nor come.
class SimArchive final : public SlotFiles {
 public:
  struct Parts {
    SimWorld* world;
    SimDisk* disk;
    Fuse* fuse;
    Journal* journal;
    Mutant mutant;
  };
  SimArchive(const Parts& parts, std::string directory, ByteCount segment, uint32_t slots);
  ~SimArchive() override;

  // The program starts: opens the archive and recovers it. What it returns means nothing if the
  // fuse has blown meanwhile.
  absl::Status Start();
  // It ends, in good order.
  void Close();
  // It dies, alone or with the machine. Close() it, then Reboot().
  void Die(bool power_loss);
  void Reboot();

  const std::string& directory() const { return directory_; }
  const ArchiveMeta& meta() const { return archive_->meta(); }
  const RecoveryReport& recovery() const { return recovery_; }
  std::string catalog_path() const { return Archive::CatalogPath(directory_); }
  CatalogFiles& catalog_files() { return catalog_files_; }
  PolicyFiles& policy_files() { return policy_files_; }
  // As the program's last start has left it.
  absl::StatusOr<RetentionPolicy> policy() const;
  // As the archive's keeper does; one in `policy_error` of its syncs is refused.
  absl::Status SavePolicy(const RetentionPolicy& policy);
  uint32_t policy_error = 0;
  int file(uint32_t slot) const { return files_.at(slot); }
  uint32_t slots() const { return slots_; }

  // -- SlotFiles
  std::function<void(uint32_t slot, const SegmentHeader&)> on_header;
  std::function<void(uint32_t slot)> on_header_synced;
  uint32_t header_error = 0;  // one in so many is refused, written or not; 0: none
  int Descriptor(uint32_t slot) override { return file(slot); }
  absl::Status WriteHeader(uint32_t slot, const SegmentHeader& header) override;
  absl::Status Sync(uint32_t slot) override;

 private:
  void MapSlots();
  bool OnSync(const SyncWatch::Sync& sync);

  const Parts parts_;
  const std::string directory_;
  const ByteCount segment_;
  const uint32_t slots_;
  CatalogFiles catalog_files_;
  PolicyFiles policy_files_;
  std::unique_ptr<Archive> archive_;
  RecoveryReport recovery_;
  bool recovering_ = false;
  bool saving_policy_ = false;
  std::vector<std::span<std::byte>> platters_;
  std::vector<int> files_;                 // of the disk, by slot
  std::map<uint64_t, uint32_t> by_inode_;  // slots
  SyncWatch watch_;
};

}  // namespace sluice

#endif  // TESTS_SIM_SIM_ARCHIVE_H_
