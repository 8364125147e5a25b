// What the segments of each track say about those that came before them, and what is known of
// those that are gone.
#ifndef WRITER_ARCHIVE_VERIFY_HISTORY_H_
#define WRITER_ARCHIVE_VERIFY_HISTORY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ingest/units.h"
#include "writer/archive/verify.h"
#include "writer/archive/verify_segment.h"
#include "writer/catalog/catalog.h"
#include "writer/catalog/removal.h"

namespace sluice {

// Filled with every segment that is there; then asked. Thread-compatible.
class VerifyHistory {
 public:
  using Say = std::function<void(std::string)>;

  void SetRemovals(std::vector<RemovalRow> removals) { removals_ = std::move(removals); }
  void SetLoss(const CatalogLoss& loss) { loss_ = loss; }
  // Segments were imported one by one: those before them need not be there.
  void SetImported() { imported_ = true; }
  // A segment that is there. `recording` is its recording's name.
  void Add(const SegmentRow& row, const std::string& recording, const SegmentResult& result);
  // A segment of which nothing can be said: on a disk that is not there, or reused meanwhile.
  void AddUnknown(SegmentId id) { unknown_.insert(static_cast<uint64_t>(id)); }

  // Each track's chain, over all epochs: that the segment which another one names as the one
  // before it is there, and is the one that is meant, or that its removal is recorded.
  void CheckChains(const Say& find, const Say& note) const;

  // That a segment which somebody has written down is still there as it was, or that its removal is
  // recorded.
  void CheckHead(const SegmentLink& head, const Say& find, const Say& note) const;

  // Why something of the track may be missing between two of its segments, or in one.
  enum class Missing { kUnexplained, kUnknown, kRemoved, kCrash };
  Missing WhyMissing(uint64_t recording_uid, uint16_t lane, uint64_t after, uint64_t before) const;

  // By recording, those in `recordings` and those that have segments.
  std::vector<VerifyAccount> Accounts(const std::vector<RecordingRow>& recordings) const;

 private:
  using Track = std::pair<uint64_t, uint16_t>;  // recording, lane
  struct Segment {
    uint32_t epoch = 0;
    std::string recording;
    bool sealed = false;
    bool sealed_by_recovery = false;
    SegmentOrigin origin;
    Sha256 footer = {};
    Ledger ledger;
    ByteCount payload;
  };

  // Whether something between two segments, or more, is gone for a reason that is known.
  Missing WhyGone(const Track& track, uint64_t after, uint64_t before) const;
  const RemovalRow* RemovalOf(const Track& track, uint64_t id) const;
  void CheckLink(const Track& track, uint64_t id, const Segment& segment, const Say& find,
                 const Say& note) const;
  Ledger TotalOf(const Track& track) const;

  std::map<Track, std::map<uint64_t, Segment>> tracks_;
  std::vector<RemovalRow> removals_;
  std::set<uint64_t> unknown_;
  CatalogLoss loss_;
  bool imported_ = false;
};

}  // namespace sluice

#endif  // WRITER_ARCHIVE_VERIFY_HISTORY_H_
