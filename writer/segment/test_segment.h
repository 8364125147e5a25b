// A segment built in memory, the simple way, for tests: all that a lane would write, and handles
// to break it with.
#ifndef WRITER_SEGMENT_TEST_SEGMENT_H_
#define WRITER_SEGMENT_TEST_SEGMENT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "ingest/units.h"
#include "writer/extent/format.h"
#include "writer/ledger.h"
#include "writer/segment/file_io.h"
#include "writer/segment/footer_builder.h"
#include "writer/segment/format.h"
#include "writer/segment/segment_keeper.h"

namespace sluice {

struct TestPiece {
  StreamId stream{};
  uint64_t offset = 0;
  std::string bytes;
};

struct TestSegmentOptions {
  std::array<uint8_t, 16> uuid = {};
  SegmentId id{1};
  uint32_t slot = 0;
  ByteCount size = MiB(1);
  std::string recording = "test";
  uint64_t recording_uid = 7;
  uint16_t lane = 0;
  uint32_t epoch = 1;
  std::string retention_class = "";
};

class TestSegment {
 public:
  // `ledger` is the track's, from segment to segment; nullptr: this is the only one.
  explicit TestSegment(const TestSegmentOptions& options, Ledger* ledger = nullptr);

  // Events for Add(). Times are the numbers given; opened at 1000.
  static StreamEvent Open(StreamId stream, int64_t time_ns = 1000);
  static StreamEvent Continued(StreamId stream, uint64_t offset, int64_t time_ns = 1000);
  static StreamEvent Close(StreamId stream, uint64_t length, int64_t time_ns = 2000,
                           CloseReason reason = CloseReason::kEndOfStream);
  // Dropped by policy.
  static StreamEvent Gap(StreamId stream, uint64_t offset, uint64_t length, int64_t time_ns = 1500);

  // The next extent, each piece in a block of its own. Returns where it begins.
  FileOffset Add(const std::vector<TestPiece>& pieces, const std::vector<StreamEvent>& events = {},
                 bool payload_crc = true, FileOffset durable = {});
  // Its footer follows `previous`; returns what the next one follows.
  SegmentLink Seal(uint16_t flags = 0, const SegmentLink& previous = {});

  SegmentHeader& header() { return header_; }
  const FooterBuilder& footer() const { return footer_; }
  // The file's bytes. The header is in them too.
  absl::Span<std::byte> image() { return image_.span(); }
  std::byte& at(FileOffset offset) { return image_.data()[offset.value]; }
  // The checksum of an extent's header, after its fields were changed on purpose.
  void Reseal(FileOffset extent, uint32_t header_bytes = kBlockBytes);

  // Writes the image, or its first bytes, over a file.
  void WriteTo(const std::string& path) const;
  void WriteTo(const std::string& path, ByteCount first) const;
  // What a lane would publish about the segment as it is now.
  SegmentUpdate Update(bool sealed) const;
  TrackIdentity track() const;

 private:
  TestSegmentOptions options_;
  SegmentHeader header_;
  AlignedBuffer image_;
  FooterBuilder footer_;
  SegmentLink previous_;
  Sha256 footer_sha256_ = {};
  uint32_t sequence_ = 0;
  Ledger own_ledger_;
  Ledger* ledger_;
};

}  // namespace sluice

#endif  // WRITER_SEGMENT_TEST_SEGMENT_H_
