// An archive whose recorder is killed again and again, and everything that was sent and said.
#ifndef TESTS_CRASH_KILLED_ARCHIVE_H_
#define TESTS_CRASH_KILLED_ARCHIVE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/bench/stream_content.h"
#include "tests/crash/published.h"
#include "tests/crash/witness.h"
#include "tests/e2e/sluice.h"

namespace sluice {

// When the kill comes.
enum class Phase {
  kCreation,     // while the archive is being made (or, when it exists, opened)
  kRecording,    // at any time
  kNextSegment,  // as soon as a client sees that a segment was begun: one is sealed, one is reused
  kStopping,     // after SIGTERM
  kRecovery,     // at any time, and again while that is being recovered
  kRebuild,      // at any time, and again while `archive rebuild` runs
};
inline constexpr int kPhases = 6;
const char* PhaseName(Phase phase);

// How the archive is made and written.
struct Setup {
  std::string capacity;
  std::string segment;
  std::string sync_interval;
  std::string flush_interval;
  uint32_t lanes = 1;
  bool payload_crc = true;
  bool daemon = false;  // `serve`, else `record`

  size_t slots = 0;
};

// What one round found.
struct RoundResult {
  uint64_t sent = 0;       // taken by the senders' kernel, in this round
  uint64_t published = 0;  // in the archive, and known to a client to be durable, at the kill
  Aftermath aftermath;
  uint64_t gone = 0;  // of `sent`: past the mark, and not recovered
  double recovery_seconds = 0;
};

// Faults are failures of the test that runs.
class KilledArchive {
 public:
  KilledArchive(const std::string& directory, const Setup& setup, const StreamContent& content);

  // `number` is unique among all rounds: the senders' addresses are made of it.
  RoundResult Round(Phase phase, uint32_t number, std::mt19937_64& random);

  // A copy of the archive as the last kill left it, before anybody opened it again.
  std::string left() const { return directory_ + "/left"; }

 private:
  struct Sent {
    uint64_t number = 0;  // of the content's stream
    uint64_t bytes = 0;
  };

  std::string archive() const { return directory_ + "/archive"; }
  Words target() const { return {"--archive", archive()}; }
  Words Options() const;  // of `record`
  Words RecordWords() const;
  void KillAtStart(const Words& words, int times, std::mt19937_64& random);
  void RecordAndKill(Phase phase, uint32_t number, Witness& witness, std::mt19937_64& random);
  void KeepWhatIsLeft() const;
  void Recover(RoundResult& result, std::mt19937_64& random);
  void CompareStreams(RoundResult& result, uint32_t number);

  const std::string directory_;
  const Setup setup_;
  const StreamContent& content_;
  Published published_;               // what still has to be there
  std::map<std::string, Sent> sent_;  // by the sender's address
  uint64_t sent_in_round_ = 0;
};

}  // namespace sluice

#endif  // TESTS_CRASH_KILLED_ARCHIVE_H_
