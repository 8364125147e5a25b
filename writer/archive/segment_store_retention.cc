// SegmentStore: who keeps what, and what goes by itself.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/archive/replaced_segment.h"
#include "writer/archive/retention_reader.h"
#include "writer/archive/segment_store.h"
#include "writer/readable.h"
#include "writer/retention/policy_text.h"
#include "writer/segment/segment_codec.h"

namespace sluice {
namespace {

constexpr char kRules[] = "rules";  // whoever acts by himself

std::string NameOf(const std::string& hold) { return absl::StrCat("holds/", hold); }

}  // namespace

// ---- the audit

void SegmentStore::Audit(const std::string& actor, const std::string& action,
                         const std::string& object, const std::string& detail) {
  NoteAudit(actor, action, object, detail);
  FlushAudit();
}

// To be told with the next ones.
void SegmentStore::NoteAudit(const std::string& actor, const std::string& action,
                             const std::string& object, const std::string& detail) {
  if (pending_audit_.size() == kPendingAuditMax) pending_audit_.erase(pending_audit_.begin());
  pending_audit_.push_back({0, options_.clock(), actor, action, object, detail});
}

void SegmentStore::FlushAudit() {
  while (!pending_audit_.empty()) {
    const absl::Status status = catalog_->AddAudit(pending_audit_);
    if (status.ok()) {
      pending_audit_.clear();
      ++changes_;
    }
    // That it takes this does not say that it takes the rest. When it does, there may be a row more
    // to say so.
    if (!status.ok() || (pending_.empty() && unheard_.empty())) OnCatalog(status);
    if (!status.ok()) return;
  }
}

void SegmentStore::AuditFilledHolds() {
  for (const std::string& id : retention_.TakeFilled()) {
    const std::optional<HoldState> state = retention_.FindHold(id);
    if (!state) continue;
    Audit(kRules, "hold full", NameOf(id),
          absl::StrCat("its budget of ", Readable(state->hold.budget), " is used up by ",
                       state->segments, " segments: what came later is not held"));
  }
}

void SegmentStore::OnExhausted(const std::string& why) {
  const UnixNanos now = options_.clock();
  if (exhausted_) return;
  if (exhausted_at_.value != 0 && now.value - exhausted_at_.value < kExhaustedAgainNs) return;
  exhausted_ = true;
  exhausted_at_ = now;
  Audit(kRules, "archive exhausted", "", absl::StrCat("no segment may go: ", why));
}

void SegmentStore::OnLent() {
  if (!exhausted_) return;
  exhausted_ = false;
  Audit(kRules, "archive available", "", "a segment can be had again");
}

// ---- the policy

// Before a change of it is told to anybody.
absl::Status SegmentStore::SavePolicy() {
  const RetentionPolicy policy{generation_ + 1, retention_.classes(), retention_.holds()};
  const std::string text = EncodePolicy(policy);
  if (text.size() > kPolicyTextMax) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the retention classes and holds would need ", Readable({text.size()}), " as text, and ",
        Readable({kPolicyTextMax}), " is the most that can be read again: release a hold"));
  }
  if (options_.save_policy) SLUICE_RETURN_IF_ERROR(options_.save_policy(policy));
  generation_ = policy.generation;
  retention_.Saved();
  OnCatalog(catalog_->PutPolicy(text));
  return absl::OkStatus();
}

// A hold takes segments in the order in which they are published; a start finds them in the order
// of their ids. So when one is full, what it has is written down before anything else may go.
void SegmentStore::SaveFullHolds() {
  if (!retention_.is_unsaved() || options_.clock() < save_not_before_) return;
  const bool failed_before = save_not_before_.value != 0;
  const absl::Status saved = SavePolicy();
  save_not_before_ = saved.ok() ? UnixNanos{} : UnixNanos{options_.clock().value + kTidyAgainNs};
  if (saved.ok() || failed_before) return;
  Audit(kRules, "holds not saved", "",
        absl::StrCat("a start may let go of what a full hold has: ", saved.message()));
}

absl::Status SegmentStore::SetRetentionClasses(std::vector<RetentionClass> classes,
                                               const std::string& actor) {
  SLUICE_RETURN_IF_ERROR(retention_.CheckClasses(classes));
  if (classes.size() > kClassesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(classes.size(), " retention classes: at most ", kClassesMax, " are possible"));
  }
  std::vector<RetentionClass> before = retention_.classes();
  retention_.SetClasses(std::move(classes));
  const std::vector<RetentionClass> after = retention_.classes();
  if (after == before) return absl::OkStatus();
  if (const absl::Status saved = SavePolicy(); !saved.ok()) {
    retention_.SetClasses(std::move(before));
    return saved;
  }
  for (const RetentionClass& rule : after) {
    if (std::find(before.begin(), before.end(), rule) != before.end()) continue;
    Audit(actor, "class defined", absl::StrCat("retentionClasses/", rule.name),
          absl::StrCat("priority ", rule.priority, ", quota ",
                       rule.quota.value == 0 ? "none" : Readable(rule.quota), ", age ",
                       absl::FormatDuration(rule.max_age), ", reserve ", Readable(rule.reserve)));
  }
  for (const RetentionClass& rule : before) {
    if (retention_.HasClass(rule.name)) continue;
    Audit(actor, "class removed", absl::StrCat("retentionClasses/", rule.name), "");
  }
  return absl::OkStatus();
}

// ---- holds

absl::StatusOr<HoldState> SegmentStore::CreateHold(Hold hold, const std::string& actor) {
  const std::string id = hold.id;
  const std::string what = absl::StrCat(ToString(hold.selector), ", for ", hold.owner);
  absl::StatusOr<HoldState> created = TryCreateHold(std::move(hold), actor);
  if (!created.ok()) {
    Audit(actor, "hold refused", NameOf(id), absl::StrCat(what, ": ", created.status().message()));
  }
  return created;
}

