#include "writer/archive/archive_keeper.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/archive/test_archive.h"
#include "writer/catalog/sqlite.h"
#include "writer/segment/segment_reader.h"

namespace sluice {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string kBytes(6000, 'x');

class ArchiveKeeperTest : public testing::Test {
 protected:
  explicit ArchiveKeeperTest(uint32_t slots = 6) : archive_(slots) {}

  void Start() {
    keeper_.reset();
    auto keeper = ArchiveKeeper::Start(*archive_);
    ASSERT_TRUE(keeper.ok()) << keeper.status();
    keeper_ = *std::move(keeper);
    RecordingRow row;
    row.uid = 7;
    row.id = "test";
    ASSERT_TRUE(keeper_->PutRecording(row).ok());
  }
  void Restart() {
    keeper_.reset();
    archive_.Reopen();
    Start();
  }
  absl::StatusOr<SegmentLoan> Request(const TrackIdentity& track) {
    std::mutex mutex;
    std::condition_variable told;
    std::optional<absl::StatusOr<SegmentLoan>> answer;
    keeper_->RequestSegment(track, [&](absl::StatusOr<SegmentLoan> loan) {
      const std::lock_guard lock(mutex);
      answer = std::move(loan);
      told.notify_one();
    });
    std::unique_lock lock(mutex);
    told.wait(lock, [&] { return answer.has_value(); });
    return *answer;
  }
  absl::StatusOr<SegmentLoan> Request() { return Request(Track("test", 7)); }
  TrackIdentity Track(const std::string& name, uint64_t uid) {
    return {name, uid, LaneId{0}, ExtentKind::kStream};
  }
  // Records stream `id` of kBytes into a new segment; returns the segment's id, 0 when refused.
  SegmentId Record(uint64_t stream, bool seal = true, const std::string& name = "test",
                   uint64_t uid = 7) {
    const auto loan = Request(Track(name, uid));
    EXPECT_TRUE(loan.ok()) << loan.status();
    if (!loan.ok()) return SegmentId{0};
    const uint32_t slot = SlotOf(loan->fd);
    TestSegment segment(archive_.Segment(static_cast<uint64_t>(loan->id), slot, name, uid));
    segment.Add(
        {{StreamId{stream}, 0, kBytes}},
        {TestSegment::Open(StreamId{stream}), TestSegment::Close(StreamId{stream}, kBytes.size())});
    if (seal) segment.Seal(0, loan->origin.previous);
    EXPECT_TRUE(
        WriteFully(loan->fd, "segment", {kBlockBytes}, segment.image().subspan(kBlockBytes)).ok());
    keeper_->Publish(segment.Update(seal));
    return loan->id;
  }
  uint32_t SlotOf(int fd) {
    for (uint32_t slot = 0; slot < archive_->meta().segment_count; ++slot) {
      if (archive_->segment_fd(slot) == fd) return slot;
    }
    ADD_FAILURE();
    return 0;
  }
  std::unique_ptr<Catalog> Reader() {
    return *Catalog::Open(archive_.CatalogPath(), Catalog::Mode::kReadOnly);
  }

  TestArchive archive_;
  std::unique_ptr<ArchiveKeeper> keeper_;
};

TEST_F(ArchiveKeeperTest, LendsSegmentsWithADurableHeader) {
  Start();
  const auto loan = Request();
  ASSERT_TRUE(loan.ok()) << loan.status();
  EXPECT_EQ(loan->id, SegmentId{1});
  EXPECT_EQ(loan->size, MiB(1));
  EXPECT_GT(loan->took.in_line, absl::ZeroDuration());
  EXPECT_GT(loan->took.catalog, absl::ZeroDuration());
  EXPECT_GT(loan->took.disk, absl::ZeroDuration());
  const uint32_t slot = SlotOf(loan->fd);
  const auto reader = SegmentReader::Open(archive_.SegmentPath(slot));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->id(), loan->id);
  EXPECT_EQ((*reader)->header().recording_uid, 7u);
  EXPECT_EQ((*reader)->header().slot, slot);
  EXPECT_EQ((*reader)->header().epoch, 1u);
  EXPECT_EQ(RecordingName((*reader)->header()), "test");
  EXPECT_EQ((*reader)->header().previous_segment_id, 0u);
  const auto segments = Reader()->Segments();
  ASSERT_THAT(*segments, SizeIs(1));
  EXPECT_FALSE((*segments)[0].sealed);

