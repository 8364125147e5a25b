// The table `streams`: a row in, a row out.
#ifndef WRITER_CATALOG_STREAM_TABLE_H_
#define WRITER_CATALOG_STREAM_TABLE_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "ingest/units.h"
#include "writer/catalog/sql_values.h"
#include "writer/catalog/sqlite.h"
#include "writer/catalog/stream_row.h"
#include "writer/segment/segment_keeper.h"

namespace sluice {

// How an address is stored, without its port: see schema.h.
SqliteValue AddressKey(uint16_t family, const std::array<uint8_t, 16>& bytes);

// For ReadStream. Columns of `streams`, and the recording's id.
extern const char kSelectStream[];  // "SELECT ... FROM streams s"
StreamRow ReadStream(const SqliteQuery& query);

// What `stream` has durable in the segment of `update`. In a transaction of the caller's.
absl::Status PublishStream(SqliteDatabase& db, const SegmentUpdate& update,
                           const StreamUpdate& stream);

// The streams of a segment that is forgotten: those that lose their last part go, unless they are
// open and more may come; the others begin later. In a transaction of the caller's.
absl::Status ForgetStreamsOf(SqliteDatabase& db, SegmentId segment);

// Open streams without a part go, the others are closed as interrupted. Returns how many were.
absl::StatusOr<uint32_t> CloseOpenStreams(SqliteDatabase& db);

}  // namespace sluice

#endif  // WRITER_CATALOG_STREAM_TABLE_H_
