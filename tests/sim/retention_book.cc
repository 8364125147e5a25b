#include "tests/sim/retention_book.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

uint64_t Number(SegmentId id) { return static_cast<uint64_t>(id); }

bool IsRemoval(const RemovalRow& row) {
  return row.reason != RemovalReason::kNone && row.reason != RemovalReason::kMissing &&
         row.reason != RemovalReason::kLostInCrash && row.reason != RemovalReason::kDamaged;
}

}  // namespace

// ---- what users ask for

void RetentionBook::OnRecording(uint64_t uid, const std::string& name,
                                const std::string& retention_class) {
  recordings_[uid] = {name, retention_class};
}

// Accepted, so all that it selects is held.
void RetentionBook::OnHoldCreated(const Hold& hold, const Retention& retention) {
  had_holds_ = true;
  holds_[hold.id] = hold;
  held_[hold.id].clear();
  for (const auto& [id, segment] : segments_) {
    if (!Selects(hold, segment)) continue;
    held_[hold.id].insert(id);
    if (retention.IsHeld(id)) continue;
    journal_->Fail("hold ", hold.id, " was accepted, and does not hold segment ", Number(id));
  }
  CheckHolds(retention);
}

void RetentionBook::OnHoldReleased(const std::string& id) {
  holds_.erase(id);
  held_.erase(id);
}

void RetentionBook::OnTidy(UnixNanos now) {
  const std::map<std::string, Hold> all = holds_;
  for (const auto& [id, hold] : all) {
    if (hold.until > now) continue;
    OnHoldReleased(id);
    doubted_.insert(id);  // it may stand for a while
  }
}

void RetentionBook::OnPowerLoss() {
  doubted_.merge(doubted_without_power_);
  classes_in_doubt_ |= classes_in_doubt_without_power_;
}

void RetentionBook::OnSaved(const std::vector<Hold>& holds) {
  doubted_without_power_.clear();
  classes_in_doubt_ = classes_in_doubt_without_power_ = false;
  holdings_saved_ = true;
  // Those that were to end, and have not yet.
  std::set<std::string> still;
  for (const Hold& hold : holds) {
    if (!holds_.contains(hold.id) && doubted_.contains(hold.id)) still.insert(hold.id);
  }
  doubted_ = std::move(still);
}

// ---- segments

void RetentionBook::OnLent(SegmentId id, uint64_t uid, LaneId lane) {
  segments_[id] = {uid, lane, {}, {}};
}

void RetentionBook::OnPublished(const SegmentUpdate& update) {
  const auto found = segments_.find(update.segment);
  if (found == segments_.end()) return;
  Told& now = found->second.published;
  now.sealed |= update.sealed;
  now.first = update.first_time;
  now.last = update.last_time;
  now.bytes = update.payload.value;
  for (const StreamUpdate& stream : update.streams) {
    if (stream.begin < stream.end) now.streams.insert(static_cast<uint64_t>(stream.stream));
  }
}

void RetentionBook::OnTold() {
  for (auto& [id, segment] : segments_) {
    if (!segment.told.sealed) segment.told = segment.published;
  }
}

RetentionClass RetentionBook::ClassOf(uint64_t uid) const {
  const auto found = recordings_.find(uid);
  const std::string wanted = found == recordings_.end() ? "" : found->second.second;
  RetentionClass fallback;
  for (const RetentionClass& rule : classes_) {
    if (rule.name == wanted) return rule;
    if (rule.name == kDefaultClass) fallback = rule;
  }
  return fallback;
}

uint64_t RetentionBook::Count(const std::string& class_name, bool held_too) const {
  uint64_t n = 0;
  for (const auto& [id, segment] : segments_) {
    if (ClassOf(segment.uid).name == class_name && (held_too || !IsHeld(id))) ++n;
  }
  return n;
}

bool RetentionBook::IsHeld(SegmentId id) const {
  return std::any_of(held_.begin(), held_.end(),
                     [&](const auto& hold) { return hold.second.contains(id); });
}

bool RetentionBook::IsHeld(uint64_t uid) const {
  return std::any_of(segments_.begin(), segments_.end(), [&](const auto& segment) {
    return segment.second.uid == uid && IsHeld(segment.first);
  });
}

