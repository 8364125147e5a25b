#include "writer/retention/plan.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <utility>

#include "writer/stream_id.h"

namespace sluice {
namespace {

constexpr size_t kRateSegments = 8;  // the last ones of a track, from which its rate is taken

// One recording on one lane, as it will go on.
struct Track {
  uint64_t recording_uid = 0;
  std::string recording;
  LaneId lane{};
  std::deque<RetentionSegment> last;  // at most kRateSegments
  std::deque<SegmentId> open;
  uint64_t room = 0;  // in the open ones
  double bytes_per_second = 0;
  double asks_at = 0;  // ns since 1970
};

class Planner {
 public:
  Planner(const Retention& retention, UnixNanos now, size_t limit)
      : retention_(retention), state_(retention.state()), limit_(limit) {
    plan_.now = now;
    now_ = now;
    for (const RetentionSegment& segment : state_.segments) {
      existing_[segment.id] = &segment;
      last_id_ = std::max(last_id_, static_cast<uint64_t>(segment.id));
    }
    catalog_ = static_cast<double>(retention.catalog().value);
    catalog_share_ = catalog_ / std::max<double>(1, static_cast<double>(state_.segments.size()));
    FindTracks();
  }

  RetentionPlan Run() {
    const size_t steps_max = size_t{3} * state_.slots + 100;
    RemoveDue();
    for (size_t step = 0; step < steps_max && !plan_.exhausted; ++step) {
      Track* const next = NextTrack();
      const UnixNanos asks =
          next == nullptr ? kEndOfTime : UnixNanos{static_cast<int64_t>(next->asks_at)};
      const UnixNanos due = retention_.NextTime();
      if (std::min(asks, due) == kEndOfTime) break;
      now_ = std::max(now_, std::min(asks, due));
      if (due <= asks) {
        RemoveDue();
      } else {
        Lend(*next);
      }
    }
    return std::move(plan_);
  }

 private:
  void FindTracks() {
    for (const RetentionSegment& segment : state_.segments) {
      Track& track = tracks_[{segment.recording_uid, segment.lane}];
      track.recording_uid = segment.recording_uid;
      track.recording = segment.recording;
      track.lane = segment.lane;
      if (!segment.sealed) {
        track.open.push_back(segment.id);
        track.room += state_.segment.value - std::min(state_.segment.value, segment.written.value);
      }
      if (segment.first_time.value == 0) continue;
      track.last.push_back(segment);
      if (track.last.size() > kRateSegments) track.last.pop_front();
    }
    for (auto& [key, track] : tracks_) {
      if (!track.open.empty()) Measure(track);
    }
  }

  void Measure(Track& track) {
    if (track.last.empty()) return;
    double bytes = 0;
    for (const RetentionSegment& segment : track.last) {
      bytes += static_cast<double>(segment.sealed ? state_.segment.value : segment.written.value);
    }
    const double span = static_cast<double>(now_.value - track.last.front().first_time.value);
    track.bytes_per_second = bytes / std::max(span / 1e9, 1.0);
    plan_.bytes_per_second += track.bytes_per_second;
    if (track.bytes_per_second <= 0) return;
    // The next segment is asked for when half a segment is left.
    const double left = static_cast<double>(track.room) - Size() / 2;
    track.asks_at =
        static_cast<double>(now_.value) + std::max(left, 0.0) / track.bytes_per_second * 1e9;
  }

  double Size() const { return static_cast<double>(state_.segment.value); }

  Track* NextTrack() {
    Track* next = nullptr;
    for (auto& [key, track] : tracks_) {
      if (track.bytes_per_second <= 0) continue;
      if (track.asks_at >= static_cast<double>(kEndOfTime.value)) continue;
      if (next == nullptr || track.asks_at < next->asks_at) next = &track;
    }
    return next;
  }

  void RemoveDue() {
    for (const std::string& id : retention_.ExpiredHolds(now_))
      retention_.RemoveHold(id).IgnoreError();
    while (const std::optional<Removal> due = retention_.NextDue(now_)) Remove(*due);
  }

  void Remove(const Removal& removal) {
    const auto found = existing_.find(removal.segment);
    if (found != existing_.end() && plan_.removals.size() < limit_) {
      plan_.removals.push_back({*found->second, removal.rule, now_});
    }
    retention_.Remove(removal.segment);
    AddToCatalog(-catalog_share_);
  }

  // Each segment will take of the catalog what those that exist do on average.
  void AddToCatalog(double bytes) {
    catalog_ = std::max(0.0, catalog_ + bytes);
    retention_.SetCatalog({static_cast<uint64_t>(catalog_)}, retention_.catalog_limit());
  }

  void Lend(Track& track) {
    while (track.open.size() > 1) {
      Write(track, track.open.front(), /*sealed=*/true);
      track.open.pop_front();
    }
    const std::optional<Removal> goes = retention_.NextFor(track.recording_uid, now_);
    if (!goes && retention_.free() == 0) {
      plan_.exhausted = now_;
      plan_.exhausted_why = retention_.WhyNothingMayGo();
      return;
    }
    if (goes) Remove(*goes);
    RetentionSegment segment;
    segment.id = SegmentId{++last_id_};
    segment.recording_uid = track.recording_uid;
    segment.recording = track.recording;
    segment.lane = track.lane;
    retention_.Add(segment);
    AddToCatalog(catalog_share_);
    Write(track, segment.id, /*sealed=*/false);
    track.open.push_back(segment.id);
    track.asks_at += Size() / track.bytes_per_second * 1e9;
    RemoveDue();
  }

  // With a part of every stream of the track that is held and still open.
  void Write(const Track& track, SegmentId id, bool sealed) {
    SegmentUpdate update;
    update.segment = id;
    update.sealed = sealed;
    update.first_time = update.last_time = now_;
    if (const auto found = existing_.find(id); found != existing_.end()) {
      if (found->second->first_time.value != 0) update.first_time = found->second->first_time;
    }
    for (const HoldState& hold : state_.holds) {
      const Selector& selector = hold.hold.selector;
      if (!selector.stream || !hold.grows || selector.recording != track.recording) continue;
      if (LaneId{SplitStreamId(*selector.stream).lane} != track.lane) continue;
      update.streams.emplace_back().stream = *selector.stream;
    }
    retention_.Update(update);
  }

  Retention retention_;
  const RetentionState state_;
  const size_t limit_;
  std::map<SegmentId, const RetentionSegment*> existing_;
  std::map<std::pair<uint64_t, LaneId>, Track> tracks_;
  uint64_t last_id_ = 0;
  UnixNanos now_;
  double catalog_ = 0;  // bytes
  double catalog_share_ = 0;
  RetentionPlan plan_;
};

}  // namespace

RetentionPlan PlanRetention(const Retention& retention, UnixNanos now, size_t limit) {
  return Planner(retention, now, limit).Run();
}

}  // namespace sluice
