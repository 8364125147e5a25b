// What will go, when, and by which rule, if everything goes on as it does now.
#ifndef WRITER_RETENTION_PLAN_H_
#define WRITER_RETENTION_PLAN_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "ingest/units.h"
#include "writer/retention/retention.h"
#include "writer/retention/rules.h"

namespace sluice {

struct PlannedRemoval {
  RetentionSegment segment;
  RetentionRule rule = RetentionRule::kPressure;
  UnixNanos when;
};

struct RetentionPlan {
  UnixNanos now;
  // Bytes of segments that all tracks together fill in a second: headers and padding included.
  double bytes_per_second = 0;
  // Of segments that exist now, soonest first.
  std::vector<PlannedRemoval> removals;
  // When a recording will find that nothing may go, if nobody releases anything; and why.
  std::optional<UnixNanos> exhausted;
  std::string exhausted_why;
};

// Lets a copy of `retention` go on: each track asks for segments at its present rate, which is that
// of its last few segments; ages come, and holds end, in their time. At most `limit` removals;
// looks ahead for about three rounds of the ring. The same for the same arguments.
RetentionPlan PlanRetention(const Retention& retention, UnixNanos now, size_t limit);

}  // namespace sluice

#endif  // WRITER_RETENTION_PLAN_H_