  const auto second = Request();
  const auto next = SegmentReader::Open(archive_.SegmentPath(SlotOf(second->fd)));
  EXPECT_EQ((*next)->header().previous_segment_id, 1u);
}

// The chain goes on over restarts, and behind segments that have left the archive.
TEST_F(ArchiveKeeperTest, ALoanSaysWhatCameBefore) {
  Start();
  const auto origin = [&] {
    const SegmentLoan loan = *Request();
    keeper_->ReturnSegment(loan.id);
    return loan.origin;
  };
  EXPECT_EQ(origin().previous, SegmentLink{});
  const SegmentId first = Record(11);
  Record(12, true, "other", 8);
  keeper_->Flush();
  ASSERT_EQ(Reader()->Segments()->at(0).id, first);
  const SegmentLink link = {first, Reader()->Segments()->at(0).footer_sha256};
  EXPECT_NE(link.footer, Sha256{});
  EXPECT_EQ(origin().previous, link);
  EXPECT_EQ(origin().recording_uid, 7u);
  EXPECT_EQ(origin().archive_uuid, archive_->meta().uuid);
  EXPECT_EQ(origin().epoch, 1u);
  Restart();
  EXPECT_EQ(origin().previous, link);
  for (uint64_t stream = 21; stream < 29; ++stream) Record(stream, true, "other", 8);
  keeper_->Flush();
  EXPECT_EQ(Reader()->Recording("test")->stream_count, 0u);
  Restart();
  EXPECT_EQ(origin().previous, link);
  EXPECT_EQ(origin().epoch, 3u);
}

TEST_F(ArchiveKeeperTest, WhatWasReusedIsRemembered) {
  Start();
  for (uint64_t stream = 1; stream <= 9; ++stream) Record(stream);
  keeper_->Flush();
  ASSERT_THAT(*Reader()->Removals(), SizeIs(1));
  const RemovalRow row = Reader()->Removals()->front();
  EXPECT_EQ(row.reason, RemovalReason::kReused);
  EXPECT_EQ(row.first, SegmentId{1});
  EXPECT_EQ(row.last, SegmentId{3});
  EXPECT_EQ(row.payload.value, 3 * kBytes.size());
  // The headers say it again, for a catalog that is made anew.
  keeper_.reset();
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(archive_.CatalogPath() + suffix);
  }
  Restart();
  ASSERT_THAT(*Reader()->Removals(), SizeIs(1));
  EXPECT_EQ(Reader()->Removals()->front().first, SegmentId{1});
  EXPECT_EQ(Reader()->Removals()->front().last, SegmentId{3});
  EXPECT_EQ(Reader()->Removals()->front().payload.value, 3 * kBytes.size());
  EXPECT_EQ(Reader()->Removals()->front().footer_sha256, row.footer_sha256);
}

TEST_F(ArchiveKeeperTest, WhatWasPublishedCanBeRead) {
  Start();
  const SegmentId id = Record(11);
  keeper_->Flush();
  const auto stream = Reader()->Stream(StreamId{11});
  ASSERT_TRUE(stream.ok()) << stream.status();
  EXPECT_EQ(stream->durable.value, kBytes.size());
  EXPECT_EQ(stream->recording, "test");
  EXPECT_EQ(Reader()->StreamParts(StreamId{11})->at(0).segment, id);
  EXPECT_TRUE(keeper_->health().ok());
}

TEST_F(ArchiveKeeperTest, TheOldestSealedSegmentIsReused) {
  Start();
  for (uint64_t stream = 1; stream <= 6; ++stream) Record(stream);
  keeper_->Flush();
  EXPECT_THAT(Reader()->FindStreams({})->rows, SizeIs(6));
  EXPECT_EQ(Record(7), SegmentId{7});
  keeper_->Flush();
  EXPECT_TRUE(absl::IsNotFound(Reader()->Stream(StreamId{1}).status()));
  EXPECT_TRUE(Reader()->Stream(StreamId{2}).ok());
  EXPECT_TRUE(Reader()->Stream(StreamId{7}).ok());
}

