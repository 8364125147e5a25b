// Who was promised to keep what, and whether the recorder kept to it.
#ifndef TESTS_SIM_RETENTION_BOOK_H_
#define TESTS_SIM_RETENTION_BOOK_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "ingest/units.h"
#include "tests/sim/journal.h"
#include "writer/catalog/catalog.h"
#include "writer/retention/policy.h"
#include "writer/retention/retention.h"
#include "writer/segment/segment_keeper.h"

namespace sluice {

// Classes and holds as users know them, and segments as their publications told. Knows no rule's
// code: what goes, and what is refused, is compared with what the rules say in words.
class RetentionBook {
 public:
  RetentionBook(Journal& journal, ByteCount segment) : journal_(&journal), segment_(segment) {}

  // -- What users ask for. Doubt `at_once`: there was no answer, so it may have happened, and
  // the next start tells. Else it was an error: then it has not happened, but when the power fails
  // before the next change, the disk may know better.
  void OnClasses(const std::vector<RetentionClass>& classes) { classes_ = classes; }
  void OnRecording(uint64_t uid, const std::string& name, const std::string& retention_class);
  void OnHoldCreated(const Hold& hold, const Retention& retention);
  void OnHoldReleased(const std::string& id);
  // Their time is over: the next who tidies up may end them.
  void OnTidy(UnixNanos now);
  void DoubtHold(const std::string& id, bool at_once) {
    (at_once ? doubted_ : doubted_without_power_).insert(id);
  }
  void DoubtClasses(bool at_once) {
    (at_once ? classes_in_doubt_ : classes_in_doubt_without_power_) = true;
  }
  void OnPowerLoss();
  // What holds have come to hold since the last time may not outlive a start.
  void OnSaveFailed() { holdings_saved_ = false; }
  // Everything was saved anew, with these.
  void OnSaved(const std::vector<Hold>& holds);
  bool had_holds() const { return had_holds_; }
  const std::map<std::string, Hold>& holds() const { return holds_; }

  // -- Segments.
  void OnLent(SegmentId id, uint64_t uid, LaneId lane);
  void OnReturned(SegmentId id) { segments_.erase(id); }
  void OnPublished(const SegmentUpdate& update);
  // The keeper has read its mail.
  void OnTold();
  bool IsHeld(uint64_t uid) const;
  // Its slot is given to a segment of recording `to`.
  void OnReused(SegmentId id, uint64_t to);
  // A rule removes it by itself.
  void OnRemoved(SegmentId id, RetentionRule rule, UnixNanos now);
  void OnDeleted(SegmentId id);
  // It was to be removed, and was not.
  void OnKept(SegmentId id);
  // No segment was to be had for the recording: nothing may have been free, or free to go.
  void OnExhausted(uint64_t uid, uint32_t usable_slots);

  // -- Checks.
  // That a start has brought every class and every hold back, and no other.
  void CheckPolicy(const RetentionPolicy& policy);
  // That each hold holds what it selects, as far as its budget goes, and what it had before.
  void CheckHolds(const Retention& retention);
  // What is there after a start.
  void OnRecovered(Catalog& catalog);
  // That the catalog remembers of everything that has gone why it went. `lost`: it was made anew.
  void CheckRemovals(Catalog& catalog, bool lost);

 private:
  struct Told {
    bool sealed = false;
    UnixNanos first;
    UnixNanos last;
    std::set<uint64_t> streams;  // of which it has bytes
    uint64_t bytes = 0;
  };
  struct Segment {
    uint64_t uid = 0;
    LaneId lane{};
    Told published;  // by its lane
    Told told;       // to the store
  };
  struct Gone {
    Segment segment;
    std::string how;
    RemovalReason reason = RemovalReason::kNone;
  };

  RetentionClass ClassOf(uint64_t uid) const;
  uint64_t Count(const std::string& class_name, bool held_too) const;
  bool IsHeld(SegmentId id) const;
  bool Selects(const Hold& hold, const Segment& segment) const;
  void Leave(SegmentId id, RemovalReason reason, const std::string& how);

  Journal* const journal_;
  const ByteCount segment_;
  std::vector<RetentionClass> classes_;
  std::map<uint64_t, std::pair<std::string, std::string>> recordings_;  // name and class, by uid
  std::map<std::string, Hold> holds_;
  std::map<std::string, std::set<SegmentId>> held_;
  std::set<std::string> doubted_;
  std::set<std::string> doubted_without_power_;
  bool classes_in_doubt_ = false;
  bool classes_in_doubt_without_power_ = false;
  bool had_holds_ = false;
  bool holdings_saved_ = true;
  std::map<SegmentId, Segment> segments_;
  std::map<SegmentId, Gone> gone_;
};

}  // namespace sluice

#endif  // TESTS_SIM_RETENTION_BOOK_H_
