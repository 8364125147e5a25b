// The filter language of StreamService.ListStreams (proto/sluice/v1/streams.proto).
#ifndef CONTROL_SERVICE_STREAM_QUERY_H_
#define CONTROL_SERVICE_STREAM_QUERY_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "control/service/peer_pattern.h"
#include "writer/catalog/stream_row.h"

namespace sluice {

// A list of conditions that a stream meets all of. The catalog is asked for what it can find by
// itself (Prefilter), which may be too much; Matches() has the last word.
class StreamQuery {
 public:
  enum class Field : uint8_t {
    kState,
    kCloseReason,
    kPeerAddress,
    kPeerPort,
    kLocalPort,
    kSize,
    kOpenTime,
    kLastTime,
    kEndTime
  };

  struct Condition {
    Field field;
    bool negated = false;  // !=
    // By field, one of these.
    bool open = false;
    CloseReason reason = CloseReason::kNone;
    PeerPattern peer;
    Interval interval;  // of ports, bytes, or nanoseconds since 1970
  };

  // INVALID_ARGUMENT: "filter, character 9: ...".
  static absl::StatusOr<StreamQuery> Parse(absl::string_view text);

  StreamFilter Prefilter() const;
  bool Matches(const StreamRow& row) const;

 private:
  std::vector<Condition> conditions_;
};

// "", "name", "open_time", each with " desc" or without. INVALID_ARGUMENT.
absl::Status ParseStreamOrder(absl::string_view text, StreamSearch* search);

}  // namespace sluice

#endif  // CONTROL_SERVICE_STREAM_QUERY_H_