TEST_F(ArchiveKeeperTest, OpenSegmentsAreNotReused) {
  Start();
  Record(1, /*seal=*/false);
  Record(2);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Request().ok());
  EXPECT_EQ(Record(3), SegmentId{7});  // in the place of 2, though 1 is older
  keeper_->Flush();
  EXPECT_TRUE(Reader()->Stream(StreamId{1}).ok());
  EXPECT_TRUE(absl::IsNotFound(Reader()->Stream(StreamId{2}).status()));
  ASSERT_TRUE(Request().ok());
  const auto none = Request();
  EXPECT_TRUE(absl::IsResourceExhausted(none.status())) << none.status();
}

TEST_F(ArchiveKeeperTest, AReturnedSegmentIsLentAgain) {
  Start();
  for (int i = 0; i < 20; ++i) {
    const auto loan = Request();
    ASSERT_TRUE(loan.ok()) << loan.status();
    keeper_->ReturnSegment(loan->id);
  }
  keeper_->Flush();
  EXPECT_THAT(*Reader()->Segments(), IsEmpty());
  const auto loan = Request();
  EXPECT_EQ(loan->id, SegmentId{21});  // ids are not
  const auto reader = SegmentReader::Open(archive_.SegmentPath(SlotOf(loan->fd)));
  EXPECT_EQ((*reader)->header().previous_segment_id, 0u);
}

TEST_F(ArchiveKeeperTest, IdsGoOnAfterARestart) {
  Start();
  EXPECT_EQ(Record(1), SegmentId{1});
  ASSERT_TRUE(Request().ok());
  Restart();
  EXPECT_EQ(Record(2), SegmentId{3});
  keeper_->Flush();
  EXPECT_THAT(*Reader()->Segments(), SizeIs(2));
  const auto reader = SegmentReader::Open(archive_.SegmentPath(1));
  EXPECT_EQ((*reader)->header().epoch, 2u);
}

TEST_F(ArchiveKeeperTest, AnUnfinishedRunIsRecovered) {
  Start();
  Record(1);
  Record(2, /*seal=*/false);
  Restart();
  EXPECT_EQ(keeper_->recovery().segments_sealed, 1u);
  EXPECT_TRUE(Reader()->Stream(StreamId{2}).ok());
  EXPECT_THAT(keeper_->recovery().notes, IsEmpty());
}

TEST_F(ArchiveKeeperTest, ALostCatalogIsRebuilt) {
  Start();
  Record(1);
  keeper_.reset();
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(archive_.CatalogPath() + suffix);
  }
  Restart();
  EXPECT_TRUE(keeper_->recovery().catalog_rebuilt);
  EXPECT_THAT(keeper_->recovery().notes, Contains(HasSubstr("was missing")));
  EXPECT_TRUE(Reader()->Stream(StreamId{1}).ok());
  EXPECT_GT(Record(2), SegmentId{1});
}

TEST_F(ArchiveKeeperTest, AGarbageCatalogIsMovedAsideAndRebuilt) {
  Start();
  Record(1);
  keeper_.reset();
  std::filesystem::remove(archive_.CatalogPath() + "-wal");
  std::ofstream(archive_.CatalogPath(), std::ios::trunc) << std::string(10000, 'x');
  Restart();
  EXPECT_TRUE(keeper_->recovery().catalog_rebuilt);
  EXPECT_THAT(keeper_->recovery().notes, Contains(HasSubstr("was damaged")));
  EXPECT_TRUE(std::filesystem::exists(archive_.CatalogPath() + ".damaged"));
  EXPECT_TRUE(Reader()->Stream(StreamId{1}).ok());
}

