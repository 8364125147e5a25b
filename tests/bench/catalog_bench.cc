// How long it takes to find one stream among a million, and what a million streams cost.
//
//   catalog_bench DIRECTORY [STREAMS]
//
// Makes an archive in DIRECTORY (which must not exist yet; about 1 GiB) with STREAMS streams (a
// million) of ten recordings, through the keeper and with real segments, as a recorder does. Then
// starts on it as after a crash, asks, reads, and lets go of a segment. Prints one table.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "control/query/stream_reader.h"
#include "ingest/check.h"
#include "writer/archive/archive.h"
#include "writer/archive/archive_keeper.h"
#include "writer/catalog/catalog.h"
#include "writer/extent/crc32c.h"
#include "writer/extent/extent_codec.h"
#include "writer/segment/file_io.h"
#include "writer/segment/footer_builder.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

constexpr uint32_t kSegments = 64;
constexpr ByteCount kSegment = MiB(16);
constexpr uint64_t kRecordings = 10;
constexpr size_t kStreamsAnExtent = 100;
constexpr size_t kStreamsAPublication = 1000;
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kBegin = 1'767'225'600 * kSecond;  // 2026-01-01
constexpr int64_t kApart = 40'000'000;               // 25 connections a second
constexpr int kQuestions = 500;
// Enough that the first fill stays within three quarters of it, and the next one does not.
constexpr uint64_t kCatalogBytesAStream = 400;

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "catalog_bench: %s\n", status.ToString().c_str());
  std::exit(1);
}
template <class T>
T Must(absl::StatusOr<T> result) {
  Must(result.status());
  return *std::move(result);
}

class Bench {
 public:
  Bench(std::string directory, uint64_t streams)
      : directory_(std::move(directory)), streams_(streams) {}

  void Run();

 private:
  uint64_t Any(uint64_t below) { return random_() % below; }
  void Open(bool tidy = false);
  void GoRound();
  void Fill();
  SegmentLoan Lend(const TrackIdentity& track);
  void FillSegment(uint64_t segment, uint64_t first, uint64_t last);
  void Time(const char* what, int times, const std::function<void()>& once);
  void Ask(const char* what, const std::function<void(StreamSearch*)>& question);
  void Questions();
  void Report(const char* what, absl::Duration took) {
    std::printf("%-44s %10.1f ms\n", what, absl::ToDoubleMilliseconds(took));
  }

  const std::string directory_;
  const uint64_t streams_;
  std::mt19937_64 random_{1};
  std::unique_ptr<Archive> archive_;
  std::unique_ptr<ArchiveKeeper> keeper_;
  absl::Duration publishing_;
};

TrackIdentity Track(uint64_t recording) {
  return {absl::StrCat("recording-", recording), recording + 1, LaneId{0}, ExtentKind::kStream};
}

void Bench::Open(bool tidy) {
  ArchiveOptions options;
  options.directory = directory_;
  options.segment = kSegment;
  options.capacity = kSegment * kSegments;
  options.catalog = {streams_ * kCatalogBytesAStream};
  options.purpose = "bench";
  archive_ = Must(Archive::Open(options));
  keeper_ = Must(ArchiveKeeper::Start(*archive_, {.tidy = tidy}));
}

SegmentLoan Bench::Lend(const TrackIdentity& track) {
  std::promise<absl::StatusOr<SegmentLoan>> promise;
  keeper_->RequestSegment(
      track, [&promise](absl::StatusOr<SegmentLoan> loan) { promise.set_value(std::move(loan)); });
  return Must(promise.get_future().get());
}

