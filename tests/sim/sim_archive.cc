#include "tests/sim/sim_archive.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

#include "ingest/check.h"
#include "writer/archive/archive_keeper.h"
#include "writer/archive/policy_file.h"
#include "writer/catalog/catalog.h"
#include "writer/segment/file_io.h"

namespace sluice {

SimArchive::SimArchive(const Parts& parts, std::string directory, ByteCount segment, uint32_t slots)
    : parts_(parts),
      directory_(std::move(directory)),
      segment_(segment),
      slots_(slots),
      catalog_files_(Archive::CatalogPath(directory_)),
      policy_files_(directory_),
      watch_([this](const SyncWatch::Sync& sync) { return OnSync(sync); }) {
  std::filesystem::remove_all(directory_);
}

SimArchive::~SimArchive() {
  Close();
  for (const std::span<std::byte> platter : platters_) munmap(platter.data(), platter.size());
  std::filesystem::remove_all(directory_);
}

// ---- the program starts and ends

void SimArchive::MapSlots() {
  for (uint32_t slot = 0; slot < slots_; ++slot) {
    const UniqueFd fd(open(Archive::SegmentPath(directory_, slot).c_str(), O_RDWR | O_CLOEXEC));
    struct stat info = {};
    SLUICE_CHECK(fstat(fd.get(), &info) == 0);
    void* const at = mmap(nullptr, segment_.value, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    SLUICE_CHECK(at != MAP_FAILED);
    platters_.emplace_back(static_cast<std::byte*>(at), segment_.value);
    files_.push_back(parts_.disk->AddFile(platters_.back()));
    by_inode_[info.st_ino] = slot;
  }
  parts_.disk->Watch();
}

absl::Status SimArchive::Start() {
  ArchiveOptions options;
  options.directory = directory_;
  options.segment = segment_;
  options.capacity = segment_ * slots_;
  absl::StatusOr<std::unique_ptr<Archive>> archive = Archive::Open(options);
  if (!archive.ok()) return archive.status();
  archive_ = *std::move(archive);
  if (platters_.empty()) MapSlots();

  recovery_ = {};
  catalog_files_.Closed();
  if (parts_.mutant == Mutant::kRecoveryLeftOut) {
    const auto catalog = Catalog::Open(catalog_path(), Catalog::Mode::kReadWrite);
    if (!catalog.ok()) return catalog.status();
    recovery_.last_segment_id = *(*catalog)->LastSegmentId();
    return absl::OkStatus();
  }
  recovering_ = true;
  {
    const auto keeper = ArchiveKeeper::Start(*archive_);
    if (keeper.ok()) recovery_ = (*keeper)->recovery();
    if (!keeper.ok() && !parts_.fuse->blown()) return keeper.status();
  }
  if (!parts_.fuse->blown()) {
    for (const int file : files_) parts_.disk->Notice(file);
    catalog_files_.Closed();
    policy_files_.Settle();
  }
  recovering_ = false;
  return absl::OkStatus();
}

void SimArchive::Close() {
  archive_.reset();
  catalog_files_.Closed();
}

void SimArchive::Die(bool power_loss) {
  if (recovering_) {
    for (const int file : files_) parts_.disk->Notice(file);
  }
  if (power_loss) parts_.disk->LosePower();
  if (power_loss && parts_.mutant == Mutant::kDurableByteDecays && !files_.empty()) {
    const uint64_t at = parts_.world->Roll(64 << 10);
    parts_.disk->FlipBit(files_[parts_.world->Roll(files_.size())], at);
  }
  if (parts_.mutant == Mutant::kCatalogTooOld) catalog_files_.ForgetSyncs();
  catalog_files_.Capture(*parts_.world, power_loss);
  policy_files_.Capture(*parts_.world, power_loss);
}

void SimArchive::Reboot() {
  parts_.disk->Revert();
  catalog_files_.Restore();
  policy_files_.Restore();
}

// ---- what is written

// By recovery, by SQLite, and by whoever saves the policy.
bool SimArchive::OnSync(const SyncWatch::Sync& sync) {
  if (parts_.fuse->blown()) return true;
  struct stat info = {};
  SLUICE_CHECK(fstat(sync.fd, &info) == 0);
  const auto slot = by_inode_.find(info.st_ino);
  for (uint32_t i = 0; i < files_.size(); ++i) {
    const bool concerned = sync.whole_file_system || (slot != by_inode_.end() && slot->second == i);
    if (!concerned) continue;
    parts_.disk->Notice(files_[i]);
    parts_.fuse->Tick();
    if (parts_.fuse->blown()) return true;
    parts_.disk->SyncWhatIsThere(files_[i]);
  }
  if (slot != by_inode_.end()) return true;
  parts_.fuse->Tick();
  if (parts_.fuse->blown()) return true;
  const bool of_policy = saving_policy_ && policy_files_.Concerns(sync.fd);
  if (of_policy && parts_.world->OneIn(policy_error)) return false;
  catalog_files_.OnSync(sync.fd);
  policy_files_.OnSync(sync.fd);
  return true;
}

absl::StatusOr<RetentionPolicy> SimArchive::policy() const {
  absl::StatusOr<RetentionPolicy> policy = ReadPolicyFile(directory_);
  if (absl::IsNotFound(policy.status())) return RetentionPolicy();
  return policy;
}

absl::Status SimArchive::SavePolicy(const RetentionPolicy& policy) {
  parts_.fuse->Tick();
  if (parts_.fuse->blown()) return absl::UnavailableError("the machine is dead");
  if (parts_.mutant == Mutant::kPolicyNotSaved) return absl::OkStatus();
  saving_policy_ = true;
  const absl::Status status = WritePolicyFile(directory_, policy);
  saving_policy_ = false;
  parts_.fuse->Tick();
  return parts_.fuse->blown() ? absl::UnavailableError("the machine is dead") : status;
}

absl::Status SimArchive::WriteHeader(uint32_t slot, const SegmentHeader& header) {
  parts_.fuse->Tick();
  if (parts_.fuse->blown()) return absl::UnavailableError("the machine is dead");
  on_header(slot, header);
  parts_.journal->Note("header of segment ", header.segment_id, " into slot ", slot);
  std::string block(kBlockBytes, '\0');
  std::memcpy(block.data(), &header, sizeof(header));
  const bool refused = parts_.world->OneIn(header_error);
  const bool lost = parts_.mutant == Mutant::kHeaderLost || (refused && parts_.world->OneIn(2));
  if (!lost) parts_.disk->Put(file(slot), 0, block);
  parts_.fuse->Tick();
  return refused ? absl::DataLossError("write: Input/output error") : absl::OkStatus();
}

absl::Status SimArchive::Sync(uint32_t slot) {
  parts_.fuse->Tick();
  if (parts_.fuse->blown()) return absl::UnavailableError("the machine is dead");
  if (parts_.world->OneIn(header_error)) {
    parts_.disk->FailSync(file(slot), parts_.disk->writes());
    return absl::DataLossError("fdatasync: Input/output error");
  }
  if (parts_.mutant != Mutant::kHeaderNotSynced) {
    parts_.disk->Sync(file(slot), parts_.disk->writes());
  }
  on_header_synced(slot);
  parts_.fuse->Tick();
  return absl::OkStatus();
}

}  // namespace sluice
