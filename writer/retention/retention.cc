#include "writer/retention/retention.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ingest/check.h"
#include "ingest/status_macros.h"
#include "writer/readable.h"

namespace sluice {
namespace {

template <class Numbers>
bool Has(const Numbers& numbers, uint32_t number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}
template <class Numbers>
void Drop(Numbers& numbers, uint32_t number) {
  numbers.erase(std::remove(numbers.begin(), numbers.end(), number), numbers.end());
}

bool Overlaps(const Selector& selector, const RetentionSegment& segment) {
  return segment.last_time >= selector.from && segment.first_time < selector.to;
}

// Nothing of it is durable yet, so there is nothing to hold.
bool IsEmpty(const RetentionSegment& segment) {
  return segment.first_time.value == 0 && segment.last_time.value == 0;
}

}  // namespace

Retention::Retention(ByteCount segment, uint32_t slots) : segment_(segment), slots_(slots) {
  SLUICE_CHECK(segment.value > 0);
  SetClasses({});
}

// ---- classes

absl::Status Retention::CheckClasses(absl::Span<const RetentionClass> classes) const {
  std::set<std::string> names;
  uint64_t reserved = 0;
  for (const RetentionClass& rule : classes) {
    const std::string who = absl::StrCat("retention class \"", rule.name, "\"");
    if (!names.insert(rule.name).second) {
      return absl::InvalidArgumentError(absl::StrCat(who, " is defined twice"));
    }
    if (rule.quota.value != 0 && rule.reserve > rule.quota) {
      return absl::InvalidArgumentError(absl::StrCat(who, " reserves ", Readable(rule.reserve),
                                                     ", more than its quota of ",
                                                     Readable(rule.quota)));
    }
    if (rule.quota.value != 0 && rule.quota < segment_ * kSegmentsPerTrack) {
      return absl::FailedPreconditionError(absl::StrCat(
          who, " has a quota of ", Readable(rule.quota), ", and a recording needs at least ",
          kSegmentsPerTrack, " segments, here of ", Readable(segment_), " each: allow ",
          Readable(segment_ * kSegmentsPerTrack), " or more"));
    }
    reserved += ReserveSegments(rule, segment_);
  }
  if (reserved + kSegmentsPerTrack > slots_) {
    return absl::FailedPreconditionError(
        absl::StrCat("the retention classes reserve ", Readable(segment_ * reserved),
                     " of an archive of ", Readable(segment_ * slots_), ", and recording needs ",
                     Readable(segment_ * kSegmentsPerTrack), " beside that: reserve less"));
  }
  return absl::OkStatus();
}

void Retention::SetClasses(std::vector<RetentionClass> rules) {
  const bool has_default = std::any_of(rules.begin(), rules.end(), [](const RetentionClass& rule) {
    return rule.name == kDefaultClass;
  });
  if (!has_default) rules.push_back({});
  std::sort(rules.begin(), rules.end(), GoesBefore);
  classes_.clear();
  for (RetentionClass& rule : rules) classes_.push_back({std::move(rule), 0, 0, {}, {}});
  for (auto& [uid, recording] : recordings_) {
    recording.class_index = IndexOf(recording.wanted_class);
  }
  for (auto& [id, entry] : segments_) {
    entry.segment.class_index = ClassIndexOf(entry.segment.recording_uid);
    Enlist(entry);
  }
}

bool Retention::HasClass(const std::string& name) const {
  return std::any_of(classes_.begin(), classes_.end(),
                     [&](const ClassEntry& entry) { return entry.rule.name == name; });
}

uint32_t Retention::IndexOf(const std::string& name) const {
  uint32_t fallback = 0;
  for (uint32_t i = 0; i < classes_.size(); ++i) {
    if (classes_[i].rule.name == name) return i;
    if (classes_[i].rule.name == kDefaultClass) fallback = i;
  }
  return fallback;
}

uint32_t Retention::ClassIndexOf(uint64_t recording_uid) const {
  const auto found = recordings_.find(recording_uid);
  return found == recordings_.end() ? IndexOf(kDefaultClass) : found->second.class_index;
}

const std::string& Retention::ClassOf(uint64_t recording_uid) const {
  return classes_[ClassIndexOf(recording_uid)].rule.name;
}

std::string Retention::WantedClassOf(uint64_t recording_uid) const {
  const auto found = recordings_.find(recording_uid);
  if (found == recordings_.end() || found->second.wanted_class == kDefaultClass) return "";
  return found->second.wanted_class;
}

void Retention::SetRecording(uint64_t uid, const std::string& name,
                             const std::string& retention_class) {
  const uint32_t index = IndexOf(retention_class);
  const uint32_t before = ClassIndexOf(uid);
  recordings_[uid] = {name, retention_class, index};
  if (before == index) return;
  for (auto& [id, entry] : segments_) {
    if (entry.segment.recording_uid != uid) continue;
    Delist(entry);
    entry.segment.class_index = index;
    Enlist(entry);
  }
}

// ---- segments

// Between Delist and Enlist an entry may be changed.
void Retention::Enlist(const Entry& entry) {
  if (entry.segment.stranded) return;
  ClassEntry& its = classes_[entry.segment.class_index];
  ++its.segments;
  if (!entry.holds.empty()) ++its.held;
  if (!entry.may_go()) return;
  its.may_go.insert(entry.segment.id);
  const UnixNanos due = AgeDue(its.rule, entry.segment.last_time);
  if (due != kEndOfTime) its.by_due.insert({due, entry.segment.id});
}

void Retention::Delist(const Entry& entry) {
  if (entry.segment.stranded) return;
  ClassEntry& its = classes_[entry.segment.class_index];
  --its.segments;
  if (!entry.holds.empty()) --its.held;
  if (!entry.may_go()) return;
  its.may_go.erase(entry.segment.id);
  its.by_due.erase({AgeDue(its.rule, entry.segment.last_time), entry.segment.id});
}

void Retention::Add(RetentionSegment segment) {
  const SegmentId id = segment.id;
  SLUICE_CHECK(!segments_.contains(id));
  segment.class_index = ClassIndexOf(segment.recording_uid);
  segment.holds.clear();
  if (!segment.sealed) ++open_;
  Entry& entry = segments_[id];
  entry.segment = std::move(segment);
  OfferToAll(entry);
  Enlist(entry);
}

void Retention::Update(const SegmentUpdate& update) {
  const auto found = segments_.find(update.segment);
  if (found == segments_.end()) return;
  Entry& entry = found->second;
  Delist(entry);
  RetentionSegment& segment = entry.segment;
  if (!held_streams_.empty()) {
    for (const StreamUpdate& stream : update.streams) {
      const auto holds = held_streams_.find(stream.stream);
      if (holds == held_streams_.end()) continue;
      for (const HoldNumber number : holds->second) {
        if (!Has(entry.streams, number)) entry.streams.push_back(number);
        if (stream.reason != CloseReason::kNone) holds_.at(number).state.grows = false;
      }
    }
  }
  segment.written = std::max(segment.written, update.durable);
  segment.payload = update.payload;
  segment.first_time = update.first_time;
  segment.last_time = update.last_time;
  OfferToAll(entry);  // before it may go
  if (update.sealed && !segment.sealed) {
    segment.sealed = true;
    --open_;
  }
  Enlist(entry);
}

void Retention::Remove(SegmentId id) {
  const auto found = segments_.find(id);
  if (found == segments_.end()) return;
  Entry& entry = found->second;
  Delist(entry);
  for (const HoldNumber number : entry.holds) --holds_.at(number).state.segments;
  for (const HoldNumber number : entry.refused) --holds_.at(number).state.refused;
  if (!entry.segment.sealed) --open_;
  if (entry.segment.stranded) --stranded_;
  segments_.erase(found);
}

void Retention::Strand(SegmentId id) {
  Entry& entry = segments_.at(id);
  if (entry.segment.stranded) return;
  Delist(entry);
  entry.segment.stranded = true;
  ++stranded_;
  --slots_;
}

bool Retention::IsHeld(SegmentId id) const {
  const auto found = segments_.find(id);
  return found != segments_.end() && !found->second.holds.empty();
}

uint32_t Retention::Obtainable(uint64_t recording_uid) const {
  const ClassEntry& own = classes_[ClassIndexOf(recording_uid)];
  uint64_t sum = free() + own.may_go.size();
  for (const ClassEntry& other : classes_) {
    const uint64_t reserved = other.rule.reserve.value / segment_.value;
    if (&other == &own || other.segments <= reserved) continue;
    sum += std::min<uint64_t>(other.may_go.size(), other.segments - reserved);
  }
  if (own.rule.quota.value != 0) sum = std::min(sum, own.rule.quota.value / segment_.value);
  return static_cast<uint32_t>(sum);
}

uint32_t Retention::free() const {
  const auto used = static_cast<uint32_t>(segments_.size()) - stranded_;
  return slots_ > used ? slots_ - used : 0;
}

// ---- holds

bool Retention::Selects(const HoldEntry& hold, HoldNumber number, const Entry& entry) const {
  const Selector& selector = hold.state.hold.selector;
  if (IsEmpty(entry.segment) || !Overlaps(selector, entry.segment)) return false;
  if (selector.stream) return Has(entry.streams, number);
  return selector.recording.empty() || selector.recording == entry.segment.recording;
}

void Retention::Offer(HoldNumber number, HoldEntry& hold, Entry& entry) {
  if (Has(entry.holds, number) || Has(entry.refused, number)) return;
  if (!Selects(hold, number, entry)) return;
  HoldState& state = hold.state;
  if (!IsFull(state)) {
    Take(number, hold, entry);
    is_unsaved_ |= IsFull(state);
    return;
  }
  entry.refused.push_back(number);
  if (state.refused++ == 0) filled_.push_back(state.hold.id);
}

void Retention::Take(HoldNumber number, HoldEntry& hold, Entry& entry) {
  entry.holds.push_back(number);
  ++hold.state.segments;
}

bool Retention::IsFull(const HoldState& state) const {
  return segment_ * (state.segments + 1) > state.hold.budget;
}

void Retention::OfferToAll(Entry& entry) {
  for (auto& [number, hold] : holds_) Offer(number, hold, entry);
}

Retention::HoldNumber Retention::Insert(Hold wanted, absl::Span<const SegmentId> parts,
                                        bool active) {
  const HoldNumber number = ++last_hold_;
  HoldEntry& hold = holds_[number];
  hold.state.hold = std::move(wanted);
  // A recording may be resumed, and have more; a stream that has ended does not go on.
  hold.state.grows = active || !hold.state.hold.selector.stream;
  if (const auto stream = hold.state.hold.selector.stream) {
    held_streams_[*stream].push_back(number);
    for (const SegmentId part : parts) {
      const auto found = segments_.find(part);
      if (found != segments_.end()) found->second.streams.push_back(number);
    }
  }
  // What it had comes before what it may have.
  for (const SegmentId id : std::exchange(hold.state.hold.segments, {})) {
    const auto found = segments_.find(id);
    if (found == segments_.end() || IsFull(hold.state) || Has(found->second.holds, number))
      continue;
    Delist(found->second);
    Take(number, hold, found->second);
    Enlist(found->second);
  }
  for (auto& [id, entry] : segments_) {
    if (!Selects(hold, number, entry)) continue;
    Delist(entry);
    Offer(number, hold, entry);
    Enlist(entry);
  }
  return number;
}

void Retention::Erase(HoldNumber number) {
  const auto hold = holds_.find(number);
  if (const auto stream = hold->second.state.hold.selector.stream) {
    HoldNumbers& numbers = held_streams_.at(*stream);
    Drop(numbers, number);
    if (numbers.empty()) held_streams_.erase(*stream);
  }
  for (auto& [id, entry] : segments_) {
    Drop(entry.refused, number);
    Drop(entry.streams, number);
    if (!Has(entry.holds, number)) continue;
    Delist(entry);
    Drop(entry.holds, number);
    Enlist(entry);
  }
  std::erase(filled_, hold->second.state.hold.id);
  holds_.erase(hold);
}

uint32_t Retention::HeldSegments() const {
  uint32_t held = 0;
  for (const ClassEntry& entry : classes_) held += entry.held;
  return held;
}

// Of all tracks that record now, and at least of one.
uint32_t Retention::SegmentsToRecord() const {
  std::set<std::pair<uint64_t, LaneId>> tracks;
  for (const auto& [id, entry] : segments_) {
    const RetentionSegment& segment = entry.segment;
    if (!segment.sealed) tracks.insert({segment.recording_uid, segment.lane});
  }
  return kSegmentsPerTrack * std::max<uint32_t>(1, static_cast<uint32_t>(tracks.size()));
}

uint64_t Retention::Growth(const HoldEntry& hold, UnixNanos now) const {
  const HoldState& state = hold.state;
  if (!state.grows || state.hold.selector.to <= now) return 0;
  return state.hold.budget.value / segment_.value - state.segments;
}

// Whether there is enough to record into when every hold has come to its budget.
absl::Status Retention::CheckRoom(const HoldEntry& wanted, UnixNanos now) const {
  uint64_t growth = 0;
  for (const auto& [number, hold] : holds_) growth += Growth(hold, now);
  const uint64_t held = HeldSegments();
  const uint64_t needed = SegmentsToRecord();
  if (held + growth + needed <= slots_) return absl::OkStatus();
  const HoldState& state = wanted.state;
  return absl::ResourceExhaustedError(absl::StrCat(
      "hold \"", state.hold.id, "\" would have ", Readable(segment_ * state.segments),
      " now, and up to ", Readable(segment_ * (state.segments + Growth(wanted, now))),
      ". With it, holds have ", Readable(segment_ * held), " of the archive's ",
      Readable(segment_ * slots_), " and may grow by ", Readable(segment_ * growth), "; recording ",
      "needs ", Readable(segment_ * needed), " beside that (", kSegmentsPerTrack, " segments of ",
      Readable(segment_), " for each recording and lane), and ",
      Readable(segment_ * (slots_ > held + growth ? slots_ - held - growth : 0)),
      " would be left: select less, lower the budget, or release another hold"));
}

absl::Status Retention::AddHold(Hold hold, absl::Span<const SegmentId> parts, bool active,
                                UnixNanos now) {
  const std::string id = hold.id;
  const std::string who = absl::StrCat("hold \"", id, "\"");
  for (const auto& [number, known] : holds_) {
    if (known.state.hold.id != id) continue;
    return absl::AlreadyExistsError(
        absl::StrCat(who, " exists already: choose another id, or release it first"));
  }
  if (hold.selector.from >= hold.selector.to) {
    return absl::InvalidArgumentError(
        absl::StrCat(who, " selects no time: it begins at or after its end"));
  }
  if (hold.until <= now) {
    return absl::InvalidArgumentError(absl::StrCat(who, " ends in the past"));
  }
  const ByteCount budget = hold.budget;
  if (budget.value == 0 && active && hold.selector.to > now) {
    return absl::InvalidArgumentError(absl::StrCat(
        who, " needs a budget: what it selects is still being recorded, so it would grow without ",
        "a limit"));
  }
  // Tried without a limit, to learn what it takes.
  hold.budget = segment_ * slots_;
  hold.segments.clear();
  const HoldNumber number = Insert(std::move(hold), parts, active);
  HoldEntry& inserted = holds_.at(number);
  const ByteCount takes = segment_ * inserted.state.segments;
  inserted.state.hold.budget = budget.value == 0 ? takes : budget;

  absl::Status status;
  const bool grows = Growth(inserted, now) > 0;
  if (takes.value == 0 && !grows) {
    status = absl::FailedPreconditionError(
        absl::StrCat(who, " would hold nothing: the archive has no data of ",
                     ToString(inserted.state.hold.selector), ", or not any more"));
  } else if (takes > inserted.state.hold.budget) {
    status = absl::ResourceExhaustedError(absl::StrCat(
        who, " would hold ", Readable(takes), " now (", inserted.state.segments, " segments of ",
        Readable(segment_), "), more than its budget of ", Readable(budget), "; the archive has ",
        Readable(segment_ * slots_), ", of which holds have ", Readable(segment_ * HeldSegments()),
        " with this one: select less, or raise the budget"));
  } else {
    status = CheckRoom(inserted, now);
  }
  if (!status.ok()) Erase(number);
  return status;
}

void Retention::RestoreHold(Hold hold, absl::Span<const SegmentId> parts, bool active) {
  Insert(std::move(hold), parts, active);
}

absl::Status Retention::RemoveHold(const std::string& id) {
  for (const auto& [number, hold] : holds_) {
    if (hold.state.hold.id != id) continue;
    Erase(number);
    return absl::OkStatus();
  }
  return absl::NotFoundError(absl::StrCat("there is no hold \"", id, "\""));
}

std::vector<std::string> Retention::HoldsOf(uint64_t recording_uid) const {
  std::set<std::string> ids;
  for (const auto& [id, entry] : segments_) {
    if (entry.segment.recording_uid != recording_uid) continue;
    for (const HoldNumber number : entry.holds) ids.insert(holds_.at(number).state.hold.id);
  }
  return {ids.begin(), ids.end()};
}

std::vector<std::string> Retention::ExpiredHolds(UnixNanos now) const {
  std::vector<std::string> expired;
  for (const auto& [number, hold] : holds_) {
    if (hold.state.hold.until <= now) expired.push_back(hold.state.hold.id);
  }
  return expired;
}

// ---- what goes next

std::optional<Removal> Retention::NextDue(UnixNanos now) const {
  const std::pair<UnixNanos, SegmentId>* soonest = nullptr;
  for (const ClassEntry& its : classes_) {
    if (its.by_due.empty()) continue;
    const auto& first = *its.by_due.begin();
    if (first.first <= now && (soonest == nullptr || first < *soonest)) soonest = &first;
  }
  if (soonest != nullptr) return Removal{soonest->second, RetentionRule::kAge};
  for (const ClassEntry& its : classes_) {
    if (its.rule.quota.value == 0 || its.may_go.empty()) continue;
    if (its.segments - its.held <= QuotaSegments(its.rule, segment_)) continue;
    return Removal{*its.may_go.begin(), RetentionRule::kQuota};
  }
  return NextForCatalog();
}

std::optional<SegmentId> Retention::OldestUnderPressure(std::optional<uint32_t> asking) const {
  for (uint32_t i = 0; i < classes_.size(); ++i) {
    const ClassEntry& its = classes_[i];
    if (its.may_go.empty()) continue;
    if (i != asking && its.segments <= ReserveSegments(its.rule, segment_)) continue;
    return *its.may_go.begin();
  }
  return std::nullopt;
}

std::optional<Removal> Retention::NextForCatalog() const {
  if (!catalog_full()) return std::nullopt;
  if (const auto oldest = OldestUnderPressure(std::nullopt)) {
    return Removal{*oldest, RetentionRule::kCatalog};
  }
  for (const ClassEntry& its : classes_) {
    if (!its.may_go.empty()) return Removal{*its.may_go.begin(), RetentionRule::kCatalog};
  }
  return std::nullopt;
}

std::optional<Removal> Retention::NextFor(uint64_t recording_uid, UnixNanos now) const {
  const uint32_t asking = ClassIndexOf(recording_uid);
  const ClassEntry& own = classes_[asking];
  if (own.rule.quota.value != 0 && !own.may_go.empty() &&
      own.segments - own.held + 1 > QuotaSegments(own.rule, segment_)) {
    return Removal{*own.may_go.begin(), RetentionRule::kQuota};
  }
  if (free() > 0) return std::nullopt;
  if (const auto due = NextDue(now)) return due;
  if (const auto oldest = OldestUnderPressure(asking)) {
    return Removal{*oldest, RetentionRule::kPressure};
  }
  return std::nullopt;
}

UnixNanos Retention::NextTime() const {
  UnixNanos next = kEndOfTime;
  for (const ClassEntry& its : classes_) {
    if (!its.by_due.empty()) next = std::min(next, its.by_due.begin()->first);
  }
  for (const auto& [number, hold] : holds_) next = std::min(next, hold.state.hold.until);
  return next;
}

// ---- to look at

std::string Retention::WhyNothingMayGo() const {
  std::vector<std::string> parts;
  if (open_ > 0) parts.push_back(absl::StrCat(open_, " are being written"));
  for (const auto& [number, hold] : holds_) {
    const HoldState& state = hold.state;
    if (state.segments == 0) continue;
    parts.push_back(absl::StrCat("hold \"", state.hold.id, "\" of ", state.hold.owner, " has ",
                                 state.segments));
  }
  for (const ClassEntry& its : classes_) {
    if (its.may_go.empty()) continue;
    parts.push_back(
        absl::StrCat(its.may_go.size(), " are reserved for class \"", its.rule.name, "\""));
  }
  return absl::StrCat(slots_, " segments of ", Readable(segment_), ": ",
                      absl::StrJoin(parts, ", "));
}

std::optional<HoldState> Retention::FindHold(const std::string& id) const {
  for (const auto& [number, hold] : holds_) {
    if (hold.state.hold.id == id) return hold.state;
  }
  return std::nullopt;
}

std::vector<Hold> Retention::holds() const {
  std::vector<Hold> holds;
  for (const auto& [number, hold] : holds_) {
    Hold& copy = holds.emplace_back(hold.state.hold);
    if (!IsFull(hold.state)) continue;
    for (const auto& [id, entry] : segments_) {
      if (Has(entry.holds, number)) copy.segments.push_back(id);
    }
  }
  return holds;
}

std::vector<RetentionClass> Retention::classes() const {
  std::vector<RetentionClass> classes;
  for (const ClassEntry& entry : classes_) classes.push_back(entry.rule);
  return classes;
}

RetentionState Retention::state() const {
  RetentionState state;
  state.segment = segment_;
  state.slots = slots_;
  state.classes = classes();
  state.catalog = catalog_;
  state.catalog_limit = catalog_limit_;
  std::map<HoldNumber, uint32_t> index;
  for (const auto& [number, hold] : holds_) {
    index[number] = static_cast<uint32_t>(state.holds.size());
    state.holds.push_back(hold.state);
  }
  state.segments.reserve(segments_.size());
  for (const auto& [id, entry] : segments_) {
    state.segments.push_back(entry.segment);
    for (const HoldNumber number : entry.holds) {
      state.segments.back().holds.push_back(index.at(number));
    }
  }
  return state;
}

}  // namespace sluice
