#include "ingest/region/region.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr uint64_t kHugePageBytes = 2 << 20;

void* MapAnonymous(uint64_t bytes, int flags) {
  void* at =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  return at == MAP_FAILED ? nullptr : at;
}

// A 2 MiB aligned mapping of small pages that the kernel may turn into huge ones.
void* MapTransparent(uint64_t bytes) {
  auto* const whole = static_cast<std::byte*>(MapAnonymous(bytes + kHugePageBytes, 0));
  if (whole == nullptr) return nullptr;
  const uint64_t begin = RoundUp(reinterpret_cast<uintptr_t>(whole), kHugePageBytes) -
                         reinterpret_cast<uintptr_t>(whole);
  if (begin != 0) munmap(whole, begin);
  if (begin != kHugePageBytes) munmap(whole + begin + bytes, kHugePageBytes - begin);
  madvise(whole + begin, bytes, MADV_HUGEPAGE);
  return whole + begin;
}

// Whether all of the mapping that starts at `memory` is in huge pages, from /proc/self/smaps.
bool IsInHugePages(const std::byte* memory, uint64_t bytes) {
  std::ifstream maps("/proc/self/smaps");
  const std::string address = absl::StrCat(absl::Hex(reinterpret_cast<uintptr_t>(memory)));
  std::string line;
  bool ours = false;
  while (std::getline(maps, line)) {
    if (line.find('-') != std::string::npos && line.compare(0, address.size(), address) == 0) {
      ours = true;
    }
    unsigned long long kib = 0;
    if (ours && std::sscanf(line.c_str(), "AnonHugePages: %llu kB", &kib) == 1) {
      return kib * 1024 >= bytes;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Region>> Region::Map(ByteCount slab, ByteCount area) {
  const uint64_t bytes = RoundUp(slab.value + area.value, kHugePageBytes);
  bool huge_pages = true;
  void* at = MapAnonymous(bytes, MAP_HUGETLB | MAP_POPULATE);
  if (at == nullptr) {
    at = MapTransparent(bytes);
    if (at == nullptr) {
      return absl::ResourceExhaustedError(
          absl::StrCat("map ", bytes >> 20, " MiB of memory for a lane: ", strerror(errno),
                       "; choose a smaller region"));
    }
    std::memset(at, 0, bytes);
    huge_pages = IsInHugePages(static_cast<std::byte*>(at), bytes);
  }
  madvise(at, bytes, MADV_DONTFORK);  // a child's copy-on-write must not move what the kernel fills
  return absl::WrapUnique(new Region({static_cast<std::byte*>(at), bytes}, slab, huge_pages));
}

Region::~Region() { munmap(memory_.data(), memory_.size()); }

}  // namespace sluice
