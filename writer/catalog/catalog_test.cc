#include "writer/catalog/catalog.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/catalog/sqlite.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint64_t kUid = 0xF123'4567'89AB'CDEF;  // the top bit, too, comes back

RecordingRow Recording(const std::string& id, uint64_t uid = kUid) {
  RecordingRow row;
  row.uid = uid;
  row.id = id;
  row.source = "tcp://0.0.0.0:9000";
  row.created = {5};
  return row;
}

SegmentRow Segment(uint64_t id, uint32_t slot, uint64_t uid = kUid) {
  SegmentRow row;
  row.id = SegmentId{id};
  row.slot = slot;
  row.recording_uid = uid;
  row.lane = LaneId{2};
  row.epoch = 3;
  row.durable = {4096};
  return row;
}

StreamUpdate Stream(uint64_t id, uint64_t begin, uint64_t end,
                    CloseReason reason = CloseReason::kNone) {
  StreamUpdate stream;
  stream.stream = StreamId{id};
  stream.opened = {100};
  stream.last_time = {static_cast<int64_t>(200 + end)};
  stream.begin = {begin};
  stream.end = {end};
  stream.reason = reason;
  stream.peer.family = 4;
  stream.peer.bytes = {10, 0, 0, static_cast<uint8_t>(id)};
  stream.peer.port = 1234;
  return stream;
}

SegmentUpdate Update(uint64_t segment, std::vector<StreamUpdate> streams, bool sealed = false,
                     uint64_t uid = kUid) {
  SegmentUpdate update;
  update.track.recording_uid = uid;
  update.segment = SegmentId{segment};
  update.sealed = sealed;
  update.durable = {8192};
  update.first_time = {100};
  update.last_time = {300};
  update.payload = {50};
  update.ledger.written = 50;
  update.streams = std::move(streams);
  return update;
}

std::vector<uint64_t> Ids(const absl::StatusOr<StreamPage>& page) {
  std::vector<uint64_t> ids;
  for (const StreamRow& row : page.value().rows) ids.push_back(static_cast<uint64_t>(row.id));
  return ids;
}

absl::Status AllStreams(Catalog& catalog) {
  StreamSearch search;
  search.limit = 5000;
  return catalog.FindStreams(search).status();
}

class CatalogTest : public testing::Test {
 protected:
  CatalogTest() {
    for (const char* suffix : {"", "-wal", "-shm"}) std::remove((path_ + suffix).c_str());
    catalog_ = OpenCatalog();
  }

  std::unique_ptr<Catalog> OpenCatalog(Catalog::Mode mode = Catalog::Mode::kReadWrite) {
    auto catalog = Catalog::Open(path_, mode);
    EXPECT_TRUE(catalog.ok()) << catalog.status();
    return catalog.ok() ? *std::move(catalog) : nullptr;
  }
  void Publish(const SegmentUpdate& update) {
    const absl::Status status = catalog_->Publish({&update, 1});
    EXPECT_TRUE(status.ok()) << status;
  }
  void Begin(const SegmentRow& row) {
    const absl::Status status = catalog_->BeginSegment(row);
    EXPECT_TRUE(status.ok()) << status;
  }

  const std::string path_ = testing::TempDir() + "/catalog_test.db";
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogTest, ARecordingHasAClass) {
  RecordingRow row = Recording("a");
  row.retention_class = "evidence";
  ASSERT_TRUE(catalog_->PutRecording(row).ok());
  EXPECT_EQ(catalog_->Recording("a")->retention_class, "evidence");
  row.retention_class = "";
  ASSERT_TRUE(catalog_->PutRecording(row).ok());
  EXPECT_EQ(catalog_->Recording("a")->retention_class, "");
}

