// The whole recorder in one object: archive, keeper, lanes, recordings.
#ifndef CONTROL_RECORDER_RECORDER_H_
#define CONTROL_RECORDER_RECORDER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "control/recorder/receiver.h"
#include "ingest/receive/socket_address.h"
#include "ingest/receive/zero_copy_receiver.h"
#include "ingest/units.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_keeper.h"
#include "writer/back_pressure.h"
#include "writer/ledger.h"
#include "writer/retention/policy.h"
#include "writer/segment/wait_times.h"

namespace sluice {

struct RecorderOptions {
  ArchiveOptions archive;
  uint32_t lanes = 1;
  ByteCount region;  // each lane's registered memory; zero: 64 MiB
  ReceiverOptions receiver;
  // A disk that lets a write or a sync wait for so long is taken out of use, if there is another.
  absl::Duration stall_limit = absl::Seconds(10);
  // Defined, or redefined, at start; with `only_these_classes` all others are forgotten.
  std::vector<RetentionClass> retention_classes = {};
  bool only_these_classes = false;
};

enum class SourceKind : uint8_t { kTcpListen = 1, kTcpConnect = 2 };

struct RecordingSpec {
  std::string id;  // [a-z]([a-z0-9-]*[a-z0-9])?, at most 63 characters
  SourceKind source = SourceKind::kTcpListen;
  SocketAddress address;  // listen: port 0 lets the system choose
  bool payload_crc = true;
  absl::Duration flush_interval = absl::Milliseconds(500);  // data of an idle stream is written
  absl::Duration sync_interval = absl::Seconds(1);          // what was written becomes durable
  std::string retention_class;  // empty: what a resumed recording had, else "default"
  BackPressure back_pressure = BackPressure::kLossless;  // when the disk is too slow
  absl::Duration lag_limit = kLagLimitDefault;           // unless lossless
  bool operator==(const RecordingSpec&) const = default;
};

// Live figures of one recording, summed over its lanes; a snapshot.
struct RecordingStatus {
  RecordingSpec spec;
  uint64_t uid = 0;
  absl::Time created;
  RecordingState state = RecordingState::kRecording;
  std::string failure;  // one sentence when kFailed
  std::string waiting;  // why what was received waits for a segment; empty: it does not
  SocketAddress bound;  // listen: where it really listens
  Ledger ledger;        // what lanes have received and written
  ByteCount durable;    // payload on stable storage
  ByteCount disk;       // bytes written to disk: headers, payload, pads
  uint64_t streams_open = 0;
  uint64_t streams_opened = 0;       // ever, in this run
  uint64_t streams_closed = 0;       // closed, and durable to their end
  uint64_t connections_refused = 0;  // the table was full, or descriptors ran out
  uint64_t connect_failures = 0;     // kTcpConnect: attempts that failed
  uint64_t buffer_waits = 0;         // how often receiving paused for want of memory
  uint64_t write_errors = 0;         // writes that failed and were repeated elsewhere
  uint64_t handed_over = 0;          // connections that went to the lane whose queue carries them
  WaitTimes segment_waits;           // of lanes that had nothing to write into
  LoanTimes loans;                   // what the segments that came were waiting for
  absl::Duration longest_write;      // that the disk took for one of ours
  ZeroCopyCounters zero_copy;
  absl::Duration durable_lag;  // age of the oldest byte that is not durable yet
};

struct RecorderStatus {
  std::vector<RecordingStatus> recordings;
  ArchiveMeta archive;
  std::string archive_directory;
  DiskGeometry geometry;
  uint32_t lanes = 0;
  ByteCount region;                // of all lanes together
  bool region_registered = false;  // fixed-buffer writes are in use
  bool region_huge_pages = false;
  std::vector<ReceiverStatus> receivers;  // of each lane
  std::vector<std::string> warnings;      // one sentence each
  absl::Time started;
};

// Thread-safe. A failed call changes nothing. `actor` is for the audit: who asked for it.
class Recorder {
 public:
  static absl::StatusOr<std::unique_ptr<Recorder>> Open(const RecorderOptions& options);
  // Stops every recording first: drains, seals.
  virtual ~Recorder() = default;

  // Listening (or dialling) when it returns. ALREADY_EXISTS, INVALID_ARGUMENT,
  // FAILED_PRECONDITION: no such retention class. UNAVAILABLE "listen on 0.0.0.0:9000: address
  // already in use, ...".
  virtual absl::StatusOr<RecordingStatus> CreateRecording(const RecordingSpec& spec,
                                                          const std::string& actor) = 0;
  // Drains what the kernel has received, seals, publishes; returns the final figures. What a
  // sender keeps sending after `drain_limit` is not waited for.
  virtual absl::StatusOr<RecordingStatus> StopRecording(const std::string& id,
                                                        absl::Duration drain_limit,
                                                        const std::string& actor) = 0;
  // Stopped ones only (FAILED_PRECONDITION otherwise): forgets the recording and its data.
  virtual absl::Status DeleteRecording(const std::string& id, const std::string& actor) = 0;
  // Of a recording of this run; NOT_FOUND otherwise (the catalog may know it).
  virtual absl::StatusOr<RecordingStatus> GetRecording(const std::string& id) = 0;
  virtual RecorderStatus Status() = 0;

  virtual ArchiveKeeper& keeper() = 0;
  virtual Archive& archive() = 0;
};

}  // namespace sluice

#endif  // CONTROL_RECORDER_RECORDER_H_