bool RetentionBook::Selects(const Hold& hold, const Segment& segment) const {
  const Selector& selector = hold.selector;
  if (segment.told.bytes == 0) return false;
  if (segment.told.last < selector.from || segment.told.first >= selector.to) return false;
  if (selector.stream)
    return segment.told.streams.contains(static_cast<uint64_t>(*selector.stream));
  const auto recording = recordings_.find(segment.uid);
  return selector.recording.empty() ||
         (recording != recordings_.end() && recording->second.first == selector.recording);
}

// ---- what goes

void RetentionBook::Leave(SegmentId id, RemovalReason reason, const std::string& how) {
  for (const auto& [hold, segments] : held_) {
    if (!segments.contains(id)) continue;
    journal_->Fail("segment ", Number(id), " is ", how, ", and hold ", hold, " holds it");
  }
  const auto found = segments_.find(id);
  if (found == segments_.end()) return;
  if (found->second.published.bytes > 0) gone_[id] = {found->second, how, reason};
  segments_.erase(found);
}

void RetentionBook::OnReused(SegmentId id, uint64_t to) {
  const auto found = segments_.find(id);
  if (found != segments_.end()) {
    const RetentionClass rule = ClassOf(found->second.uid);
    const bool is_foreign = ClassOf(to).name != rule.name;
    const bool may_be_due = rule.max_age != absl::InfiniteDuration();
    if (is_foreign && !may_be_due && rule.quota.value == 0 &&
        segment_ * Count(rule.name, true) <= rule.reserve) {
      journal_->Fail("segment ", Number(id), " is of class ", rule.name,
                     "'s reserve, and is given to recording ", to);
    }
    for (const auto& [other, segment] : segments_) {
      if (other >= id || may_be_due || !segment.told.sealed || IsHeld(other)) continue;
      if (ClassOf(segment.uid).name != rule.name) continue;
      journal_->Fail("segment ", Number(id), " is reused before the older ", Number(other));
    }
  }
  Leave(id, RemovalReason::kReused, "reused");
}

void RetentionBook::OnRemoved(SegmentId id, RetentionRule rule, UnixNanos now) {
  const auto found = segments_.find(id);
  if (found == segments_.end()) {
    return journal_->Fail("segment ", Number(id), " is removed, and is not there");
  }
  const RetentionClass of = ClassOf(found->second.uid);
  if (!found->second.told.sealed) journal_->Fail("segment ", Number(id), " is removed while open");
  if (rule == RetentionRule::kAge &&
      now.value - found->second.told.last.value < absl::ToInt64Nanoseconds(of.max_age)) {
    journal_->Fail("segment ", Number(id), " is removed, and is too young for that");
  }
  if (rule == RetentionRule::kQuota &&
      (of.quota.value == 0 || segment_ * Count(of.name, false) <= of.quota)) {
    journal_->Fail("segment ", Number(id), " is removed, and its class is within its quota");
  }
  Leave(id, RemovalReason::kRetention, absl::StrCat("removed by ", RetentionRuleName(rule)));
}

void RetentionBook::OnDeleted(SegmentId id) {
  Leave(id, RemovalReason::kRecordingDeleted, "deleted");
}

void RetentionBook::OnKept(SegmentId id) {
  const auto found = gone_.find(id);
  if (found == gone_.end()) return;
  segments_[id] = found->second.segment;
  gone_.erase(found);
}

void RetentionBook::OnExhausted(uint64_t uid, uint32_t usable_slots) {
  if (segments_.size() < usable_slots) {
    journal_->Fail("no segment is to be had, and ", usable_slots - segments_.size(), " are free");
  }
  const std::string asking = ClassOf(uid).name;
  for (const auto& [id, segment] : segments_) {
    if (!segment.told.sealed || IsHeld(id)) continue;
    const RetentionClass rule = ClassOf(segment.uid);
    if (rule.name != asking && segment_ * (Count(rule.name, true) - 1) < rule.reserve) continue;
    journal_->Fail("no segment is to be had, and segment ", Number(id), " might go");
  }
}

// ---- checks