TEST_F(CatalogTest, RecordingsComeBack) {
  RecordingRow row = Recording("b");
  row.state = RecordingState::kFailed;
  row.stopped = {77};
  row.failure = "disk lost";
  ASSERT_TRUE(catalog_->PutRecording(row).ok());
  ASSERT_TRUE(catalog_->PutRecording(Recording("a", 1)).ok());
  const auto rows = catalog_->Recordings();
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_THAT(*rows, SizeIs(2));
  EXPECT_EQ((*rows)[0].id, "a");
  EXPECT_EQ((*rows)[1].uid, kUid);
  EXPECT_EQ((*rows)[1].state, RecordingState::kFailed);
  EXPECT_EQ((*rows)[1].stopped.value, 77);
  EXPECT_EQ((*rows)[1].failure, "disk lost");
  EXPECT_EQ((*rows)[1].source, "tcp://0.0.0.0:9000");
  EXPECT_TRUE(absl::IsNotFound(catalog_->Recording("c").status()));
}

TEST_F(CatalogTest, ARecordingIsReplacedByItsUidOnly) {
  ASSERT_TRUE(catalog_->PutRecording(Recording("a")).ok());
  RecordingRow stopped = Recording("a");
  stopped.state = RecordingState::kStopped;
  ASSERT_TRUE(catalog_->PutRecording(stopped).ok());
  EXPECT_EQ(catalog_->Recording("a")->state, RecordingState::kStopped);
  EXPECT_TRUE(absl::IsAlreadyExists(catalog_->PutRecording(Recording("a", 99))));
  EXPECT_EQ(catalog_->Recording("a")->uid, kUid);
}

TEST_F(CatalogTest, TheAuditIsReadInPages) {
  AuditRow row;
  row.time = {7};
  row.actor = "api";
  row.action = "hold created";
  row.object = "holds/a";
  row.detail = "for alice";
  ASSERT_TRUE(catalog_->AddAudit(std::vector{row, row}).ok());
  row.object = "holds/b";
  ASSERT_TRUE(catalog_->AddAudit(std::vector{row}).ok());
  const auto first = catalog_->Audit(0, 2);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_THAT(*first, SizeIs(2));
  EXPECT_EQ(first->at(0).time.value, 7);
  EXPECT_EQ(first->at(0).actor, "api");
  EXPECT_EQ(first->at(0).action, "hold created");
  EXPECT_EQ(first->at(0).object, "holds/a");
  EXPECT_EQ(first->at(0).detail, "for alice");
  const auto second = catalog_->Audit(first->at(1).id, 2);
  ASSERT_THAT(*second, SizeIs(1));
  EXPECT_EQ(second->at(0).object, "holds/b");
  EXPECT_THAT(*catalog_->Audit(second->at(0).id, 2), IsEmpty());
}

TEST_F(CatalogTest, TheAuditIsBounded) {
  ASSERT_TRUE(catalog_->AddAudit(std::vector<AuditRow>(kAuditRowsMax)).ok());
  AuditRow last;
  last.object = "last";
  ASSERT_TRUE(catalog_->AddAudit(std::vector{last}).ok());
  const auto rows = catalog_->Audit(0, 1'000'000);
  ASSERT_THAT(*rows, SizeIs(kAuditRowsMax));
  EXPECT_EQ(rows->back().object, "last");
  const auto bounds = catalog_->BoundsOfAudit();
  ASSERT_TRUE(bounds.ok()) << bounds.status();
  EXPECT_EQ(bounds->last, rows->back().id);
  EXPECT_EQ(bounds->forgotten_others, rows->front().id - 1);
  EXPECT_EQ(bounds->forgotten_removals, 0);
}

TEST_F(CatalogTest, AuditIdsAreNeverGivenTwice) {
  EXPECT_EQ(catalog_->BoundsOfAudit()->last, 0);
  ASSERT_TRUE(catalog_->BeginAudit(FirstAuditId(3)).ok());
  EXPECT_EQ(catalog_->BoundsOfAudit()->last, FirstAuditId(3));
  ASSERT_TRUE(catalog_->AddAudit({AuditRow()}).ok());
  ASSERT_TRUE(catalog_->BeginAudit(FirstAuditId(2)).ok());  // never back
  ASSERT_TRUE(catalog_->AddAudit({AuditRow()}).ok());
  const auto rows = catalog_->Audit(0, 10);
  ASSERT_THAT(*rows, SizeIs(2));
  EXPECT_EQ(rows->at(0).id, FirstAuditId(3) + 1);
  EXPECT_EQ(rows->at(1).id, FirstAuditId(3) + 2);
}

