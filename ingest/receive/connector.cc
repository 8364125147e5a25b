#include "ingest/receive/connector.h"

#include <algorithm>
#include <utility>

#include "ingest/check.h"

namespace sluice {

absl::Duration Connector::OnTurn(absl::Duration now) {
  if (stopped_ || connected_ || !idle()) return absl::InfiniteDuration();
  if (now < next_attempt_) return next_attempt_ - now;
  const absl::StatusOr<int> socket = ring_->OpenSocket(source_);
  if (!socket.ok()) {
    ++failures_;
    Pause(now);
    return next_attempt_ - now;
  }
  socket_ = *socket;
  ring_->Connect(tag_, socket_, source_);
  return absl::InfiniteDuration();
}

std::optional<int> Connector::OnConnect(const Completion& done, absl::Duration now) {
  SLUICE_CHECK(!idle());
  const int socket = std::exchange(socket_, -1);
  if (done.result == 0 && !stopped_) {
    connected_ = true;
    return socket;
  }
  ring_->CloseSocket(socket);
  if (!stopped_) ++failures_;
  Pause(now);
  return std::nullopt;
}

void Connector::OnDisconnected(bool had_bytes, absl::Duration now) {
  connected_ = false;
  if (had_bytes) pause_ = kPauseMin;
  Pause(now);
}

void Connector::Stop() {
  stopped_ = true;
  if (!idle()) ring_->Cancel(tag_);
}

void Connector::Pause(absl::Duration now) {
  next_attempt_ = now + pause_;
  pause_ = std::min(pause_ * 2, kPauseMax);
}

}  // namespace sluice
