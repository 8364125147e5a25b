// Sees what this program syncs, and keeps it from waiting for a disk that is only simulated.
#ifndef TESTS_SIM_SYNC_WATCH_H_
#define TESTS_SIM_SYNC_WATCH_H_

#include <functional>

namespace sluice {

// fsync(), fdatasync() and syncfs() of the whole program, SQLite's too, do nothing in a program
// that links this; while a watch lives, those of its thread call it first, and fail with EIO when
// it says no. One at a time.
class SyncWatch {
 public:
  struct Sync {
    int fd;
    bool whole_file_system;
  };
  explicit SyncWatch(std::function<bool(const Sync&)> on_sync);
  ~SyncWatch();
  SyncWatch(const SyncWatch&) = delete;
  SyncWatch& operator=(const SyncWatch&) = delete;

 private:
  const std::function<bool(const Sync&)> on_sync_;
};

}  // namespace sluice

#endif  // TESTS_SIM_SYNC_WATCH_H_