void Bench::FillSegment(uint64_t segment, uint64_t first, uint64_t last) {
  const uint64_t recording = segment * kRecordings / kSegments;
  SegmentUpdate update;
  update.track = Track(recording);
  const SegmentLoan loan = Lend(update.track);
  update.segment = loan.id;
  FooterBuilder footer;
  FileOffset at{kBlockBytes};
  uint32_t sequence = 0;
  for (uint64_t next = first; next < last; next += kStreamsAnExtent) {
    const uint64_t end = std::min(next + kStreamsAnExtent, last);
    std::vector<FragmentEntry> fragments;
    std::vector<StreamEvent> events;
    std::vector<std::byte> payload;
    for (uint64_t i = next; i < end; ++i) {
      StreamEvent event;
      event.stream_id = static_cast<uint64_t>(MakeStreamId(
          {archive_->meta().epoch, static_cast<uint8_t>(i % 4), static_cast<uint32_t>(i / 4 + 1)}));
      event.opened_ns = event.time_ns =
          kBegin + static_cast<int64_t>(i) * kApart + static_cast<int64_t>(Any(kApart));
      event.peer.family = Any(10) == 0 ? 6 : 4;
      event.peer.bytes = {10, static_cast<uint8_t>(Any(16)), static_cast<uint8_t>(Any(256)),
                          static_cast<uint8_t>(Any(256))};
      event.peer.port = static_cast<uint16_t>(32'768 + Any(28'000));
      event.local.family = 4;
      event.local.bytes = {10, 255, 0, 1};
      event.local.port = static_cast<uint16_t>(9000 + recording);
      events.push_back(event);
      FragmentEntry fragment;
      fragment.stream_id = event.stream_id;
      fragment.length = static_cast<uint32_t>(1 + Any(Any(200) + 1));
      fragment.payload_offset = static_cast<uint32_t>(payload.size());
      fragments.push_back(fragment);
      payload.resize(payload.size() + fragment.length, std::byte{static_cast<uint8_t>(i)});
      // Lives of all lengths, most of them short; some are open at the end.
      event.time_ns += static_cast<int64_t>(Any(uint64_t{1} << (20 + Any(22))));
      event.stream_offset = fragment.length;
      event.type = StreamEventType::kClose;
      event.reason = Any(100) == 0 ? CloseReason::kReset : CloseReason::kEndOfStream;
      if (segment + 1 < kSegments || Any(2) == 0) events.push_back(event);
    }
    ExtentHeader header;
    header.header_bytes = static_cast<uint32_t>(
        RoundUp(ExtentTableBytes(fragments.size(), events.size()), kBlockBytes));
    header.extent_bytes =
        header.header_bytes + static_cast<uint32_t>(RoundUp(payload.size(), kBlockBytes));
    for (FragmentEntry& fragment : fragments) fragment.payload_offset += header.header_bytes;
    header.segment_id = static_cast<uint64_t>(loan.id);
    header.sequence = sequence++;
    header.fragment_count = static_cast<uint32_t>(fragments.size());
    header.event_count = static_cast<uint32_t>(events.size());
    header.payload_bytes = payload.size();
    header.first_time_ns = events.front().time_ns;
    header.last_time_ns = events.back().time_ns;
    header.ledger = footer.ledger();
    header.ledger.received += payload.size();
    header.ledger.written += payload.size();
    header.ledger.copied += payload.size();
    header.flags = kExtentHasPayloadCrc;
    header.payload_crc32c = Crc32c(payload);
    AlignedBuffer buffer(header.extent_bytes);
    std::byte* to = buffer.data();
    const auto put = [&to](const void* from, size_t n) {
      std::memcpy(to, from, n);
      to += n;
    };
    put(&header, sizeof(header));
    put(fragments.data(), fragments.size() * sizeof(FragmentEntry));
    put(events.data(), events.size() * sizeof(StreamEvent));
    SealExtentHeader(buffer.span().subspan(0, header.header_bytes));
    std::memcpy(buffer.data() + header.header_bytes, payload.data(), payload.size());
    Must(WriteFully(loan.fd, "segment", at, buffer.span()));
    footer.Add(at, header, fragments, events);
    at = at + ByteCount{header.extent_bytes};
    SLUICE_CHECK(at.value + footer.FooterBytes() <= kSegment.value);
  }
  const bool sealed = segment + 1 < kSegments;  // the last one is open when we "crash"
  if (sealed) {
    const AlignedBuffer bytes = footer.Build(loan.id, kSegment, 0);
    Must(WriteFully(loan.fd, "segment", {kSegment.value - bytes.size()}, bytes.span()));
  }
  SLUICE_CHECK(fdatasync(loan.fd) == 0);

  update.durable = at;
  update.first_time = footer.first_time();
  update.last_time = footer.last_time();
  update.payload = footer.payload();
  update.ledger = footer.ledger();
  const absl::Time begin = absl::Now();
  const auto records = footer.streams();
  for (size_t i = 0; i < records.size(); ++i) {
    StreamUpdate stream;
    stream.stream = StreamId{records[i].stream_id};
    stream.opened = {records[i].opened_ns};
    stream.last_time = {records[i].last_time_ns};
    stream.begin = {records[i].begin};
    stream.end = {records[i].end};
    stream.reason = records[i].reason;
    stream.peer = records[i].peer;
    stream.local = records[i].local;
    update.streams.push_back(stream);
    const bool last_one = i + 1 == records.size();
    if (update.streams.size() < kStreamsAPublication && !last_one) continue;
    update.sealed = sealed && last_one;
    keeper_->Publish(update);
    keeper_->Flush();
    update.streams.clear();
  }
  publishing_ += absl::Now() - begin;
}

