// How far a segment can be trusted.
#ifndef WRITER_SEGMENT_DURABLE_MARK_H_
#define WRITER_SEGMENT_DURABLE_MARK_H_

#include <algorithm>

#include "ingest/check.h"
#include "ingest/units.h"

namespace sluice {

// Every byte before `durable` is on stable storage. Writes finish in any order, readers want a
// prefix without holes: the written mark moves over finished writes in the order of their places,
// and a sync carries the durable mark to where the written mark stood when that sync started, not
// a byte further.
class DurableMark {
 public:
  explicit DurableMark(FileOffset begin) : written_(begin), durable_(begin) {}

  void OnWrittenUpTo(FileOffset end) {
    SLUICE_CHECK(end >= written_);
    written_ = end;
  }
  // Where the mark will stand when a sync that starts now has finished.
  void OnSyncStarted() { covered_ = written_; }
  void OnSynced() {
    SLUICE_CHECK(covered_ <= written_);
    durable_ = std::max(durable_, covered_);
  }

  FileOffset written() const { return written_; }
  FileOffset durable() const { return durable_; }

 private:
  FileOffset written_;
  FileOffset durable_;  // durable_ <= written_
  FileOffset covered_;
};

}  // namespace sluice

#endif  // WRITER_SEGMENT_DURABLE_MARK_H_
