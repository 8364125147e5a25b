// The thread that owns the catalog and hands out segments.
#ifndef WRITER_ARCHIVE_ARCHIVE_KEEPER_H_
#define WRITER_ARCHIVE_ARCHIVE_KEEPER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "writer/archive/archive.h"
#include "writer/archive/recovery.h"
#include "writer/archive/segment_store.h"
#include "writer/catalog/catalog.h"
#include "writer/retention/retention.h"
#include "writer/segment/segment_keeper.h"

namespace sluice {

struct ArchiveKeeperOptions {
  // Removes by itself what is due by age or quota, and ends holds whose time is over. Whoever only
  // looks at an archive, or repairs it, leaves that alone.
  bool tidy = false;
};

// Owned by the recorder; outlives every lane. All methods may be called from any thread.
class ArchiveKeeper final : public SegmentKeeper {
 public:
  // Recovers the archive (see recovery.h), then starts the thread. `archive` outlives the keeper.
  static absl::StatusOr<std::unique_ptr<ArchiveKeeper>> Start(
      Archive& archive, const ArchiveKeeperOptions& options = {});
  // Finishes what was published before, then stops.
  ~ArchiveKeeper() override;

  const RecoveryReport& recovery() const;  // what Start() found

  void RequestSegment(const TrackIdentity& track, Ready ready) override;
  void ReturnSegment(SegmentId segment) override;
  void ReportRefusal(SegmentId segment, const absl::Status& why) override;
  void Publish(SegmentUpdate update) override;

  // Wait for the keeper's thread. Recordings that are being written hold on to their segments.
  // `actor`: who asked for it, for the audit.
  absl::Status PutRecording(const RecordingRow& row, const std::string& actor = "recorder");
  absl::Status DeleteRecording(const std::string& id, const std::string& actor = "recorder");
  // An event of the archive (see ../catalog/audit.h) that others have seen.
  void Audit(const std::string& actor, const std::string& action, const std::string& object,
             const std::string& detail);
  // Who keeps what: see SegmentStore.
  absl::Status SetRetentionClasses(std::vector<RetentionClass> classes, const std::string& actor);
  absl::StatusOr<HoldState> CreateHold(Hold hold, const std::string& actor);
  absl::StatusOr<HoldState> ReleaseHold(const std::string& id, const std::string& actor);
  // Removes all that is due now, a few segments at a time, so that recordings go on.
  std::vector<RemovedSegment> ApplyRetention(const std::string& actor);
  // A copy of what it knows.
  Retention retention() const;
  RemovalCounts removals() const;
  // See SegmentStore::catalog_alarm().
  std::string catalog_alarm() const;

  // Returns when all that was published before the call can be read from the catalog.
  void Flush();

  // How often the catalog has changed. WaitForChange returns the count when it exceeds `seen`,
  // or `seen` itself after `timeout`. For readers that follow.
  uint64_t change_count() const;
  uint64_t WaitForChange(uint64_t seen, absl::Duration timeout) const;

  // The first error after which nothing could be written to the catalog any more; else OK.
  absl::Status health() const;

 private:
  class Impl;
  explicit ArchiveKeeper(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice

#endif  // WRITER_ARCHIVE_ARCHIVE_KEEPER_H_
