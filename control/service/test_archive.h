// A real archive in a directory of its own, with real segments, written without a network.
#ifndef CONTROL_SERVICE_TEST_ARCHIVE_H_
#define CONTROL_SERVICE_TEST_ARCHIVE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "ingest/receive/socket_address.h"
#include "ingest/units.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_keeper.h"
#include "writer/segment/footer_builder.h"
#include "writer/segment/segment_keeper.h"

namespace sluice {

// Four segments of 1 MiB. What a lane does with a ring is done here with plain writes: extents,
// footers, publications. Any failure is a CHECK. One thread writes; the archive may be read by
// any meanwhile.
class TestArchive {
 public:
  static constexpr ByteCount kSegment = MiB(1);
  static constexpr uint32_t kSegments = 4;

  TestArchive();
  ~TestArchive();
  TestArchive(const TestArchive&) = delete;
  TestArchive& operator=(const TestArchive&) = delete;

  const std::string& directory() const { return directory_; }
  Archive& archive() { return *archive_; }
  ArchiveKeeper& keeper() { return *keeper_; }

  // In the catalog; its uid is made from the id.
  RecordingRow PutRecording(const std::string& id, RecordingState state,
                            const std::string& source = "tcp://127.0.0.1:9000");
  static uint64_t UidOf(const std::string& id);

  // A connection from `peer`, known to the catalog when it returns, as are the effects of the
  // other calls. Time goes on by a second with each call; see now().
  StreamId Open(const std::string& recording, const std::string& peer = "10.0.0.1:4000");
  void Append(StreamId stream, absl::string_view bytes);
  // The next bytes of the stream were dropped.
  void Drop(StreamId stream, uint64_t bytes);
  void Close(StreamId stream, CloseReason reason = CloseReason::kEndOfStream);
  // The recording's segment gets its footer; what comes later goes into another one.
  void Seal(const std::string& recording);

  UnixNanos now() const { return now_; }

  // Lets go of the archive, as a recorder that has ended; only its files can be read from then on.
  void Abandon();

 private:
  struct Track {
    TrackIdentity identity;
    SegmentLoan loan;
    FileOffset end;
    uint32_t sequence = 0;
    FooterBuilder footer;
  };
  struct Stream {
    std::string recording;
    UnixNanos opened;
    SocketAddress peer;
    StreamOffset end;
  };

  Track& TrackWithRoom(const std::string& recording, uint64_t extent_bytes);
  void Borrow(Track& track);
  // One extent: `bytes` of the stream, if any, and what happened to it.
  void Write(StreamId id, absl::string_view bytes, CloseReason reason, bool is_open,
             uint64_t dropped = 0);
  void Publish(Track& track, const StreamId* changed, bool sealed);

  std::string directory_;
  std::unique_ptr<Archive> archive_;
  std::unique_ptr<ArchiveKeeper> keeper_;
  std::map<std::string, Track> tracks_;
  std::map<StreamId, Stream> streams_;
  uint32_t next_stream_ = 1;
  UnixNanos now_{1'767'225'600'000'000'000};  // 2026-01-01T00:00:00Z
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_TEST_ARCHIVE_H_
