#include "writer/retention/rules.h"

#include <algorithm>
#include <tuple>

namespace sluice {
namespace {

uint32_t Narrow(uint64_t n) { return static_cast<uint32_t>(std::min<uint64_t>(n, UINT32_MAX)); }

// The oldest segment of the class that may go.
std::optional<SegmentId> Oldest(const RetentionState& state, uint32_t in_class) {
  std::optional<SegmentId> oldest;
  for (const RetentionSegment& segment : state.segments) {
    if (segment.class_index != in_class || !segment.may_go()) continue;
    if (!oldest || segment.id < *oldest) oldest = segment.id;
  }
  return oldest;
}

uint32_t Count(const RetentionState& state, uint32_t in_class, bool held_too) {
  uint32_t n = 0;
  for (const RetentionSegment& segment : state.segments) {
    if (segment.class_index != in_class || segment.stranded) continue;
    if (held_too || !segment.held()) ++n;
  }
  return n;
}

bool WouldExceed(const RetentionState& state, uint32_t in_class, uint32_t more) {
  const RetentionClass& rule = state.classes[in_class];
  return rule.quota.value != 0 &&
         Count(state, in_class, /*held_too=*/false) + more > QuotaSegments(rule, state.segment);
}

// Of the class with the lowest priority that can give one.
std::optional<SegmentId> OldestUnderPressure(const RetentionState& state,
                                             std::optional<uint32_t> asking) {
  for (uint32_t i = 0; i < state.classes.size(); ++i) {
    const uint32_t reserve = ReserveSegments(state.classes[i], state.segment);
    if (i != asking && Count(state, i, /*held_too=*/true) <= reserve) continue;
    if (const auto oldest = Oldest(state, i)) return oldest;
  }
  return std::nullopt;
}

std::optional<Removal> NextForCatalog(const RetentionState& state) {
  if (!state.catalog_full()) return std::nullopt;
  if (const auto oldest = OldestUnderPressure(state, std::nullopt)) {
    return Removal{*oldest, RetentionRule::kCatalog};
  }
  for (uint32_t i = 0; i < state.classes.size(); ++i) {
    if (const auto oldest = Oldest(state, i)) return Removal{*oldest, RetentionRule::kCatalog};
  }
  return std::nullopt;
}

}  // namespace

uint32_t RetentionState::free() const {
  const auto used = std::count_if(segments.begin(), segments.end(),
                                  [](const RetentionSegment& one) { return !one.stranded; });
  return slots - std::min(slots, static_cast<uint32_t>(used));
}

uint32_t QuotaSegments(const RetentionClass& rule, ByteCount segment) {
  return std::max(1u, Narrow(rule.quota.value / segment.value));
}

uint32_t ReserveSegments(const RetentionClass& rule, ByteCount segment) {
  return Narrow((rule.reserve.value + segment.value - 1) / segment.value);
}

UnixNanos AgeDue(const RetentionClass& rule, UnixNanos last_time) {
  if (rule.max_age == absl::InfiniteDuration()) return kEndOfTime;
  const int64_t age = absl::ToInt64Nanoseconds(rule.max_age);
  if (last_time.value > 0 && age > kEndOfTime.value - last_time.value) return kEndOfTime;
  return {last_time.value + age};
}

bool GoesBefore(const RetentionClass& a, const RetentionClass& b) {
  return std::tie(a.priority, a.name) < std::tie(b.priority, b.name);
}

std::optional<Removal> NextDue(const RetentionState& state, UnixNanos now) {
  const RetentionSegment* soonest = nullptr;
  const auto due = [&](const RetentionSegment& segment) {
    return AgeDue(state.classes[segment.class_index], segment.last_time);
  };
  for (const RetentionSegment& segment : state.segments) {
    if (!segment.may_go() || due(segment) > now) continue;
    if (soonest == nullptr ||
        std::pair(due(segment), segment.id) < std::pair(due(*soonest), soonest->id)) {
      soonest = &segment;
    }
  }
  if (soonest != nullptr) return Removal{soonest->id, RetentionRule::kAge};
  for (uint32_t i = 0; i < state.classes.size(); ++i) {
    if (!WouldExceed(state, i, 0)) continue;
    if (const auto oldest = Oldest(state, i)) return Removal{*oldest, RetentionRule::kQuota};
  }
  return NextForCatalog(state);
}

std::optional<Removal> NextFor(const RetentionState& state, uint32_t asking, UnixNanos now) {
  if (WouldExceed(state, asking, 1)) {
    if (const auto oldest = Oldest(state, asking)) return Removal{*oldest, RetentionRule::kQuota};
  }
  if (state.free() > 0) return std::nullopt;
  if (const auto due = NextDue(state, now)) return due;
  if (const auto oldest = OldestUnderPressure(state, asking)) {
    return Removal{*oldest, RetentionRule::kPressure};
  }
  return std::nullopt;
}

}  // namespace sluice