void RetentionBook::CheckPolicy(const RetentionPolicy& policy) {
  std::set<std::string> there;
  for (const Hold& hold : policy.holds) {
    there.insert(hold.id);
    if (holds_.contains(hold.id)) {
      if (holds_.at(hold.id).selector != hold.selector || holds_.at(hold.id).budget != hold.budget)
        journal_->Fail("hold ", hold.id, " is another one after a start");
    } else if (doubted_.contains(hold.id)) {
      had_holds_ = true;
      holds_[hold.id] = hold;
    } else {
      journal_->Fail("hold ", hold.id, " was released or refused, and is back");
    }
  }
  const std::map<std::string, Hold> all = holds_;
  for (const auto& [id, hold] : all) {
    if (there.contains(id)) continue;
    if (!doubted_.contains(id)) journal_->Fail("hold ", id, " was forgotten");
    OnHoldReleased(id);
  }
  const auto by_name = [](std::vector<RetentionClass> classes) {
    std::erase(classes, RetentionClass());  // which is always there
    std::sort(classes.begin(), classes.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    return classes;
  };
  if (!classes_in_doubt_ && by_name(policy.classes) != by_name(classes_)) {
    journal_->Fail("the retention classes are not those that were set");
  }
  if (!holdings_saved_) held_.clear();
  classes_ = policy.classes;
  doubted_.clear();
  OnSaved(policy.holds);
}

void RetentionBook::CheckHolds(const Retention& retention) {
  if (holds_.empty()) return;
  const RetentionState state = retention.state();
  std::map<std::string, std::set<SegmentId>> now;
  for (const RetentionSegment& segment : state.segments) {
    for (const uint32_t hold : segment.holds) now[state.holds[hold].hold.id].insert(segment.id);
  }
  for (const auto& [id, hold] : holds_) {
    const std::set<SegmentId>& held = now[id];
    for (const SegmentId before : std::exchange(held_[id], held)) {
      if (held.contains(before)) continue;
      journal_->Fail("hold ", id, " has let go of segment ", Number(before));
    }
    if (segment_ * held.size() > hold.budget) {
      journal_->Fail("hold ", id, " has more than its budget: ", held.size(), " segments");
    }
    if (segment_ * (held.size() + 1) <= hold.budget) {
      for (const auto& [one, segment] : segments_) {
        if (!Selects(hold, segment) || held.contains(one)) continue;
        journal_->Fail("hold ", id, " selects segment ", Number(one), ", and does not hold it");
      }
    }
  }
}

void RetentionBook::OnRecovered(Catalog& catalog) {
  segments_.clear();
  const auto recordings = catalog.Recordings();
  if (!recordings.ok()) return journal_->Fail("catalog: ", recordings.status().ToString());
  for (const RecordingRow& row : *recordings) OnRecording(row.uid, row.id, row.retention_class);
  const auto rows = catalog.Segments();
  if (!rows.ok()) return journal_->Fail("catalog: ", rows.status().ToString());
  for (const SegmentRow& row : *rows) {
    Segment& segment = segments_[row.id];
    segment.uid = row.recording_uid;
    segment.lane = row.lane;
    segment.told.sealed = true;
    segment.told.first = row.first_time;
    segment.told.last = row.last_time;
    segment.told.bytes = row.payload.value;
    const auto parts = catalog.SegmentParts(row.id);
    if (!parts.ok()) return journal_->Fail("catalog: ", parts.status().ToString());
    for (const StreamPart& part : *parts) {
      if (part.begin < part.end) segment.told.streams.insert(static_cast<uint64_t>(part.stream));
    }
    segment.published = segment.told;
    gone_.erase(row.id);  // its removal was not durable
  }
  // What was not durable yet of a segment that was open, nobody can hold.
  for (auto& [id, held] : held_) {
    std::erase_if(held, [&, hold = holds_.at(id)](SegmentId segment) {
      const auto found = segments_.find(segment);
      return found == segments_.end() || !Selects(hold, found->second);
    });
  }
}

void RetentionBook::CheckRemovals(Catalog& catalog, bool lost) {
  if (lost) gone_.clear();
  if (gone_.empty()) return;
  const auto rows = catalog.Removals();
  if (!rows.ok()) return journal_->Fail("catalog: ", rows.status().ToString());
  for (const auto& [id, gone] : gone_) {
    const auto tells = [&, id = id, &segment = gone.segment](const RemovalRow& row) {
      return row.recording_uid == segment.uid && row.lane == segment.lane && row.first <= id &&
             id <= row.last && IsRemoval(row);
    };
    if (std::any_of(rows->begin(), rows->end(), tells)) continue;
    journal_->Fail("segment ", Number(id), " was ", gone.how, " with ",
                   gone.segment.published.bytes, " bytes, and no removal is recorded");
  }
}

}  // namespace sluice
