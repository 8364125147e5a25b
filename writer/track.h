// One recording on one lane: its receiver, its extent builder, its segments.
#ifndef WRITER_TRACK_H_
#define WRITER_TRACK_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ingest/receive/connector.h"
#include "ingest/receive/lease_sink.h"
#include "ingest/receive/stream_receiver.h"
#include "ingest/region/chunk_pool.h"
#include "ingest/region/region.h"
#include "ingest/ring/ring.h"
#include "ingest/units.h"
#include "writer/arrival_line.h"
#include "writer/back_pressure.h"
#include "writer/extent/extent_builder.h"
#include "writer/extent/extent_slab.h"
#include "writer/ledger.h"
#include "writer/segment/segment_keeper.h"
#include "writer/segment/segment_writer.h"

namespace sluice {

// Where a track's streams come from: sockets that connect to `listener`, which the track then
// owns, or one connection to `source`.
struct TrackSource {
  int listener = -1;
  std::optional<SocketAddress> source;
};

struct TrackOptions {
  TrackIdentity identity;
  Ledger ledger = {};  // where it begins to count in extents
  TrackSource source;
  // Gives a connection whose packets another lane's NIC queue carries to that lane, by the NAPI
  // instance of the queue. False: there is none. Called on the lane's thread.
  std::function<bool(int socket, uint32_t napi)> hand_over;
  bool payload_crc = true;
  absl::Duration flush_interval = absl::Milliseconds(500);
  absl::Duration sync_interval = absl::Seconds(1);
  BackPressure back_pressure = BackPressure::kLossless;
  absl::Duration lag_limit = kLagLimitDefault;  // unless lossless
  // See SegmentWriterOptions.
  absl::Duration stall_limit = absl::Seconds(10);
};

// What a lane lends to its tracks; all of it outlives them.
struct LaneParts {
  Ring* ring;
  Region* region;
  ChunkPool* chunks;
  InterfaceQueue* queue;  // nullptr: payload is received by copying
  ExtentSlab* slab;
  SegmentKeeper* keeper;
  ByteCount segment;  // the size of every segment
  ExtentBuilderOptions extent;
  std::function<StreamId()> next_stream;
};

// A snapshot, for other threads.
struct TrackStatus {
  bool finished = false;
  absl::Status failure;  // not OK: the disk is lost, or none could be had before the stop
  absl::Status waiting;  // not OK: what was received waits for a segment, and this says why
  Ledger ledger;         // received, written, dropped until now
  SegmentWriterCounters writer;
  uint64_t streams_open = 0;
  uint64_t streams_opened = 0;
  uint64_t connections_refused = 0;  // more than the table holds, or no descriptor left
  uint64_t connect_failures = 0;
  uint64_t buffer_waits = 0;
  uint64_t handed_over = 0;  // connections that another lane's NIC queue carries
  ZeroCopyCounters zero_copy;
  absl::Duration durable_lag;  // age of the oldest byte that is not durable
  absl::Duration waiting_lag;  // age of the oldest byte that waits to be given to the disk
};

// Bytes go from the receiver into the builder, and extents from there to the segment writer. When
// the slab has no slot, because the disk is slow, what was received waits in line here. When that
// line is long the receiver pauses, or, under another policy than kLossless, bytes are dropped from
// one of its ends. Owned by its lane, on its thread.
class Track final : public LeaseSink {
 public:
  Track(uint8_t number, const LaneParts& parts, const TrackOptions& options,
        SegmentKeeper::Ready on_segment_ready);
  ~Track() override;
  Track(const Track&) = delete;
  Track& operator=(const Track&) = delete;

  absl::Status Open();
  // Takes no new streams, ends those there are (kStopped) after what the kernel has received,
  // seals. At once, with `abort`: what the kernel still has is left there, and what waits for a
  // segment that cannot be had is lost.
  void Stop(bool abort);
  // Stopped, and everything durable and published, or lost.
  bool finished() const;

  void OnCompletion(const Completion& done, absl::Duration now, UnixNanos wall);
  // A connection that another lane has accepted for this one.
  void Adopt(int socket);
  void OnSegmentReady(absl::StatusOr<SegmentLoan> loan) { writer_.OnSegmentReady(std::move(loan)); }
  // After the completions of a turn; returns when to come again at the latest.
  absl::Duration OnTurn(absl::Duration now, UnixNanos wall);

  TrackStatus status(absl::Duration now) const;
  const TrackIdentity& identity() const { return options_.identity; }
  const Ledger& ledger() const { return builder_.ledger(); }  // as the last extent tells it

  // LeaseSink
  void OnOpened(const StreamOpened& stream) override;
  void OnFragment(const Fragment& fragment, RegionLease lease) override;
  void OnClosed(StreamId stream, StreamOffset length, StreamEnd how) override;
  bool Accepts() const override { return line_.size() < line_max_; }
  bool MakeRoom() override;
  void OnDiscarded(const Fragment& fragment) override;

 private:
  // Of the line of arrivals. Where bytes are dropped, receiving stops only for too many events.
  static constexpr size_t kLineMax = 4096;
  static constexpr size_t kLineMaxOfDroppers = size_t{1} << 17;
  static constexpr size_t kBytesLineMax = size_t{1} << 16;  // then bytes are dropped
  static constexpr absl::Duration kAcceptAgain = absl::Milliseconds(100);

  bool lossless() const { return options_.back_pressure == BackPressure::kLossless; }
  bool MayWait();
  void Drop(const Fragment& fragment);
  bool CanSeal() const;
  void ArmAccept();
  void EndAccepting();
  void OnAccept(const Completion& done);
  void Arrive(Arrival arrival);
  bool TryAdd(Arrival& arrival);
  bool TrySeal();
  void AddStream(int socket);
  void TakeLost();
  void TellLost();

  const LaneParts parts_;
  const TrackOptions options_;
  const OpTag accept_tag_;
  absl::Duration now_;
  UnixNanos wall_;

  // In the order in which bytes travel, so that what owns leases is destroyed before what they
  // return to.
  std::optional<Connector> connector_;
  StreamReceiver receiver_;
  ArrivalLine line_;
  std::deque<StreamEvent> lost_;  // what a disk has lost, for the next extents
  ExtentBuilder builder_;
  SegmentWriter writer_;

  bool opened_ = false;
  bool accepting_ = false;  // an accept is in the kernel
  absl::Duration accept_again_ = absl::InfiniteDuration();
  absl::Duration flush_at_ = absl::InfiniteDuration();
  bool stopping_ = false;
  bool aborting_ = false;
  bool accepted_ = false;          // in this turn; while stopping
  bool backlog_is_empty_ = false;  // no more connections are taken
  bool sealing_ = false;           // stopped, and the last extent has been appended
  const size_t line_max_;
  const size_t unwritten_max_;  // extents, unless lossless
  bool dropping_ = false;       // what arrives, until the line is empty
  uint64_t received_ = 0;
  uint64_t zero_copy_ = 0;
  uint64_t dropped_ = 0;    // by policy
  uint64_t lost_told_ = 0;  // of the bytes that disks have lost: in the builder's ledger
  uint64_t streams_opened_ = 0;
  uint64_t connections_refused_ = 0;
  uint64_t handed_over_ = 0;
};

}  // namespace sluice

#endif  // WRITER_TRACK_H_
