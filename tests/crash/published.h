// What a catalog has told the world to be durable, and what a crash has made of it.
#ifndef TESTS_CRASH_PUBLISHED_H_
#define TESTS_CRASH_PUBLISHED_H_

#include <cstdint>
#include <iosfwd>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "ingest/units.h"
#include "writer/catalog/catalog.h"

namespace sluice {

// Every statement that was seen, added up: a segment once named stays, with the most that was ever
// said of it, until somebody forgets it.
class Published {
 public:
  struct Range {  // of a stream, in one segment
    uint64_t begin = 0;
    uint64_t end = 0;
    bool operator==(const Range&) const = default;
  };
  struct Segment {
    uint32_t slot = 0;
    uint64_t recording_uid = 0;
    LaneId lane{};
    std::map<StreamId, Range> parts;
    bool operator==(const Segment&) const = default;
  };

  // What the catalog says now.
  absl::Status Add(Catalog& catalog);
  void Add(SegmentId id, const Segment& segment);
  void Forget(SegmentId id) { segments_.erase(id); }

  const std::map<SegmentId, Segment>& segments() const { return segments_; }
  uint64_t bytes() const;

 private:
  std::map<SegmentId, Segment> segments_;
};

// As text, a line for each segment and each part of it, so that statements can be appended to a
// file as they are seen:
//
//   segment 17 3 1699 0         id, slot, recording, lane
//   part 17 1099511627777 0 65536   segment, stream, begin, end
void Write(std::ostream& out, SegmentId id, const Published::Segment& segment);
// Up to a line "mark NUMBER", or to the end.
Published ReadPublished(std::istream& in, uint64_t mark);

// Published bytes, after the crash.
struct Aftermath {
  uint64_t lost = 0;    // not there any more, without a reason
  uint64_t reused = 0;  // not there any more because their segment was the oldest
  uint64_t beyond = 0;  // there, though nobody had been told so
  std::vector<SegmentId> reused_segments;
  std::vector<std::string> faults;  // one sentence each; none when nothing was lost
};

// How many segments the archive has, and how many of them may have been begun, in the moment of
// the crash, without a byte in them yet.
struct Ring {
  size_t slots = 0;
  size_t begun_max = 0;
};

// `now` is the catalog after recovery. A segment may be gone when it was its turn: no older one
// of its track (a recording's, on a lane) is left, its slot does not have an older one, and the
// archive is as full as it can be.
Aftermath CompareAfterCrash(const Published& before, const Published& now, Ring ring);

}  // namespace sluice

#endif  // TESTS_CRASH_PUBLISHED_H_
