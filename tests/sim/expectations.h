// What an archive must hold, and whether it does.
#ifndef TESTS_SIM_EXPECTATIONS_H_
#define TESTS_SIM_EXPECTATIONS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "ingest/ring/sim_disk.h"
#include "ingest/units.h"
#include "tests/sim/journal.h"
#include "tests/sim/retention_book.h"
#include "tests/sim/stream_coverage.h"
#include "writer/catalog/catalog.h"
#include "writer/extent/extent_codec.h"
#include "writer/segment/format.h"
#include "writer/segment/segment_keeper.h"

namespace sluice {

// Knows what the peers have sent, and what the recorder has called durable: from then on it is
// promised, until its slot is reused or its recording deleted. Trusts nobody: what a publication
// covers it reads from the disk itself, and what the catalog says it compares with that.
class Expectations {
 public:
  Expectations(const SimDisk& disk, ByteCount segment, Journal& journal)
      : disk_(&disk), journal_(&journal), book_(journal, segment) {}
  RetentionBook& book() { return book_; }

  void SetSlots(std::vector<int> files) { slots_.assign(files.begin(), files.end()); }
  // What was refused and written again elsewhere leaves a hole when one of the two goes.
  bool may_have_holes = false;
  // Peers are numbered from 1.
  void Sent(int peer, std::string bytes) { sent_[static_cast<uint16_t>(peer)] = std::move(bytes); }
  // How many bytes of each peer the kernel has handed over, until now.
  void Delivered(const std::map<int, uint64_t>& by_peer);
  void SetChecksums(uint64_t uid, bool payload_crc) { payload_crc_[uid] = payload_crc; }

  // -- While it records.
  // A slot is about to be given to a segment: what it held is not promised any more.
  void OnHeader(uint32_t slot, const SegmentHeader& header);
  void OnLent(uint32_t slot);
  void OnReturned(SegmentId segment);
  // A rule is about to remove it; OnKept(): and could not.
  void OnRemoval(SegmentId id, RetentionRule rule, UnixNanos now);
  void OnKept(SegmentId id);
  void OnPublish(const SegmentUpdate& update);
  // The catalog knows all that was published.
  void OnCatalogKnows();
  // What it was and what it becomes are both right, until that has succeeded.
  void OnPuttingRecording(uint64_t uid) { recordings_.erase(uid); }
  void OnPutRecording(const RecordingRow& row) {
    recordings_[row.uid] = row;
    book_.OnRecording(row.uid, row.id, row.retention_class);
  }
  void OnDeletion(uint64_t uid, bool is_known_to_be_durable);

  // For mistakes: one that is being written.
  std::optional<SegmentLoan> AnyOpenSegment(ByteCount size) const;

  // -- Between two runs.
  // The catalog may have lost its last transactions, or all.
  void OnCatalogLoss(bool all);
  // After a recovery: everything promised is there, and nothing that nobody sent. What is there
  // is promised from here on.
  void CheckRecovered(Catalog& catalog);
  // Of a peer when it stopped in good order: all that the kernel had delivered.
  void CheckRemovals(Catalog& catalog) { book_.CheckRemovals(catalog, false); }
  void CheckDelivered(Catalog& catalog, const std::map<int, uint64_t>& delivered);
  // Reads streams as a user does.
  void CheckReading(const std::string& directory, Catalog& catalog, size_t streams_max);

 private:
  // Of a segment: bytes, and those that a back-pressure policy has dropped.
  struct Contents {
    StreamCoverage data;
    StreamCoverage gaps;
  };
  struct Segment {
    uint32_t slot = 0;
    uint64_t uid = 0;
    LaneId lane{};
    bool is_lent = false;
    bool sealed = false;
    FileOffset walked{kBlockBytes};
    Contents contents;
    Contents in_catalog;  // of them, when it last knew all
  };

  absl::Span<const std::byte> Bytes(uint32_t slot) const;
  std::optional<ExtentIndex> ParseAt(const Segment& segment, SegmentId id, FileOffset at);
  void WalkTo(Segment& segment, SegmentId id, FileOffset durable);
  bool WalkFooter(Segment& segment, SegmentId id);
  void AddContents(Segment& segment, const ExtentIndex& extent);
  void CheckPayload(const Segment& segment, SegmentId id);
  void CheckFragment(const FragmentEntry& fragment, absl::Span<const std::byte> payload);
  void CheckGap(const StreamEvent& event);
  void Learn(uint64_t stream, const SocketAddress& peer);
  std::map<SegmentId, Segment> ReadCatalog(Catalog& catalog, bool recovered);
  void CheckPromises(const std::map<SegmentId, Segment>& found);
  void CheckHas(SegmentId id, const Segment& segment, const StreamCoverage& promised,
                const StreamCoverage* now, const char* what);
  void CheckRecordings(Catalog& catalog);
  void CheckStreams(Catalog& catalog);
  void ReadStream(const std::string& directory, Catalog& catalog, const StreamRow& row);
  void Release(SegmentId id);
  bool IsThere(uint64_t stream, uint64_t begin, uint64_t end) const;

  const SimDisk* const disk_;
  Journal* const journal_;
  RetentionBook book_;
  std::vector<int> slots_;  // files
  std::map<uint16_t, std::string> sent_;
  std::map<uint64_t, uint16_t> peer_of_;  // streams
  std::map<uint64_t, bool> payload_crc_;  // of recordings
  std::set<uint64_t> lent_;               // ids of segments
  std::map<SegmentId, Segment> promised_;
  std::set<uint64_t> released_;  // streams of which a part may be gone
  StreamCoverage gone_;          // what was released of them, bytes and gaps
  std::map<SegmentId, Segment> removing_;
  std::map<uint64_t, RecordingRow> recordings_;
  std::set<uint64_t> deleted_;
  bool catalog_lost_some_ = false;
  bool catalog_lost_all_ = false;
  std::map<uint16_t, uint64_t> delivered_;
  StreamCoverage all_;   // what ReadCatalog() found: bytes and gaps
  StreamCoverage gaps_;  // of that
};

}  // namespace sluice

#endif  // TESTS_SIM_EXPECTATIONS_H_
