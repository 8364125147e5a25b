// A stream's bytes for `sluice export`: from the files, or from a daemon.
#ifndef CONTROL_CLI_BYTE_SOURCE_H_
#define CONTROL_CLI_BYTE_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "control/cli/names.h"
#include "control/cli/target.h"
#include "control/query/stream_gap.h"
#include "control/service/signal_watch.h"
#include "ingest/units.h"

namespace sluice {

struct ByteRange {
  std::optional<StreamOffset> from;  // none: the first offset that still exists
  std::optional<ByteCount> limit;    // of the stream's bytes, missing ones included
  bool follow = false;               // wait for what is still to come
};

// Bytes of a stream, or a gap where some are missing, or neither: the end.
struct StreamPiece {
  absl::Span<const std::byte> bytes;
  std::optional<StreamGap> gap;

  bool is_end() const { return bytes.empty() && !gap; }
};

class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // What comes next; bytes are valid until the next call. CANCELLED: by a signal.
  virtual absl::StatusOr<StreamPiece> Next() = 0;
  // Where the first byte lies in the stream.
  virtual StreamOffset begin() const = 0;
  // How many there are in all, missing ones included, as far as is known now.
  virtual ByteCount total() const = 0;
};

// `signals` outlives the source.
absl::StatusOr<std::unique_ptr<ByteSource>> OpenFiles(const std::string& archive,
                                                      const StreamArgument& stream,
                                                      const ByteRange& range, SignalWatch& signals);
absl::StatusOr<std::unique_ptr<ByteSource>> OpenDaemon(std::unique_ptr<Target> target,
                                                       const StreamArgument& stream,
                                                       const ByteRange& range,
                                                       SignalWatch& signals);

}  // namespace sluice

#endif  // CONTROL_CLI_BYTE_SOURCE_H_
