// What goes next: the rules themselves, as pure functions of what there is.
#ifndef WRITER_RETENTION_RULES_H_
#define WRITER_RETENTION_RULES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ingest/units.h"
#include "writer/retention/policy.h"

namespace sluice {

// A segment, as far as retention is concerned.
struct RetentionSegment {
  SegmentId id{};
  uint64_t recording_uid = 0;
  std::string recording;
  LaneId lane{};
  bool sealed = false;  // an open one never goes
  // On a disk that has failed: it does not go, and nothing would be won.
  bool stranded = false;
  FileOffset written;  // how far it is filled; for the present rate
  ByteCount payload;   // zero, and both times zero: nothing of it is durable yet
  UnixNanos first_time;
  UnixNanos last_time;
  uint32_t class_index = 0;     // in RetentionState::classes
  std::vector<uint32_t> holds;  // that hold it: in RetentionState::holds

  bool held() const { return !holds.empty(); }
  bool may_go() const { return sealed && !stranded && holds.empty(); }
};

struct HoldState {
  Hold hold;
  uint32_t segments = 0;  // that it holds
  uint32_t refused = 0;   // that it selects, but which did not fit into its budget
  // More may come that it selects, before its time ends.
  bool grows = false;
};

struct RetentionState {
  ByteCount segment;                    // the size of each
  uint32_t slots = 0;                   // that can be written to
  std::vector<RetentionClass> classes;  // in the order in which they go under pressure
  std::vector<HoldState> holds;
  std::vector<RetentionSegment> segments;  // in the order of their ids

  // What the catalog has, and the most that it may have before something goes; no limit: zero.
  ByteCount catalog;
  ByteCount catalog_limit;

  uint32_t free() const;
  bool catalog_full() const { return catalog_limit.value != 0 && catalog > catalog_limit; }
};

struct Removal {
  SegmentId segment{};
  RetentionRule rule = RetentionRule::kPressure;

  bool operator==(const Removal&) const = default;
};

// How many segments a class may have, and how many others must leave it.
uint32_t QuotaSegments(const RetentionClass& rule, ByteCount segment);  // at least one
uint32_t ReserveSegments(const RetentionClass& rule, ByteCount segment);
// When a segment with this last byte is due by age; kEndOfTime: never.
UnixNanos AgeDue(const RetentionClass& rule, UnixNanos last_time);
// Lowest priority first; of one priority by name.
bool GoesBefore(const RetentionClass& a, const RetentionClass& b);

// The rules. Only sealed segments that nothing holds can go. What is held does not count against
// its class' quota: it has its own budget.

// What is due, whether or not anybody needs a segment, soonest first: what is past its age, in the
// order in which that was reached; then, class by class, the oldest of those beyond the quota. When
// the catalog is full, then what would go under pressure if nobody asked: from classes that have
// more than their reserve; if there are none, from any, for each may be the one that fills it.
std::optional<Removal> NextDue(const RetentionState& state, UnixNanos now);

// What gives up its slot to a recording of class `asking`:
//   - its own class' oldest, when one more would exceed the quota;
//   - nothing, if there is a free slot;
//   - what is due anyway;
//   - under pressure, the oldest segment of the class with the lowest priority, leaving out
//     classes other than `asking` that have no more than their reserve.
// None, and no free slot: nothing may go.
std::optional<Removal> NextFor(const RetentionState& state, uint32_t asking, UnixNanos now);

}  // namespace sluice

#endif  // WRITER_RETENTION_RULES_H_
