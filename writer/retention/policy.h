// What people want kept, and for how long: classes and holds.
#ifndef WRITER_RETENTION_POLICY_H_
#define WRITER_RETENTION_POLICY_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ingest/units.h"

namespace sluice {

inline constexpr char kDefaultClass[] = "default";
inline constexpr UnixNanos kBeginOfTime{std::numeric_limits<int64_t>::min()};
inline constexpr UnixNanos kEndOfTime{std::numeric_limits<int64_t>::max()};

// How recordings of one kind are kept. Bytes are bytes on disk, in whole segments.
struct RetentionClass {
  std::string name = kDefaultClass;  // of the form of a recording's id
  int32_t priority = 0;              // under pressure the lowest goes first
  ByteCount quota;  // the most that it may have, what is held aside; zero: no limit
  // After its last byte was received, a segment is removed; infinite: never.
  absl::Duration max_age = absl::InfiniteDuration();
  ByteCount reserve;  // what other classes' recordings cannot take away from it

  bool operator==(const RetentionClass&) const = default;
};

// Segments that have any of it are selected as a whole.
struct Selector {
  std::string recording;           // its id; empty: all
  std::optional<StreamId> stream;  // of `recording`
  UnixNanos from = kBeginOfTime;   // received in [from, to)
  UnixNanos to = kEndOfTime;

  bool operator==(const Selector&) const = default;
};
// "recordings/market/streams/1-0-7 from 2026-05-01T12:00:00Z"
std::string ToString(const Selector& selector);

// Somebody's wish that nothing of what it selects is removed.
struct Hold {
  std::string id;  // of the form of a recording's id
  Selector selector;
  std::string owner;
  std::string reason;
  UnixNanos created;
  UnixNanos until = kEndOfTime;  // then it ends by itself
  ByteCount budget;              // on disk; what would exceed it is not held
  // Once its budget is used up: what it has, in the order of ids, which need not be the oldest that
  // it selects; so that it has the same after a start. Empty: the oldest that it selects.
  std::vector<SegmentId> segments = {};

  bool operator==(const Hold&) const = default;
};

struct RetentionPolicy {
  uint64_t generation = 0;  // rises with every change
  std::vector<RetentionClass> classes;
  std::vector<Hold> holds;

  bool operator==(const RetentionPolicy&) const = default;
};

// Why a segment goes.
enum class RetentionRule : uint8_t {
  kAge = 1,       // its class' max_age
  kQuota = 2,     // its class has more than its quota
  kPressure = 3,  // a recording needs a segment, and none is free
  kCatalog = 4,   // the catalog needs room for newer streams
};
// "age", "quota", "pressure", "catalog"
absl::string_view RetentionRuleName(RetentionRule rule);

}  // namespace sluice

#endif  // WRITER_RETENTION_POLICY_H_