absl::StatusOr<HoldState> SegmentStore::TryCreateHold(Hold hold, const std::string& actor) {
  if (retention_.holds().size() >= kHoldsMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("there are ", kHoldsMax, " holds already: release one first"));
  }
  const std::string id = hold.id.empty() ? absl::StrCat("hold-", generation_ + 1) : hold.id;
  hold.id = id;
  hold.created = options_.clock();
  SLUICE_ASSIGN_OR_RETURN(const Selection selection, Select(*catalog_, hold.selector));
  SLUICE_RETURN_IF_ERROR(
      retention_.AddHold(std::move(hold), selection.parts, selection.active, options_.clock()));
  if (const absl::Status saved = SavePolicy(); !saved.ok()) {
    retention_.RemoveHold(id).IgnoreError();
    return saved;
  }
  HoldState state = *retention_.FindHold(id);
  Audit(actor, "hold created", NameOf(id),
        absl::StrCat(ToString(state.hold.selector), ", for ", state.hold.owner, ", budget ",
                     Readable(state.hold.budget), ", holds ",
                     Readable(options_.meta.segment * state.segments), ": ", state.hold.reason));
  return state;
}

absl::StatusOr<HoldState> SegmentStore::ReleaseHold(const std::string& id,
                                                    const std::string& actor) {
  std::optional<HoldState> state = retention_.FindHold(id);
  if (!state) return absl::NotFoundError(absl::StrCat("there is no hold \"", id, "\""));
  // Only when the policy without it is durable may anything of it go; so it is tried on a copy.
  const Retention before = retention_;
  SLUICE_RETURN_IF_ERROR(retention_.RemoveHold(id));
  if (const absl::Status saved = SavePolicy(); !saved.ok()) {
    retention_ = before;
    return saved;
  }
  Audit(actor, actor == kRules ? "hold ended" : "hold released", NameOf(id),
        absl::StrCat(ToString(state->hold.selector), ", of ", state->hold.owner, ", held ",
                     Readable(options_.meta.segment * state->segments)));
  return *std::move(state);
}

// ---- what goes by itself

std::vector<RemovedSegment> SegmentStore::Tidy(size_t limit) {
  const UnixNanos now = options_.clock();
  std::vector<RemovedSegment> removed;
  const auto try_later = [&] { tidy_not_before_ = {now.value + kTidyAgainNs}; };
  for (const std::string& id : retention_.ExpiredHolds(now)) {
    if (!ReleaseHold(id, kRules).ok()) try_later();
  }
  while (removed.size() < limit) {
    const std::optional<Removal> due = retention_.NextDue(now);
    if (!due) break;
    // A catalog that has not heard of all that a segment holds would remember too little of it.
    if (pending_.Contains(due->segment)) Publish({});
    if (pending_.Contains(due->segment)) {
      try_later();
      break;
    }
    const uint32_t index = slot_of_.at(due->segment);
    const Slot& slot = slots_[index];
    const RemovalCause why = CauseOf(due->rule);
    const absl::Status forgotten = catalog_->ForgetSegment(due->segment, why);
    OnCatalog(forgotten);
    if (!forgotten.ok()) {
      try_later();
      break;
    }
    removed.push_back({slot.row, due->rule});
    Count(due->rule);
    ForgetOlderOnDisksOut(removed.back().row, why);
    // Not synced: should the old header come back, its segment is due again.
    SegmentHeader empty = EmptySlotHeader(HeaderOf(slot));
    empty.replaced = Replaced(slot.row, why);
    SealSegmentHeader(empty);
    Vacate(index, files_->WriteHeader(index, empty).ok());
    LookAtCatalog();
  }
  return removed;
}

// ---- the catalog's bound

// What waits for it counts too: else what is too much for it at once would wait forever.
ByteCount SegmentStore::CatalogBytesOfPending() const {
  constexpr uint64_t kBytesOfStream = 256;
  return {kBytesOfStream * pending_.streams()};
}

// A quarter is kept for what comes at once, and for pages that are not full.
void SegmentStore::LookAtCatalog() {
  const ByteCount bound = options_.meta.catalog;
  if (bound.value == 0) return;
  const ByteCount limit{bound.value / 4 * 3};
  const absl::StatusOr<ByteCount> used = catalog_->Used();
  if (!used.ok()) return;  // which whoever writes next is told
  const ByteCount needed = *used + CatalogBytesOfPending();
  retention_.SetCatalog(needed, limit);
  catalog_alarm_.clear();
  if (!retention_.catalog_full()) return;
  const std::string has = absl::StrCat("the catalog needs ", Readable(needed), " and may have ",
                                       Readable(bound), ", and ");
  // Segments that go would not help where it is not their streams that fill it.
  const absl::StatusOr<CatalogSize> size = catalog_->Size();
  if (size.ok() && size->history + ByteCount{limit.value / 2} > needed) {
    retention_.SetCatalog(std::min(needed, limit), limit);
    catalog_alarm_ = absl::StrCat(has, "most of that is what it remembers of recordings, removals ",
                                  "and the audit: delete recordings that are over");
  } else if (!retention_.NextDue(options_.clock())) {
    catalog_alarm_ =
        absl::StrCat(has, "no segment may go. There are ", retention_.WhyNothingMayGo(),
                     ". Release a hold; else streams that are recorded now cannot be found until ",
                     "there is room");
  }
}

UnixNanos SegmentStore::tidy_time() const {
  const UnixNanos now = options_.clock();
  const UnixNanos next = retention_.NextDue(now) ? now : retention_.NextTime();
  return std::max(next, tidy_not_before_);
}

}  // namespace sluice
