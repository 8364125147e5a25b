// What goes next, at any number of segments: rules.h, kept up to date instead of computed.
#ifndef WRITER_RETENTION_RETENTION_H_
#define WRITER_RETENTION_RETENTION_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "ingest/units.h"
#include "writer/retention/policy.h"
#include "writer/retention/rules.h"
#include "writer/segment/segment_keeper.h"

namespace sluice {

// Knows every segment of an archive, which class it is of, and which holds hold it. Answers as
// NextDue() and NextFor() of rules.h do about state(), but in the logarithm of the number of
// segments. Has no clock, does no I/O, is the same for the same calls. Thread-compatible; a copy is
// independent, for those who want to try what would happen.
//
// A hold holds whole segments: those with durable data of its recording or stream, received in its
// time, from the oldest on, until its budget is used up. What it holds it keeps until it ends, or
// its recording's data is deleted, which whoever deletes must not do (see HoldsOf).
class Retention {
 public:
  // `slots`: how many segments can be written to.
  Retention(ByteCount segment, uint32_t slots);

  // An empty slot cannot be written to any more.
  void LoseSlot() { --slots_; }

  // What the catalog has, and the most that it may have before something goes; zero: no limit.
  void SetCatalog(ByteCount used, ByteCount limit) {
    catalog_ = used;
    catalog_limit_ = limit;
  }
  ByteCount catalog() const { return catalog_; }
  ByteCount catalog_limit() const { return catalog_limit_; }
  bool catalog_full() const { return catalog_limit_.value != 0 && catalog_ > catalog_limit_; }

  // FAILED_PRECONDITION, with the numbers: the classes promise more than there is.
  // INVALID_ARGUMENT: two have the same name, or one's reserve is more than its quota.
  absl::Status CheckClasses(absl::Span<const RetentionClass> classes) const;
  // In place of those there were. The class "default" is always there.
  void SetClasses(std::vector<RetentionClass> classes);
  bool HasClass(const std::string& name) const;
  // A class that is not there stands for "default".
  void SetRecording(uint64_t uid, const std::string& name, const std::string& retention_class);

  // Segments come, grow, and go. Those that are not known are ignored.
  void Add(RetentionSegment segment);  // its class and its holds are found here
  void Update(const SegmentUpdate& update);
  void Remove(SegmentId segment);
  // Its disk has failed, and its slot is lost.
  void Strand(SegmentId segment);
  uint32_t stranded() const { return stranded_; }
  bool IsHeld(SegmentId segment) const;

  // As CreateHold of the API: refused at once when what it selects now exceeds its budget, or when
  // with its budget used up too few segments would be left to record. A budget of zero becomes
  // what it selects now, unless more is coming. `parts`: the segments that have a part of its
  // stream. `active`: its recording, or its stream, is being recorded.
  //
  // ALREADY_EXISTS, RESOURCE_EXHAUSTED, FAILED_PRECONDITION (it selects nothing), INVALID_ARGUMENT.
  absl::Status AddHold(Hold hold, absl::Span<const SegmentId> parts, bool active, UnixNanos now);
  // One that was accepted before: after a start. It has what its `segments` say, if they are there.
  void RestoreHold(Hold hold, absl::Span<const SegmentId> parts, bool active);
  // NOT_FOUND.
  absl::Status RemoveHold(const std::string& id);
  // The holds that hold segments of the recording, in the order of their ids.
  std::vector<std::string> HoldsOf(uint64_t recording_uid) const;
  // The holds whose budget did not let them take a segment, since the last call; each once.
  std::vector<std::string> TakeFilled() { return std::exchange(filled_, {}); }
  // Whether a hold has used up its budget since Saved(): then what holds() says is to be saved.
  bool is_unsaved() const { return is_unsaved_; }
  void Saved() { is_unsaved_ = false; }

  // See rules.h.
  std::optional<Removal> NextDue(UnixNanos now) const;
  std::optional<Removal> NextFor(uint64_t recording_uid, UnixNanos now) const;
  // When there is next something due, or a hold ends; kEndOfTime: never by itself.
  UnixNanos NextTime() const;
  // The ids of those that have ended by `now`.
  std::vector<std::string> ExpiredHolds(UnixNanos now) const;

