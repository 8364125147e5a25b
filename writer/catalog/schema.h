// The catalog's tables, as the steps that lead from each version to the next.
#ifndef WRITER_CATALOG_SCHEMA_H_
#define WRITER_CATALOG_SCHEMA_H_

#include <cstdint>
#include <iterator>

namespace sluice {

inline constexpr int64_t kCatalogApplicationId = 0x534C4943;  // "SLIC", PRAGMA application_id

// A new catalog takes all of the steps, an old one those that it lacks; so both come out alike.
// A step is one transaction. What a release has written is never edited, only followed by another
// step. A step may drop what the segments can say again (streams, parts, segments), and must
// carry over everything else.
//
// Times are nanoseconds since 1970. `ledger` is the bytes of the struct in the segments. Ids are
// the rowid, and so the end of every index.
inline constexpr char kCatalogStep1[] = R"sql(
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

// Of the release that is being made: still edited.
//
// Streams are taken in again from the segments, by recovery, which finds that the catalog knows
// none. An IPv4 address is an integer of its 32 bits, an IPv6 one a blob of its 16 bytes, an
// unknown one NULL: so a network is a range, and most rows are short. A closed stream has a
// `span`, a class of how long it lived (span.h); an open one has none yet. `streams_by_time` and
// `streams_by_recording_time` find the streams that were alive at a time without going through
// all that began before it. What changes while a stream is open is in no index.
inline constexpr char kCatalogStep2[] = R"sql(
DROP TABLE parts;
DROP TABLE streams;
DELETE FROM segments;
CREATE TABLE streams (
  id INTEGER PRIMARY KEY,
  recording_uid INTEGER NOT NULL,
  peer,
  peer_port INTEGER NOT NULL,
  peer_scope INTEGER NOT NULL,
  local,
  local_port INTEGER NOT NULL,
  local_scope INTEGER NOT NULL,
  opened_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL,
  "begin" INTEGER NOT NULL,
  durable INTEGER NOT NULL,
  open INTEGER NOT NULL,
  span INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  size INTEGER GENERATED ALWAYS AS (durable - "begin") VIRTUAL
);
CREATE INDEX streams_by_recording ON streams (recording_uid);
CREATE INDEX streams_by_recording_time ON streams (recording_uid, span, opened_ns);
CREATE INDEX streams_by_time ON streams (span, opened_ns);
CREATE INDEX streams_by_peer ON streams (peer, opened_ns);
CREATE INDEX streams_by_peer_port ON streams (peer_port);
CREATE INDEX streams_by_local_port ON streams (local_port);
CREATE INDEX streams_by_size ON streams (size) WHERE open = 0;
CREATE INDEX streams_by_reason ON streams (reason) WHERE reason > 1;
CREATE INDEX streams_open ON streams (id) WHERE open = 1;
CREATE TABLE parts (
  stream_id INTEGER NOT NULL,
  segment_id INTEGER NOT NULL,
  "begin" INTEGER NOT NULL,
  "end" INTEGER NOT NULL,
  dropped INTEGER NOT NULL,  -- bytes in gaps that the segment tells of
  PRIMARY KEY (stream_id, segment_id)
) WITHOUT ROWID;
CREATE INDEX parts_by_segment ON parts (segment_id);
-- How many streams a recording has, so that nobody has to count a million of them.
ALTER TABLE recordings ADD COLUMN stream_count INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER stream_counted AFTER INSERT ON streams BEGIN
  UPDATE recordings SET stream_count = stream_count + 1 WHERE uid = new.recording_uid;
END;
CREATE TRIGGER stream_uncounted AFTER DELETE ON streams BEGIN
  UPDATE recordings SET stream_count = stream_count - 1 WHERE uid = old.recording_uid;
END;
-- Segments know the one before them in their track, and the hash of their own footer; and what
-- left the archive is remembered (removal.h).
ALTER TABLE segments ADD COLUMN previous_id INTEGER NOT NULL DEFAULT 0;
ALTER TABLE segments ADD COLUMN footer_sha256 BLOB NOT NULL DEFAULT x'';
CREATE TABLE removals (
  recording_uid INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  first_id INTEGER NOT NULL,
  last_id INTEGER NOT NULL,
  before_id INTEGER NOT NULL,
  recording TEXT NOT NULL,
  segments INTEGER NOT NULL,
  payload INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  detail TEXT NOT NULL,
  begun_ns INTEGER NOT NULL,
  ended_ns INTEGER NOT NULL,
  first_epoch INTEGER NOT NULL,
  last_epoch INTEGER NOT NULL,
  ledger BLOB NOT NULL,
  earlier_epochs BLOB NOT NULL,
  footer_sha256 BLOB NOT NULL,
  PRIMARY KEY (recording_uid, lane, first_id)
) WITHOUT ROWID;
-- When this catalog was made anew because the one before it was lost; 0: never. What left the
-- archive before that, with ids up to lost_last_id, was known to nobody any more.
ALTER TABLE archive ADD COLUMN lost_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE archive ADD COLUMN lost_last_id INTEGER NOT NULL DEFAULT 0;
-- How recordings are kept, the text of the policy that says so (see ../retention), and who did what.
ALTER TABLE recordings ADD COLUMN retention_class TEXT NOT NULL DEFAULT '';
CREATE TABLE retention (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  policy TEXT NOT NULL
);
CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time_ns INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  object TEXT NOT NULL,
  detail TEXT NOT NULL,
  -- Of segments that were removed; else zeros.
  lane INTEGER NOT NULL,
  first_id INTEGER NOT NULL,
  last_id INTEGER NOT NULL,
  segments INTEGER NOT NULL,
  payload INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  retention_class TEXT NOT NULL
);
CREATE INDEX audit_removals ON audit (id) WHERE segments > 0;
CREATE INDEX audit_others ON audit (id) WHERE segments = 0;
-- Of each kind, the highest id that is not kept any more.
CREATE TABLE audit_forgotten (
  removals INTEGER NOT NULL,
  others INTEGER NOT NULL
);
INSERT INTO audit_forgotten VALUES (0, 0);
)sql";

inline constexpr const char* kCatalogSteps[] = {kCatalogStep1, kCatalogStep2};

inline constexpr int64_t kCatalogVersion = std::size(kCatalogSteps);  // PRAGMA user_version

}  // namespace sluice

#endif  // WRITER_CATALOG_SCHEMA_H_
