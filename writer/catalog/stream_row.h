// What the catalog says about a stream, and how one asks for many.
#ifndef WRITER_CATALOG_STREAM_ROW_H_
#define WRITER_CATALOG_STREAM_ROW_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "ingest/receive/socket_address.h"
#include "ingest/units.h"
#include "writer/catalog/address_range.h"
#include "writer/extent/format.h"

namespace sluice {

struct StreamRow {
  StreamId id{};
  std::string recording;
  uint64_t recording_uid = 0;
  SocketAddress peer;
  SocketAddress local;
  UnixNanos opened;
  UnixNanos last_time;
  StreamOffset begin;    // the first offset that still exists: grows as segments are reused
  StreamOffset durable;  // the first offset that is not durable yet
  ByteCount dropped;     // between the two: bytes in gaps
  bool open = true;
  CloseReason reason = CloseReason::kNone;

  ByteCount size() const { return durable - begin; }
};

// Both ends belong to it; none when `first` is more than `last`.
struct Interval {
  int64_t first = std::numeric_limits<int64_t>::min();
  int64_t last = std::numeric_limits<int64_t>::max();

  bool operator==(const Interval&) const = default;
  bool everything() const { return *this == Interval(); }
  bool Contains(int64_t value) const { return first <= value && value <= last; }
};

// A stream meets all of it.
struct StreamFilter {
  std::optional<std::string> recording;
  std::optional<AddressRange> peer;
  Interval peer_port;
  Interval local_port;
  std::optional<bool> open;
  std::optional<CloseReason> reason;
  Interval size;    // StreamRow::size(), bytes
  Interval opened;  // UnixNanos, like the next two
  Interval last;
  // When it ended: an open stream has not, which is later than any time.
  Interval ended;
};

enum class StreamOrder : uint8_t { kId, kOpened };

// Where a list goes on: behind this stream. Means the same however the catalog has changed.
struct StreamPosition {
  UnixNanos opened;  // of no meaning in the order of ids
  StreamId id{};
};

struct StreamSearch {
  StreamFilter filter;
  StreamOrder order = StreamOrder::kId;  // kOpened: those of the same time by their ids
  bool descending = false;
  std::optional<StreamPosition> after;
  size_t limit = 100;  // rows
};

// Where the matching streams lie scattered over very many others, a page ends early: `next` says
// where to go on, until it is unset.
struct StreamPage {
  std::vector<StreamRow> rows;
  std::optional<StreamPosition> next;
};

}  // namespace sluice

#endif  // WRITER_CATALOG_STREAM_ROW_H_
