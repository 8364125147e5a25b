// RecorderSim: rules that remove, and people who hold.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/sim/recorder_sim.h"
#include "writer/catalog/sqlite.h"

namespace sluice {
namespace {

constexpr uint32_t kPatience = 5;        // requests that were refused, before a hold is released
constexpr uint32_t kPatienceOfAll = 40;  // before everything is given up

// Which segments hold something, and by how many.
std::vector<std::pair<SegmentId, size_t>> Held(const Retention& retention) {
  std::vector<std::pair<SegmentId, size_t>> held;
  for (const RetentionSegment& segment : retention.state().segments) {
    if (segment.held()) held.emplace_back(segment.id, segment.holds.size());
  }
  return held;
}

}  // namespace

UnixNanos RecorderSim::retention_time() const {
  const int64_t ahead = mutant_ == Mutant::kClockAhead ? 3'600'000'000'000 : 0;
  return {world_.real_time().value + ahead};
}

// ---- what is kept, and for how long

absl::Status RecorderSim::SavePolicy(const RetentionPolicy& policy) {
  const absl::Status status = archive_.SavePolicy(policy);
  if (status.ok()) expectations_.book().OnSaved(policy.holds);
  if (!status.ok() && !fuse_.blown()) expectations_.book().OnSaveFailed();
  return status;
}

void RecorderSim::ChangeClasses() {
  const std::vector<RetentionClass> classes = MakeClasses(world_, plan_.slots, plan_.segment);
  RetentionBook& book = expectations_.book();
  const std::vector<RetentionClass> before = store_->retention().classes();
  const absl::Status status = store_->SetRetentionClasses(classes, "alice");
  journal_.Note("sets ", classes.size(), " classes: ", status.ToString());
  if (fuse_.blown()) return book.DoubtClasses(/*at_once=*/true);
  if (status.ok()) return book.OnClasses(classes);
  if (store_->retention().classes() != before) journal_.Fail("refused classes have changed some");
  book.DoubtClasses(/*at_once=*/false);
}

Hold RecorderSim::MakeHold() {
  Hold hold;
  hold.id = absl::StrCat("h", ++last_hold_);
  hold.owner = "alice";
  hold.budget = plan_.segment * (world_.OneIn(4) ? 0 : 1 + world_.Roll(plan_.slots / 2));
  const int64_t now = world_.real_time().value;
  if (world_.OneIn(3)) hold.until = {now + 1 + static_cast<int64_t>(world_.Roll(200'000'000))};
  if (world_.OneIn(3)) hold.selector.from = {now - static_cast<int64_t>(world_.Roll(100'000'000))};
  if (world_.OneIn(4)) hold.selector.to = {now + static_cast<int64_t>(world_.Roll(50'000'000))};
  const auto segments = catalog_->Segments();
  if (!segments.ok() || segments->empty() || world_.OneIn(6)) return hold;
  const SegmentRow& segment = (*segments)[world_.Roll(segments->size())];
  hold.selector.recording = segment.recording;
  const auto parts = catalog_->SegmentParts(segment.id);
  if (!parts.ok() || parts->empty() || world_.OneIn(2)) return hold;
  hold.selector.stream = (*parts)[world_.Roll(parts->size())].stream;
  return hold;
}

void RecorderSim::CreateHold(Hold hold) {
  RetentionBook& book = expectations_.book();
  const auto saved = archive_.policy();
  const std::vector<Hold> holds = store_->retention().holds();
  const auto held = Held(store_->retention());
  const auto created = store_->CreateHold(hold, "alice");
  journal_.Note("hold ", hold.id, " on ", ToString(hold.selector), ", budget ", hold.budget.value,
                ": ", created.status().ToString());
  if (fuse_.blown()) return book.DoubtHold(hold.id, /*at_once=*/true);
  if (created.ok()) {
    ++counts_.holds;
    return book.OnHoldCreated(created->hold, store_->retention());
  }
  ++counts_.holds_refused;
  book.DoubtHold(hold.id, /*at_once=*/false);
  const std::string why(created.status().message());
  if (absl::IsResourceExhausted(created.status()) && !absl::StrContains(why, " MiB")) {
    journal_.Fail("hold ", hold.id, " was refused without a number: ", why);
  }
  if (store_->retention().holds() != holds || Held(store_->retention()) != held) {
    journal_.Fail("hold ", hold.id, " was refused, and something is held otherwise");
  }
  const auto now = archive_.policy();
  if (saved.ok() != now.ok() || (saved.ok() && *saved != *now)) {
    journal_.Fail("hold ", hold.id, " was refused, and the saved policy is another one");
  }
}

void RecorderSim::ReleaseHold(const std::string& id) {
  RetentionBook& book = expectations_.book();
  const auto saved = archive_.policy();
  const auto released = store_->ReleaseHold(id, "alice");
  journal_.Note("releases hold ", id, ": ", released.status().ToString());
  if (fuse_.blown()) return book.DoubtHold(id, /*at_once=*/true);
  if (released.ok()) return book.OnHoldReleased(id);
  book.DoubtHold(id, /*at_once=*/false);
  const auto now = archive_.policy();
  if (saved.ok() != now.ok() || (saved.ok() && *saved != *now)) {
    journal_.Fail("hold ", id, " was not released, and the saved policy is another one");
  }
}

void RecorderSim::ReleaseAnyHold() {
  const std::vector<Hold> holds = store_->retention().holds();
  if (!holds.empty()) ReleaseHold(holds[world_.Roll(holds.size())].id);
}

// Somebody wants something kept, does not want it any more, or wants it kept for longer: places
// another hold, and then gives the first one up.
void RecorderSim::ChangeHolds() {
  const std::vector<Hold> holds = store_->retention().holds();
  if (holds.empty() || world_.OneIn(2)) return CreateHold(MakeHold());
  Hold longer = holds[world_.Roll(holds.size())];
  const std::string before = longer.id;
  if (world_.OneIn(2)) {
    longer.id = absl::StrCat("h", ++last_hold_);
    longer.until = kEndOfTime;
    CreateHold(longer);
    const bool has_both = !fuse_.blown() && store_->retention().FindHold(longer.id).has_value();
    if (!has_both) return;
  }
  ReleaseHold(before);
}

// ---- what goes by itself

bool RecorderSim::HasKeeperWork() const {
  return keeper_->HasWork(world_.now()) ||
         (plan_.retention && store_->tidy_time() <= retention_time());
}

void RecorderSim::TidyUp() {
  RetentionBook& book = expectations_.book();
  const UnixNanos now = retention_time();
  if (fuse_.blown() || store_->tidy_time() > now) return;
  book.OnTidy(world_.real_time());
  store_->Tidy(0);  // ends holds whose time is over
  const auto due = store_->retention().NextDue(now);
  if (fuse_.blown() || !due) return;
  expectations_.OnRemoval(due->segment, due->rule, world_.real_time());
  journal_.Note("segment ", static_cast<uint64_t>(due->segment), " is due by ",
                RetentionRuleName(due->rule));
  const std::vector<RemovedSegment> removed = store_->Tidy(1);
  if (fuse_.blown()) return;
  if (removed.empty()) return expectations_.OnKept(due->segment);
  ++counts_.removed;
  if (removed.size() != 1 || removed[0].row.id != due->segment || removed[0].rule != due->rule) {
    journal_.Fail("another segment was removed than was due");
  }
}

// Nothing may go, and senders wait: somebody releases a hold, or gives up.
void RecorderSim::MakeRoom() {
  if (exhausted_ < kPatience || fuse_.blown()) return;
  if (exhausted_ % kPatience == 0) ReleaseAnyHold();
  if (exhausted_ < kPatienceOfAll) return;
  exhausted_ = 0;
  journal_.Note("gives up: no segment is to be had");
  for (LaneOfSim& lane : lanes_) {
    for (const auto& [number, recording] : lane.tracks) {
      recordings_[recording].stopping = true;
      lane.lane->StopTrack(number, /*abort=*/true);
    }
  }
}

// A mistake: the catalog does not remember what goes.
void RecorderSim::ForgetRemovals() {
  const auto db = SqliteDatabase::Open(archive_.catalog_path(), SqliteDatabase::Mode::kReadWrite);
  if (!db.ok()) return;
  (*db)
      ->Execute(
          "CREATE TRIGGER IF NOT EXISTS forgetful BEFORE INSERT ON removals BEGIN"
          " SELECT RAISE(IGNORE); END")
      .IgnoreError();
}

}  // namespace sluice
