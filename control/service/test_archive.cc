#include "control/service/test_archive.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <future>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ingest/check.h"
#include "writer/extent/crc32c.h"
#include "writer/extent/extent_codec.h"
#include "writer/segment/file_io.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

std::string NewDirectory() {
  char name[] = "/tmp/test_archive.XXXXXX";
  SLUICE_CHECK(mkdtemp(name) != nullptr);
  return name;
}

template <class T>
T Must(absl::StatusOr<T> result) {
  if (!result.ok()) std::fprintf(stderr, "%s\n", result.status().ToString().c_str());
  SLUICE_CHECK(result.ok());
  return *std::move(result);
}

void Must(const absl::Status& status) {
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  SLUICE_CHECK(status.ok());
}

}  // namespace

TestArchive::TestArchive() : directory_(NewDirectory()) {
  ArchiveOptions options;
  options.directory = directory_ + "/archive";
  options.segment = kSegment;
  options.capacity = kSegment * kSegments;
  options.purpose = "serve";
  options.socket_path = "/nowhere/sluice.sock";
  archive_ = Must(Archive::Open(options));
  keeper_ = Must(ArchiveKeeper::Start(*archive_));
  std::swap(directory_, options.directory);
}

TestArchive::~TestArchive() {
  Abandon();
  std::filesystem::remove_all(std::filesystem::path(directory_).parent_path());
}

void TestArchive::Abandon() {
  keeper_.reset();
  archive_.reset();
}

uint64_t TestArchive::UidOf(const std::string& id) {
  return std::hash<std::string>{}(id) >> 2 | 1;  // never 0, and not negative for SQLite
}

RecordingRow TestArchive::PutRecording(const std::string& id, RecordingState state,
                                       const std::string& source) {
  RecordingRow row;
  row.uid = UidOf(id);
  row.id = id;
  row.source = source;
  row.state = state;
  row.created = now_;
  if (state != RecordingState::kRecording) row.stopped = UnixNanos{now_.value + kSecond};
  Must(keeper_->PutRecording(row));
  return row;
}

StreamId TestArchive::Open(const std::string& recording, const std::string& peer) {
  now_.value += kSecond;
  const StreamId id = MakeStreamId({archive_->meta().epoch, 0, next_stream_++});
  streams_[id] = {recording, now_, Must(SocketAddress::Parse(peer)), {}};
  Write(id, "", CloseReason::kNone, /*is_open=*/true);
  return id;
}

void TestArchive::Append(StreamId stream, absl::string_view bytes) {
  now_.value += kSecond;
  Write(stream, bytes, CloseReason::kNone, /*is_open=*/false);
}

void TestArchive::Drop(StreamId stream, uint64_t bytes) {
  now_.value += kSecond;
  Write(stream, "", CloseReason::kNone, /*is_open=*/false, bytes);
}

void TestArchive::Close(StreamId stream, CloseReason reason) {
  now_.value += kSecond;
  Write(stream, "", reason, /*is_open=*/false);
}

void TestArchive::Borrow(Track& track) {
  std::promise<absl::StatusOr<SegmentLoan>> promise;
  keeper_->RequestSegment(track.identity, [&promise](absl::StatusOr<SegmentLoan> loan) {
    promise.set_value(std::move(loan));
  });
  track.loan = Must(promise.get_future().get());
  track.end = FileOffset{kBlockBytes};
  track.sequence = 0;
  track.footer.Clear();
}

TestArchive::Track& TestArchive::TrackWithRoom(const std::string& recording,
                                               uint64_t extent_bytes) {
  const auto [found, is_new] = tracks_.try_emplace(recording);
  Track& track = found->second;
  if (is_new) {
    track.identity.recording = recording;
    track.identity.recording_uid = UidOf(recording);
    Borrow(track);
  }
  if (track.end.value + extent_bytes + track.footer.FooterBytesAfter(1, 1) >
      track.loan.size.value) {
    Seal(recording);
    return TrackWithRoom(recording, extent_bytes);
  }
  return track;
}

