#include "writer/archive/recovery.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/archive/test_archive.h"
#include "writer/segment/segment_codec.h"
#include "writer/segment/segment_reader.h"

namespace sluice {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr StreamId kA{11};
constexpr StreamId kB{12};
const std::string kBytes(6000, 'x');

class RecoveryTest : public testing::Test {
 protected:
  RecoveryTest() { OpenCatalog(); }

  void OpenCatalog() {
    auto catalog = Catalog::Open(archive_.CatalogPath(), Catalog::Mode::kReadWrite);
    EXPECT_TRUE(catalog.ok()) << catalog.status();
    catalog_ = *std::move(catalog);
  }
  RecoveryReport Run(bool rebuild = false) {
    auto report = Recover(*archive_, *catalog_, rebuild);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *report : RecoveryReport{};
  }
  void PutRecording(const std::string& id = "test", uint64_t uid = 7) {
    RecordingRow row;
    row.uid = uid;
    row.id = id;
    ASSERT_TRUE(catalog_->PutRecording(row).ok());
  }
  void Begin(uint64_t id, uint32_t slot, uint64_t uid = 7) {
    SegmentRow row;
    row.id = SegmentId{id};
    row.slot = slot;
    row.recording_uid = uid;
    row.epoch = 1;
    row.durable = {kBlockBytes};
    ASSERT_TRUE(catalog_->BeginSegment(row).ok());
  }
  void Publish(const TestSegment& segment, bool sealed) {
    const SegmentUpdate update = segment.Update(sealed);
    const absl::Status status = catalog_->Publish({&update, 1});
    ASSERT_TRUE(status.ok()) << status;
  }
  // A segment with stream A open: two extents of kBytes.
  TestSegment Open(uint64_t id, uint32_t slot) {
    TestSegment segment(archive_.Segment(id, slot));
    segment.Add({{kA, 0, kBytes}}, {TestSegment::Open(kA)});
    segment.Add({{kA, kBytes.size(), kBytes}});
    return segment;
  }
  // The same, A closed, and sealed.
  TestSegment Sealed(uint64_t id, uint32_t slot) {
    TestSegment segment = Open(id, slot);
    segment.Add({}, {TestSegment::Close(kA, 2 * kBytes.size())});
    segment.Seal();
    return segment;
  }
  std::vector<uint64_t> SegmentIds() {
    std::vector<uint64_t> ids;
    const auto segments = catalog_->Segments();
    for (const SegmentRow& row : *segments) {
      EXPECT_TRUE(row.sealed);
      ids.push_back(static_cast<uint64_t>(row.id));
    }
    return ids;
  }

