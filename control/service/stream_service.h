// sluice.v1.StreamService over an archive, followed through the recorder's keeper if there is one.
#ifndef CONTROL_SERVICE_STREAM_SERVICE_H_
#define CONTROL_SERVICE_STREAM_SERVICE_H_

#include <atomic>

#include "control/query/stream_reader.h"
#include "control/service/names.h"
#include "control/service/served_archive.h"
#include "proto/sluice/v1/streams.grpc.pb.h"

namespace sluice {

// Owned by the ApiServer; called on gRPC's threads. Each reader keeps one of them, and waits in
// Write() while its client is slow.
class StreamService final : public v1::StreamService::Service {
 public:
  // At most `readers_max` calls of ReadStream run at a time.
  StreamService(const ServedArchive* archive, int readers_max)
      : archive_(archive), readers_max_(readers_max) {}

  // Ends all readers, within about a tenth of a second, and refuses new ones.
  void Close() { closing_.store(true); }

  grpc::Status ListStreams(grpc::ServerContext* context, const v1::ListStreamsRequest* request,
                           v1::ListStreamsResponse* response) override;
  grpc::Status GetStream(grpc::ServerContext* context, const v1::GetStreamRequest* request,
                         v1::Stream* response) override;
  grpc::Status ReadStream(grpc::ServerContext* context, const v1::ReadStreamRequest* request,
                          grpc::ServerWriter<v1::ReadStreamResponse>* writer) override;

 private:
  using Writer = grpc::ServerWriter<v1::ReadStreamResponse>;

  absl::StatusOr<v1::ListStreamsResponse> List(grpc::ServerContext& context,
                                               const v1::ListStreamsRequest& request);
  // NOT_FOUND when the stream is not this recording's, too.
  absl::StatusOr<StreamRow> Find(Catalog& catalog, const StreamName& name) const;
  absl::StatusOr<v1::Stream> Get(const v1::GetStreamRequest& request);
  absl::Status Read(grpc::ServerContext& context, const v1::ReadStreamRequest& request,
                    Writer* writer);
  absl::Status Send(grpc::ServerContext& context, const v1::ReadStreamRequest& request,
                    StreamReader& reader, Writer* writer);

  // CANCELLED, UNAVAILABLE: the call must end.
  absl::Status CheckGoesOn(const grpc::ServerContext& context) const;
  // Returns when there may be more to read. `seen` is the keeper's change count before the last
  // look.
  absl::Status WaitForMore(const grpc::ServerContext& context, uint64_t seen) const;
  uint64_t ChangeCount() const;
  // Nobody writes the archive: what is open in the catalog will not grow.
  bool NobodyWrites() const;

  const ServedArchive* const archive_;
  const int readers_max_;
  std::atomic<int> readers_{0};
  std::atomic<bool> closing_{false};
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_STREAM_SERVICE_H_
