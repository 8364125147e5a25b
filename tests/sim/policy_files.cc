#include "tests/sim/policy_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <utility>

#include "ingest/check.h"
#include "writer/archive/policy_file.h"

namespace sluice {
namespace {

constexpr char kTemporary[] = ".tmp";

// 0: it is not there.
uint64_t InodeOf(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

uint64_t InodeOf(int fd) {
  struct stat info = {};
  SLUICE_CHECK(fstat(fd, &info) == 0);
  return info.st_ino;
}

std::optional<std::string> Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file.good()) return std::nullopt;
  std::ostringstream all;
  all << file.rdbuf();
  return std::move(all).str();
}

void Write(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  SLUICE_CHECK(file.good());
}

}  // namespace

PolicyFiles::PolicyFiles(std::string directory)
    : directory_(std::move(directory)), path_(PolicyPath(directory_)) {}

void PolicyFiles::Settle() {
  durable_ = Read(path_);
  synced_ = {InodeOf(path_)};
}

bool PolicyFiles::Concerns(int fd) const {
  const uint64_t inode = InodeOf(fd);
  return inode == InodeOf(directory_) || inode == InodeOf(path_ + kTemporary);
}

void PolicyFiles::OnSync(int fd) {
  const uint64_t inode = InodeOf(fd);
  synced_.insert(inode);
  if (inode == InodeOf(directory_)) durable_ = Read(path_);
}

void PolicyFiles::Capture(SimWorld& world, bool power_loss) {
  left_ = Read(path_);
  if (!power_loss || left_ == durable_) return;
  if (world.Roll(2) == 0) {
    left_ = durable_;
  } else if (left_ && !synced_.contains(InodeOf(path_))) {
    left_->resize(world.Roll(left_->size()));
  }
}

void PolicyFiles::Restore() {
  unlink((path_ + kTemporary).c_str());
  if (left_) {
    Write(path_, *left_);
  } else {
    unlink(path_.c_str());
  }
  Settle();
}

}  // namespace sluice
