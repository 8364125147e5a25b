#include "writer/archive/background_verify.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "writer/archive/archive.h"
#include "writer/archive/disk.h"
#include "writer/archive/verify_segment.h"
#include "writer/segment/segment_reader.h"

namespace sluice {
namespace {

constexpr absl::Duration kAskInterval = absl::Milliseconds(100);
// New segments are looked for this often.
constexpr absl::Duration kLookInterval = absl::Seconds(10);
constexpr absl::Duration kSaveInterval = absl::Minutes(1);
constexpr size_t kDamageMax = 10;

// Only when nobody else wants the disk, where its scheduler knows such a class.
void AskForIdleClass() {
  constexpr int kWhoProcess = 1;  // this thread, in fact
  constexpr int kClassIdle = 3;
  constexpr int kClassShift = 13;
  syscall(SYS_ioprio_set, kWhoProcess, 0, kClassIdle << kClassShift);
}

uint64_t Number(SegmentId id) { return static_cast<uint64_t>(id); }

}  // namespace

BackgroundVerifier::BackgroundVerifier(BackgroundVerifyOptions options)
    : options_(std::move(options)), thread_([this] { Run(); }) {}

BackgroundVerifyStatus BackgroundVerifier::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

void BackgroundVerifier::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool BackgroundVerifier::stopping() const {
  const std::lock_guard lock(mutex_);
  return stop_;
}

bool BackgroundVerifier::Sleep(absl::Duration time) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, absl::ToChronoNanoseconds(time), [this] { return stop_; });
  return !stop_;
}

void BackgroundVerifier::Run() {
  AskForIdleClass();
  while (!stopping()) {
    Pass();
    absl::Duration wait = std::min(options_.interval, kLookInterval);
    if (const absl::Time next = status().next; next != absl::InfinitePast()) {
      wait = std::max(kAskInterval, std::min(next - absl::Now(), wait));
    }
    Sleep(wait);
  }
}

absl::Time BackgroundVerifier::DueTime(const SegmentRow& row) const {
  absl::Time last = absl::FromUnixNanos(row.last_time.value);
  const UnixNanos verified = VerifiedAt(verified_, row.id, row.footer_sha256);
  last = std::max(last, absl::FromUnixNanos(verified.value));
  const auto looked = looked_at_.find(Number(row.id));
  if (looked != looked_at_.end()) last = std::max(last, looked->second);
  return last + options_.interval;
}

// All that is due.
void BackgroundVerifier::Pass() {
  if (auto verified = ReadVerified(options_.directory); verified.ok()) {
    verified_.insert(verified->begin(), verified->end());
    for (const auto& [id, stamp] : *verified) {
      if (stamp.time > verified_[id].time) verified_[id] = stamp;
    }
  }
  const auto meta = Archive::ReadMeta(options_.directory);
  auto catalog = Catalog::Open(Archive::CatalogPath(options_.directory), Catalog::Mode::kReadOnly);
  if (!meta.ok() || !catalog.ok()) return;  // the recorder says so, too
  absl::StatusOr<std::vector<SegmentRow>> rows = (*catalog)->Segments();
  if (!rows.ok()) return;
  std::erase_if(*rows, [&](const SegmentRow& row) {
    const uint32_t disk = meta->DiskOf(row.slot);
    return !row.sealed || (disk != 0 && !CheckPresent(*meta, disk).ok());
  });
  std::sort(rows->begin(), rows->end(), [this](const SegmentRow& a, const SegmentRow& b) {
    return std::pair(DueTime(a), a.id) < std::pair(DueTime(b), b.id);
  });
  for (const SegmentRow& row : *rows) {
    if (DueTime(row) > absl::Now()) break;
    VerifySegment(**catalog, *meta, row);
    if (absl::Now() - saved_ > kSaveInterval) Save(*rows);
    if (stopping()) break;
  }
  Save(*rows);
  if (stopping()) return;
  absl::Time next = absl::InfinitePast();
  for (const SegmentRow& row : *rows) {
    next = next == absl::InfinitePast() ? DueTime(row) : std::min(next, DueTime(row));
  }
  const std::lock_guard lock(mutex_);
  status_.last_pass = absl::Now();
  status_.next = next;
}

