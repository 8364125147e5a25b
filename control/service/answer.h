// A StatusOr<Response> as gRPC wants it.
#ifndef CONTROL_SERVICE_ANSWER_H_
#define CONTROL_SERVICE_ANSWER_H_

#include <grpcpp/support/status.h>

#include <utility>

#include "absl/status/statusor.h"
#include "control/service/conversion.h"

namespace sluice {

template <class Response>
grpc::Status Answer(absl::StatusOr<Response> result, Response* response) {
  if (result.ok()) *response = *std::move(result);
  return ToGrpcStatus(result.status());
}

}  // namespace sluice

#endif  // CONTROL_SERVICE_ANSWER_H_