TEST_F(ArchiveKeeperTest, ACatalogDamagedInsideIsRebuilt) {
  Start();
  for (uint64_t stream = 1; stream <= 6; ++stream) Record(stream);
  keeper_.reset();
  {
    std::fstream file(archive_.CatalogPath(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);  // the first page, with the schema, stays
    const std::string garbage(std::filesystem::file_size(archive_.CatalogPath()) - 4096, '\x5A');
    file.write(garbage.data(), static_cast<std::streamsize>(garbage.size()));
  }
  Restart();
  EXPECT_TRUE(keeper_->recovery().catalog_rebuilt);
  EXPECT_THAT(Reader()->FindStreams({})->rows, SizeIs(6));
}

TEST_F(ArchiveKeeperTest, ADeletedRecordingFreesItsSegments) {
  Start();
  RecordingRow other;
  other.uid = 8;
  other.id = "other";
  ASSERT_TRUE(keeper_->PutRecording(other).ok());
  Record(1);
  Record(2, true, "other", 8);
  const absl::Status refused = keeper_->DeleteRecording("other");
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  other.state = RecordingState::kStopped;
  ASSERT_TRUE(keeper_->PutRecording(other).ok());
  ASSERT_TRUE(keeper_->DeleteRecording("other").ok());
  EXPECT_TRUE(absl::IsNotFound(keeper_->DeleteRecording("other")));
  EXPECT_TRUE(absl::IsNotFound(Reader()->Stream(StreamId{2}).status()));
  EXPECT_TRUE(absl::IsNotFound(SegmentReader::Open(archive_.SegmentPath(1)).status()));
  EXPECT_EQ(Record(3), SegmentId{3});
  EXPECT_TRUE(SegmentReader::Open(archive_.SegmentPath(1)).ok());  // lent again, before others

  // Even without the catalog it does not come back.
  keeper_.reset();
  std::filesystem::remove(archive_.CatalogPath());
  Restart();
  EXPECT_TRUE(Reader()->Stream(StreamId{1}).ok());
  EXPECT_TRUE(absl::IsNotFound(Reader()->Stream(StreamId{2}).status()));
}

TEST_F(ArchiveKeeperTest, FollowersAreWoken) {
  Start();
  const uint64_t before = keeper_->change_count();
  EXPECT_EQ(keeper_->WaitForChange(before, absl::Milliseconds(20)), before);
  std::thread recorder([&] { Record(1); });
  EXPECT_GT(keeper_->WaitForChange(before, absl::Seconds(20)), before);
  recorder.join();
  EXPECT_GT(keeper_->WaitForChange(0, absl::ZeroDuration()), 0u);
}

TEST_F(ArchiveKeeperTest, ManyLanesAtOnce) {
  Start();
  std::vector<std::thread> lanes;
  for (uint64_t lane = 0; lane < 2; ++lane) {
    lanes.emplace_back([&, lane] {
      for (uint64_t i = 0; i < 30; ++i) Record(1000 * lane + i + 1);
    });
  }
  for (std::thread& lane : lanes) lane.join();
  keeper_->Flush();
  EXPECT_THAT(*Reader()->Segments(), SizeIs(6));
  EXPECT_THAT(Reader()->FindStreams({})->rows, SizeIs(6));
  EXPECT_TRUE(keeper_->health().ok());
}

// Segments carry everything: a catalog that refuses must not stop them, and learns it all later.
TEST_F(ArchiveKeeperTest, ACatalogThatRefusesStopsNothing) {
  Start();
  Record(1);
  keeper_->Flush();
  // A trigger makes writes fail as a full disk would.
  const auto other = SqliteDatabase::Open(archive_.CatalogPath(), SqliteDatabase::Mode::kReadWrite);
  ASSERT_TRUE((*other)
                  ->Execute("CREATE TRIGGER full BEFORE INSERT ON segments BEGIN"
                            " SELECT RAISE(ABORT, 'disk full'); END")
                  .ok());
  EXPECT_EQ(Record(2), SegmentId{2});
  EXPECT_EQ(Record(3), SegmentId{3});
  keeper_->Flush();
  EXPECT_FALSE(keeper_->health().ok());
  EXPECT_THAT(std::string(keeper_->health().message()), HasSubstr("disk full"));
  EXPECT_TRUE(absl::IsNotFound(Reader()->Stream(StreamId{2}).status()));
  const uint64_t seen = keeper_->change_count();
  ASSERT_TRUE((*other)->Execute("DROP TRIGGER full").ok());
  EXPECT_GT(keeper_->WaitForChange(seen, absl::Seconds(20)), seen);  // tried again by itself
  keeper_->Flush();
  EXPECT_TRUE(keeper_->health().ok()) << keeper_->health();
  EXPECT_TRUE(Reader()->Stream(StreamId{2}).ok());
  EXPECT_TRUE(Reader()->Stream(StreamId{3}).ok());
}

// ---- retention

Hold HoldOnTest() {
  Hold hold;
  hold.id = "case-17";
  hold.owner = "alice";
  hold.selector.recording = "test";
  hold.budget = MiB(2);
  return hold;
}

TEST_F(ArchiveKeeperTest, HoldsOutliveTheirCatalogAndTheirFile) {
  Start();
  Record(1);
  const auto held = keeper_->CreateHold(HoldOnTest(), "user 0");
  ASSERT_TRUE(held.ok()) << held.status();
  const auto holds = [&] { return keeper_->retention().holds(); };
  const auto lose = [&](const std::string& name) {
    keeper_.reset();
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::filesystem::remove(archive_.directory() + "/" + name + suffix);
    }
    Restart();
  };
  lose("catalog.db");
  EXPECT_THAT(holds(), SizeIs(1));
  lose("RETENTION");
  EXPECT_THAT(holds(), SizeIs(1));
  EXPECT_THAT(keeper_->recovery().notes, Contains(HasSubstr("RETENTION was missing")));
  EXPECT_TRUE(std::filesystem::exists(archive_.directory() + "/RETENTION"));
  lose("catalog.db");
  ASSERT_THAT(holds(), SizeIs(1));
  EXPECT_EQ(holds()[0], held->hold);
  for (uint64_t stream = 2; stream <= 12; ++stream) Record(stream);
  keeper_->Flush();
  EXPECT_TRUE(Reader()->Stream(StreamId{1}).ok());
}