// A ring that goes round does not take away what people did.
TEST_F(CatalogTest, RemovalsAreAuditedAndBoundedByThemselves) {
  ASSERT_TRUE(catalog_->AddAudit({AuditRow{0, {1}, "api", "hold created", "holds/a", ""}}).ok());
  RemovalRow removal;
  removal.recording_uid = kUid;
  removal.recording = "a";
  removal.lane = LaneId{2};
  removal.segments = 1;
  removal.payload = {77};
  removal.reason = RemovalReason::kReused;
  removal.ended = {5};
  AuditRow earlier;
  earlier.removed.emplace().segments = 1;
  ASSERT_TRUE(catalog_->AddAudit(std::vector<AuditRow>(kRemovalEventsMax, earlier)).ok());
  constexpr int kMany = 1000;
  ASSERT_TRUE(catalog_
                  ->Atomically([&]() -> absl::Status {
                    for (int i = 1; i <= kMany; ++i) {
                      removal.before = SegmentId{static_cast<uint64_t>(i - 1)};
                      removal.first = removal.last = SegmentId{static_cast<uint64_t>(i)};
                      if (absl::Status s = catalog_->RecordRemoval(removal); !s.ok()) return s;
                    }
                    return absl::OkStatus();
                  })
                  .ok());
  ASSERT_TRUE(catalog_->RecordRemoval(removal).ok());  // said again: no second event
  const auto rows = catalog_->Audit(0, 1'000'000);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows->front().object, "holds/a");
  EXPECT_FALSE(rows->front().removed.has_value());
  EXPECT_GE(rows->size(), static_cast<size_t>(kRemovalEventsMax));
  EXPECT_LE(rows->size(), static_cast<size_t>(kRemovalEventsMax) + 300);
  EXPECT_EQ(catalog_->BoundsOfAudit()->forgotten_removals, rows->at(1).id - 1);
  EXPECT_EQ(catalog_->BoundsOfAudit()->forgotten_others, 0);
  const AuditRow& last = rows->back();
  EXPECT_EQ(last.action, kRemovedAction);
  EXPECT_EQ(last.actor, "recovery");
  EXPECT_EQ(last.object, "recordings/a");
  EXPECT_EQ(last.detail, "1 segment of lane 2 (1000, 77 bytes of payload): reused");
  ASSERT_TRUE(last.removed.has_value());
  EXPECT_EQ(last.removed->first, SegmentId{kMany});
  EXPECT_EQ(last.removed->lane, LaneId{2});
  EXPECT_EQ(last.removed->payload.value, 77u);
  EXPECT_EQ(last.removed->reason, RemovalReason::kReused);
}

TEST_F(CatalogTest, InterruptedRecordingsAreAudited) {
  ASSERT_TRUE(catalog_->PutRecording(Recording("a", kUid)).ok());
  ASSERT_TRUE(catalog_->CloseInterrupted({9}).ok());
  const auto rows = catalog_->Audit(0, 10);
  ASSERT_THAT(*rows, SizeIs(1));
  EXPECT_EQ(rows->at(0).action, "recording interrupted");
  EXPECT_EQ(rows->at(0).object, "recordings/a");
  ASSERT_TRUE(catalog_->CloseInterrupted({10}).ok());
  EXPECT_THAT(*catalog_->Audit(0, 10), SizeIs(1));
}

TEST_F(CatalogTest, ThePolicyIsTheLastOne) {
  EXPECT_EQ(*catalog_->Policy(), "");
  ASSERT_TRUE(catalog_->PutPolicy("one").ok());
  ASSERT_TRUE(catalog_->PutPolicy("two").ok());
  ASSERT_TRUE(catalog_->Clear().ok());  // it cannot be rebuilt
  EXPECT_EQ(*catalog_->Policy(), "two");
}

