// How the catalog's tables store what SQLite has no type for.
#ifndef WRITER_CATALOG_SQL_VALUES_H_
#define WRITER_CATALOG_SQL_VALUES_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/types/span.h"
#include "ingest/units.h"

namespace sluice {

// SQLite's integers are signed; ids and uids keep their 64 bits. (An id's top bit is set only
// after eight million openings of the archive.)
inline int64_t Signed(uint64_t value) { return static_cast<int64_t>(value); }
inline uint64_t Unsigned(int64_t value) { return static_cast<uint64_t>(value); }
inline int64_t IdOf(StreamId id) { return Signed(static_cast<uint64_t>(id)); }
inline int64_t IdOf(SegmentId id) { return Signed(static_cast<uint64_t>(id)); }

// A Ledger is stored as its bytes, like in the segments. `plain` outlives what is returned.
template <class Plain>
absl::Span<const std::byte> BytesOf(const Plain& plain) {
  return {reinterpret_cast<const std::byte*>(&plain), sizeof(plain)};
}
// Bytes of another size: all zeros.
template <class Plain>
Plain FromBytes(absl::Span<const std::byte> bytes) {
  Plain plain = {};
  if (bytes.size() == sizeof(plain)) std::memcpy(&plain, bytes.data(), sizeof(plain));
  return plain;
}

}  // namespace sluice

#endif  // WRITER_CATALOG_SQL_VALUES_H_