TEST_F(ArchiveKeeperTest, ADamagedPolicyIsTakenFromTheCatalogOrNotAtAll) {
  Start();
  Record(1);
  ASSERT_TRUE(keeper_->CreateHold(HoldOnTest(), "user 0").ok());
  keeper_.reset();
  const std::string path = archive_.directory() + "/RETENTION";
  std::ofstream(path, std::ios::app) << "x";
  Restart();
  EXPECT_THAT(keeper_->retention().holds(), SizeIs(1));
  EXPECT_THAT(keeper_->recovery().notes, Contains(HasSubstr("made anew from the catalog")));
  EXPECT_TRUE(std::filesystem::exists(path + ".damaged"));

  keeper_.reset();
  std::ofstream(path, std::ios::app) << "x";
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(archive_.CatalogPath() + suffix);
  }
  archive_.Reopen();
  const absl::Status refused = ArchiveKeeper::Start(*archive_).status();
  EXPECT_TRUE(absl::IsDataLoss(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("What is held cannot be known"));
  archive_.Reopen();
  EXPECT_TRUE(absl::IsDataLoss(ArchiveKeeper::Start(*archive_).status()));  // nor the next time
}

TEST_F(ArchiveKeeperTest, OnlyAKeeperThatTidiesRemovesByItself) {
  Start();
  RetentionClass rule;
  rule.max_age = absl::Milliseconds(1);  // what is recorded here is from 1970
  ASSERT_TRUE(keeper_->SetRetentionClasses({rule}, "test").ok());
  Record(1);
  keeper_->Flush();
  EXPECT_TRUE(Reader()->Stream(StreamId{1}).ok());
  const auto removed = keeper_->ApplyRetention("user 0");
  ASSERT_THAT(removed, SizeIs(1));
  EXPECT_EQ(removed[0].rule, RetentionRule::kAge);
  EXPECT_TRUE(absl::IsNotFound(Reader()->Stream(StreamId{1}).status()));

  keeper_.reset();
  archive_.Reopen();
  keeper_ = *ArchiveKeeper::Start(*archive_, {.tidy = true});
  uint64_t seen = keeper_->change_count();
  Record(2);
  while (keeper_->removals().age == 0) seen = keeper_->WaitForChange(seen, absl::Seconds(1));
  EXPECT_TRUE(absl::IsNotFound(Reader()->Stream(StreamId{2}).status()));
  EXPECT_EQ(Record(3), SegmentId{3});
}

// A slot that the disk refuses is left out for good.
TEST_F(ArchiveKeeperTest, ABadSlotIsLeftOut) {
  Start();
  // As good as EIO: the descriptor does not take writes any more.
  const int read_only = open(archive_.SegmentPath(0).c_str(), O_RDONLY);
  ASSERT_GE(read_only, 0);
  ASSERT_EQ(dup2(read_only, archive_->segment_fd(0)), archive_->segment_fd(0));
  for (uint64_t stream = 1; stream <= 10; ++stream) Record(stream);
  keeper_->Flush();
  EXPECT_THAT(*Reader()->Segments(), SizeIs(5));
  for (uint32_t slot = 1; slot < 6; ++slot) {
    ASSERT_EQ(dup2(read_only, archive_->segment_fd(slot)), archive_->segment_fd(slot));
  }
  close(read_only);
  const auto none = Request();
  EXPECT_TRUE(absl::IsUnavailable(none.status())) << none.status();
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("check the disk"));
}

}  // namespace
}  // namespace sluice