TEST_F(CatalogTest, PublishedStreamsAreFound) {
  ASSERT_TRUE(catalog_->PutRecording(Recording("a")).ok());
  Begin(Segment(1, 0));
  Publish(Update(1, {Stream(7, 0, 10)}));
  Publish(Update(1, {Stream(7, 0, 30)}));

  const auto stream = catalog_->Stream(StreamId{7});
  ASSERT_TRUE(stream.ok()) << stream.status();
  EXPECT_EQ(stream->recording, "a");
  EXPECT_EQ(stream->recording_uid, kUid);
  EXPECT_EQ(stream->peer.ToString(), "10.0.0.7:1234");
  EXPECT_EQ(stream->opened.value, 100);
  EXPECT_EQ(stream->last_time.value, 230);
  EXPECT_EQ(stream->begin.value, 0u);
  EXPECT_EQ(stream->durable.value, 30u);
  EXPECT_TRUE(stream->open);
  const auto parts = catalog_->StreamParts(StreamId{7});
  ASSERT_TRUE(parts.ok());
  ASSERT_THAT(*parts, SizeIs(1));
  EXPECT_EQ((*parts)[0].end.value, 30u);
  EXPECT_EQ((*parts)[0].durable.value, 8192u);
  EXPECT_FALSE((*parts)[0].sealed);
  EXPECT_EQ((*parts)[0].stream, StreamId{7});
  const auto segments = catalog_->Segments();
  ASSERT_THAT(*segments, SizeIs(1));
  EXPECT_EQ((*segments)[0].lane, LaneId{2});
  EXPECT_EQ((*segments)[0].epoch, 3u);
  EXPECT_EQ((*segments)[0].ledger.written, 50u);
  EXPECT_EQ((*segments)[0].recording, "a");
  EXPECT_EQ(catalog_->Recording("a")->stream_count, 1u);
  EXPECT_EQ(catalog_->Recording("a")->payload.value, 50u);

  Publish(Update(1, {Stream(7, 0, 30, CloseReason::kReset)}, /*sealed=*/true));
  EXPECT_FALSE(catalog_->Stream(StreamId{7})->open);
  EXPECT_EQ(catalog_->Stream(StreamId{7})->reason, CloseReason::kReset);
  EXPECT_TRUE(catalog_->Segments()->at(0).sealed);
  EXPECT_TRUE(absl::IsNotFound(catalog_->Stream(StreamId{8}).status()));
}

TEST_F(CatalogTest, StreamsAreCountedAsTheyComeAndGo) {
  Begin(Segment(1, 0));
  Publish(Update(1, {Stream(7, 0, 10), Stream(8, 0, 10, CloseReason::kReset)}));
  // Published before the recording was known.
  ASSERT_TRUE(catalog_->PutRecording(Recording("a")).ok());
  EXPECT_EQ(catalog_->Recording("a")->stream_count, 2u);
  Publish(Update(1, {Stream(7, 0, 20), Stream(9, 0, 10, CloseReason::kReset)}, /*sealed=*/true));
  EXPECT_EQ(catalog_->Recording("a")->stream_count, 3u);
  ASSERT_TRUE(catalog_->PutRecording(Recording("a")).ok());
  EXPECT_EQ(catalog_->Recording("a")->stream_count, 3u);
  ASSERT_TRUE(catalog_->ForgetSegment(SegmentId{1}).ok());
  EXPECT_EQ(catalog_->Recording("a")->stream_count, 1u);  // 7 is open: more may come
  ASSERT_TRUE(catalog_->CloseInterrupted({9}).ok());
  EXPECT_EQ(catalog_->Recording("a")->stream_count, 0u);
}

TEST_F(CatalogTest, AnUnknownSegmentPublishesNothingOfTheBatch) {
  Begin(Segment(1, 0));
  const std::vector<SegmentUpdate> batch = {Update(1, {Stream(7, 0, 10)}),
                                            Update(2, {Stream(8, 0, 10)})};
  EXPECT_TRUE(absl::IsFailedPrecondition(catalog_->Publish(batch)));
  EXPECT_TRUE(absl::IsNotFound(catalog_->Stream(StreamId{7}).status()));
}