// Whether to read on; waits until that may be.
bool BackgroundVerifier::MayGoOn(ByteCount read) {
  if (!Sleep(pace_->Count(read))) return false;
  if (!options_.must_yield || absl::Now() - asked_ < kAskInterval) return true;
  while (options_.must_yield()) {
    {
      const std::lock_guard lock(mutex_);
      status_.yielding = true;
    }
    if (!Sleep(kAskInterval)) return false;
    pace_ = std::make_unique<ReadPace>(options_.bytes_per_second);  // nothing is made up for
  }
  asked_ = absl::Now();
  const std::lock_guard lock(mutex_);
  status_.yielding = false;
  return true;
}

void BackgroundVerifier::VerifySegment(Catalog& catalog, const ArchiveMeta& meta,
                                       const SegmentRow& row) {
  pace_ = std::make_unique<ReadPace>(options_.bytes_per_second);
  if (!MayGoOn({})) return;
  const std::string path = Archive::SegmentPath(options_.directory, meta, row.slot);
  const absl::StatusOr<std::unique_ptr<SegmentReader>> reader = SegmentReader::Open(path);
  const absl::StatusOr<std::vector<StreamPart>> parts = catalog.SegmentParts(row.id);
  if (!parts.ok() || parts->empty()) return;  // reused meanwhile
  if (!reader.ok()) return SayDamaged(row, path, std::string(reader.status().message()));
  if ((*reader)->id() != row.id) {
    return SayDamaged(row, path,
                      absl::StrCat(path, " holds segment ", Number((*reader)->id()),
                                   " where the catalog says ", Number(row.id)));
  }
  const SegmentResult result = VerifySealedSegment(
      **reader, *parts, VerifyDepth::kFull, [this](ByteCount read) { return MayGoOn(read); });
  if (result.stopped || !(*reader)->StillHolds()) return;
  if (!result.findings.empty()) {
    const size_t more = result.findings.size() - 1;
    return SayDamaged(row, path,
                      absl::StrCat(result.findings.front(),
                                   more == 0 ? "" : absl::StrCat(" (and ", more, " more)")));
  }
  if (row.footer_sha256 != Sha256{} && row.footer_sha256 != result.footer_sha256) {
    return SayDamaged(row, path,
                      absl::StrCat(path, ": the footer of segment ", Number(row.id),
                                   " was changed after it was sealed"));
  }
  const VerifiedStamp stamp = StampOf(result.footer_sha256, {absl::GetCurrentTimeNanos()});
  verified_[Number(row.id)] = fresh_[Number(row.id)] = stamp;
  const std::lock_guard lock(mutex_);
  ++status_.segments_verified;
}

void BackgroundVerifier::SayDamaged(const SegmentRow& row, const std::string& path,
                                    const std::string& finding) {
  const bool is_new = looked_at_.insert_or_assign(Number(row.id), absl::Now()).second;
  if (options_.damaged) options_.damaged(path, finding);
  if (!is_new) return;
  const std::lock_guard lock(mutex_);
  ++status_.segments_damaged;
  if (status_.damage.size() < kDamageMax) status_.damage.push_back(finding);
}

void BackgroundVerifier::Save(const std::vector<SegmentRow>& rows) {
  saved_ = absl::Now();
  std::set<uint64_t> there;
  for (const SegmentRow& row : rows) there.insert(Number(row.id));
  std::erase_if(verified_, [&](const auto& stamp) { return !there.contains(stamp.first); });
  std::erase_if(looked_at_, [&](const auto& looked) { return !there.contains(looked.first); });
  if (fresh_.empty()) return;
  // When it fails, what was read is read again after the next start, no more.
  AddVerified(options_.directory, fresh_, there).IgnoreError();
  fresh_.clear();
}

}  // namespace sluice
