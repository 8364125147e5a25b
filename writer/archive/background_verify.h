// Reads sealed segments in the background, again and again, and says what does not hold.
#ifndef WRITER_ARCHIVE_BACKGROUND_VERIFY_H_
#define WRITER_ARCHIVE_BACKGROUND_VERIFY_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "ingest/units.h"
#include "writer/archive/archive_codec.h"
#include "writer/archive/read_pace.h"
#include "writer/archive/verified_file.h"
#include "writer/catalog/catalog.h"

namespace sluice {

struct BackgroundVerifyOptions {
  std::string directory;
  absl::Duration interval;     // each sealed segment is read in full this often
  ByteCount bytes_per_second;  // that are read at most; zero: no limit
  // Asked between two reads, at most ten times a second: whether the recorder needs the disk now.
  std::function<bool()> must_yield;
  // A segment that does not hold: its file, and what is wrong in one sentence. Once for each time
  // that it is read.
  std::function<void(const std::string& path, const std::string& finding)> damaged;
};

// A snapshot; counts are of this run.
struct BackgroundVerifyStatus {
  uint64_t segments_verified = 0;               // and whole
  uint64_t segments_damaged = 0;                // different ones
  std::vector<std::string> damage;              // one sentence each, of the first ones
  bool yielding = false;                        // it waits, because writes are late
  absl::Time last_pass = absl::InfinitePast();  // when nothing was due any more
  absl::Time next = absl::InfinitePast();       // when the next segment is due; past: not known yet
};

// A thread with the least I/O priority that goes round the sealed segments, the one that was
// verified the longest ago first. Knows from DIR/VERIFIED, and says there, what was verified; a
// segment counts as verified when it is sealed. Owned by the daemon; options' functions are called
// on its thread. All methods are thread-safe.
class BackgroundVerifier {
 public:
  explicit BackgroundVerifier(BackgroundVerifyOptions options);
  ~BackgroundVerifier() { Stop(); }
  BackgroundVerifier(const BackgroundVerifier&) = delete;
  BackgroundVerifier& operator=(const BackgroundVerifier&) = delete;

  BackgroundVerifyStatus status() const;
  // Returns after at most one more read.
  void Stop();

 private:
  // On the thread.
  void Run();
  void Pass();
  void VerifySegment(Catalog& catalog, const ArchiveMeta& meta, const SegmentRow& row);
  void SayDamaged(const SegmentRow& row, const std::string& path, const std::string& finding);
  absl::Time DueTime(const SegmentRow& row) const;
  bool MayGoOn(ByteCount read);
  bool Sleep(absl::Duration time);  // false: it is to stop
  void Save(const std::vector<SegmentRow>& rows);
  bool stopping() const;

  const BackgroundVerifyOptions options_;
  VerifiedSegments verified_;
  VerifiedSegments fresh_;                    // not saved yet
  std::map<uint64_t, absl::Time> looked_at_;  // damaged ones, by id
  std::unique_ptr<ReadPace> pace_;
  absl::Time asked_ = absl::InfinitePast();
  absl::Time saved_ = absl::InfinitePast();

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  BackgroundVerifyStatus status_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace sluice

#endif  // WRITER_ARCHIVE_BACKGROUND_VERIFY_H_
