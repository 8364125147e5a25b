// sluice.v1.EventService over an archive's audit, woken by the recorder's keeper if there is one.
#ifndef CONTROL_SERVICE_EVENT_SERVICE_H_
#define CONTROL_SERVICE_EVENT_SERVICE_H_

#include <atomic>

#include "absl/status/status.h"
#include "control/service/served_archive.h"
#include "proto/sluice/v1/events.grpc.pb.h"

namespace sluice {

// Owned by the ApiServer; called on gRPC's threads. Each watcher keeps one of them, reads the
// catalog through a connection of its own, in pages, and holds nothing of it while its client is
// slow.
class EventService final : public v1::EventService::Service {
 public:
  // At most `watchers_max` calls run at a time.
  EventService(const ServedArchive* archive, int watchers_max)
      : archive_(archive), watchers_max_(watchers_max) {}

  // Ends all watchers, within about a tenth of a second, and refuses new ones. What the catalog
  // has by now is sent first.
  void Close() { closing_.store(true); }

  grpc::Status WatchEvents(grpc::ServerContext* context, const v1::WatchEventsRequest* request,
                           grpc::ServerWriter<v1::Event>* writer) override;

 private:
  class Watcher;

  // Whether nobody will write more.
  bool NobodyWrites() const;

  const ServedArchive* const archive_;
  const int watchers_max_;
  std::atomic<int> watchers_{0};
  std::atomic<bool> closing_{false};
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_EVENT_SERVICE_H_
