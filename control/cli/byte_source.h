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
#include "control/service/signal_watch.h"
#include "ingest/units.h"

namespace sluice {

struct ByteRange {
  std::optional<StreamOffset> from;  // none: the first offset that still exists
  std::optional<ByteCount> limit;
  bool follow = false;  // wait for what is still to come
};

class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // The next bytes, valid until the next call; empty at the end. CANCELLED: by a signal.
  virtual absl::StatusOr<absl::Span<const std::byte>> Next() = 0;
  // Where the first byte lies in the stream.
  virtual StreamOffset begin() const = 0;
  // How many there are in all, as far as is known now.
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
