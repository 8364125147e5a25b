// The filter language of StreamService.ListStreams (proto/sluice/v1/streams.proto).
#ifndef CONTROL_SERVICE_STREAM_QUERY_H_
#define CONTROL_SERVICE_STREAM_QUERY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ingest/units.h"
#include "writer/catalog/catalog.h"

namespace sluice {

// A list of conditions that a stream meets all of. The catalog is asked for what it can sort
// out by itself (Prefilter), which may be too much; Matches() has the last word.
class StreamQuery {
 public:
  enum class Field : uint8_t { kState, kCloseReason, kPeerAddress, kOpenTime, kLastTime };
  enum class Comparison : uint8_t { kEqual, kNotEqual, kLess, kLessEqual, kMore, kMoreEqual };

  struct Condition {
    Field field;
    Comparison comparison;
    // By field, one of these.
    bool open = false;
    CloseReason reason = CloseReason::kNone;
    std::string peer;
    bool peer_is_prefix = false;
    UnixNanos time;
  };

  // INVALID_ARGUMENT: "filter, character 9: ...".
  static absl::StatusOr<StreamQuery> Parse(absl::string_view text);

  StreamFilter Prefilter() const;
  bool Matches(const StreamRow& row) const;

 private:
  std::vector<Condition> conditions_;
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_STREAM_QUERY_H_