void Bench::Fill() {
  Open();
  for (uint64_t recording = 0; recording < kRecordings; ++recording) {
    RecordingRow row;
    row.uid = Track(recording).recording_uid;
    row.id = Track(recording).recording;
    row.source = "tcp://0.0.0.0:9000";
    row.created = {kBegin};
    Must(keeper_->PutRecording(row));
  }
  for (uint64_t segment = 0; segment < kSegments; ++segment) {
    FillSegment(segment, streams_ * segment / kSegments, streams_ * (segment + 1) / kSegments);
  }
  Must(keeper_->health());
  keeper_.reset();
  archive_.reset();
}

// A second round of the ring, with half as many streams again in each segment: until the catalog
// is full, and then some. What it comes to then, it stays at.
void Bench::GoRound() {
  Open(/*tidy=*/true);
  const auto catalog =
      Must(Catalog::Open(Archive::CatalogPath(directory_), Catalog::Mode::kReadOnly));
  uint64_t most = 0;
  uint64_t next = streams_;
  publishing_ = {};
  for (uint64_t segment = 0; segment + 1 < kSegments; ++segment) {
    const uint64_t last = next + streams_ * 3 / 2 / kSegments;
    FillSegment(segment, next, last);
    next = last;
    most = std::max(most, Must(catalog->Used()).value);
  }
  keeper_->Flush();
  Must(keeper_->health());
  const CatalogSize size = Must(catalog->Size());
  const auto row = [](const char* what, double value, const char* unit) {
    std::printf("%-44s %10.1f %s\n", what, value, unit);
  };
  const double mib = static_cast<double>(MiB(1).value);
  std::printf("\n");
  row("the catalog's bound", static_cast<double>(archive_->meta().catalog.value) / mib, "MiB");
  row("the most that it had in a second round", static_cast<double>(most) / mib, "MiB");
  row("what it has at the end", static_cast<double>(size.used.value) / mib, "MiB");
  row("its log", static_cast<double>(size.log.value) / mib, "MiB");
  row("streams that are left", static_cast<double>(size.streams), "");
  row("segments that went for it", static_cast<double>(keeper_->removals().catalog), "");
  row("publishing meanwhile",
      absl::ToDoubleMicroseconds(publishing_) / static_cast<double>(next - streams_),
      "us a stream");
  SLUICE_CHECK(most <= archive_->meta().catalog.value);
  keeper_.reset();
  archive_.reset();
}

// Prints how long it takes, half of the times and all but one in a hundred.
void Bench::Time(const char* what, int times, const std::function<void()>& once) {
  std::vector<double> took;
  for (int i = 0; i < times; ++i) {
    const absl::Time begin = absl::Now();
    once();
    took.push_back(absl::ToDoubleMilliseconds(absl::Now() - begin));
  }
  std::sort(took.begin(), took.end());
  std::printf("%-44s %10.2f %10.2f %10.2f\n", what, took[took.size() / 2],
              took[took.size() * 99 / 100], took.back());
}

// With a connection of its own each time, as the service has for each call.
void Bench::Ask(const char* what, const std::function<void(StreamSearch*)>& question) {
  size_t rows = 0;
  Time(what, kQuestions, [&] {
    StreamSearch search;
    question(&search);
    const auto catalog =
        Must(Catalog::Open(Archive::CatalogPath(directory_), Catalog::Mode::kReadOnly));
    rows += Must(catalog->FindStreams(search)).rows.size();
  });
  std::printf("%-44s %10.1f streams a page\n", "", static_cast<double>(rows) / kQuestions);
}

