// On the simulated disk. Whenever something is published, power may be lost at that very moment.
#include "writer/segment/segment_writer.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ingest/ring/sim_ring.h"
#include "writer/extent/extent_builder.h"
#include "writer/extent/extent_codec.h"
#include "writer/segment/footer_hash.h"
#include "writer/segment/segment_codec.h"

namespace sluice {
namespace {

constexpr ByteCount kSegment = KiB(256);
constexpr ByteCount kChunk = KiB(16);
constexpr uint32_t kChunks = 32;
constexpr uint32_t kSlots = 24;

absl::Span<const std::byte> AsBytes(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Spoils the memory of every lease that comes home: it must not be needed any more.
class SpoilingHome final : public LeaseHome {
 public:
  explicit SpoilingHome(Region& region) : region_(&region) {
    for (uint32_t i = 0; i < kChunks; ++i) free_.insert(i);
  }
  std::span<std::byte> Memory(uint32_t chunk) const {
    return region_->Span(region_->area_begin() + kChunk * chunk, kChunk);
  }
  std::optional<uint32_t> Take() {
    if (free_.empty()) return std::nullopt;
    return free_.extract(free_.begin()).value();
  }
  RegionLease Lease(uint32_t chunk) {
    ++leases_[chunk];
    return {*this, chunk};
  }
  void Return(uint32_t chunk, uint32_t references) override {
    leases_[chunk] -= static_cast<int>(references);
    if (leases_[chunk] > 0) return;
    EXPECT_TRUE(free_.insert(chunk).second) << "returned twice";
    std::memset(Memory(chunk).data(), 0xDD, kChunk.value);
  }
  size_t free_count() const { return free_.size(); }

 private:
  Region* region_;
  std::set<uint32_t> free_;
  std::map<uint32_t, int> leases_;
};

// Lends simulated files, answers late, and holds every publication against what a power loss
// would leave.
class TestKeeper final : public SegmentKeeper {
 public:
  TestKeeper(SimRing& ring, std::map<uint64_t, std::string>& sent) : ring_(&ring), sent_(&sent) {}

  struct Lent {
    int file = -1;
    uint32_t disk = 0;
    FileOffset durable{};
    bool sealed = false;
    bool returned = false;
    std::vector<ExtentRecord> extents;  // once sealed
    std::map<StreamId, StreamUpdate> streams;
  };

  void RequestSegment(const TrackIdentity& track, Ready ready) override {
    EXPECT_EQ(track.recording, "test");
    EXPECT_FALSE(requested_) << "two requests at a time";
    requested_ = true;
    ++requests;
    ring_->After(delay, [this, ready = std::move(ready)] {
      requested_ = false;
      if (!refusals.empty()) {
        const absl::Status why = refusals.front();
        refusals.pop_front();
        return ready(why);
      }
      const SegmentId id{lent.size() + 1};
      lent[id].file = ring_->AddFile(kSegment.value);
      SegmentLoan loan{id, lent[id].file, kSegment};
      loan.origin = origin;
      loan.disk = lent[id].disk = NextDisk();
      loan.replaceable = disks - out.size() > 1;
      loan.ahead = ahead;
      loan.took = {absl::Milliseconds(1), absl::Milliseconds(2), absl::Milliseconds(3)};
      ready(loan);
    });
  }
  void ReportRefusal(SegmentId id, const absl::Status& why) override {
    reports.push_back(why);
    if (disks - out.size() > 1) out.insert(lent.at(id).disk);
  }
  // One after the other.
  uint32_t NextDisk() {
    do {
      next_disk_ = (next_disk_ + 1) % disks;
    } while (out.contains(next_disk_));
    return next_disk_;
  }
  void ReturnSegment(SegmentId id) override {
    Lent& segment = lent.at(id);
    EXPECT_FALSE(segment.returned);
    EXPECT_EQ(segment.durable.value, 0u);
    segment.returned = true;
  }
  void Publish(SegmentUpdate update) override {
    ++publications;
    EXPECT_EQ(update.track.recording, "test");
    EXPECT_GE(update.segment, last_) << "out of order";
    last_ = update.segment;
    Lent& segment = lent.at(update.segment);
    EXPECT_FALSE(segment.sealed) << "published after it was sealed";
    EXPECT_FALSE(segment.returned);
    EXPECT_GE(update.durable, segment.durable);
    durable_before_ = std::max(segment.durable, FileOffset{kBlockBytes});
    segment.durable = update.durable;
    segment.sealed = update.sealed;
    for (const StreamUpdate& stream : update.streams) segment.streams[stream.stream] = stream;
    CheckAfterPowerLoss(update.segment, update);
  }

  // Everything that was called durable is there, as it was sent.
  void CheckAfterPowerLoss(SegmentId id, const SegmentUpdate& update) {
    Lent& segment = lent.at(id);
    const std::string image = ring_->CrashImage(segment.file);
    std::map<uint64_t, uint64_t> ends;  // of streams, in this segment
    uint64_t payload = 0;
    if (update.sealed) {
      const auto footer = ParseFooter(id, image);
      ASSERT_TRUE(footer.ok()) << footer.status();
      segment.extents = footer->extents;
      for (const ExtentRecord& extent : footer->extents) {
        payload += CheckExtent(id, image, extent.offset, extent.sequence, &ends);
      }
      EXPECT_EQ(footer->trailer.payload_bytes, payload);
      EXPECT_EQ(footer->trailer.data_end, update.durable.value);
      // Each footer repeats the hash of the one before, the first one what the keeper knew.
      if (out.empty()) {
        EXPECT_EQ(update.previous, origin.previous);
        EXPECT_EQ(OriginOf(footer->trailer), origin);
      }
      EXPECT_EQ(update.footer_sha256,
                FooterSha256(AsBytes(image).subspan(footer->trailer.footer_offset)));
      origin.previous = {id, update.footer_sha256};
    } else {
      uint32_t sequence = 0;
      uint64_t at = kBlockBytes;
      while (at < update.durable.value && !::testing::Test::HasFailure()) {
        payload += CheckExtent(id, image, at, sequence++, &ends);
        at += extent_bytes_;
      }
      EXPECT_EQ(at, update.durable.value);
    }
    EXPECT_EQ(update.payload.value, payload);
    for (const StreamUpdate& stream : update.streams) {
      const uint64_t end = ends[static_cast<uint64_t>(stream.stream)];
      EXPECT_LE(stream.end.value, end) << "names bytes that are not durable";
      EXPECT_LT(stream.begin, stream.end);
    }
  }

  // Each byte of each stream: how often sealed segments list it.
  std::map<uint64_t, std::map<uint64_t, int>> ListedBlocks() {
    std::map<uint64_t, std::map<uint64_t, int>> listed;
    for (const auto& [id, segment] : lent) {
      for (const ExtentRecord& record : segment.extents) {
        const std::string bytes(ring_->FileBytes(segment.file));
        const auto index = ParseExtentIndex(
            {record.offset}, AsBytes(bytes).subspan(record.offset, record.header_bytes));
        EXPECT_TRUE(index.ok()) << index.status();
        if (!index.ok()) continue;
        for (const FragmentEntry& entry : index->fragments) {
          ++listed[entry.stream_id][entry.stream_offset];
        }
      }
    }
    return listed;
  }

  // The same of what is durable, in segments that are not sealed too.
  std::map<uint64_t, std::map<uint64_t, int>> DurableBlocks() {
    std::map<uint64_t, std::map<uint64_t, int>> listed = ListedBlocks();
    for (const auto& [id, segment] : lent) {
      if (segment.sealed) continue;
      const std::string image = ring_->CrashImage(segment.file);
      for (uint64_t at = kBlockBytes; at < segment.durable.value;) {
        const auto header = ParseExtentHeader(AsBytes(image).subspan(at, kBlockBytes));
        EXPECT_TRUE(header.ok()) << header.status();
        if (!header.ok()) break;
        const auto index = ParseExtentIndex({at}, AsBytes(image).subspan(at, header->header_bytes));
        for (const FragmentEntry& entry : index->fragments) {
          ++listed[entry.stream_id][entry.stream_offset];
        }
        at += header->extent_bytes;
      }
    }
    return listed;
  }

  std::map<SegmentId, Lent> lent;
  SegmentOrigin origin = {{1, 2, 3}, 7, 4, LaneId{2}, {SegmentId{0}, {9}}};
  std::deque<absl::Status> refusals;  // the next answers
  uint32_t ahead = 0;
  uint32_t disks = 1;
  std::set<uint32_t> out;             // of use
  std::vector<absl::Status> reports;  // of disks that refused
  absl::Duration delay = absl::Microseconds(200);
  uint64_t requests = 0;
  uint64_t publications = 0;

 private:
  absl::StatusOr<SegmentFooter> ParseFooter(SegmentId id, const std::string& image) {
    const auto trailer =
        ParseSegmentTrailer(AsBytes(image).subspan(image.size() - kBlockBytes), id, kSegment);
    if (!trailer.ok()) return trailer.status();
    return ParseSegmentFooter(AsBytes(image).subspan(trailer->footer_offset), id, kSegment);
  }

  // Returns its payload; its length is left in extent_bytes_.
  uint64_t CheckExtent(SegmentId id, const std::string& image, uint64_t at, uint32_t sequence,
                       std::map<uint64_t, uint64_t>* ends) {
    const auto rest = AsBytes(image).subspan(at);
    const auto header = ParseExtentHeader(rest.subspan(0, kBlockBytes));
    EXPECT_TRUE(header.ok()) << header.status() << " at " << at;
    if (!header.ok()) return 0;
    const auto index = ParseExtentIndex({at}, rest.subspan(0, header->header_bytes));
    EXPECT_TRUE(index.ok()) << index.status() << " at " << at;
    if (!index.ok()) return 0;
    EXPECT_EQ(index->header.segment_id, static_cast<uint64_t>(id));
    EXPECT_EQ(index->header.sequence, sequence);
    // It was placed before this became durable, and knows of nothing later.
    EXPECT_LE(index->header.durable_bytes, durable_before_.value);
    for (const FragmentEntry& entry : index->fragments) {
      const std::string& sent = sent_->at(entry.stream_id);
      const uint64_t end = entry.stream_offset + entry.length;
      EXPECT_LE(end, sent.size());
      if (end > sent.size()) return 0;
      EXPECT_EQ(std::memcmp(&rest[entry.payload_offset], &sent[entry.stream_offset], entry.length),
                0);
      (*ends)[entry.stream_id] = std::max((*ends)[entry.stream_id], end);
    }
    extent_bytes_ = index->header.extent_bytes;
    return index->header.payload_bytes;
  }

  SimRing* ring_;
  std::map<uint64_t, std::string>* sent_;
  SegmentId last_{};
  FileOffset durable_before_{};  // the publication that is being checked
  uint64_t extent_bytes_ = 0;
  bool requested_ = false;
  uint32_t next_disk_ = UINT32_MAX;
};

// A writer on a simulated disk, fed with extents of random payload.
class Rig {
 public:
  explicit Rig(uint64_t seed, SimFaults faults = {},
               absl::Duration sync_interval = absl::Milliseconds(1),
               absl::Duration stall_limit = SegmentWriterOptions().stall_limit)
      : dice(seed),
        ring(seed, faults),
        keeper(ring, sent_),
        region_(*Region::Map({RoundUp(ExtentSlab::SizeFor(kSlots).value, kBlockBytes)},
                             kChunk * kChunks)),
        home(*region_),
        slab(*region_, kSlots),
        builder_(*region_, slab,
                 {.align = 512, .extent_bytes_max = kExtentMax, .entries_max = kEntriesMax}) {
    SegmentWriterOptions options;
    options.segment = kSegment;
    options.extent_bytes_max = kExtentMax;
    options.entries_max = kEntriesMax;
    options.sync_interval = sync_interval;
    options.stall_limit = stall_limit;
    writer = std::make_unique<SegmentWriter>(
        ring, keeper, TrackIdentity{.recording = "test", .recording_uid = 1},
        [this](absl::StatusOr<SegmentLoan> loan) {
          mail_.push_back(std::move(loan));
          ring.Wake();
        },
        options);
  }
  ~Rig() {
    EXPECT_TRUE(writer->idle());
    if (!writer->idle()) std::abort();  // it cannot be destroyed
    writer.reset();
    EXPECT_EQ(home.free_count(), kChunks) << "a lease did not come home";
    for (const std::string& what : ring.violations()) ADD_FAILURE() << what;
    // Whatever was lent is sealed or returned; or the disk was lost while it was written to.
    for (const auto& [id, segment] : keeper.lent) {
      const bool used = ring.FileBytes(segment.file).find_first_not_of('\0') != std::string::npos;
      const bool tried = lost_ && (used || ring.faults().write_nothing != 0);
      const bool abandoned = keeper.out.contains(segment.disk);
      EXPECT_TRUE(segment.sealed || segment.returned || tried || abandoned)
          << "segment " << static_cast<uint64_t>(id) << " is neither sealed nor returned";
    }
  }

  uint64_t Roll(uint64_t below) { return dice() % below; }
  bool CanAppend() const { return !slab.empty() && home.free_count() > 0; }

  // One extent with the next bytes of a stream, which is opened or introduced as it must be.
  uint64_t Append(uint64_t stream, uint64_t length) {
    const uint32_t chunk = *home.Take();
    const uint64_t at = Roll(kChunk.value - length + 1);
    const std::span<std::byte> bytes = home.Memory(chunk).subspan(at, length);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(dice());
    std::string& sent = sent_[stream];
    const uint64_t number = writer->segment_number();
    if (sent.empty()) builder_.AddOpened({StreamId{stream}, {}, {}}, {++time_}, number);
    builder_.Add({StreamId{stream},
                  {sent.size()},
                  region_->area_begin() + kChunk * chunk + ByteCount{at},
                  {length}},
                 home.Lease(chunk), {++time_}, number);
    offsets_[stream].push_back(sent.size());
    sent.append(reinterpret_cast<const char*>(bytes.data()), length);
    appended += length;
    writer->Append(builder_.Seal());
    return length;
  }
  // One extent with the only byte of each of so many new streams.
  void AppendNewStreams(uint64_t count) {
    const uint32_t chunk = *home.Take();
    const uint64_t number = writer->segment_number();
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t stream = 1000 + sent_.size();
      home.Memory(chunk)[i] = static_cast<std::byte>(dice());
      sent_[stream] = std::string(1, static_cast<char>(home.Memory(chunk)[i]));
      offsets_[stream] = {0};
      builder_.AddOpened({StreamId{stream}, {}, {}}, {++time_}, number);
    }
    auto stream = std::prev(sent_.end(), static_cast<int64_t>(count));
    for (uint64_t i = 0; i < count; ++i, ++stream) {
      builder_.Add({StreamId{stream->first},
                    {0},
                    region_->area_begin() + kChunk * chunk + ByteCount{i},
                    {1}},
                   home.Lease(chunk), {++time_}, number);
    }
    appended += count;
    writer->Append(builder_.Seal());
  }
  void AppendSome() { Append(1 + Roll(5), 1 + Roll(12'000)); }

  absl::Duration Turn(absl::Duration at_most = absl::Milliseconds(10)) {
    ring.SubmitAndWait(std::min(wait_, at_most));
    const auto harvest = ring.Harvest();
    for (const Completion& done : std::vector<Completion>(harvest.begin(), harvest.end())) {
      if (done.tag.kind == OpKind::kWrite) {
        writer->OnWrite(done);
      } else {
        writer->OnSync(done);
      }
    }
    while (!mail_.empty()) {
      auto loan = std::move(mail_.front());
      mail_.pop_front();
      writer->OnSegmentReady(std::move(loan));
    }
    if (broken_) BreakDisk(broken_->disk, broken_->writes, broken_->syncs);
    wait_ = writer->OnTurn(ring.Monotonic());
    for (LostPart& part : writer->TakeLost()) lost_parts.push_back(std::move(part));
    lost_ = !writer->failure().ok();
    return wait_;
  }
  template <class Done>
  bool RunUntil(Done done) {
    for (int turn = 0; turn < 100'000; ++turn) {
      if (done()) return true;
      Turn();
    }
    return done();
  }
  bool Finish() {
    writer->Finish();
    return RunUntil([this] { return writer->idle(); });
  }

  // Every extent is in some sealed segment, once.
  void ExpectEverythingOnce() {
    auto listed = keeper.ListedBlocks();
    for (const auto& [stream, offsets] : offsets_) {
      for (const uint64_t offset : offsets) {
        EXPECT_EQ(listed[stream][offset], 1) << "stream " << stream << " at " << offset;
        listed[stream].erase(offset);
      }
      EXPECT_TRUE(listed[stream].empty());
    }
  }
  // What was appended is durable or lost, as the writer says, and nothing is both.
  void ExpectDurableOrLost() {
    auto found = keeper.DurableBlocks();
    uint64_t lost = 0;
    for (const LostPart& part : lost_parts) {
      const auto stream = static_cast<uint64_t>(part.stream);
      for (const LostPart::Range& range : part.ranges) {
        lost += (range.end - range.begin).value;
        for (const uint64_t offset : offsets_[stream]) {
          if (offset >= range.begin.value && offset < range.end.value) ++found[stream][offset];
        }
      }
    }
    for (const auto& [stream, offsets] : offsets_) {
      for (const uint64_t offset : offsets) {
        EXPECT_EQ(found[stream][offset], 1) << "stream " << stream << " at " << offset;
      }
    }
    const SegmentWriterCounters& counters = writer->counters();
    EXPECT_EQ(counters.lost.value, lost);
    EXPECT_EQ(counters.taken_back.value, lost);
    EXPECT_EQ(counters.payload.value, appended - lost);
    EXPECT_EQ(counters.durable.value, appended - lost);
    EXPECT_TRUE(writer->failure().ok()) << writer->failure();
  }
  // All files of a disk, now and from now on.
  void BreakDisk(uint32_t disk, bool writes, bool syncs) {
    broken_ = {disk, writes, syncs};
    for (const auto& [id, lent] : keeper.lent) {
      if (lent.disk == disk) ring.BreakFile(lent.file, writes, syncs);
    }
  }

  void ExpectAllDurable() {
    const SegmentWriterCounters& counters = writer->counters();
    EXPECT_TRUE(writer->failure().ok()) << writer->failure();
    EXPECT_EQ(counters.payload.value, appended);
    EXPECT_EQ(counters.durable.value, appended);
    EXPECT_EQ(counters.lost.value, 0u);
    EXPECT_FALSE(writer->undurable_since().has_value());
    ExpectEverythingOnce();
  }

  std::vector<LostPart> lost_parts;
  static constexpr uint64_t kExtentMax = 24 << 10;
  static constexpr uint32_t kEntriesMax = 16;
  std::mt19937_64 dice;
  SimRing ring;

 private:
  std::map<uint64_t, std::string> sent_;               // by stream
  std::map<uint64_t, std::vector<uint64_t>> offsets_;  // where its extents begin
  std::deque<absl::StatusOr<SegmentLoan>> mail_;
  struct Broken {
    uint32_t disk;
    bool writes;
    bool syncs;
  };
  std::optional<Broken> broken_;

 public:
  TestKeeper keeper;

 private:
  std::unique_ptr<Region> region_;

 public:
  SpoilingHome home;
  ExtentSlab slab;
  uint64_t appended = 0;

 private:
  ExtentBuilder builder_;

 public:
  std::unique_ptr<SegmentWriter> writer;

 private:
  absl::Duration wait_;
  int64_t time_ = 1'000'000;
  bool lost_ = false;
};

// ---- without trouble

TEST(SegmentWriterTest, OneExtent) {
  Rig rig(1);
  rig.Append(1, 5000);
  EXPECT_FALSE(rig.writer->idle());
  EXPECT_TRUE(rig.writer->undurable_since().has_value());
  ASSERT_TRUE(rig.RunUntil([&] { return rig.keeper.publications > 0; }));
  const auto& segment = rig.keeper.lent.at(SegmentId{1});
  EXPECT_FALSE(segment.sealed);
  EXPECT_GT(segment.durable.value, kBlockBytes + 5000);
  EXPECT_FALSE(rig.writer->undurable_since().has_value());
  EXPECT_EQ(rig.home.free_count(), kChunks);
  ASSERT_TRUE(rig.Finish());
  EXPECT_TRUE(segment.sealed);
  EXPECT_EQ(segment.streams.at(StreamId{1}).end.value, 5000u);
  EXPECT_EQ(rig.writer->counters().extents, 1u);
  EXPECT_EQ(rig.writer->counters().disk.value,
            segment.durable.value - kBlockBytes + kBlockBytes);  // the extent, and the footer
  rig.ExpectAllDurable();
}

TEST(SegmentWriterTest, NothingToWriteAsksForNothing) {
  Rig rig(1);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(rig.Turn(), absl::InfiniteDuration());
  EXPECT_TRUE(rig.Finish());
  EXPECT_EQ(rig.keeper.requests, 0u);
}

TEST(SegmentWriterTest, AFullSegmentIsSealedAndTheNextOneBegun) {
  Rig rig(1);
  uint64_t number = rig.writer->segment_number();
  EXPECT_EQ(number, 1u);
  uint64_t changes = 0;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(rig.RunUntil([&] { return rig.CanAppend(); }));
    rig.Append(1, 10'000);
    changes += rig.writer->segment_number() - number;
    number = rig.writer->segment_number();
  }
  ASSERT_TRUE(rig.Finish());
  EXPECT_GT(changes, 4u);
  uint64_t sealed = 0;
  for (const auto& [id, segment] : rig.keeper.lent) sealed += segment.sealed ? 1 : 0;
  EXPECT_GE(sealed, changes);
  EXPECT_LE(sealed, changes + 1);
  rig.ExpectAllDurable();
}

// However many streams there are to tell of, and however full the segment is.
TEST(SegmentWriterTest, TheFooterAlwaysFits) {
  for (uint64_t streams = 1; streams < Rig::kEntriesMax / 2; ++streams) {
    for (const bool large_last : {false, true}) {
      Rig rig(streams);
      const uint64_t number = rig.writer->segment_number();
      while (rig.writer->segment_number() == number) {
        ASSERT_TRUE(rig.RunUntil([&] { return rig.CanAppend(); }));
        rig.AppendNewStreams(streams);
        if (large_last && rig.Roll(8) == 0) rig.Append(1, kChunk.value);
      }
      ASSERT_TRUE(rig.Finish());
      rig.ExpectAllDurable();
      EXPECT_TRUE(rig.keeper.lent.at(SegmentId{1}).sealed);
    }
  }
}

TEST(SegmentWriterTest, SyncsAreAsFarApartAsTheyAreToBe) {
  Rig rig(1, {}, absl::Seconds(1));
  const absl::Duration start = rig.ring.Monotonic();
  absl::Duration next_append = start;
  while (rig.ring.Monotonic() - start < absl::Seconds(10)) {
    if (rig.ring.Monotonic() >= next_append) {
      rig.Append(1, 100);
      next_append += absl::Milliseconds(500);
    }
    rig.Turn(std::max(next_append - rig.ring.Monotonic(), absl::ZeroDuration()));
    if (const auto since = rig.writer->undurable_since()) {
      EXPECT_LT(rig.ring.Monotonic() - *since, absl::Milliseconds(2100));
    }
  }
  EXPECT_GE(rig.keeper.publications, 5u);
  EXPECT_LE(rig.keeper.publications, 10u);
  ASSERT_TRUE(rig.Finish());
  rig.ExpectAllDurable();
}

// ---- any story

struct Story {
  uint64_t errors = 0, failures = 0, publications = 0;
};

// Appends at random, then finishes; whatever the disk does in between.
Story Tell(uint64_t seed, SimFaults faults) {
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 dice(seed);
  Rig rig(seed, faults, absl::Microseconds(dice() % 5000));
  rig.keeper.delay = absl::Microseconds(dice() % 3000);
  const uint64_t extents = 1 + dice() % 60;
  for (uint64_t i = 0; i < extents; ++i) {
    const bool can = rig.RunUntil([&] { return rig.CanAppend(); });
    EXPECT_TRUE(can) << "hangs";
    if (!can) std::abort();
    rig.AppendSome();
    if (dice() % 3 == 0) rig.Turn();
  }
  const bool finished = rig.Finish();
  EXPECT_TRUE(finished) << "hangs";
  if (!finished) std::abort();
  const SegmentWriterCounters& counters = rig.writer->counters();
  EXPECT_EQ(counters.payload.value + counters.lost.value, rig.appended);
  EXPECT_LE(counters.durable.value, counters.payload.value);
  if (rig.writer->failure().ok()) {
    rig.ExpectAllDurable();
  } else {
    EXPECT_FALSE(rig.writer->undurable_since().has_value());
  }
  return {counters.write_errors, rig.writer->failure().ok() ? 0u : 1u, rig.keeper.publications};
}

TEST(SegmentWriterTest, AHurryIsNotForgottenWhileAnotherSegmentIsSealed) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Rig rig(seed, {}, /*sync_interval=*/absl::Seconds(10));
    const uint64_t first = rig.writer->segment_number();
    while (rig.writer->segment_number() == first) {
      ASSERT_TRUE(rig.RunUntil([&] { return rig.CanAppend(); }));
      rig.Append(1, 10'000);
    }
    ASSERT_TRUE(rig.RunUntil([&] { return rig.CanAppend(); }));
    rig.Append(1, 100);
    rig.writer->Hurry();
    const absl::Duration start = rig.ring.Monotonic();
    ASSERT_TRUE(rig.RunUntil([&] { return !rig.writer->undurable_since(); }));
    EXPECT_LT(rig.ring.Monotonic() - start, absl::Seconds(5));  // of simulated time
    ASSERT_TRUE(rig.Finish());
  }
}

TEST(SegmentWriterTest, ShortWritesAndRetries) {
  Story all;
  for (uint64_t seed = 1; seed <= 150 && !::testing::Test::HasFailure(); ++seed) {
    constexpr uint32_t kChances[] = {0, 2, 3, 5, 10, 30};
    const auto maybe = [&](uint64_t i) { return kChances[seed / i % 6]; };
    const Story one = Tell(seed, {.short_write = maybe(1), .again = maybe(6)});
    EXPECT_EQ(one.errors, 0u);
    EXPECT_EQ(one.failures, 0u);
    all.publications += one.publications;
  }
  EXPECT_GT(all.publications, 300u);
}

TEST(SegmentWriterTest, RefusedWritesGoToTheNextSegment) {
  Story all;
  for (uint64_t seed = 1; seed <= 200 && !::testing::Test::HasFailure(); ++seed) {
    const auto chances = static_cast<uint32_t>(10 + seed % 60);
    const Story one = Tell(seed, {.short_write = 6, .again = 6, .write_error = chances});
    all.errors += one.errors;
    all.failures += one.failures;
  }
  EXPECT_GT(all.errors, 100u);
  EXPECT_LT(all.failures, 100u);  // most stories end well
  EXPECT_GT(all.failures, 0u);
}

TEST(SegmentWriterTest, SyncsFailNowAndThen) {
  Story all;
  for (uint64_t seed = 1; seed <= 200 && !::testing::Test::HasFailure(); ++seed) {
    const Story one = Tell(seed, {.short_write = 6, .write_error = 100, .sync_error = 6});
    all.failures += one.failures;
    all.publications += one.publications;
  }
  EXPECT_GT(all.failures, 15u);
  EXPECT_GT(all.publications, 100u);
}

// ---- the disk refuses

TEST(SegmentWriterTest, ThreeRefusalsLoseTheDisk) {
  Rig rig(1, {.write_error = 1});
  rig.Append(1, 5000);
  ASSERT_TRUE(rig.RunUntil([&] { return !rig.writer->failure().ok(); }));
  EXPECT_EQ(rig.writer->counters().write_errors, uint64_t{SegmentWriter::kAttemptsMax});
  EXPECT_EQ(rig.writer->counters().lost.value, 5000u);
  EXPECT_EQ(rig.writer->counters().payload.value, 0u);
  EXPECT_TRUE(absl::StrContains(rig.writer->failure().message(), "write to segment"));
  EXPECT_EQ(rig.keeper.publications, 0u);
  // From here on everything is lost at once, and says so.
  const uint64_t requests = rig.keeper.requests;
  rig.Append(1, 700);
  EXPECT_EQ(rig.writer->counters().lost.value, 5700u);
  EXPECT_EQ(rig.home.free_count(), kChunks);
  ASSERT_TRUE(rig.Finish());
  EXPECT_EQ(rig.keeper.requests, requests);
}

TEST(SegmentWriterTest, OneRefusalCostsASegmentAndNoByte) {
  Rig rig(1);
  rig.Append(1, 5000);
  ASSERT_TRUE(rig.RunUntil([&] { return rig.keeper.publications == 1; }));
  rig.ring.faults().write_error = 1;
  rig.Append(1, 6000);
  rig.Append(2, 7000);
  ASSERT_TRUE(rig.RunUntil([&] { return rig.writer->counters().write_errors > 0; }));
  rig.ring.faults().write_error = 0;
  rig.Append(1, 8000);
  ASSERT_TRUE(rig.Finish());
  rig.ExpectAllDurable();
  EXPECT_TRUE(rig.keeper.lent.at(SegmentId{1}).sealed);
}

// A write that puts nothing down and gives no reason is a refusal too.
TEST(SegmentWriterTest, WritesOfNothingLoseTheDisk) {
  Rig rig(1, {.write_nothing = 1});
  rig.Append(1, 5000);
  ASSERT_TRUE(rig.RunUntil([&] { return rig.writer->counters().lost.value > 0; }));
  EXPECT_FALSE(rig.writer->failure().ok());
  EXPECT_EQ(rig.writer->counters().write_errors, uint64_t{SegmentWriter::kAttemptsMax});
  ASSERT_TRUE(rig.Finish());
}

// ... and so is one that stops in the same block again and again.
TEST(SegmentWriterTest, WritesThatDoNotGetOnLoseTheDisk) {
  Rig rig(1, {.short_write = 1, .short_write_max = 512});
  rig.Append(1, 5000);
  ASSERT_TRUE(rig.RunUntil([&] { return !rig.writer->failure().ok(); }));
  EXPECT_EQ(rig.writer->counters().write_errors, uint64_t{SegmentWriter::kAttemptsMax});
  ASSERT_TRUE(rig.Finish());
}

TEST(SegmentWriterTest, ASyncErrorLosesTheDisk) {
  Rig rig(1, {.sync_error = 1});
  rig.Append(1, 5000);
  ASSERT_TRUE(rig.RunUntil([&] { return !rig.writer->failure().ok(); }));
  EXPECT_TRUE(absl::StrContains(rig.writer->failure().message(), "fdatasync of segment 1"));
  // Not even when it would succeed now.
  rig.ring.faults().sync_error = 0;
  ASSERT_TRUE(rig.Finish());
  EXPECT_EQ(rig.keeper.publications, 0u);
  EXPECT_EQ(rig.writer->counters().durable.value, 0u);
  EXPECT_EQ(rig.writer->counters().payload.value, 5000u);  // it was written
}

TEST(SegmentWriterTest, ARefusedFooterLosesTheDisk) {
  for (const bool nothing : {false, true}) {
    Rig rig(1);
    rig.Append(1, 5000);
    ASSERT_TRUE(rig.RunUntil([&] { return rig.keeper.publications == 1; }));
    (nothing ? rig.ring.faults().write_nothing : rig.ring.faults().write_error) = 1;
    ASSERT_TRUE(rig.Finish());
    EXPECT_FALSE(rig.writer->failure().ok());
    EXPECT_EQ(rig.keeper.publications, 1u);
    EXPECT_FALSE(rig.keeper.lent.at(SegmentId{1}).sealed);
  }
}

// ---- one of several disks

TEST(SegmentWriterTest, ADiskThatRefusesWritesIsLeftForAnother) {
  Rig rig(1);
  rig.keeper.disks = 2;
  rig.Append(1, 5000);
  ASSERT_TRUE(rig.RunUntil([&] { return rig.keeper.publications == 1; }));
  rig.BreakDisk(0, /*writes=*/true, /*syncs=*/true);
  for (int i = 0; i < 5; ++i) rig.Append(1, 6000);
  ASSERT_TRUE(rig.Finish());
  EXPECT_EQ(rig.keeper.out, std::set<uint32_t>{0});
  ASSERT_FALSE(rig.keeper.reports.empty());
  EXPECT_TRUE(absl::StrContains(rig.keeper.reports[0].message(), "write to segment 1"));
  EXPECT_EQ(rig.writer->counters().lost.value, 0u) << "what was durable is not lost";
  rig.ExpectDurableOrLost();
  EXPECT_EQ(rig.keeper.lent.at(SegmentId{1}).durable.value, 3 * kBlockBytes + kBlockBytes);
}

TEST(SegmentWriterTest, AFailedSyncOfOneDiskCostsWhatWasNotDurable) {
  Rig rig(1, {}, absl::Milliseconds(100));
  rig.keeper.disks = 2;
  rig.Append(7, 5000);
  ASSERT_TRUE(rig.RunUntil([&] { return rig.keeper.publications == 1; }));
  rig.BreakDisk(0, /*writes=*/false, /*syncs=*/true);
  rig.Append(7, 6000);
  ASSERT_TRUE(rig.RunUntil([&] { return rig.writer->counters().payload.value == 11'000; }));
  ASSERT_TRUE(rig.RunUntil([&] { return !rig.lost_parts.empty(); }));
  ASSERT_EQ(rig.lost_parts.size(), 1u);
  EXPECT_EQ(rig.lost_parts[0].stream, StreamId{7});
  ASSERT_EQ(rig.lost_parts[0].ranges.size(), 1u);
  EXPECT_EQ(rig.lost_parts[0].ranges[0].begin.value, 5000u);
  EXPECT_EQ(rig.lost_parts[0].ranges[0].end.value, 11'000u);
  rig.Append(7, 7000);
  ASSERT_TRUE(rig.Finish());
  EXPECT_EQ(rig.writer->counters().lost.value, 6000u);
  rig.ExpectDurableOrLost();
}

TEST(SegmentWriterTest, NoByteIsForgottenWhenADiskFails) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    Rig rig(seed, {.short_write = 9, .again = 9, .slow = seed % 3 == 0 ? 5u : 0u});
    rig.keeper.disks = 2 + static_cast<uint32_t>(seed % 2);
    const uint64_t fails_at = rig.Roll(60);
    const uint64_t how = rig.Roll(3);
    for (uint64_t i = 0; i < 80; ++i) {
      if (i == fails_at) rig.BreakDisk(rig.Roll(2) == 0 ? 0 : 1, how != 1, how != 0);
      ASSERT_TRUE(rig.RunUntil([&] { return rig.CanAppend(); }));
      rig.AppendSome();
      if (rig.Roll(3) == 0) rig.Turn();
    }
    ASSERT_TRUE(rig.Finish());
    rig.ExpectDurableOrLost();
    EXPECT_LE(rig.keeper.out.size(), 1u);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(SegmentWriterTest, WhenTheLastDiskFailsTooTheDiskIsLost) {
  Rig rig(1);
  rig.keeper.disks = 2;
  rig.Append(1, 5000);
  ASSERT_TRUE(rig.RunUntil([&] { return rig.keeper.publications == 1; }));
  rig.ring.faults().write_error = 1;
  rig.Append(1, 6000);
  ASSERT_TRUE(rig.RunUntil([&] { return !rig.writer->failure().ok(); }));
  EXPECT_EQ(rig.keeper.out.size(), 1u);
  EXPECT_EQ(rig.writer->counters().lost.value, 6000u);
  ASSERT_TRUE(rig.Finish());
}

TEST(SegmentWriterTest, ADiskThatStallsIsLeftForAnother) {
  Rig rig(1);
  rig.keeper.disks = 2;
  rig.Append(1, 5000);
  ASSERT_TRUE(rig.RunUntil([&] { return rig.keeper.publications == 1; }));
  const int file = rig.keeper.lent.at(SegmentId{1}).file;
  rig.ring.StallFile(file, true);
  for (int i = 0; i < 12; ++i) rig.Append(1, 6000);
  ASSERT_TRUE(rig.RunUntil([&] { return !rig.keeper.out.empty(); }));
  EXPECT_TRUE(absl::IsDeadlineExceeded(rig.keeper.reports[0])) << rig.keeper.reports[0];
  // What the kernel did not have yet is written to the other one: all but eight.
  ASSERT_TRUE(rig.RunUntil([&] { return rig.writer->counters().payload.value == 29'000; }));
  EXPECT_EQ(rig.keeper.reports.size(), 1u);
  rig.ring.StallFile(file, false);
  ASSERT_TRUE(rig.Finish());
  rig.ExpectAllDurable();
}

// By the simulated clock: not before the limit, and not long after it.
TEST(SegmentWriterTest, TheLimitSaysWhenADiskHasStalled) {
  for (const absl::Duration limit :
       {absl::Milliseconds(100), absl::Seconds(1), absl::Seconds(10), absl::Minutes(5)}) {
    SCOPED_TRACE(absl::FormatDuration(limit));
    Rig rig(1, {}, absl::Milliseconds(1), limit);
    rig.keeper.disks = 2;
    rig.Append(1, 5000);
    ASSERT_TRUE(rig.RunUntil([&] { return rig.keeper.publications == 1; }));
    const int file = rig.keeper.lent.at(SegmentId{1}).file;
    rig.ring.StallFile(file, true);
    const absl::Duration stalled = rig.ring.Monotonic();
    rig.Append(1, 6000);
    ASSERT_TRUE(rig.RunUntil([&] { return !rig.keeper.out.empty(); }));
    const absl::Duration waited = rig.ring.Monotonic() - stalled;
    EXPECT_GE(waited, limit);
    EXPECT_LE(waited, limit + limit / 10);
    EXPECT_TRUE(absl::IsDeadlineExceeded(rig.keeper.reports[0])) << rig.keeper.reports[0];
    rig.ring.StallFile(file, false);
    ASSERT_TRUE(rig.Finish());
    rig.ExpectAllDurable();
  }
}

// ---- loans

TEST(SegmentWriterTest, WhenNoSegmentMayGoItSaysSoAndAsksAgain) {
  Rig rig(1);
  for (int i = 0; i < 3; ++i) {
    rig.keeper.refusals.push_back(absl::ResourceExhaustedError("every segment is in use"));
  }
  const absl::Duration start = rig.ring.Monotonic();
  rig.Append(1, 5000);
  EXPECT_TRUE(rig.writer->waiting().ok());  // nothing has been refused yet
  ASSERT_TRUE(rig.RunUntil([&] { return !rig.writer->waiting().ok(); }));
  EXPECT_EQ(rig.writer->waiting(), absl::ResourceExhaustedError("every segment is in use"));
  int turns = 0;
  while (rig.keeper.publications == 0 && turns < 10'000) {
    rig.Turn(absl::Hours(1));  // sleeps no longer than the writer says
    ++turns;
  }
  EXPECT_EQ(rig.keeper.publications, 1u);
  EXPECT_EQ(rig.keeper.requests, 4u);
  EXPECT_GE(rig.ring.Monotonic() - start, absl::Milliseconds(300));
  EXPECT_LT(rig.ring.Monotonic() - start, absl::Milliseconds(400));
  EXPECT_LT(turns, 50);
  EXPECT_TRUE(rig.writer->waiting().ok());
  ASSERT_TRUE(rig.Finish());
  rig.ExpectAllDurable();
}

// Only what could have been written waits for a segment: not the writer that asks for one in time.
TEST(SegmentWriterTest, HowLongItHadNoSegment) {
  Rig rig(1);
  rig.keeper.delay = absl::Milliseconds(5);
  rig.Append(1, 4000);
  ASSERT_TRUE(rig.RunUntil([&] { return rig.writer->counters().segment_waits.count == 1; }));
  const WaitTimes& waits = rig.writer->counters().segment_waits;
  EXPECT_GE(waits.longest, absl::Milliseconds(5));
  EXPECT_LT(waits.longest, absl::Milliseconds(8));
  EXPECT_EQ(waits.classes[3], 1u);
  // The next one is asked for in time, but does not come in time.
  rig.keeper.delay = absl::Milliseconds(700);
  while (rig.writer->segment_number() == 1) {
    ASSERT_TRUE(rig.RunUntil([&] { return rig.CanAppend(); }));
    rig.Append(1, 10'000);
    rig.Turn();
    EXPECT_EQ(waits.count, 1u) << "there was room in the first";
  }
  const absl::Duration full = rig.ring.Monotonic();
  ASSERT_TRUE(rig.RunUntil([&] { return rig.CanAppend(); }));
  rig.Append(1, 10'000);
  ASSERT_TRUE(rig.RunUntil([&] { return waits.count == 2; }));
  EXPECT_GE(waits.longest, absl::Milliseconds(500));
  EXPECT_LE(waits.longest, rig.ring.Monotonic() - full);
  EXPECT_EQ(waits.classes[10], 1u);
  EXPECT_GT(rig.writer->counters().longest_write, absl::ZeroDuration());
  ASSERT_TRUE(rig.Finish());
  rig.ExpectAllDurable();
}

// What has a segment is sealed as ever; what waits for one is counted as lost.
TEST(SegmentWriterTest, AWriterThatGivesUpWaitingFinishes) {
  for (uint64_t seed = 1; seed <= 50 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Rig rig(seed, {}, absl::Milliseconds(1));
    const uint64_t segments = rig.Roll(3);
    while (rig.keeper.lent.size() < segments) {
      ASSERT_TRUE(rig.RunUntil([&] { return rig.CanAppend(); }));
      rig.Append(1, 10'000);
      rig.Turn();
    }
    for (int i = 0; i < 1000; ++i) {
      rig.keeper.refusals.push_back(absl::ResourceExhaustedError("all are held"));
    }
    ASSERT_TRUE(rig.RunUntil([&] {
      if (rig.CanAppend()) rig.Append(1, 10'000);
      return !rig.writer->waiting().ok();
    }));
    rig.writer->GiveUpWaiting();
    EXPECT_TRUE(absl::StrContains(rig.writer->failure().message(), "stopped: all are held"));
    EXPECT_GT(rig.writer->counters().lost.value, 0u);
    while (rig.CanAppend() && rig.Roll(5) != 0) rig.Append(1, 10'000);
    ASSERT_TRUE(rig.Finish());
    EXPECT_EQ(rig.home.free_count(), kChunks);
    const SegmentWriterCounters& counters = rig.writer->counters();
    EXPECT_EQ(counters.durable, counters.payload);
    uint64_t sealed = 0;
    for (const auto& [id, segment] : rig.keeper.lent) sealed += segment.sealed ? 1 : 0;
    EXPECT_EQ(sealed, segments);
  }
}

TEST(SegmentWriterTest, ADiskThatLendsNothingIsLost) {
  Rig rig(1);
  rig.keeper.refusals.push_back(absl::UnavailableError("open /data/7: EIO"));
  rig.Append(1, 5000);
  rig.Append(2, 5000);
  ASSERT_TRUE(rig.RunUntil([&] { return !rig.writer->failure().ok(); }));
  EXPECT_EQ(rig.writer->failure(), absl::UnavailableError("open /data/7: EIO"));
  EXPECT_EQ(rig.writer->counters().lost.value, 10'000u);
  EXPECT_EQ(rig.home.free_count(), kChunks);
  ASSERT_TRUE(rig.Finish());
}

TEST(SegmentWriterTest, TheNextSegmentIsThereBeforeItIsNeeded) {
  Rig rig(1);
  while (rig.keeper.requests < 2) {
    ASSERT_TRUE(rig.RunUntil([&] { return rig.CanAppend(); }));
    rig.Append(1, 10'000);
    rig.Turn();
    ASSERT_EQ(rig.writer->segment_number(), 1u) << "the segment is full, nothing was asked for";
  }
  ASSERT_TRUE(rig.RunUntil([&] { return rig.keeper.lent.size() == 2; }));
  while (rig.writer->segment_number() == 1) {
    ASSERT_TRUE(rig.RunUntil([&] { return rig.CanAppend(); }));
    rig.Append(1, 10'000);
    rig.Turn();
  }
  ASSERT_EQ(rig.writer->counters().segment_waits.count, 1u) << "for the first, and for no other";
  const LoanTimes& loans = rig.writer->counters().loans;
  EXPECT_EQ(loans.in_line.count, 2u);
  EXPECT_EQ(loans.in_line.longest, absl::Milliseconds(1));
  EXPECT_EQ(loans.catalog.longest, absl::Milliseconds(2));
  EXPECT_EQ(loans.disk.total, absl::Milliseconds(6));
  ASSERT_TRUE(rig.Finish());
  rig.ExpectAllDurable();
  EXPECT_FALSE(rig.keeper.lent.at(SegmentId{2}).returned);  // until the writer is gone
  rig.writer = nullptr;
  EXPECT_TRUE(rig.keeper.lent.at(SegmentId{2}).returned);
  rig.writer = std::make_unique<SegmentWriter>(rig.ring, rig.keeper, TrackIdentity{}, nullptr,
                                               SegmentWriterOptions{});
}

TEST(SegmentWriterTest, WhoWritesFastHasMoreReady) {
  Rig rig(1);
  rig.keeper.ahead = 3;
  rig.keeper.delay = absl::Microseconds(20);
  const auto fill = [&] {
    const uint64_t number = rig.writer->segment_number();
    while (rig.writer->segment_number() == number) {
      ASSERT_TRUE(rig.RunUntil([&] { return rig.CanAppend(); }));
      rig.Append(1, 10'000);
      rig.Turn();
    }
  };
  fill();
  EXPECT_LE(rig.keeper.requests, 2u) << "nobody knows yet how fast it is";
  fill();
  ASSERT_TRUE(rig.RunUntil([&] { return rig.keeper.lent.size() == 2 + 1 + 3; }));
  EXPECT_FALSE(rig.keeper.lent.at(SegmentId{6}).returned);
  fill();
  fill();
  // It has become quiet: all go back but the next one.
  ASSERT_TRUE(rig.RunUntil([&] { return rig.keeper.lent.rbegin()->second.returned; }));
  const size_t lent = rig.keeper.lent.size();
  size_t returned = 0;
  for (const auto& [id, segment] : rig.keeper.lent) returned += segment.returned ? 1 : 0;
  EXPECT_EQ(returned, 3u);
  rig.Append(1, 10'000);
  ASSERT_TRUE(rig.RunUntil([&] { return rig.writer->undurable_since() == std::nullopt; }));
  EXPECT_EQ(rig.keeper.lent.size(), lent) << "and are not asked for again";
  ASSERT_TRUE(rig.Finish());
  rig.ExpectAllDurable();
}

// The answer comes when nobody needs it any more.
TEST(SegmentWriterTest, ALateLoanIsWaitedForAndReturned) {
  Rig rig(1);
  while (rig.keeper.requests < 2) {
    ASSERT_TRUE(rig.RunUntil([&] { return rig.CanAppend(); }));
    rig.keeper.delay = rig.keeper.requests == 0 ? absl::Microseconds(200) : absl::Seconds(5);
    rig.Append(1, 10'000);
    rig.Turn();
  }
  rig.writer->Finish();
  ASSERT_TRUE(rig.RunUntil([&] { return rig.keeper.lent.at(SegmentId{1}).sealed; }));
  EXPECT_FALSE(rig.writer->idle());
  ASSERT_TRUE(rig.RunUntil([&] { return rig.writer->idle(); }));
  EXPECT_EQ(rig.keeper.lent.size(), 2u);
  rig.ExpectAllDurable();
}

// Whenever it comes, a loan that a lost disk's writer does not use is returned.
TEST(SegmentWriterTest, ALoanThatComesAsTheDiskIsLostIsReturned) {
  for (uint64_t seed = 1; seed <= 100 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Rig rig(seed, {}, absl::Microseconds(100));
    rig.keeper.delay = absl::Microseconds(rig.Roll(500));
    const uint64_t break_at = rig.Roll(60);
    for (uint64_t i = 0; i < 60; ++i) {
      if (i == break_at) rig.ring.faults().sync_error = 1;
      if (rig.CanAppend()) rig.Append(1, 12'000);
      rig.Turn();
    }
    ASSERT_TRUE(rig.Finish());
  }
}

}  // namespace
}  // namespace sluice