void TestArchive::Write(StreamId id, absl::string_view bytes, CloseReason reason, bool is_open,
                        uint64_t dropped) {
  Stream& stream = streams_.at(id);
  const uint64_t header_bytes = RoundUp(ExtentTableBytes(1, 2), kBlockBytes);
  const uint64_t extent_bytes = header_bytes + RoundUp(bytes.size(), kBlockBytes);
  Track& track = TrackWithRoom(stream.recording, extent_bytes);

  std::vector<FragmentEntry> fragments;
  if (!bytes.empty()) {
    FragmentEntry& fragment = fragments.emplace_back();
    fragment.stream_id = static_cast<uint64_t>(id);
    fragment.stream_offset = stream.end.value;
    fragment.length = static_cast<uint32_t>(bytes.size());
    fragment.payload_offset = static_cast<uint32_t>(header_bytes);
  }
  std::vector<StreamEvent> events;
  const auto add_event = [&](StreamEventType type, StreamOffset at) {
    StreamEvent& event = events.emplace_back();
    event.stream_id = static_cast<uint64_t>(id);
    event.time_ns = now_.value;
    event.stream_offset = at.value;
    event.opened_ns = stream.opened.value;
    event.type = type;
    event.peer = stream.peer;
    event.local = SocketAddress::Parse("127.0.0.1:9000").value();
  };
  if (track.footer.Find(id) == nullptr) {
    add_event(is_open ? StreamEventType::kOpen : StreamEventType::kContinued, stream.end);
  }
  if (dropped > 0) {
    add_event(StreamEventType::kGap, stream.end);
    events.back().cause = GapCause::kPolicy;
    events.back().gap_bytes = dropped;
  }
  stream.end = stream.end + ByteCount{bytes.size() + dropped};
  if (reason != CloseReason::kNone) {
    add_event(StreamEventType::kClose, stream.end);
    events.back().reason = reason;
  }

  ExtentHeader header;
  header.header_bytes = static_cast<uint32_t>(header_bytes);
  header.segment_id = static_cast<uint64_t>(track.loan.id);
  header.sequence = track.sequence++;
  header.extent_bytes = static_cast<uint32_t>(extent_bytes);
  header.fragment_count = static_cast<uint32_t>(fragments.size());
  header.event_count = static_cast<uint32_t>(events.size());
  header.payload_bytes = bytes.size();
  header.first_time_ns = header.last_time_ns = now_.value;
  header.durable_bytes = track.end.value;
  header.ledger = track.footer.ledger();
  header.ledger.received += bytes.size() + dropped;
  header.ledger.dropped_policy += dropped;
  header.ledger.written += bytes.size();
  header.ledger.copied += bytes.size() + dropped;
  header.flags = kExtentHasPayloadCrc;
  header.payload_crc32c = Crc32c({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});

  AlignedBuffer buffer(extent_bytes);
  std::byte* at = buffer.data();
  const auto put = [&at](const void* from, size_t n) {
    if (n > 0) std::memcpy(at, from, n);
    at += n;
  };
  put(&header, sizeof(header));
  put(fragments.data(), fragments.size() * sizeof(FragmentEntry));
  put(events.data(), events.size() * sizeof(StreamEvent));
  SealExtentHeader(buffer.span().subspan(0, header_bytes));
  at = buffer.data() + header_bytes;
  put(bytes.data(), bytes.size());

  Must(WriteFully(track.loan.fd, "segment", track.end, buffer.span()));
  SLUICE_CHECK(fdatasync(track.loan.fd) == 0);
  track.footer.Add(track.end, header, fragments, events);
  track.end = track.end + ByteCount{extent_bytes};
  Publish(track, &id, /*sealed=*/false);
}

void TestArchive::Publish(Track& track, const StreamId* changed, bool sealed) {
  SegmentUpdate update;
  update.track = track.identity;
  update.segment = track.loan.id;
  update.sealed = sealed;
  update.durable = track.end;
  update.first_time = track.footer.first_time();
  update.last_time = track.footer.last_time();
  update.payload = track.footer.payload();
  update.ledger = track.footer.ledger();
  if (changed != nullptr) {
    const StreamRecord* record = track.footer.Find(*changed);
    SLUICE_CHECK(record != nullptr);
    update.streams.push_back({*changed,
                              {record->opened_ns},
                              {record->last_time_ns},
                              {record->begin},
                              {record->end},
                              record->reason,
                              record->peer,
                              record->local,
                              {record->dropped}});
  }
  keeper_->Publish(std::move(update));
  keeper_->Flush();
}

void TestArchive::Seal(const std::string& recording) {
  const auto found = tracks_.find(recording);
  SLUICE_CHECK(found != tracks_.end());
  Track& track = found->second;
  const AlignedBuffer footer = track.footer.Build(track.loan.id, track.loan.size, 0);
  const FileOffset at{track.loan.size.value - footer.size()};
  Must(WriteFully(track.loan.fd, "segment", at, footer.span()));
  SLUICE_CHECK(fdatasync(track.loan.fd) == 0);
  Publish(track, nullptr, /*sealed=*/true);
  Borrow(track);
}

}  // namespace sluice
