// Where a stream lacks bytes, and why.
#ifndef CONTROL_QUERY_STREAM_GAP_H_
#define CONTROL_QUERY_STREAM_GAP_H_

#include "ingest/units.h"
#include "writer/extent/format.h"

namespace sluice {

// Bytes of a stream that were received and are not in the archive.
struct StreamGap {
  StreamOffset begin;
  StreamOffset end;
  GapCause cause = GapCause::kNone;

  ByteCount length() const { return end - begin; }
};

}  // namespace sluice

#endif  // CONTROL_QUERY_STREAM_GAP_H_
