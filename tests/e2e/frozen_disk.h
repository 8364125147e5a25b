// A disk that stands still while a test wants it to.
#ifndef TESTS_E2E_FROZEN_DISK_H_
#define TESTS_E2E_FROZEN_DISK_H_

#include <string>

namespace sluice {

// A file system of its own, on a file, which can be frozen: whoever writes to it waits. Seen by
// nobody but this program and its children. Only root can have one: ask why_not().
class FrozenDisk {
 public:
  // In this directory, which outlives it.
  explicit FrozenDisk(const std::string& directory);
  ~FrozenDisk();
  FrozenDisk(const FrozenDisk&) = delete;
  FrozenDisk& operator=(const FrozenDisk&) = delete;

  // Empty, or why there is none, or none that could be frozen.
  const std::string& why_not() const { return why_not_; }
  const std::string& mount() const { return mount_; }

  void Freeze();
  void Thaw();

 private:
  const std::string image_;
  const std::string mount_;
  std::string why_not_;
  int root_ = -1;
  bool frozen_ = false;
};

}  // namespace sluice

#endif  // TESTS_E2E_FROZEN_DISK_H_
