#include "control/recorder/lane_thread.h"

#include <pthread.h>

#include <string>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"

namespace sluice {

absl::StatusOr<std::unique_ptr<LaneThread>> LaneThread::Start(const LaneOptions& options,
                                                              const UringOptions& ring_options,
                                                              SegmentKeeper& keeper) {
  auto self = absl::WrapUnique(new LaneThread());
  std::promise<absl::Status> opened;
  self->thread_ = std::thread([&opened, &keeper, options, ring_options, self = self.get()] {
    const std::string name = absl::StrCat("lane ", static_cast<int>(options.id));
    pthread_setname_np(pthread_self(), name.c_str());
    absl::StatusOr<std::unique_ptr<Ring>> ring = OpenUringRing(ring_options);
    if (!ring.ok()) return opened.set_value(ring.status());
    absl::StatusOr<std::unique_ptr<Lane>> lane = Lane::Open(options, *std::move(ring), keeper);
    if (!lane.ok()) return opened.set_value(lane.status());
    self->lane_ = lane->get();
    opened.set_value(absl::OkStatus());
    while (!self->stop_) (*lane)->Turn();
  });
  const absl::Status status = opened.get_future().get();
  if (status.ok()) return self;
  return status;
}

LaneThread::~LaneThread() {
  if (lane_ != nullptr) {
    lane_->Post([this](Lane&) { stop_ = true; });
  }
  thread_.join();
}

}  // namespace sluice
