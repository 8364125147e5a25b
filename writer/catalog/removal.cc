#include "writer/catalog/removal.h"

#include <algorithm>

namespace sluice {

absl::string_view RemovalReasonName(RemovalReason reason) {
  switch (reason) {
    case RemovalReason::kNone:
      return "not removed";
    case RemovalReason::kReused:
      return "reused";
    case RemovalReason::kRecordingDeleted:
      return "recording deleted";
    case RemovalReason::kRetention:
      return "retention";
    case RemovalReason::kDamaged:
      return "damaged";
    case RemovalReason::kLostInCrash:
      return "lost in a crash";
    case RemovalReason::kMissing:
      return "missing";
    case RemovalReason::kSeveral:
      return "several reasons";
    case RemovalReason::kCatalogFull:
      return "catalog full";
  }
  return "a reason that this program does not know";
}

RemovalRow Join(const RemovalRow& older, const RemovalRow& newer) {
  RemovalRow joined = newer;
  joined.first = older.first;
  joined.before = older.before;
  joined.segments += older.segments;
  joined.payload += older.payload;
  joined.begun = std::min(older.begun, newer.begun);
  joined.ended = std::max(older.ended, newer.ended);
  joined.first_epoch = older.first_epoch;
  joined.earlier_epochs += older.earlier_epochs;
  // A ledger counts from its epoch's begin, so a newer one of the same epoch includes the older.
  if (older.last_epoch != newer.first_epoch) joined.earlier_epochs += older.ledger;
  if (older.reason != newer.reason || older.detail != newer.detail) {
    joined.detail.clear();
    if (older.reason != newer.reason) joined.reason = RemovalReason::kSeveral;
  }
  return joined;
}

}  // namespace sluice
