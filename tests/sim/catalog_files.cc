#include "tests/sim/catalog_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>
#include <utility>

#include "ingest/check.h"

namespace sluice {
namespace {

constexpr char kLog[] = "-wal";

std::string ReadAll(const std::string& path) {
  std::ostringstream all;
  all << std::ifstream(path, std::ios::binary).rdbuf();
  return std::move(all).str();
}

void WriteAll(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  file.close();
  SLUICE_CHECK(file.good());
}

}  // namespace

void CatalogFiles::OnSync(int fd) {
  struct stat of_fd = {};
  struct stat of_log = {};
  if (fstat(fd, &of_fd) != 0 || stat(Path(kLog).c_str(), &of_log) != 0) return;
  if (of_fd.st_ino == of_log.st_ino && of_fd.st_dev == of_log.st_dev) {
    synced_ = static_cast<uint64_t>(of_log.st_size);
  }
}

void CatalogFiles::Capture(SimWorld& world, bool power_loss) {
  left_.clear();
  for (const char* suffix : {"", kLog}) {
    if (access(Path(suffix).c_str(), F_OK) == 0) left_[suffix] = ReadAll(Path(suffix));
  }
  const auto log = left_.find(kLog);
  if (log == left_.end() || !power_loss) return;
  std::string& bytes = log->second;
  if (bytes.size() <= synced_) return;
  const size_t size = bytes.size();
  bytes.resize(synced_ + world.Roll(size - synced_ + 1));
  if (world.Roll(2) == 0) bytes.resize(size, '?');
}

void CatalogFiles::Restore() {
  for (const char* suffix : {"", kLog, "-shm"}) {
    const auto found = left_.find(suffix);
    if (found == left_.end()) {
      unlink(Path(suffix).c_str());
    } else {
      WriteAll(Path(suffix), found->second);
    }
  }
  synced_ = left_.contains(kLog) ? left_[kLog].size() : 0;
}

void CatalogFiles::Remove() {
  for (const char* suffix : {"", kLog, "-shm"}) unlink(Path(suffix).c_str());
}

void CatalogFiles::Damage() {
  Remove();
  WriteAll(path_, std::string(8192, '?'));
}

uint64_t CatalogFiles::log_bytes() const {
  struct stat log = {};
  return stat(Path(kLog).c_str(), &log) == 0 ? static_cast<uint64_t>(log.st_size) : 0;
}

// Longer files are refused, as on a full disk, but for the errno.
FullDisk::FullDisk(const CatalogFiles& files) {
  std::signal(SIGXFSZ, SIG_IGN);
  SLUICE_CHECK(getrlimit(RLIMIT_FSIZE, &before_) == 0);
  rlimit limit = before_;
  limit.rlim_cur = files.log_bytes();
  SLUICE_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

FullDisk::~FullDisk() { SLUICE_CHECK(setrlimit(RLIMIT_FSIZE, &before_) == 0); }

}  // namespace sluice