TEST_F(CatalogTest, PartsAreInTheOrderOfTheStream) {
  for (uint64_t id = 1; id <= 3; ++id) Begin(Segment(id, static_cast<uint32_t>(id)));
  Publish(Update(2, {Stream(7, 20, 30)}));
  Publish(Update(3, {Stream(7, 0, 20)}));
  Publish(Update(1, {Stream(7, 20, 20), Stream(6, 0, 1)}));
  std::vector<uint64_t> segments;
  const auto parts = catalog_->StreamParts(StreamId{7});
  for (const StreamPart& part : *parts) {
    segments.push_back(static_cast<uint64_t>(part.segment));
  }
  EXPECT_THAT(segments, ElementsAre(3, 1, 2));
  EXPECT_EQ(catalog_->Stream(StreamId{7})->begin.value, 0u);
  const auto of_segment = catalog_->SegmentParts(SegmentId{1});
  ASSERT_THAT(*of_segment, SizeIs(2));
  EXPECT_EQ((*of_segment)[0].stream, StreamId{6});
  EXPECT_THAT(*catalog_->SegmentParts(SegmentId{9}), IsEmpty());
}

TEST_F(CatalogTest, ReuseMovesBeginsAndDropsWhatIsGone) {
  Begin(Segment(1, 0));
  Publish(Update(1,
                 {Stream(1, 0, 100), Stream(2, 0, 50, CloseReason::kEndOfStream),
                  Stream(3, 0, 0, CloseReason::kEndOfStream), Stream(4, 0, 10)},
                 /*sealed=*/true));
  Begin(Segment(2, 1));
  Publish(Update(2, {Stream(1, 100, 200, CloseReason::kReset)}, /*sealed=*/true));

  Begin(Segment(3, 0));  // takes the place of segment 1
  EXPECT_EQ(catalog_->Stream(StreamId{1})->begin.value, 100u);
  EXPECT_EQ(catalog_->Stream(StreamId{1})->durable.value, 200u);
  EXPECT_TRUE(absl::IsNotFound(catalog_->Stream(StreamId{2}).status()));
  EXPECT_TRUE(absl::IsNotFound(catalog_->Stream(StreamId{3}).status()));
  // Open: more may come.
  ASSERT_TRUE(catalog_->Stream(StreamId{4}).ok());
  EXPECT_EQ(catalog_->Stream(StreamId{4})->begin.value, 10u);
  EXPECT_THAT(*catalog_->StreamParts(StreamId{4}), IsEmpty());
  Publish(Update(3, {Stream(4, 10, 25)}));
  EXPECT_EQ(catalog_->Stream(StreamId{4})->begin.value, 10u);
  EXPECT_EQ(catalog_->Stream(StreamId{4})->durable.value, 25u);

  ASSERT_TRUE(catalog_->ForgetSegment(SegmentId{2}).ok());
  EXPECT_TRUE(absl::IsNotFound(catalog_->Stream(StreamId{1}).status()));
  EXPECT_THAT(*catalog_->Segments(), SizeIs(1));
  EXPECT_EQ(*catalog_->LastSegmentId(), SegmentId{3});
}

TEST_F(CatalogTest, IdsOfForgottenSegmentsAreRemembered) {
  EXPECT_EQ(*catalog_->LastSegmentId(), SegmentId{0});
  Begin(Segment(9, 0));
  ASSERT_TRUE(catalog_->ForgetSegment(SegmentId{9}).ok());
  ASSERT_TRUE(catalog_->Clear().ok());
  catalog_ = OpenCatalog();
  EXPECT_EQ(*catalog_->LastSegmentId(), SegmentId{9});
}

