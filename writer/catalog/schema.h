// The catalog's tables. A change of them raises kCatalogVersion.
#ifndef WRITER_CATALOG_SCHEMA_H_
#define WRITER_CATALOG_SCHEMA_H_

#include <cstdint>

namespace sluice {

inline constexpr int64_t kCatalogVersion = 1;                 // PRAGMA user_version
inline constexpr int64_t kCatalogApplicationId = 0x534C4943;  // "SLIC", PRAGMA application_id

// Times are nanoseconds since 1970. `peer`, `local` and `ledger` are the bytes of the structs in
// the segments. Lists page by id, which is the rowid and so the end of every index.
inline constexpr char kCatalogSchema[] = R"sql(
CREATE TABLE archive (
  last_segment_id INTEGER NOT NULL
);
INSERT INTO archive VALUES (0);
CREATE TABLE recordings (
  uid INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  source TEXT NOT NULL,
  state INTEGER NOT NULL,
  created_ns INTEGER NOT NULL,
  stopped_ns INTEGER NOT NULL,
  failure TEXT NOT NULL
);
CREATE TABLE streams (
  id INTEGER PRIMARY KEY,
  recording_uid INTEGER NOT NULL,
  peer BLOB NOT NULL,
  peer_text TEXT NOT NULL,
  local BLOB NOT NULL,
  opened_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL,
  "begin" INTEGER NOT NULL,
  durable INTEGER NOT NULL,
  open INTEGER NOT NULL,
  reason INTEGER NOT NULL
);
CREATE INDEX streams_by_recording ON streams (recording_uid);
CREATE INDEX streams_open ON streams (id) WHERE open = 1;
CREATE TABLE segments (
  id INTEGER PRIMARY KEY,
  slot INTEGER NOT NULL UNIQUE,
  recording_uid INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  sealed INTEGER NOT NULL,
  durable INTEGER NOT NULL,
  first_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL,
  payload INTEGER NOT NULL,
  ledger BLOB NOT NULL
);
CREATE INDEX segments_by_recording ON segments (recording_uid);
CREATE TABLE parts (
  stream_id INTEGER NOT NULL,
  segment_id INTEGER NOT NULL,
  "begin" INTEGER NOT NULL,
  "end" INTEGER NOT NULL,
  PRIMARY KEY (stream_id, segment_id)
) WITHOUT ROWID;
CREATE INDEX parts_by_segment ON parts (segment_id);
CREATE TABLE deletions (
  recording_uid INTEGER PRIMARY KEY
);
)sql";

}  // namespace sluice

#endif  // WRITER_CATALOG_SCHEMA_H_
