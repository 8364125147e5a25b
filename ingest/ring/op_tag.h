// The 64 bits that go through the kernel and come back in the completion.
#ifndef INGEST_RING_OP_TAG_H_
#define INGEST_RING_OP_TAG_H_

#include <cstdint>

namespace sluice {

enum class OpKind : uint8_t {
  kNone,
  kAccept,
  kConnect,
  kReceive,
  kReceiveZeroCopy,
  kWrite,
  kSync,
  kQueueEvent
};

//   bits 63..56 kind   55..48 track   47..24 generation   23..0 slot
struct OpTag {
  OpKind kind = OpKind::kNone;
  uint8_t track = 0;        // of the lane
  uint32_t generation = 0;  // of the slot: a completion that comes late is recognised
  uint32_t slot = 0;        // in the track's table of this kind

  static constexpr uint32_t kFieldMask = (1u << 24) - 1;

  constexpr uint64_t Pack() const {
    return uint64_t{static_cast<uint8_t>(kind)} << 56 | uint64_t{track} << 48 |
           uint64_t{generation & kFieldMask} << 24 | (slot & kFieldMask);
  }
  static constexpr OpTag Unpack(uint64_t bits) {
    return {static_cast<OpKind>(bits >> 56), static_cast<uint8_t>(bits >> 48),
            static_cast<uint32_t>(bits >> 24) & kFieldMask,
            static_cast<uint32_t>(bits) & kFieldMask};
  }
  bool operator==(const OpTag&) const = default;
};
static_assert(OpTag::Unpack(OpTag{OpKind::kWrite, 3, 7, 42}.Pack()) ==
              OpTag{OpKind::kWrite, 3, 7, 42});

}  // namespace sluice

#endif  // INGEST_RING_OP_TAG_H_
