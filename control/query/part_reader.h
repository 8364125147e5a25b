// One stream's bytes in one segment.
#ifndef CONTROL_QUERY_PART_READER_H_
#define CONTROL_QUERY_PART_READER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "control/query/extent_window.h"
#include "control/query/stream_gap.h"
#include "ingest/units.h"
#include "writer/catalog/catalog.h"
#include "writer/segment/segment_reader.h"

namespace sluice {

// Finds the extents that hold the stream by their headers, each looked at once: in a sealed
// segment those that the footer's stream record spans, in an open one from the first up to the
// durable mark. Expects to be read forward, and can be read in any order. Thread-compatible.
class PartReader {
 public:
  // ABORTED: the file has been given to another segment; from any method.
  static absl::StatusOr<std::unique_ptr<PartReader>> Open(const std::string& path, StreamId stream,
                                                          const StreamPart& part);

  // The same segment, of which the catalog now knows more.
  absl::Status Update(const StreamPart& part);

  // A run of the stream's bytes that begins at `offset`; valid until the next call. Empty: they
  // are not in this segment, or not durable yet, or GapAt() tells of them. DATA_LOSS names file and
  // place.
  absl::StatusOr<absl::Span<const std::byte>> At(StreamOffset offset);
  // The rest of a gap that `offset` is in, as far as the extents seen so far say.
  std::optional<StreamGap> GapAt(StreamOffset offset) const;

  // The first offset after `offset` that an extent seen so far holds.
  std::optional<StreamOffset> NextAfter(StreamOffset offset) const;

 private:
  // An extent's place, from the footer or found by going from header to header.
  struct Place {
    FileOffset at;
    uint32_t sequence = 0;
    ByteCount header;
    ByteCount extent;
  };
  // Consecutive bytes of the stream in one extent.
  struct Run {
    StreamOffset begin;
    StreamOffset end;
    Place place;
  };

  PartReader(std::string path, StreamId stream, std::unique_ptr<SegmentReader> segment)
      : path_(std::move(path)),
        stream_(stream),
        segment_(std::move(segment)),
        window_(*segment_, path_) {}

  absl::Status LoadFooter();
  absl::StatusOr<absl::Span<const std::byte>> Find(StreamOffset offset);
  absl::Span<const std::byte> InCurrent(StreamOffset offset) const;
  const Run* FindRun(StreamOffset offset) const;
  absl::StatusOr<bool> ScanNext();
  std::optional<Place> NextPlace() const;
  absl::StatusOr<ExtentIndex> ReadIndex(const Place& place);
  void AddRuns(const ExtentIndex& extent, const Place& place);
  absl::Status MakeCurrent(const Run& run);
  absl::Status Damaged(FileOffset at, const absl::Status& why) const;

  const std::string path_;
  const StreamId stream_;
  std::unique_ptr<SegmentReader> segment_;
  ExtentWindow window_;
  bool sealed_ = false;
  FileOffset limit_;  // nothing from here on is looked at

  std::vector<Place> places_;  // from the footer; empty: go from header to header
  size_t next_place_ = 0;
  FileOffset scan_at_;
  uint32_t scan_sequence_ = 0;
  absl::Status damage_;  // the first extent that could not be looked into

  std::vector<Run> runs_;
  StreamOffset runs_end_;                   // the largest end of a run
  std::map<StreamOffset, StreamGap> gaps_;  // by their begin
  ByteCount ahead_;                         // grows while the stream is found where it is expected

  // The extent whose payload was checked, and is in memory.
  ExtentIndex scanned_;
  FileOffset current_at_;
  std::vector<FragmentEntry> current_;  // the stream's
  absl::Span<const std::byte> bytes_;
  mutable size_t hint_ = 0;
  uint64_t reads_verified_ = 0;
};

}  // namespace sluice

#endif  // CONTROL_QUERY_PART_READER_H_