TEST_F(CatalogTest, AllOfItOrNothing) {
  ASSERT_TRUE(catalog_->PutRecording(Recording("a")).ok());
  Begin(Segment(1, 0));
  const auto reader = OpenCatalog(Catalog::Mode::kReadOnly);
  const auto change = [&](const absl::Status& end) {
    return catalog_->Atomically([&] {
      EXPECT_TRUE(catalog_->Clear().ok());
      Begin(Segment(2, 1));
      Begin(Segment(3, 2));
      // What is refused has written nothing, and takes nothing else with it.
      EXPECT_TRUE(absl::IsAlreadyExists(catalog_->PutRecording(Recording("a", 99))));
      EXPECT_TRUE(catalog_->PutRecording(Recording("b", 2)).ok());
      EXPECT_THAT(*catalog_->Segments(), SizeIs(2));
      EXPECT_THAT(*reader->Segments(), SizeIs(1));
      return end;
    });
  };
  EXPECT_TRUE(absl::IsAborted(change(absl::AbortedError(""))));
  EXPECT_THAT(*catalog_->Segments(), SizeIs(1));
  EXPECT_THAT(*catalog_->Recordings(), SizeIs(1));
  EXPECT_TRUE(change(absl::OkStatus()).ok());
  EXPECT_THAT(*reader->Segments(), SizeIs(2));
  EXPECT_THAT(*reader->Recordings(), SizeIs(2));
}

TEST_F(CatalogTest, DeletingARecordingDeletesItEverywhere) {
  ASSERT_TRUE(catalog_->PutRecording(Recording("a")).ok());
  ASSERT_TRUE(catalog_->PutRecording(Recording("b", 2)).ok());
  Begin(Segment(1, 0));
  Begin(Segment(2, 1, 2));
  Publish(Update(1, {Stream(7, 0, 10)}, true));
  Publish(Update(2, {Stream(8, 0, 10)}, true, 2));
  EXPECT_TRUE(absl::IsNotFound(catalog_->DeleteRecording("c")));
  ASSERT_TRUE(catalog_->DeleteRecording("a").ok());
  EXPECT_TRUE(absl::IsNotFound(catalog_->Recording("a").status()));
  EXPECT_TRUE(absl::IsNotFound(catalog_->Stream(StreamId{7}).status()));
  EXPECT_THAT(*catalog_->StreamParts(StreamId{7}), IsEmpty());
  EXPECT_THAT(*catalog_->Segments(), SizeIs(1));
  EXPECT_TRUE(catalog_->Stream(StreamId{8}).ok());
  EXPECT_THAT(*catalog_->DeletedRecordings(), ElementsAre(kUid));
  ASSERT_TRUE(catalog_->ForgetDeletions().ok());
  EXPECT_THAT(*catalog_->DeletedRecordings(), IsEmpty());
  // The name is free again.
  EXPECT_TRUE(catalog_->PutRecording(Recording("a", 3)).ok());
}

TEST_F(CatalogTest, WhatACrashLeftOpenIsInterrupted) {
  ASSERT_TRUE(catalog_->PutRecording(Recording("a")).ok());
  ASSERT_TRUE(catalog_->PutRecording(Recording("idle", 2)).ok());
  RecordingRow stopped = Recording("stopped", 3);
  stopped.state = RecordingState::kStopped;
  stopped.stopped = {8};
  ASSERT_TRUE(catalog_->PutRecording(stopped).ok());
  Begin(Segment(1, 0));
  Publish(Update(1, {Stream(7, 0, 10), Stream(8, 0, 10, CloseReason::kReset)}));
  Begin(Segment(2, 1));
  Publish(Update(2, {Stream(9, 0, 10)}));
  ASSERT_TRUE(catalog_->ForgetSegment(SegmentId{2}).ok());

  const auto count = catalog_->CloseInterrupted({9999});
  ASSERT_TRUE(count.ok()) << count.status();
  EXPECT_EQ(*count, 1u);
  EXPECT_FALSE(catalog_->Stream(StreamId{7})->open);
  EXPECT_EQ(catalog_->Stream(StreamId{7})->reason, CloseReason::kInterrupted);
  EXPECT_EQ(catalog_->Stream(StreamId{8})->reason, CloseReason::kReset);
  EXPECT_TRUE(absl::IsNotFound(catalog_->Stream(StreamId{9}).status()));  // nothing is left of it
  EXPECT_EQ(catalog_->Recording("a")->state, RecordingState::kInterrupted);
  EXPECT_EQ(catalog_->Recording("a")->stopped.value, 300);  // its last byte
  EXPECT_EQ(catalog_->Recording("idle")->stopped.value, 9999);
  EXPECT_EQ(catalog_->Recording("stopped")->state, RecordingState::kStopped);
  EXPECT_EQ(catalog_->Recording("stopped")->stopped.value, 8);
}

