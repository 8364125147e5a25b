#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "control/cli/byte_source.h"
#include "control/cli/lists.h"
#include "ingest/status_macros.h"
#include "proto/sluice/v1/streams.grpc.pb.h"

namespace sluice {
namespace {

constexpr absl::Duration kSignalPoll = absl::Milliseconds(100);

class DaemonByteSource final : public ByteSource {
 public:
  DaemonByteSource(std::unique_ptr<Target> target, const v1::Stream& stream, const ByteRange& range,
                   SignalWatch& signals)
      : target_(std::move(target)),
        begin_(range.from.value_or(StreamOffset{static_cast<uint64_t>(stream.begin_offset())})),
        durable_{static_cast<uint64_t>(stream.durable_bytes())},
        limit_(range.limit),
        signals_(&signals) {
    v1::ReadStreamRequest request;
    request.set_name(stream.name());
    request.set_offset(static_cast<int64_t>(begin_.value));
    if (limit_) request.set_limit_bytes(static_cast<int64_t>(limit_->value));
    request.set_follow(range.follow);
    call_ = v1::StreamService::NewStub(target_->channel())->ReadStream(&context_, request);
    canceller_ = std::thread([this] { CancelOnSignal(); });
  }

  ~DaemonByteSource() override {
    context_.TryCancel();
    done_.store(true);
    canceller_.join();
    if (call_ == nullptr) return;
    v1::ReadStreamResponse rest;
    while (call_->Read(&rest)) {
    }
    call_->Finish();
  }

  absl::StatusOr<StreamPiece> Next() override {
    if (call_ == nullptr) return StreamPiece{};
    if (call_->Read(&response_)) {
      StreamPiece piece;
      if (response_.has_gap()) {
        const StreamOffset at{static_cast<uint64_t>(response_.offset())};
        const ByteCount length{static_cast<uint64_t>(response_.gap().length_bytes())};
        // The API's causes have the format's numbers.
        piece.gap = {at, at + length, static_cast<GapCause>(response_.gap().cause())};
        read_ += length;
      } else {
        piece.bytes = absl::MakeConstSpan(
            reinterpret_cast<const std::byte*>(response_.data().data()), response_.data().size());
        read_ += ByteCount{response_.data().size()};
      }
      return piece;
    }
    const grpc::Status status = call_->Finish();
    call_.reset();
    if (signals_->Wait(absl::ZeroDuration()) != 0) return absl::CancelledError("interrupted");
    SLUICE_RETURN_IF_ERROR(target_->ToStatus(status));
    return StreamPiece{};
  }

  StreamOffset begin() const override { return begin_; }
  ByteCount total() const override {
    const ByteCount known = std::max(durable_, begin_) - begin_;
    return std::max(read_, limit_ ? std::min(*limit_, known) : known);
  }

 private:
  void CancelOnSignal() {
    while (!done_.load()) {
      if (signals_->Wait(kSignalPoll) == 0) continue;
      context_.TryCancel();
      return;
    }
  }

  const std::unique_ptr<Target> target_;
  const StreamOffset begin_;
  const StreamOffset durable_;
  const std::optional<ByteCount> limit_;
  SignalWatch* const signals_;
  ByteCount read_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::ReadStreamResponse>> call_;
  v1::ReadStreamResponse response_;
  std::atomic<bool> done_{false};
  std::thread canceller_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ByteSource>> OpenDaemon(std::unique_ptr<Target> target,
                                                       const StreamArgument& stream,
                                                       const ByteRange& range,
                                                       SignalWatch& signals) {
  SLUICE_ASSIGN_OR_RETURN(const v1::Stream found, FindStream(*target, stream));
  return std::unique_ptr<ByteSource>(
      std::make_unique<DaemonByteSource>(std::move(target), found, range, signals));
}

}  // namespace sluice
