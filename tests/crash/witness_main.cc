// What a client of an archive was told, with its place in a log of the disk's writes.
//
//   witness watch ARCHIVE FILE DEVICE
//       Until SIGTERM. Whenever the catalog says something new, appends it to FILE with a number
//       of its own, and then puts a mark of this number into the log of DEVICE, a dm-log-writes
//       target: all that precedes the number in FILE had been said before the mark.
//   witness compare ARCHIVE FILE NUMBER SLOTS
//       What became of it after a crash: JSON. The status is 1 when anything was lost.
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/crash/published.h"
#include "writer/archive/archive.h"
#include "writer/catalog/catalog.h"

namespace sluice {
namespace {

// Begun in the moment of the crash: one that is written, the next one, and those whose first
// bytes were still on their way. An eighth of all may be ready beside them.
constexpr size_t kBegunMax = 6;

volatile std::sig_atomic_t stop = 0;

int Fail(const std::string& what) {
  std::fprintf(stderr, "witness: %s\n", what.c_str());
  return 2;
}

// `dmsetup message DEVICE 0 mark NUMBER`, in microseconds.
class Marker {
 public:
  explicit Marker(const std::string& device)
      : device_(device), control_(open("/dev/mapper/control", O_RDWR | O_CLOEXEC)) {}
  ~Marker() { close(control_); }

  bool Mark(uint64_t number) {
    constexpr size_t kTextAt = sizeof(dm_ioctl) + sizeof(dm_target_msg);
    alignas(dm_ioctl) std::array<char, kTextAt + 64> call = {};
    dm_ioctl header = {};
    header.version[0] = 4;
    header.data_size = call.size();
    header.data_start = sizeof(header);
    device_.copy(header.name, sizeof(header.name) - 1);
    std::memcpy(call.data(), &header, sizeof(header));
    std::snprintf(call.data() + kTextAt, call.size() - kTextAt, "mark %" PRIu64, number);
    return ioctl(control_, DM_TARGET_MSG, call.data()) == 0;
  }

 private:
  const std::string device_;
  const int control_;
};

int Watch(const std::string& archive, const std::string& path, const std::string& device) {
  std::signal(SIGTERM, [](int) { stop = 1; });
  auto catalog = Catalog::Open(Archive::CatalogPath(archive), Catalog::Mode::kReadOnly);
  if (!catalog.ok()) return Fail(catalog.status().ToString());
  std::ofstream file(path);
  Marker marker(device);
  std::map<SegmentId, Published::Segment> said;
  uint64_t number = 0;
  while (stop == 0) {
    Published now;
    if (const absl::Status status = now.Add(**catalog); !status.ok()) {
      return Fail(status.ToString());
    }
    bool is_new = false;
    for (const auto& [id, segment] : now.segments()) {
      if (const auto at = said.find(id); at != said.end() && at->second == segment) continue;
      Write(file, id, segment);
      is_new = true;
    }
    said = now.segments();
    if (is_new) {
      file << "mark " << ++number << std::endl;
      if (!marker.Mark(number)) return Fail(absl::StrCat("mark: errno ", errno));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return 0;
}

int Compare(const std::string& archive, const std::string& path, uint64_t number, size_t slots) {
  const auto catalog = Catalog::Open(Archive::CatalogPath(archive), Catalog::Mode::kReadOnly);
  if (!catalog.ok()) return Fail(catalog.status().ToString());
  std::ifstream file(path);
  const Published before = ReadPublished(file, number);
  Published now;
  if (const absl::Status status = now.Add(**catalog); !status.ok()) {
    return Fail(status.ToString());
  }
  const Aftermath aftermath = CompareAfterCrash(before, now, {slots, kBegunMax + slots / 8});
  std::cout << "{\"before\": " << before.bytes() << ", \"lost\": " << aftermath.lost
            << ", \"reused\": " << aftermath.reused << ", \"beyond\": " << aftermath.beyond
            << ", \"faults\": [";
  for (size_t i = 0; i < aftermath.faults.size(); ++i) {
    std::cout << (i == 0 ? "\"" : ", \"") << aftermath.faults[i] << '"';
  }
  std::cout << "]}" << std::endl;
  return aftermath.faults.empty() ? 0 : 1;
}

int Run(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "watch" && argc == 5) return Watch(argv[2], argv[3], argv[4]);
  uint64_t number = 0;
  size_t slots = 0;
  if (what == "compare" && argc == 6 && absl::SimpleAtoi(argv[4], &number) &&
      absl::SimpleAtoi(argv[5], &slots)) {
    return Compare(argv[2], argv[3], number, slots);
  }
  return Fail("usage: witness watch ARCHIVE FILE DEVICE | compare ARCHIVE FILE NUMBER SLOTS");
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Run(argc, argv); }