TEST_F(CatalogTest, ClearKeepsRecordings) {
  ASSERT_TRUE(catalog_->PutRecording(Recording("a")).ok());
  Begin(Segment(1, 0));
  Publish(Update(1, {Stream(7, 0, 10)}));
  ASSERT_TRUE(catalog_->Clear().ok());
  EXPECT_THAT(*catalog_->Segments(), IsEmpty());
  EXPECT_THAT(Ids(catalog_->FindStreams({})), IsEmpty());
  EXPECT_THAT(*catalog_->StreamParts(StreamId{7}), IsEmpty());
  EXPECT_TRUE(catalog_->Recording("a").ok());
}

TEST_F(CatalogTest, ReadersSeeWholeBatchesOfAnotherProcess) {
  Begin(Segment(1, 0));
  constexpr uint64_t kBatches = 200;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // Two streams are always published together, equally long.
    const auto reader = Catalog::Open(path_, Catalog::Mode::kReadOnly);
    if (!reader.ok()) _exit(2);
    while (true) {
      const auto rows = (*reader)->FindStreams({});
      if (!rows.ok()) _exit(3);
      if (rows->rows.empty()) continue;
      if (rows->rows.size() != 2 || rows->rows[0].durable != rows->rows[1].durable) _exit(4);
      if (rows->rows[0].durable.value == kBatches) _exit(0);
    }
  }
  // The child must not touch the parent's connection, and does not.
  for (uint64_t i = 1; i <= kBatches; ++i) Publish(Update(1, {Stream(1, 0, i), Stream(2, 0, i)}));
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(CatalogTest, AReaderCannotWrite) {
  const auto reader = OpenCatalog(Catalog::Mode::kReadOnly);
  EXPECT_FALSE(reader->PutRecording(Recording("a")).ok());
  EXPECT_FALSE(reader->BeginSegment(Segment(1, 0)).ok());
}

TEST_F(CatalogTest, AMissingCatalogIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(Catalog::Open(path_ + ".none", Catalog::Mode::kReadOnly).status()));
  EXPECT_NE(access((path_ + ".none").c_str(), F_OK), 0);
}

// As after a crash right after its creation.
TEST_F(CatalogTest, AnEmptyCatalogIsNotFound) {
  catalog_.reset();
  std::ofstream(path_, std::ios::trunc).flush();
  const absl::Status status = Catalog::Open(path_, Catalog::Mode::kReadOnly).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("is empty"));
  EXPECT_TRUE(Catalog::Open(path_, Catalog::Mode::kReadWrite).ok());
}

TEST_F(CatalogTest, WhatIsNoCatalogIsDataLoss) {
  catalog_.reset();
  std::ofstream(path_, std::ios::trunc) << std::string(8192, 'x');
  for (const auto mode : {Catalog::Mode::kReadOnly, Catalog::Mode::kReadWrite}) {
    const absl::Status status = Catalog::Open(path_, mode).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("sluice archive rebuild"));
  }
  std::remove(path_.c_str());
  {
    const auto other = SqliteDatabase::Open(path_, SqliteDatabase::Mode::kReadWrite);
    ASSERT_TRUE((*other)->Execute("CREATE TABLE t (x)").ok());
  }
  const absl::Status status = Catalog::Open(path_, Catalog::Mode::kReadWrite).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
}

TEST_F(CatalogTest, ADamagedCatalogIsDataLoss) {
  std::vector<StreamUpdate> streams;
  for (uint64_t id = 1; id <= 2000; ++id) streams.push_back(Stream(id, 0, 1));
  Begin(Segment(1, 0));
  Publish(Update(1, streams));
  catalog_.reset();
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    const std::string garbage(200 * 1024, '\x5A');
    file.write(garbage.data(), static_cast<std::streamsize>(garbage.size()));
  }
  const auto catalog = Catalog::Open(path_, Catalog::Mode::kReadWrite);
  const absl::Status status = catalog.ok() ? AllStreams(**catalog) : catalog.status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
}

