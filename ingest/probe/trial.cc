#include "ingest/probe/trial.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "ingest/ring/uring_ring.h"
#include "ingest/status_macros.h"
#include "ingest/units.h"

namespace sluice {
namespace {

// As much as a driver's ring of 1024 packets asks for: with less, some complain in the log.
constexpr ByteCount kArea = MiB(4);

absl::Status Try(InterfaceQueueOptions options) {
  void* const area = mmap(nullptr, kArea.value, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (area == MAP_FAILED) return absl::ErrnoToStatus(errno, "map memory for a trial");
  const auto unmap = [](std::byte* at) { munmap(at, kArea.value); };
  const std::unique_ptr<std::byte, decltype(unmap)> owner(static_cast<std::byte*>(area), unmap);
  options.area = {owner.get(), kArea.value};
  options.refill_entries = static_cast<uint32_t>(kArea.value / 4096);
  // The ring goes before the memory.
  SLUICE_ASSIGN_OR_RETURN(
      const std::unique_ptr<Ring> ring,
      OpenUringRing({.submission_entries = 8, .completion_entries = 64, .zero_copy = true}));
  return ring->OpenInterfaceQueue(options).status();
}

}  // namespace

absl::Status TryInterfaceQueue(const std::string& interface, uint32_t queue) {
  InterfaceQueueOptions options;
  options.interface = interface;
  options.queue = queue;
  return Try(options);
}

absl::Status TryDeviceLess() { return Try({}); }

}  // namespace sluice
