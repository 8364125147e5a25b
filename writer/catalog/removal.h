// What is remembered of segments that left the archive.
#ifndef WRITER_CATALOG_REMOVAL_H_
#define WRITER_CATALOG_REMOVAL_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "ingest/units.h"
#include "writer/ledger.h"

namespace sluice {

// Stored in the catalog and in segment headers: numbers are never given another meaning.
enum class RemovalReason : uint8_t {
  kNone = 0,              // nothing is remembered
  kReused = 1,            // it was the oldest, and its slot was needed
  kRecordingDeleted = 2,  // somebody deleted its recording
  kRetention = 3,         // a rule of retention said so
  kDamaged = 4,           // it could not be read, and was set aside
  kLostInCrash = 5,       // nothing of what it held was durable when the recorder died
  kMissing = 6,           // a start found that it was gone: nobody here removed it
  kSeveral = 7,           // of these; see RemovalRow
  kCatalogFull = 8,       // it was the oldest, and the catalog had no room for newer streams
};
// "reused", "recording deleted", ...
absl::string_view RemovalReasonName(RemovalReason reason);

struct RemovalCause {
  RemovalReason reason = RemovalReason::kNone;
  std::string detail;  // which rule, whose wish; for people, may be empty
  UnixNanos time;
  std::string actor = "rules";  // who removed it, for the audit
};

// Segments of one track (a recording on one lane) that left the archive one after another for one
// reason: all those from `first` to `last` that the track ever had. So a ring that goes round for
// years is one row, not one a segment. `recording` is the name that it had.
//
// A track with too many rows has its oldest neighbours made one; then the reason is kSeveral.
struct RemovalRow {
  uint64_t recording_uid = 0;
  std::string recording;
  LaneId lane{};
  SegmentId first{};
  SegmentId last{};
  SegmentId before{};  // the track's segment before `first`; 0: none, or not known
  uint64_t segments = 0;
  ByteCount payload;
  RemovalReason reason = RemovalReason::kNone;
  std::string detail;
  UnixNanos begun;  // when the first and the last of them were removed
  UnixNanos ended;
  // For the track's account: the last ledger of `last_epoch`, and the sum over the last ledgers of
  // the epochs from `first_epoch` to before `last_epoch`.
  uint32_t first_epoch = 0;
  uint32_t last_epoch = 0;
  Ledger ledger;
  Ledger earlier_epochs;
  std::array<uint8_t, 32> footer_sha256 = {};  // of `last`; zeros: not known

  // Everything that the track had received when `last` was full.
  Ledger total() const {
    Ledger sum = earlier_epochs;
    return sum += ledger;
  }
};

// `older` and what was removed right after it, as one row.
RemovalRow Join(const RemovalRow& older, const RemovalRow& newer);

}  // namespace sluice

#endif  // WRITER_CATALOG_REMOVAL_H_
