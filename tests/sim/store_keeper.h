// The archive's keeper without its thread: a test says when it turns.
#ifndef TESTS_SIM_STORE_KEEPER_H_
#define TESTS_SIM_STORE_KEEPER_H_

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/sim/fuse.h"
#include "writer/archive/segment_store.h"
#include "writer/archive/update_queue.h"
#include "writer/segment/segment_keeper.h"

namespace sluice {

// Does with its mail what ArchiveKeeper does, in the same order (writer/archive/archive_keeper.cc).
// The machine can die between any two of the things that it asks of the store.
class StoreKeeper final : public SegmentKeeper {
 public:
  // Is told of every publication, in order, before the keeper has it; false: it never gets it.
  std::function<bool(SegmentUpdate&)> on_publish = [](SegmentUpdate&) { return true; };
  std::function<void(SegmentId)> on_return = [](SegmentId) {};
  // The store knows what was published, and what came back.
  std::function<void()> on_told = [] {};
  // No segment may go.
  std::function<void(const TrackIdentity&)> on_exhausted = [](const TrackIdentity&) {};
  // May answer a request in the store's place.
  std::function<std::optional<SegmentLoan>(const TrackIdentity&)> instead =
      [](const TrackIdentity&) { return std::nullopt; };

  StoreKeeper(SegmentStore& store, Fuse& fuse) : store_(&store), fuse_(&fuse) {}

  void RequestSegment(const TrackIdentity& track, Ready ready) override {
    if (dead_) return ready(absl::UnavailableError("the machine is dead"));
    mail_.requests.push_back({track, std::move(ready)});
  }
  void ReturnSegment(SegmentId segment) override {
    if (dead_) return;
    on_return(segment);
    mail_.returns.push_back(segment);
  }
  void Publish(SegmentUpdate update) override {
    if (!dead_ && on_publish(update)) mail_.updates.Add(std::move(update));
  }

  // Whether it has something to do; what the catalog refused is offered again after a second.
  bool HasWork(absl::Duration now) const {
    return !mail_.updates.empty() || !mail_.returns.empty() || !mail_.requests.empty() ||
           more_to_publish_ || now >= retry_at_;
  }
  absl::Duration retry_at() const { return retry_at_; }

  void Turn(absl::Duration now) {
    Mail mail = std::exchange(mail_, {});
    store_->Note(mail.updates.Take());
    fuse_->Tick();
    for (const SegmentId segment : mail.returns) {
      store_->Return(segment);
      fuse_->Tick();
    }
    if (!dead_) on_told();
    for (Request& request : mail.requests) {
      if (dead_) {
        request.ready(absl::UnavailableError("the machine is dead"));
      } else if (const std::optional<SegmentLoan> loan = instead(request.track)) {
        request.ready(*loan);
      } else {
        absl::StatusOr<SegmentLoan> lent = store_->Lend(request.track);
        if (!dead_ && absl::IsResourceExhausted(lent.status())) on_exhausted(request.track);
        request.ready(std::move(lent));
      }
    }
    fuse_->Tick();
    more_to_publish_ = store_->PublishSome(/*streams=*/1) && !dead_;
    retry_at_ = store_->unpublished() ? now + absl::Seconds(1) : absl::InfiniteDuration();
  }

  // From here on nothing reaches the store, and who asks is refused.
  void Die() {
    dead_ = true;
    more_to_publish_ = false;
    retry_at_ = absl::InfiniteDuration();
    for (Request& request : std::exchange(mail_, {}).requests) {
      request.ready(absl::UnavailableError("the machine is dead"));
    }
  }

 private:
  struct Request {
    TrackIdentity track;
    Ready ready;
  };
  struct Mail {
    UpdateQueue updates;
    std::vector<SegmentId> returns;
    std::vector<Request> requests;
  };

  SegmentStore* const store_;
  Fuse* const fuse_;
  Mail mail_;
  absl::Duration retry_at_ = absl::InfiniteDuration();
  bool more_to_publish_ = false;
  bool dead_ = false;
};

}  // namespace sluice

#endif  // TESTS_SIM_STORE_KEEPER_H_
