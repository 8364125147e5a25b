// The quantities that travel through Sluice. A position is not a length, a name is not a number.
#ifndef INGEST_UNITS_H_
#define INGEST_UNITS_H_

#include <compare>
#include <cstdint>

namespace sluice {

// How many bytes. A length is the same thing in memory, in a stream and in a file.
struct ByteCount {
  uint64_t value = 0;

  auto operator<=>(const ByteCount&) const = default;
  friend constexpr ByteCount operator+(ByteCount a, ByteCount b) { return {a.value + b.value}; }
  friend constexpr ByteCount operator-(ByteCount a, ByteCount b) { return {a.value - b.value}; }
  friend constexpr ByteCount operator*(ByteCount a, uint64_t n) { return {a.value * n}; }
  ByteCount& operator+=(ByteCount more) {
    value += more.value;
    return *this;
  }
};

inline constexpr ByteCount KiB(uint64_t n) { return {n << 10}; }
inline constexpr ByteCount MiB(uint64_t n) { return {n << 20}; }
inline constexpr ByteCount GiB(uint64_t n) { return {n << 30}; }

// Where, in one particular space. Two positions can be subtracted, never added, and a
// position in a file cannot be mistaken for one in a stream.
template <class Space>
struct Position {
  uint64_t value = 0;

  auto operator<=>(const Position&) const = default;
  friend constexpr Position operator+(Position at, ByteCount n) { return {at.value + n.value}; }
  friend constexpr ByteCount operator-(Position end, Position begin) {
    return {end.value - begin.value};
  }
};
using RegionOffset = Position<struct RegionSpace>;  // in a lane's registered memory
using StreamOffset = Position<struct StreamSpace>;  // in what the sender sent
using FileOffset = Position<struct FileSpace>;      // in a segment file

// Nanoseconds since the Unix epoch, as read from the real-time clock.
struct UnixNanos {
  int64_t value = 0;
  auto operator<=>(const UnixNanos&) const = default;
};

// Names: comparable and hashable, but without arithmetic.
enum class LaneId : uint16_t {};
enum class SegmentId : uint64_t {};  // counts up over the archive's life, never reused; 0 is none
enum class StreamId : uint64_t {};   // see writer/stream_id.h

// The multiple of `unit` at or below, at or above. `unit` is a power of two.
constexpr uint64_t RoundDown(uint64_t value, uint64_t unit) { return value & ~(unit - 1); }
constexpr uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return (value + unit - 1) & ~(unit - 1);
}

}  // namespace sluice

#endif  // INGEST_UNITS_H_