  TestArchive archive_;
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(RecoveryTest, AnEmptyArchiveHasNothingToSay) {
  const RecoveryReport report = Run();
  EXPECT_THAT(report.notes, IsEmpty());
  EXPECT_THAT(SegmentIds(), IsEmpty());
  EXPECT_EQ(report.last_segment_id, SegmentId{0});
  EXPECT_THAT(report.slots_kept_out, IsEmpty());
}

TEST_F(RecoveryTest, ARecordingIsLearnedWithTheClassThatItHadLast) {
  const auto write = [&](uint64_t id, uint32_t slot, const std::string& retention_class) {
    TestSegmentOptions options = archive_.Segment(id, slot);
    options.retention_class = retention_class;
    TestSegment segment(options);
    segment.Add({{kA, 0, kBytes}}, {TestSegment::Open(kA)});
    segment.Seal();
    segment.WriteTo(archive_.SegmentPath(slot));
  };
  write(6, 1, "evidence");
  write(5, 2, "other");
  Run();
  EXPECT_EQ(catalog_->Recording("test")->retention_class, "evidence");
}

TEST_F(RecoveryTest, AGoodArchiveStaysAsItIs) {
  PutRecording();
  const TestSegment segment = Sealed(5, 2);
  segment.WriteTo(archive_.SegmentPath(2));
  Begin(5, 2);
  Publish(segment, true);
  RecordingRow row = *catalog_->Recording("test");
  row.state = RecordingState::kStopped;
  ASSERT_TRUE(catalog_->PutRecording(row).ok());
  const RecoveryReport report = Run();
  EXPECT_THAT(report.notes, IsEmpty());
  EXPECT_EQ(report.segments_sealed + report.segments_indexed + report.segments_forgotten +
                report.segments_damaged + report.streams_interrupted,
            0u);
  EXPECT_EQ(catalog_->Recording("test")->state, RecordingState::kStopped);
  EXPECT_EQ(report.last_segment_id, SegmentId{5});
}

TEST_F(RecoveryTest, AnOpenSegmentIsSealedAndItsStreamsInterrupted) {
  PutRecording();
  Begin(5, 2);
  const TestSegment segment = Open(5, 2);
  segment.WriteTo(archive_.SegmentPath(2));
  const RecoveryReport report = Run();
  EXPECT_EQ(report.segments_sealed, 1u);
  EXPECT_EQ(report.payload_recovered.value, 2 * kBytes.size());
  EXPECT_EQ(report.streams_interrupted, 1u);
  EXPECT_THAT(report.notes, IsEmpty());
  EXPECT_THAT(SegmentIds(), ElementsAre(5));
  EXPECT_EQ(catalog_->Stream(kA)->reason, CloseReason::kInterrupted);
  EXPECT_EQ(catalog_->Stream(kA)->durable.value, 2 * kBytes.size());
  EXPECT_EQ(catalog_->Recording("test")->state, RecordingState::kInterrupted);
  const auto reader = SegmentReader::Open(archive_.SegmentPath(2));
  const auto footer = (*reader)->ReadFooter();
  ASSERT_TRUE(footer.ok()) << footer.status();
  EXPECT_EQ(footer->trailer.flags, kSealedByRecovery | kChained);
  EXPECT_EQ(footer->extents.size(), 2u);
  // The segment says what it knows: that A was not closed here.
  EXPECT_EQ(footer->streams[0].reason, CloseReason::kNone);
  // Once is enough.
  const RecoveryReport again = Run();
  EXPECT_EQ(again.segments_sealed + again.segments_indexed, 0u);
}

// Crashes after n bytes of the segment have reached the disk, at every block.
TEST_F(RecoveryTest, WhateverPrefixIsThereIsKept) {
  PutRecording();
  const TestSegment segment = Sealed(5, 2);
  const uint64_t data_end = segment.footer().data_end().value;
  for (uint64_t n = kBlockBytes; n <= data_end; n += kBlockBytes) {
    SCOPED_TRACE(n);
    TestSegment(archive_.Segment(4, 2)).WriteTo(archive_.SegmentPath(2));  // an earlier use
    segment.WriteTo(archive_.SegmentPath(2), {n});
    Begin(5, 2);
    Run();
    const auto parts = catalog_->StreamParts(kA);
    // Extents of 4 + 8 KiB, 4 + 8 KiB and 4 KiB, after the header block.
    const uint64_t whole = n >= data_end - kBlockBytes ? 2 : n >= 4 * kBlockBytes ? 1 : 0;
    ASSERT_THAT(*parts, SizeIs(whole > 0 ? 1 : 0));
    if (whole > 0) {
      EXPECT_EQ((*parts)[0].end.value, whole * kBytes.size());
    }
    if (whole == 0) {
      EXPECT_THAT(SegmentIds(), IsEmpty());
    }
  }
}

TEST_F(RecoveryTest, ACrashBeforeTheHeaderLeavesTheOldSegment) {
  PutRecording();
  const TestSegment old = Sealed(3, 2);
  old.WriteTo(archive_.SegmentPath(2));
  Begin(3, 2);
  Publish(old, true);
  Begin(4, 2);  // the catalog has forgotten 3; the header of 4 was never written
  EXPECT_TRUE(absl::IsNotFound(catalog_->Stream(kA).status()));
  const RecoveryReport report = Run();
  EXPECT_THAT(SegmentIds(), ElementsAre(3));
  EXPECT_EQ(report.segments_indexed, 1u);
  EXPECT_EQ(report.segments_forgotten, 0u);  // nobody misses 4
  EXPECT_TRUE(catalog_->Stream(kA).ok());
  EXPECT_EQ(report.last_segment_id, SegmentId{4});  // and yet its id is not given again
}

TEST_F(RecoveryTest, ACrashAfterTheHeaderFreesTheSlot) {
  PutRecording();
  TestSegment old = Sealed(3, 2);
  old.WriteTo(archive_.SegmentPath(2));
  Begin(4, 2);
  TestSegment(archive_.Segment(4, 2)).WriteTo(archive_.SegmentPath(2), {kBlockBytes});
  const RecoveryReport report = Run();
  EXPECT_THAT(SegmentIds(), IsEmpty());
  EXPECT_THAT(report.notes, IsEmpty());
  EXPECT_THAT(report.slots_kept_out, IsEmpty());
}

// The catalog lost its last transactions with the power.
TEST_F(RecoveryTest, ACatalogThatIsBehindIsBroughtUp) {
  PutRecording();
  const TestSegment old = Sealed(3, 2);
  Begin(3, 2);
  Publish(old, true);
  TestSegment next(archive_.Segment(4, 2));
  next.Add({{kB, 0, kBytes}}, {TestSegment::Open(kB), TestSegment::Close(kB, kBytes.size())});
  next.Seal();
  next.WriteTo(archive_.SegmentPath(2));
  const RecoveryReport report = Run();
  EXPECT_THAT(SegmentIds(), ElementsAre(4));
  EXPECT_EQ(report.segments_forgotten, 1u);
  EXPECT_EQ(report.segments_indexed, 1u);
  EXPECT_TRUE(absl::IsNotFound(catalog_->Stream(kA).status()));
  EXPECT_EQ(catalog_->Stream(kB)->reason, CloseReason::kEndOfStream);
}

TEST_F(RecoveryTest, ATornFooterIsWrittenAgain) {
  PutRecording();
  for (const uint64_t at : {MiB(1).value - kBlockBytes, MiB(1).value - 1}) {
    TestSegment torn = Sealed(5, 2);
    torn.at({at}) ^= std::byte{1};
    torn.WriteTo(archive_.SegmentPath(2));
    Begin(5, 2);
    const RecoveryReport report = Run();
    EXPECT_EQ(report.segments_sealed, 1u);
    EXPECT_EQ(report.segments_damaged, 0u);
    EXPECT_THAT(SegmentIds(), ElementsAre(5));
    EXPECT_EQ(catalog_->Stream(kA)->reason, CloseReason::kEndOfStream);
  }
}

TEST_F(RecoveryTest, ALostFooterOfASealedSegmentIsDamageAndRepaired) {
  PutRecording();
  TestSegment segment = Sealed(5, 2);
  Begin(5, 2);
  Publish(segment, true);
  segment.at({MiB(1).value - 1}) ^= std::byte{1};
  segment.WriteTo(archive_.SegmentPath(2));
  const RecoveryReport report = Run();
  EXPECT_EQ(report.segments_damaged, 1u);
  EXPECT_EQ(report.segments_sealed, 1u);
  ASSERT_THAT(report.notes, SizeIs(1));
  EXPECT_THAT(report.notes[0], HasSubstr("000002.seg"));
  EXPECT_EQ(catalog_->Stream(kA)->durable.value, 2 * kBytes.size());
  EXPECT_THAT(SegmentIds(), ElementsAre(5));
}

TEST_F(RecoveryTest, PayloadIsCheckedPastTheMarkOnly) {
  PutRecording();
  TestSegment segment(archive_.Segment(5, 2));
  segment.Add({{kA, 0, kBytes}}, {TestSegment::Open(kA)});
  const SegmentUpdate durable = segment.Update(false);
  const FileOffset second = segment.Add({{kA, kBytes.size(), kBytes}});
  segment.at(second + ByteCount{kBlockBytes}) ^= std::byte{1};
  segment.WriteTo(archive_.SegmentPath(2));
  Begin(5, 2);
  ASSERT_TRUE(catalog_->Publish({&durable, 1}).ok());
  RecoveryReport report = Run();
  EXPECT_EQ(report.segments_damaged, 0u);  // what is past the mark may be torn
  EXPECT_EQ(catalog_->Stream(kA)->durable.value, kBytes.size());

  // Damage before the mark is not a crash's work, and not looked for here.
  segment.at({2 * kBlockBytes}) ^= std::byte{1};
  segment.WriteTo(archive_.SegmentPath(2));
  Begin(5, 2);
  ASSERT_TRUE(catalog_->Publish({&durable, 1}).ok());
  Run();
  EXPECT_EQ(catalog_->Stream(kA)->durable.value, kBytes.size());
}

TEST_F(RecoveryTest, AHeaderLostBeforeTheMarkIsDamage) {
  PutRecording();
  TestSegment segment = Open(5, 2);
  Begin(5, 2);
  Publish(segment, false);
  segment.at({4 * kBlockBytes + 100}) ^= std::byte{1};  // the second extent's header
  segment.WriteTo(archive_.SegmentPath(2));
  const RecoveryReport report = Run();
  EXPECT_EQ(report.segments_damaged, 1u);
  ASSERT_THAT(report.notes, SizeIs(1));
  EXPECT_THAT(report.notes[0], HasSubstr("had been durable"));
  EXPECT_EQ(catalog_->Stream(kA)->durable.value, kBytes.size());
  EXPECT_EQ(catalog_->StreamParts(kA)->at(0).end.value, kBytes.size());
}

TEST_F(RecoveryTest, WithoutChecksumsOnlyWhatWasDurableIsKept) {
  PutRecording();
  TestSegment segment(archive_.Segment(5, 2));
  segment.Add({{kA, 0, kBytes}}, {TestSegment::Open(kA)}, false);
  const FileOffset second = segment.Add({{kA, kBytes.size(), kBytes}}, {}, false);
  segment.Add({{kA, 2 * kBytes.size(), kBytes}}, {}, false);
  segment.WriteTo(archive_.SegmentPath(2));
  Begin(5, 2);
  Run();
  EXPECT_THAT(SegmentIds(), IsEmpty());

  // A later extent says that the first had been durable.
  segment.Add({{kA, 3 * kBytes.size(), kBytes}}, {}, false, second);
  segment.WriteTo(archive_.SegmentPath(2));
  Begin(5, 2);
  Run();
  EXPECT_EQ(catalog_->Stream(kA)->durable.value, kBytes.size());
  // Sealed now: what is behind was cut off for good.
  EXPECT_THAT(SegmentIds(), ElementsAre(5));
}

TEST_F(RecoveryTest, AMarkThatNamesItselfIsNotBelieved) {
  TestSegment segment(archive_.Segment(5, 2));
  segment.Add({{kA, 0, kBytes}}, {TestSegment::Open(kA)}, false, {MiB(1).value});
  segment.WriteTo(archive_.SegmentPath(2));
  Run();
  EXPECT_THAT(SegmentIds(), IsEmpty());
}

TEST_F(RecoveryTest, TheScanStopsAtAHoleInTheSequence) {
  PutRecording();
  TestSegment segment = Open(5, 2);
  ExtentHeader header;
  const FileOffset second{4 * kBlockBytes};
  std::memcpy(&header, &segment.at(second), sizeof(header));
  header.sequence = 2;
  std::memcpy(&segment.at(second), &header, sizeof(header));
  segment.Reseal(second);
  segment.WriteTo(archive_.SegmentPath(2));
  Begin(5, 2);
  Run();
  EXPECT_EQ(catalog_->Stream(kA)->durable.value, kBytes.size());
}

TEST_F(RecoveryTest, AnEarlierUsesExtentsAreNotTaken) {
  PutRecording();
  Open(4, 2).WriteTo(archive_.SegmentPath(2));
  TestSegment next(archive_.Segment(5, 2));
  next.Add({{kB, 0, kBytes}}, {TestSegment::Open(kB)});
  next.WriteTo(archive_.SegmentPath(2), {next.footer().data_end().value});
  Begin(5, 2);
  Run();
  EXPECT_TRUE(absl::IsNotFound(catalog_->Stream(kA).status()));
  EXPECT_EQ(catalog_->Stream(kB)->durable.value, kBytes.size());
}

TEST_F(RecoveryTest, AStreamGoesOnThroughSegments) {
  PutRecording();
  Ledger ledger;
  TestSegment first(archive_.Segment(5, 2), &ledger);
  first.Add({{kA, 0, kBytes}}, {TestSegment::Open(kA)});
  TestSegment second(archive_.Segment(6, 1), &ledger);
  second.Add({{kA, kBytes.size(), kBytes}}, {TestSegment::Continued(kA, kBytes.size()),
                                             TestSegment::Close(kA, 2 * kBytes.size())});
  // Neither had a footer yet: the close in the second must survive the first's sealing.
  first.WriteTo(archive_.SegmentPath(2));
  second.WriteTo(archive_.SegmentPath(1));
  Begin(5, 2);
  Begin(6, 1);
  const RecoveryReport report = Run();
  EXPECT_EQ(report.segments_sealed, 2u);
  EXPECT_EQ(report.streams_interrupted, 0u);
  EXPECT_EQ(catalog_->Stream(kA)->reason, CloseReason::kEndOfStream);
  EXPECT_THAT(*catalog_->StreamParts(kA), SizeIs(2));
}

TEST_F(RecoveryTest, AStreamEndsWhereItsFirstByteIsMissing) {
  PutRecording();
  // Two segments were open when the power went; it took the end of the first one.
  TestSegment first(archive_.Segment(1, 5));
  first.Add({{kA, 0, kBytes}, {kB, 0, kBytes}}, {TestSegment::Open(kA), TestSegment::Open(kB)});
  const FileOffset torn = first.Add({{kA, kBytes.size(), kBytes}});
  first.at(torn + ByteCount{kBlockBytes}) ^= std::byte{1};
  first.WriteTo(archive_.SegmentPath(5));
  TestSegment second(archive_.Segment(2, 3));
  second.Add({{kB, kBytes.size(), kBytes}}, {TestSegment::Continued(kB, kBytes.size())});
  second.Add({{kA, 2 * kBytes.size(), kBytes}}, {TestSegment::Continued(kA, 2 * kBytes.size())});
  second.Add({{kB, 2 * kBytes.size(), kBytes}});
  second.WriteTo(archive_.SegmentPath(3));
  Begin(1, 5);
  Begin(2, 3);

  EXPECT_EQ(Run().segments_sealed, 2u);
  EXPECT_EQ(catalog_->Stream(kA)->durable.value, kBytes.size());
  EXPECT_EQ(catalog_->Stream(kB)->durable.value, 2 * kBytes.size());
  EXPECT_THAT(*catalog_->StreamParts(kA), SizeIs(1));
}

// A write was refused, and what stands behind it is lost with the footer that knew of it. The
// segment after it was sealed all the same, but nobody had been told yet.
TEST_F(RecoveryTest, AStreamEndsWhereItsFirstByteIsMissingThoughMoreWasSealed) {
  PutRecording();
  const uint64_t bytes = kBytes.size();
  TestSegment first(archive_.Segment(1, 5));
  first.Add({{kA, 0, kBytes}, {kB, 0, kBytes}}, {TestSegment::Open(kA), TestSegment::Open(kB)});
  const FileOffset refused = first.Add({{kA, bytes, kBytes}});
  first.at(refused) ^= std::byte{1};
  first.Add({{kA, 2 * bytes, kBytes}});
  first.WriteTo(archive_.SegmentPath(5));
  TestSegment second(archive_.Segment(2, 3));
  second.Add({{kA, bytes, kBytes}}, {TestSegment::Continued(kA, bytes)});
  second.Add({{kB, bytes, kBytes}}, {TestSegment::Continued(kB, bytes)});
  second.Add({{kA, 3 * bytes, kBytes}});
  second.Seal();
  second.WriteTo(archive_.SegmentPath(3));
  Begin(1, 5);
  Begin(2, 3);

  const RecoveryReport report = Run();
  EXPECT_EQ(report.segments_sealed, 2u);
  EXPECT_EQ(report.segments_indexed, 0u);
  EXPECT_THAT(report.notes, Contains(HasSubstr("1 of its 3 extents")));
  EXPECT_EQ(catalog_->Stream(kA)->durable.value, 2 * bytes);
  EXPECT_EQ(catalog_->Stream(kB)->durable.value, 2 * bytes);
}

TEST_F(RecoveryTest, WhatComesBeforeInTheCatalogLeavesNoHoleEither) {
  PutRecording();
  const uint64_t bytes = kBytes.size();
  TestSegment first(archive_.Segment(1, 5));
  first.Add({{kA, 0, kBytes}}, {TestSegment::Open(kA)});
  first.Seal();
  first.WriteTo(archive_.SegmentPath(5));
  Begin(1, 5);
  Publish(first, true);
  // Of the second nothing has reached the disk but its header.
  TestSegment second(archive_.Segment(2, 3));
  second.WriteTo(archive_.SegmentPath(3));
  TestSegment third(archive_.Segment(3, 1));
  third.Add({{kA, 2 * bytes, kBytes}}, {TestSegment::Continued(kA, 2 * bytes)});
  third.WriteTo(archive_.SegmentPath(1));
  Begin(2, 3);
  Begin(3, 1);
  Run();
  EXPECT_EQ(catalog_->Stream(kA)->durable.value, bytes);
  EXPECT_THAT(*catalog_->StreamParts(kA), SizeIs(1));
}

// The disk refused a write that it had taken, so that it was written again; neither segment was
// sealed.
TEST_F(RecoveryTest, WhatWasWrittenTwiceIsThereOnce) {
  PutRecording();
  const uint64_t bytes = kBytes.size();
  TestSegment first(archive_.Segment(1, 5));
  first.Add({{kA, 0, kBytes}}, {TestSegment::Open(kA)});
  first.Add({{kA, bytes, kBytes}});
  first.WriteTo(archive_.SegmentPath(5));
  TestSegment second(archive_.Segment(2, 3));
  second.Add({{kA, bytes, kBytes}}, {TestSegment::Continued(kA, bytes)});
  second.Add({{kA, 2 * bytes, kBytes}});
  second.WriteTo(archive_.SegmentPath(3));
  Begin(1, 5);
  Begin(2, 3);
  EXPECT_EQ(Run().segments_sealed, 2u);
  EXPECT_EQ(catalog_->Stream(kA)->durable.value, 3 * bytes);
  const auto parts = catalog_->StreamParts(kA);
  ASSERT_THAT(*parts, SizeIs(2));
  EXPECT_EQ((*parts)[0].end.value, 2 * bytes);
  EXPECT_EQ((*parts)[1].begin.value, 2 * bytes);
}

TEST_F(RecoveryTest, AGapIsNothingThatIsMissing) {
  PutRecording();
  const uint64_t bytes = kBytes.size();
  TestSegment first(archive_.Segment(1, 5));
  first.Add({{kA, 0, kBytes}}, {TestSegment::Open(kA)});
  first.WriteTo(archive_.SegmentPath(5));
  // One between the segments, and one at the very end.
  TestSegment second(archive_.Segment(2, 3));
  second.Add({{kA, bytes + 500, kBytes}},
             {TestSegment::Continued(kA, bytes), TestSegment::Gap(kA, bytes, 500)});
  second.Add({}, {TestSegment::Gap(kA, 2 * bytes + 500, 70)});
  second.WriteTo(archive_.SegmentPath(3));
  Begin(1, 5);
  Begin(2, 3);
  EXPECT_EQ(Run().segments_sealed, 2u);
  EXPECT_EQ(catalog_->Stream(kA)->durable.value, 2 * bytes + 570);
  EXPECT_EQ(catalog_->Stream(kA)->dropped.value, 570u);
}

// What is whole on the disk is not given up for its header.
TEST_F(RecoveryTest, ADamagedHeaderOfASealedSegmentIsWrittenAnew) {
  PutRecording();
  TestSegment segment = Sealed(5, 2);
  Begin(5, 2);
  Publish(segment, true);
  segment.at({100}) ^= std::byte{1};
  segment.WriteTo(archive_.SegmentPath(2));
  const RecoveryReport report = Run();
  EXPECT_EQ(report.segments_damaged, 1u);
  EXPECT_EQ(report.segments_forgotten, 0u);
  EXPECT_THAT(SegmentIds(), ElementsAre(5));
  const auto reader = SegmentReader::Open(archive_.SegmentPath(2));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(RecordingName((*reader)->header()), "test");
  EXPECT_EQ(Run().segments_damaged, 0u);
}

TEST_F(RecoveryTest, DamagedHeadersAreNotedAndReused) {
  PutRecording();
  TestSegment segment = Sealed(5, 2);
  Begin(5, 2);
  Publish(segment, false);
  segment.at({100}) ^= std::byte{1};
  segment.WriteTo(archive_.SegmentPath(2));
  Sealed(6, 3).WriteTo(archive_.SegmentPath(3));
  const RecoveryReport report = Run();
  EXPECT_EQ(report.segments_damaged, 1u);
  EXPECT_EQ(report.segments_forgotten, 1u);
  EXPECT_THAT(SegmentIds(), ElementsAre(6));
  EXPECT_THAT(report.slots_kept_out, IsEmpty());
  // How high its id was nobody knows any more.
  EXPECT_GT(report.last_segment_id, SegmentId{1000});
  // Once noted it is gone, and what ids may have been given is not forgotten with it.
  const RecoveryReport again = Run();
  EXPECT_EQ(again.segments_damaged, 0u);
  EXPECT_EQ(again.last_segment_id, report.last_segment_id);
}

TEST_F(RecoveryTest, ANewerSegmentStopsEverything) {
  TestSegment segment = Sealed(5, 2);
  SegmentHeader header = segment.header();
  header.version = 2;
  SealSegmentHeader(header);
  std::memcpy(&segment.at({0}), &header, sizeof(header));
  segment.WriteTo(archive_.SegmentPath(2));
  const auto report = Recover(*archive_, *catalog_, false);
  EXPECT_TRUE(absl::IsFailedPrecondition(report.status())) << report.status();
  EXPECT_THAT(std::string(report.status().message()), HasSubstr("000002.seg"));
}

TEST_F(RecoveryTest, ARebuildThatFailsChangesNothing) {
  PutRecording();
  for (const uint32_t slot : {1, 2, 3}) {
    TestSegment segment = Sealed(slot, slot);
    Begin(slot, slot);
    Publish(segment, true);
    if (slot == 3) {
      SegmentHeader header = segment.header();
      header.version = 2;
      SealSegmentHeader(header);
      std::memcpy(&segment.at({0}), &header, sizeof(header));
    }
    segment.WriteTo(archive_.SegmentPath(slot));
  }
  const auto report = Recover(*archive_, *catalog_, /*rebuild=*/true);
  EXPECT_TRUE(absl::IsFailedPrecondition(report.status())) << report.status();
  EXPECT_THAT(SegmentIds(), ElementsAre(1, 2, 3));
}

TEST_F(RecoveryTest, SomebodyElsesFileIsLeftAlone) {
  TestSegmentOptions foreign = archive_.Segment(5, 2);
  foreign.uuid[0] ^= 1;
  TestSegment(foreign).WriteTo(archive_.SegmentPath(2));
  TestSegment(archive_.Segment(6, 2)).WriteTo(archive_.SegmentPath(3));  // a copy of slot 2's
  const RecoveryReport report = Run();
  EXPECT_EQ(report.segments_damaged, 2u);
  EXPECT_THAT(report.slots_kept_out, ElementsAre(2, 3));
}

TEST_F(RecoveryTest, AMissingFileIsForgotten) {
  PutRecording();
  for (const auto& [id, slot] : {std::pair<uint64_t, uint32_t>{5, 2}, {6, 3}}) {
    const TestSegment segment = Sealed(id, slot);
    segment.WriteTo(archive_.SegmentPath(slot));
    Begin(id, slot);
    Publish(segment, true);
  }
  std::filesystem::remove(archive_.SegmentPath(2));
  archive_.Reopen();
  const RecoveryReport report = Run();
  EXPECT_EQ(report.segments_forgotten, 1u);
  EXPECT_THAT(report.notes, ElementsAre(HasSubstr("12000 bytes are gone")));
  EXPECT_THAT(SegmentIds(), ElementsAre(6));
  EXPECT_EQ((*archive_).slots_recreated(), 1u);
}

TEST_F(RecoveryTest, ADeletedRecordingDoesNotComeBack) {
  PutRecording();
  const TestSegment segment = Sealed(5, 2);
  segment.WriteTo(archive_.SegmentPath(2));
  Begin(5, 2);
  Publish(segment, true);
  ASSERT_TRUE(catalog_->DeleteRecording("test").ok());
  // The crash came before its header was erased.
  Run();
  EXPECT_THAT(SegmentIds(), IsEmpty());
  EXPECT_THAT(*catalog_->Recordings(), IsEmpty());
  EXPECT_THAT(*catalog_->DeletedRecordings(), IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(SegmentReader::Open(archive_.SegmentPath(2)).status()));
  // And not with the catalog lost either.
  const RecoveryReport report = Run(/*rebuild=*/true);
  EXPECT_THAT(SegmentIds(), IsEmpty());
  EXPECT_GE(report.last_segment_id, SegmentId{5});
}

// Of these bytes only the catalog knows that they were durable.
TEST_F(RecoveryTest, ARebuildBelievesTheCatalogAboutExtentsWithoutChecksum) {
  PutRecording();
  Begin(5, 2);
  TestSegment segment(archive_.Segment(5, 2));
  segment.Add({{kA, 0, kBytes}}, {TestSegment::Open(kA)}, /*payload_crc=*/false);
  Publish(segment, /*sealed=*/false);
  segment.Add({{kA, kBytes.size(), kBytes}}, {}, /*payload_crc=*/false);  // past the mark
  segment.WriteTo(archive_.SegmentPath(2));
  const RecoveryReport report = Run(/*rebuild=*/true);
  EXPECT_EQ(report.payload_recovered.value, kBytes.size());
  EXPECT_THAT(SegmentIds(), ElementsAre(5));
  EXPECT_EQ(catalog_->Stream(kA)->durable.value, kBytes.size());
}

TEST_F(RecoveryTest, ALostCatalogIsRebuilt) {
  Ledger ledger;
  TestSegment first(archive_.Segment(5, 6, "lobby", 70), &ledger);
  first.Add({{kA, 0, kBytes}}, {TestSegment::Open(kA)});
  first.Seal();
  first.WriteTo(archive_.SegmentPath(6));
  TestSegment second(archive_.Segment(6, 1, "lobby", 70), &ledger);
  second.Add({{kA, kBytes.size(), kBytes}}, {TestSegment::Continued(kA, kBytes.size()),
                                             TestSegment::Close(kA, 2 * kBytes.size())});
  second.Seal();
  second.WriteTo(archive_.SegmentPath(1));
  TestSegment other(archive_.Segment(7, 0, "lobby", 71));  // the same name, another recording
  other.Add({{kB, 0, kBytes}}, {TestSegment::Open(kB)});
  other.Seal();
  other.WriteTo(archive_.SegmentPath(0));

  const RecoveryReport report = Run(/*rebuild=*/true);
  EXPECT_TRUE(report.catalog_rebuilt);
  EXPECT_EQ(report.segments_indexed, 3u);
  EXPECT_EQ(report.streams_interrupted, 1u);
  EXPECT_THAT(SegmentIds(), ElementsAre(5, 6, 7));
  const auto stream = catalog_->Stream(kA);
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ(stream->begin.value, 0u);
  EXPECT_EQ(stream->durable.value, 2 * kBytes.size());
  EXPECT_EQ(stream->reason, CloseReason::kEndOfStream);
  EXPECT_EQ(stream->opened.value, 1000);
  EXPECT_EQ(stream->peer.ToString(), "10.0.0.1:50011");
  const auto recordings = catalog_->Recordings();
  ASSERT_THAT(*recordings, SizeIs(2));
  for (const RecordingRow& row : *recordings) {
    EXPECT_EQ(row.state, row.uid == 70 ? RecordingState::kStopped : RecordingState::kInterrupted);
    EXPECT_EQ(row.created.value, 1000);
    EXPECT_THAT(row.id, HasSubstr("lobby"));
  }
}

// Fast: headers and trailers only, however much the segments hold.
TEST_F(RecoveryTest, ReadsLittleOfWhatTheCatalogKnows) {
  PutRecording();
  for (uint32_t slot = 0; slot < 8; ++slot) {
    TestSegment segment(archive_.Segment(slot + 1, slot));
    segment.Add({{kA, slot * kBytes.size(), kBytes}}, {TestSegment::Open(kA)});
    segment.Seal();
    Begin(slot + 1, slot);
    Publish(segment, true);
    // Broken in the middle: whoever reads it would notice.
    std::memset(&segment.at({kBlockBytes}), 0x55, 4 * kBlockBytes);
    segment.WriteTo(archive_.SegmentPath(slot));
  }
  const RecoveryReport report = Run();
  EXPECT_THAT(report.notes, IsEmpty());
  EXPECT_THAT(SegmentIds(), SizeIs(8));
}

}  // namespace
}  // namespace sluice