void Bench::Questions() {
  const auto any_time = [this] { return kBegin + static_cast<int64_t>(Any(streams_)) * kApart; };
  const auto network = [this](int bits) {
    return Must(
        AddressRange::Parse(absl::StrCat("10.", Any(16), ".", Any(256), ".", Any(256), "/", bits)));
  };
  std::printf("\n%-44s %10s %10s %10s\n", "a page of at most 100 streams, ms", "p50", "p99", "max");
  Ask("all, anywhere in the order of names", [&](StreamSearch* search) {
    search->after = {
        {},
        MakeStreamId({1, static_cast<uint8_t>(Any(4)), static_cast<uint32_t>(Any(streams_ / 4))})};
  });
  Ask("the newest", [&](StreamSearch* search) {
    search->order = StreamOrder::kOpened;
    search->descending = true;
  });
  Ask("alive within 10 s, by time", [&](StreamSearch* search) {
    search->filter.ended.first = any_time();
    search->filter.opened.last = search->filter.ended.first + 10 * kSecond;
    search->order = StreamOrder::kOpened;
  });
  Ask("alive within 1 h of a /16, by time", [&](StreamSearch* search) {
    search->filter.ended.first = any_time();
    search->filter.opened.last = search->filter.ended.first + 3600 * kSecond;
    search->filter.peer = network(16);
    search->order = StreamOrder::kOpened;
  });
  Ask("alive within 1 h of a /16, by name", [&](StreamSearch* search) {
    search->filter.ended.first = any_time();
    search->filter.opened.last = search->filter.ended.first + 3600 * kSecond;
    search->filter.peer = network(16);
  });
  Ask("of a /24, by name", [&](StreamSearch* search) { search->filter.peer = network(24); });
  Ask("of a /12 and no other, by name", [&](StreamSearch* search) {
    search->filter.peer = Must(AddressRange::Parse("10.0.0.0/12"));
  });
  Ask("of one address, by time", [&](StreamSearch* search) {
    search->filter.peer = network(32);
    search->order = StreamOrder::kOpened;
  });
  Ask("of one recording, by name", [&](StreamSearch* search) {
    search->filter.recording = absl::StrCat("recording-", Any(kRecordings));
  });
  Ask("of one recording and a /16, by time", [&](StreamSearch* search) {
    search->filter.recording = absl::StrCat("recording-", Any(kRecordings));
    search->filter.peer = network(16);
    search->order = StreamOrder::kOpened;
  });
  Ask("from one port", [&](StreamSearch* search) {
    const auto port = static_cast<int64_t>(32'768 + Any(28'000));
    search->filter.peer_port = {port, port};
  });
  Ask("reset, of one recording", [&](StreamSearch* search) {
    search->filter.reason = CloseReason::kReset;
    search->filter.recording = absl::StrCat("recording-", Any(kRecordings));
  });
  Ask("of 195 bytes or more", [](StreamSearch* search) { search->filter.size.first = 195; });
  Time("the first bytes of any stream", kQuestions, [&] {
    const auto catalog =
        Must(Catalog::Open(Archive::CatalogPath(directory_), Catalog::Mode::kReadOnly));
    const StreamId id = MakeStreamId(
        {1, static_cast<uint8_t>(Any(4)), static_cast<uint32_t>(1 + Any(streams_ / 4))});
    const auto reader = Must(StreamReader::Open(directory_, *catalog, id, StreamOffset{0}));
    std::vector<std::byte> bytes(4096);
    SLUICE_CHECK(Must(reader->Read(absl::MakeSpan(bytes))) > 0);
  });
}

void Bench::Run() {
  std::printf("%-44s %10lu\n", "streams", static_cast<unsigned long>(streams_));
  Fill();
  std::printf("%-44s %10.1f us a stream\n", "publishing, 1000 at a time",
              absl::ToDoubleMicroseconds(publishing_) / static_cast<double>(streams_));
  absl::Time begin = absl::Now();
  Open();
  Report("start after a crash, a segment open", absl::Now() - begin);
  keeper_.reset();
  archive_.reset();
  begin = absl::Now();
  Open();
  Report("start after a clean end", absl::Now() - begin);
  const auto catalog =
      Must(Catalog::Open(Archive::CatalogPath(directory_), Catalog::Mode::kReadOnly));
  begin = absl::Now();
  SLUICE_CHECK(Must(catalog->Recordings()).size() == kRecordings);
  SLUICE_CHECK(Must(catalog->Segments()).size() == kSegments);
  Report("recordings and segments listed", absl::Now() - begin);
  std::printf("%-44s %10.1f bytes a stream\n", "the catalog",
              static_cast<double>(Must(catalog->Used()).value) / static_cast<double>(streams_));
  Questions();
  begin = absl::Now();
  Lend(Track(kRecordings));
  std::printf("\n");
  Report("the oldest segment reused, its streams gone", absl::Now() - begin);
  keeper_.reset();
  archive_.reset();
  GoRound();
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  uint64_t streams = 1'000'000;
  if (argc < 2 || argc > 3 || (argc == 3 && !absl::SimpleAtoi(argv[2], &streams))) {
    std::fprintf(stderr, "usage: catalog_bench DIRECTORY [STREAMS]\n");
    return 2;
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  sluice::Bench(argv[1], streams).Run();
}
