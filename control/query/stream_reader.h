// Reads one stream's bytes in order, also while the stream is being recorded.
#ifndef CONTROL_QUERY_STREAM_READER_H_
#define CONTROL_QUERY_STREAM_READER_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "control/query/stream_gap.h"
#include "ingest/units.h"
#include "writer/catalog/catalog.h"

namespace sluice {

// Follows the catalog: what it says is durable can be read, from sealed segments and from open
// ones, and nothing else. Reads past the page cache in pieces of a few MiB, checks every extent's
// payload CRC, and recognises a segment that is reused under it. Thread-compatible, like the
// catalog connection that it uses and that outlives it.
class StreamReader {
 public:
  // NOT_FOUND: the archive does not hold the stream. OUT_OF_RANGE: `from` is before the first
  // offset that still exists (the message names it), or past the end of a closed stream. An
  // offset that an open stream has yet to reach is fine.
  static absl::StatusOr<std::unique_ptr<StreamReader>> Open(const std::string& archive_directory,
                                                            Catalog& catalog, StreamId stream,
                                                            StreamOffset from);
  ~StreamReader();
  StreamReader(const StreamReader&) = delete;
  StreamReader& operator=(const StreamReader&) = delete;

  // The next bytes; fewer than asked for only when no more are durable now or a gap comes next, 0
  // when none are or gap() does. Having run dry it looks into the catalog again, so that calling it
  // once more later goes on without a gap or a duplicate.
  //
  // OUT_OF_RANGE: retention has removed the bytes; the message names the first offset that still
  // exists. NOT_FOUND: the whole stream has gone. DATA_LOSS: damage; the message names the
  // segment file and the offset in it. After an error the position is unchanged.
  absl::StatusOr<size_t> Read(absl::Span<std::byte> out);

  // After Read(): bytes from position() on that were dropped, and that nobody will ever read.
  // Read() stays where it is until they are skipped.
  const std::optional<StreamGap>& gap() const;
  // Not without a gap.
  void SkipGap();

  // The stream is closed and all of it was read.
  bool ended() const;
  // Of the next byte to read.
  StreamOffset position() const;
  // The stream as the catalog had it at the last look: where it begins, how much is durable.
  const StreamRow& stream() const;

 private:
  class Impl;
  explicit StreamReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice

#endif  // CONTROL_QUERY_STREAM_READER_H_
