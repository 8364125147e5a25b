// A lane and the thread that turns it.
#ifndef CONTROL_RECORDER_LANE_THREAD_H_
#define CONTROL_RECORDER_LANE_THREAD_H_

#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "ingest/ring/uring_ring.h"
#include "writer/lane.h"

namespace sluice {

// The thread opens the ring and the lane, turns the lane, and destroys both. Thread-safe.
class LaneThread {
 public:
  // Returns when the lane is open. `keeper` outlives the thread.
  static absl::StatusOr<std::unique_ptr<LaneThread>> Start(const LaneOptions& options,
                                                           const UringOptions& ring,
                                                           SegmentKeeper& keeper);
  // Every track has been removed.
  ~LaneThread();
  LaneThread(const LaneThread&) = delete;
  LaneThread& operator=(const LaneThread&) = delete;

  LaneStatus status() const { return lane_->status(); }

  // Runs `work` on the lane's thread, without or with waiting for what it returns.
  void Post(std::function<void(Lane&)> work) { lane_->Post(std::move(work)); }
  template <class Work>
  auto Call(Work work) -> decltype(work(std::declval<Lane&>())) {
    std::promise<decltype(work(std::declval<Lane&>()))> result;
    lane_->Post([&](Lane& lane) { result.set_value(work(lane)); });
    return result.get_future().get();
  }

 private:
  LaneThread() = default;

  Lane* lane_ = nullptr;  // lives on the thread's stack
  bool stop_ = false;     // the lane's thread only
  std::thread thread_;
};

}  // namespace sluice

#endif  // CONTROL_RECORDER_LANE_THREAD_H_