TEST_F(CatalogTest, ANewerCatalogIsNamed) {
  catalog_.reset();
  {
    const auto other = SqliteDatabase::Open(path_, SqliteDatabase::Mode::kReadWrite);
    ASSERT_TRUE((*other)->Execute("PRAGMA user_version = 99").ok());
  }
  for (const auto mode : {Catalog::Mode::kReadOnly, Catalog::Mode::kReadWrite}) {
    const absl::Status status = Catalog::Open(path_, mode).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("version 99"));
  }
}

TEST_F(CatalogTest, GapsAreSummedOverWhatIsStillHeld) {
  Begin(Segment(1, 0));
  Begin(Segment(2, 1));
  StreamUpdate first = Stream(7, 0, 100);
  first.dropped = {30};
  StreamUpdate second = Stream(7, 100, 200);
  second.dropped = {5};
  Publish(Update(1, {first}));
  first.dropped = {40};  // the same segment, later
  Publish(Update(1, {first}));
  Publish(Update(2, {second}));
  EXPECT_EQ(catalog_->Stream(StreamId{7})->dropped.value, 45u);
  ASSERT_TRUE(catalog_->ForgetSegment(SegmentId{1}).ok());
  EXPECT_EQ(catalog_->Stream(StreamId{7})->dropped.value, 5u);
  EXPECT_EQ(catalog_->FindStreams({})->rows.front().dropped.value, 5u);
}

TEST_F(CatalogTest, RemovalsOfATracksFrontAreOneRow) {
  const RemovalCause reused = {RemovalReason::kReused, "", {1000}};
  ASSERT_TRUE(catalog_->PutRecording(Recording("a")).ok());
  for (uint64_t id = 1; id <= 5; ++id) {
    SegmentRow row = Segment(id, id % 2);
    row.previous = SegmentId{id - 1};
    ASSERT_TRUE(catalog_->BeginSegment(row, {reused.reason, "", {int64_t(1000 + id)}}).ok());
    SegmentUpdate update = Update(id, {}, /*sealed=*/true);
    update.previous.id = SegmentId{id - 1};
    update.footer_sha256 = {static_cast<uint8_t>(id)};
    update.ledger.written = 50 * id;
    Publish(update);
  }
  ASSERT_THAT(*catalog_->Removals(), SizeIs(1));
  RemovalRow row = catalog_->Removals()->front();
  EXPECT_EQ(row.first, SegmentId{1});
  EXPECT_EQ(row.last, SegmentId{3});
  EXPECT_EQ(row.segments, 3);
  EXPECT_EQ(row.payload, ByteCount{150});
  EXPECT_EQ(row.recording, "a");
  EXPECT_EQ(row.lane, LaneId{2});
  EXPECT_EQ(row.total().written, 150);
  EXPECT_EQ(row.begun, UnixNanos{1003});
  EXPECT_EQ(row.ended, UnixNanos{1005});
  EXPECT_EQ(row.footer_sha256[0], 3);

  // Another reason, another row.
  ASSERT_TRUE(catalog_->ForgetSegment(SegmentId{4}, {RemovalReason::kRetention, "30d", {2}}).ok());
  ASSERT_TRUE(catalog_->DeleteRecording("a", {RemovalReason::kRecordingDeleted, "", {3}}).ok());
  ASSERT_THAT(*catalog_->Removals(), SizeIs(3));
  EXPECT_EQ(catalog_->Removals()->at(1).detail, "30d");
  EXPECT_EQ(catalog_->Removals()->at(2).reason, RemovalReason::kRecordingDeleted);
}

TEST_F(CatalogTest, WhatHeldNothingIsNoRemoval) {
  Begin(Segment(1, 0));
  ASSERT_TRUE(catalog_->ForgetSegment(SegmentId{1}, {RemovalReason::kReused, "", {1}}).ok());
  Begin(Segment(2, 0));
  Publish(Update(2, {}));
  ASSERT_TRUE(catalog_->ForgetSegment(SegmentId{2}).ok());  // no reason: nothing to remember
  EXPECT_THAT(*catalog_->Removals(), IsEmpty());
}

}  // namespace
}  // namespace sluice
