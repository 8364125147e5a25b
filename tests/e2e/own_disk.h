// A disk that stands still, or is full, while a test wants it to.
#ifndef TESTS_E2E_OWN_DISK_H_
#define TESTS_E2E_OWN_DISK_H_

#include <cstdint>
#include <string>

namespace sluice {

// A file system of a test's own, on a file, of 1 GiB. Seen by nobody but this program and its
// children. Only root can have one: ask why_not().
class OwnDisk {
 public:
  // In this directory, which outlives it.
  explicit OwnDisk(const std::string& directory);
  ~OwnDisk();
  OwnDisk(const OwnDisk&) = delete;
  OwnDisk& operator=(const OwnDisk&) = delete;

  // Empty, or why there is none, or none that could be frozen.
  const std::string& why_not() const { return why_not_; }
  const std::string& mount() const { return mount_; }

  // Whoever writes to it waits.
  void Freeze();
  void Thaw();

  // As another program would: takes all that is free, to the last block.
  void Fill();
  // And gives it back.
  void MakeRoom();
  // What another program can take, in bytes. (The file system keeps some for itself.)
  uint64_t free() const;

 private:
  const std::string image_;
  const std::string mount_;
  const std::string filler_;
  std::string why_not_;
  int root_ = -1;
  bool frozen_ = false;
};

}  // namespace sluice

#endif  // TESTS_E2E_OWN_DISK_H_