  uint32_t free() const;
  // About how many segments the recording could have more, if it asked and nothing else happened.
  uint32_t Obtainable(uint64_t recording_uid) const;
  uint32_t open() const { return open_; }
  ByteCount segment() const { return segment_; }
  // "8 segments of 1 MiB: 3 are being written, hold "case-17" of alice has 5", for people.
  std::string WhyNothingMayGo() const;
  std::vector<Hold> holds() const;
  std::optional<HoldState> FindHold(const std::string& id) const;
  std::vector<RetentionClass> classes() const;  // in the order in which they go under pressure
  const std::string& ClassOf(uint64_t recording_uid) const;
  // As SetRecording was told; "" when it was not, or it is "default".
  std::string WantedClassOf(uint64_t recording_uid) const;
  RetentionState state() const;

  // How many segments each track needs to record without waiting: one that is being filled, one
  // that is being sealed, and the next.
  static constexpr uint32_t kSegmentsPerTrack = 3;

 private:
  using HoldNumber = uint32_t;
  using HoldNumbers = absl::InlinedVector<HoldNumber, 2>;
  struct Entry {
    RetentionSegment segment;  // its `holds` stay empty: they are here
    HoldNumbers holds;
    HoldNumbers refused;  // would hold it, if their budgets allowed it
    HoldNumbers streams;  // holds whose stream has a part here
    bool may_go() const { return segment.sealed && !segment.stranded && holds.empty(); }
  };
  struct ClassEntry {
    RetentionClass rule;
    uint32_t segments = 0;
    uint32_t held = 0;
    std::set<SegmentId> may_go;
    std::set<std::pair<UnixNanos, SegmentId>> by_due;  // of those; only where the class has an age
  };
  struct RecordingEntry {
    std::string name;
    std::string wanted_class;
    uint32_t class_index = 0;
  };
  struct HoldEntry {
    HoldState state;
  };

  uint32_t IndexOf(const std::string& class_name) const;
  uint32_t ClassIndexOf(uint64_t recording_uid) const;
  void Enlist(const Entry& entry);
  void Delist(const Entry& entry);
  bool Selects(const HoldEntry& hold, HoldNumber number, const Entry& entry) const;
  // Holds it, unless that exceeds the budget.
  void Offer(HoldNumber number, HoldEntry& hold, Entry& entry);
  void Take(HoldNumber number, HoldEntry& hold, Entry& entry);
  bool IsFull(const HoldState& state) const;
  void OfferToAll(Entry& entry);
  HoldNumber Insert(Hold hold, absl::Span<const SegmentId> parts, bool active);
  void Erase(HoldNumber number);
  std::optional<SegmentId> OldestUnderPressure(std::optional<uint32_t> asking) const;
  std::optional<Removal> NextForCatalog() const;
  uint32_t HeldSegments() const;
  uint32_t SegmentsToRecord() const;
  // How many more segments it may come to hold.
  uint64_t Growth(const HoldEntry& hold, UnixNanos now) const;
  absl::Status CheckRoom(const HoldEntry& hold, UnixNanos now) const;

  ByteCount segment_;
  uint32_t slots_;
  ByteCount catalog_;
  ByteCount catalog_limit_;
  uint32_t open_ = 0;
  uint32_t stranded_ = 0;
  std::vector<ClassEntry> classes_;  // in the order in which they go under pressure
  std::map<uint64_t, RecordingEntry> recordings_;
  std::map<SegmentId, Entry> segments_;
  std::map<HoldNumber, HoldEntry> holds_;
  HoldNumber last_hold_ = 0;
  absl::flat_hash_map<StreamId, HoldNumbers> held_streams_;
  std::vector<std::string> filled_;
  bool is_unsaved_ = false;
};

}  // namespace sluice

#endif  // WRITER_RETENTION_RETENTION_H_
