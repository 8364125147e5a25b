// What liburing's headers lack, or have only in some versions, of zero-copy receive: the kernel's
// structures under our own names. Source: include/uapi/linux/io_uring/{zcrx,query}.h of Linux 7.3.
#ifndef INGEST_RING_ZCRX_UAPI_H_
#define INGEST_RING_ZCRX_UAPI_H_

#include <cstdint>

namespace sluice::zcrx {

// -- io_uring_register(2): opcodes.
inline constexpr unsigned kRegisterQueue = 32;    // IORING_REGISTER_ZCRX_IFQ, Linux 6.15
inline constexpr unsigned kRegisterQuery = 35;    // IORING_REGISTER_QUERY, Linux 6.18
inline constexpr unsigned kRegisterControl = 36;  // IORING_REGISTER_ZCRX_CTRL, Linux 7.2

// -- The operation: multishot only, on a ring with 32-byte completions.
inline constexpr uint8_t kOpReceive = 58;  // IORING_OP_RECV_ZC

// In an offset, the bits above are the number of the area.
inline constexpr unsigned kAreaShift = 48;
inline constexpr uint64_t kOffsetMask = (uint64_t{1} << kAreaShift) - 1;

// One entry of the refill ring. `length` is not read by the kernel; `pad` must be zero.
struct RefillEntry {
  uint64_t offset;  // anywhere in the chunk, with the area's number
  uint32_t length;
  uint32_t pad;
};
static_assert(sizeof(RefillEntry) == 16);

// Where the parts of the refill ring lie in its memory.
struct Offsets {
  uint32_t head, tail, entries, reserved0;
  uint64_t reserved[2];
};

struct AreaRegistration {
  uint64_t address;
  uint64_t bytes;
  uint64_t token;  // out
  uint32_t flags;
  uint32_t dmabuf_fd;
  uint64_t reserved[2];
};
static_assert(sizeof(AreaRegistration) == 48);

// io_uring_region_desc
struct RegionDescription {
  uint64_t user_address;
  uint64_t bytes;
  uint32_t flags;
  uint32_t id;
  uint64_t mmap_offset;
  uint64_t reserved[4];
};
static_assert(sizeof(RegionDescription) == 64);
inline constexpr uint32_t kRegionIsUserMemory = 1;

struct QueueRegistration {
  uint32_t interface_index;
  uint32_t receive_queue;
  uint32_t refill_entries;
  uint32_t flags;
  uint64_t area;    // of an AreaRegistration
  uint64_t region;  // of a RegionDescription
  Offsets offsets;  // out
  uint32_t id;      // out
  uint32_t receive_buffer_bytes;
  uint64_t events;  // of an EventDescription, or 0
  uint64_t reserved[2];
};
static_assert(sizeof(QueueRegistration) == 96);
inline constexpr uint32_t kQueueImport = 1;
inline constexpr uint32_t kQueueDeviceLess = 2;  // ZCRX_REG_NODEV, Linux 7.2

// -- Events: completions with the user_data given here, `res` the type, no flags. Each type comes
// once, until it is armed again.
enum class Event : uint32_t { kAllocationFailed = 0, kCopied = 1 };
inline constexpr uint32_t kEventCount = 2;

struct EventDescription {
  uint64_t user_data;
  uint32_t types;  // a bit for each
  uint32_t flags;
  uint64_t statistics_offset;  // in the refill ring's memory, a multiple of 8
  uint64_t reserved[9];
};
inline constexpr uint32_t kEventsWithStatistics = 1;

// Fragments that the kernel copied. It does not count those that lay in a packet's linear part.
struct Statistics {
  uint64_t copies;
  uint64_t bytes;
};

// -- kRegisterControl
enum class Control : uint32_t { kFlush = 0, kExport = 1, kArmEvent = 2, kAddArea = 3 };
struct ControlRequest {
  uint32_t id;
  uint32_t operation;
  uint64_t reserved[2];
  union {
    uint32_t event_type;
    uint64_t words[6];
  };
};
static_assert(sizeof(ControlRequest) == 72);

// -- kRegisterQuery: a chain of these; the call itself succeeds even for what it does not know.
struct QueryHeader {
  uint64_t next;
  uint64_t data;
  uint32_t operation;
  uint32_t bytes;
  int32_t result;
  uint32_t reserved[3];
};
static_assert(sizeof(QueryHeader) == 40);
inline constexpr uint32_t kQueryZeroCopyReceive = 1;

struct QueryAnswer {
  uint64_t register_flags;  // of QueueRegistration.flags, known to the kernel
  uint64_t area_flags;
  uint32_t control_operations;  // how many are known
  uint32_t features;
  uint32_t refill_header_bytes;
  uint32_t refill_header_align;
  uint64_t reserved;
};
static_assert(sizeof(QueryAnswer) == 40);
inline constexpr uint32_t kFeatureEvents = 1 << 1;

}  // namespace sluice::zcrx

#endif  // INGEST_RING_ZCRX_UAPI_H_
