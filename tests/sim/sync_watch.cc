#include "tests/sim/sync_watch.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "ingest/check.h"

namespace sluice {
namespace {

thread_local const std::function<bool(const SyncWatch::Sync&)>* watcher = nullptr;

int Seen(int fd, bool whole_file_system) {
  if (watcher == nullptr || (*watcher)({fd, whole_file_system})) return 0;
  errno = EIO;
  return -1;
}

}  // namespace

SyncWatch::SyncWatch(std::function<bool(const Sync&)> on_sync) : on_sync_(std::move(on_sync)) {
  SLUICE_CHECK(watcher == nullptr);
  watcher = &on_sync_;
}

SyncWatch::~SyncWatch() { watcher = nullptr; }

}  // namespace sluice

// In place of libc's.
extern "C" {
int fsync(int fd) { return sluice::Seen(fd, false); }
int fdatasync(int fd) { return sluice::Seen(fd, false); }
int syncfs(int fd) noexcept { return sluice::Seen(fd, true); }
}
